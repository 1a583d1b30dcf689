# SPDX-License-Identifier: Apache-2.0
"""The order of checks, and those that a running stack does not fail: old metadata, clocks, providers that lie."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from client.transport import Response
from client.trust import Trust
from sigcore.errors import Refused, Unavailable
from sigcore.signing_config import Service, SigningConfig
from sigcore.strict import encode_time
from sigcore.trustroot import TrustedRoot, Validity
from stack.doctor import there
from stack.doctor.finding import Check, Skipped, State, Warned, examine
from stack.doctor.there import There

NOW = datetime(2026, 6, 1, tzinfo=UTC)
URL = "http://sig.example"


class Canned:
    """Answers by path; all else is 404."""

    def __init__(self, answers: dict[str, object]) -> None:
        self.answers = answers

    async def request(self, _method, url, **_more) -> Response:
        answer = self.answers.get(url.removeprefix(URL))
        return Response(404, b"") if answer is None else Response(200, json.dumps(answer).encode())


def seen(answers: dict[str, object], config: SigningConfig | None = None) -> There:
    return There(URL, Trust(TrustedRoot(), config or SigningConfig()), Canned(answers), lambda: NOW)


async def test_checks_that_build_on_a_failed_one_are_skipped_and_the_others_made():
    def fail(_: None) -> str:
        raise Unavailable("no", "do")

    def warn(_: None) -> str:
        raise Warned("soon")

    def skip(_: None) -> str:
        raise Skipped("nothing")

    told = []
    checks = (
        Check[None]("a", fail),
        Check[None]("b", lambda _: "fine", "a"),
        Check[None]("c", lambda _: "fine", "b"),
        Check[None]("d", warn),
        Check[None]("e", lambda _: "fine", "d"),
        Check[None]("f", skip),
        Check[None]("g", lambda _: "fine", "f"),
    )
    found = await examine(None, checks, told.append)
    states = [State.FAILED, State.SKIPPED, State.SKIPPED, State.WARNING, State.OK, State.SKIPPED, State.SKIPPED]
    assert [one.state for one in found] == states
    assert told == list(found)
    assert (found[0].found, found[0].fix) == ("no", "do")


def tuf(**left: float) -> dict[str, object]:
    """A repository whose roles are good for so many days."""
    days = {"timestamp": 1.0, "snapshot": 7.0, "targets": 300.0, "root": 3000.0} | left
    expires = {role: encode_time(NOW + timedelta(days=days[role])) for role in days}
    return {
        "/tuf/timestamp.json": {"signed": {"expires": expires["timestamp"], "meta": {"snapshot.json": {"version": 3}}}},
        "/tuf/3.snapshot.json": {"signed": {"expires": expires["snapshot"], "meta": {"targets.json": {"version": 2}}}},
        "/tuf/2.targets.json": {"signed": {"expires": expires["targets"]}},
        "/tuf/1.root.json": {"signed": {"expires": encode_time(NOW - timedelta(days=1))}},
        "/tuf/2.root.json": {
            "signed": {
                "version": 2,
                "expires": expires["root"],
                "keys": {"11": {"x-sigbox-name": "alice"}, "22": {"x-sigbox-name": "bob"}},
                "roles": {"root": {"keyids": ["11", "22"], "threshold": 2}},
            }
        },
    }


async def test_metadata_is_good_where_its_newest_root_is():
    assert "timestamp" in await there.metadata(seen(tuf()))


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "root"])
async def test_expired_metadata_fails_and_what_soon_expires_warns(role):
    with pytest.raises(Refused, match=f"{role} expired"):
        await there.metadata(seen(tuf(**{role: -0.5})))
    with pytest.raises(Warned, match=f"{role} expires"):
        await there.metadata(seen(tuf(**{role: 0.1})))


async def test_a_root_that_soon_expires_names_the_people_who_sign_the_next_one():
    with pytest.raises(Warned) as warned:
        await there.metadata(seen(tuf(root=80)))
    assert "sigbox trust root propose; 2 of alice, bob: sigbox trust root sign" in warned.value.hint


OIDC = SigningConfig(oidc=(Service(f"{URL}/auth", 1, Validity(NOW, None)),))


def provider(
    issuer: str = f"{URL}/auth", accepted: str = f"{URL}/auth", audience: str = "sigstore"
) -> dict[str, object]:
    return {
        "/api/v2/configuration": {"issuers": [{"issuerUrl": accepted, "audience": audience}]},
        "/auth/.well-known/openid-configuration": {"issuer": issuer, "jwks_uri": f"{URL}/auth/keys"},
        "/auth/keys": {"keys": []},
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"issuer": "http://other/auth"}, "calls itself 'http://other/auth'"),
        ({"accepted": "http://other/auth"}, "takes no tokens of"),
        ({"audience": "other"}, "demands the audience 'other'"),
    ],
)
async def test_what_clients_would_run_into_with_their_tokens(change, said):
    assert "1 issuers" in await there.issuers(seen(provider(), OIDC))
    with pytest.raises(Refused, match=said):
        await there.issuers(seen(provider(**change), OIDC))


async def test_a_role_that_is_not_ready_is_named():
    with pytest.raises(Refused, match="tsa: the clock went back"):
        await there.roles(seen({"/readyz": {"ready": False, "roles": {"ca": "ok", "tsa": "the clock went back"}}}))


async def test_without_tls_beyond_this_machine_a_warning():
    with pytest.raises(Warned, match="without TLS"):
        await there.connection(seen({"/healthz": {"status": "SERVING"}}))
