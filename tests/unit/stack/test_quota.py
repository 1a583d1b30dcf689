# SPDX-License-Identifier: Apache-2.0
"""One network cannot have everything signed (D09): what is beyond its quota is 429, in a form that its client reads."""

from __future__ import annotations

import json

import pytest
from aiohttp.test_utils import make_mocked_request

from stack import quota
from stack.quota import Quota


def ask(counted: Quota, path: str = "/api/v2/log/entries", remote: str = "192.0.2.1", method: str = "POST"):
    return counted.refusal(make_mocked_request(method, path).clone(remote=remote))


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(quota.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2/signingCert",
        "/api/v1/timestamp",
        "/api/v1/log/entries",
        "/log/2/api/v2/log/entries",
        "/ct/v1/add-pre-chain",
    ],
)
def test_d09_a_quarter_at_once_then_one_at_a_time(moment: list[float], path: str):
    counted = Quota(60)
    assert [ask(counted, path) for _ in range(15)] == [None] * 15
    refused = ask(counted, path)
    assert refused is not None
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    message = json.loads(refused.body)
    assert "192.0.2.1 has asked for too much" in (message.get("message") or message["error_message"])
    moment[0] += 1
    assert ask(counted, path) is None
    assert ask(counted, path) is not None


def test_others_and_what_is_read_are_not_counted(moment: list[float]):
    assert moment
    counted = Quota(4)
    assert ask(counted) is None
    assert ask(counted) is not None
    assert ask(counted, remote="192.0.2.2") is None
    assert ask(counted, path="/api/v1/log/entries/retrieve") is None
    assert ask(counted, method="GET", path="/api/v1/log/entries") is None


def test_an_ipv6_network_is_one_and_processes_share_a_quota(moment: list[float]):
    counted = Quota(16, share=2)
    assert [ask(counted, remote=f"2001:db8::{n}") for n in (1, 2)] == [None, None]
    assert ask(counted, remote="2001:db8::3").headers["Retry-After"] == "8"
    assert ask(counted, remote="2001:db8:0:1::3") is None
    moment[0] += 7.5
    assert ask(counted, remote="2001:db8::4") is None
