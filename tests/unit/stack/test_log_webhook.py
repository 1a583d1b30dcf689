# SPDX-License-Identifier: Apache-2.0
"""A webhook is tried within bounds, and its URL, which may be a secret, is in no message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from client.transport import Response, ServiceRefused
from sigcore.errors import Unavailable
from stack.cli.log_webhook import PAUSES_S, Webhook, webhook_url
from stack.cli.usage import Usage

SECRET = "https://chat.example:8443/services/T0/B0/s3cr3t?x=y"


class Receiver:
    """Answers each request with the next of ``answers``; notes requests and pauses."""

    def __init__(self, *answers: int | Unavailable) -> None:
        self.answers = list(answers)
        self.bodies: list[dict[str, object]] = []
        self.pauses: list[float] = []
        self.webhook = Webhook(self, SECRET, self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, limit: int
    ) -> Response:
        assert (method, url, headers["Content-Type"], limit > 0) == ("POST", SECRET, "application/json", True)
        self.bodies.append(json.loads(body))
        answer = self.answers.pop(0)
        if isinstance(answer, Unavailable):
            raise answer
        return Response(answer, b"")


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_what_is_taken_is_told_once(status: int):
    receiver = Receiver(status)
    await receiver.webhook.tell({"event": "match"})
    assert receiver.bodies == [{"event": "match"}]
    assert receiver.pauses == []


async def test_what_is_not_taken_now_is_tried_again():
    receiver = Receiver(503, Unavailable(f"{SECRET} cannot be reached"), 429, 200)
    await receiver.webhook.tell({"a": 1})
    assert receiver.bodies == [{"a": 1}] * 4
    assert receiver.pauses == list(PAUSES_S)


@pytest.mark.parametrize("last", [503, 408, 425, Unavailable(f"{SECRET} cannot be reached")])
async def test_after_the_last_try_it_has_failed_and_names_the_host_alone(last: int | Unavailable):
    receiver = Receiver(*[last] * (len(PAUSES_S) + 1))
    with pytest.raises(Unavailable) as found:
        await receiver.webhook.tell({})
    assert "chat.example" in found.value.message
    assert "s3cr3t" not in str(found.value)
    assert receiver.answers == []


@pytest.mark.parametrize("status", [400, 404, 410, 301])
async def test_who_does_not_want_it_is_not_asked_again(status: int):
    receiver = Receiver(status)
    with pytest.raises(ServiceRefused, match=str(status)) as found:
        await receiver.webhook.tell({})
    assert "s3cr3t" not in str(found.value)


def test_the_url_may_be_in_a_file(tmp_path: Path):
    file = tmp_path / "hook"
    file.write_text(f"{SECRET}\n")
    assert webhook_url(f"@{file}") == webhook_url(SECRET) == SECRET
    for bad in ("chat.example", "ftp://chat.example", "http://", "http://[x"):
        with pytest.raises(Usage):
            webhook_url(bad)
