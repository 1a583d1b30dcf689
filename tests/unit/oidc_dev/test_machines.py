# SPDX-License-Identifier: Apache-2.0
"""Client credentials (RFC 6749 section 4.4): a secret that names its machine, and a token about that machine alone."""

from __future__ import annotations

from dataclasses import replace

import jwt
import pytest

from oidc_dev.app import make_app
from oidc_dev.machines import (
    Machine,
    SqliteMachines,
    machine_of,
    new_secret,
    parse_machine_name,
    parse_machine_subject,
    secret_holds,
)
from sigcore.errors import Malformed, NotFound, Refused, Unavailable
from tests.unit.oidc_dev.program import Program
from tests.unit.oidc_dev.visitor import Clock, basic

SUBJECT = "https://ci.example.com/release"


@pytest.fixture
def machines(tmp_path):
    return SqliteMachines(tmp_path / "accounts.db")


@pytest.fixture
def secret(machines, clock):
    text, kept = new_secret("release")
    machines.add(Machine("release", SUBJECT, kept, clock()))
    return text


@pytest.fixture
async def program(aiohttp_client, provider, directory, machines, secret):
    return Program(await aiohttp_client(make_app(provider, replace(directory, machines=machines))))


async def refused(answer) -> None:
    assert answer.status in (400, 401), await answer.text()
    assert (await answer.json())["error"] == "invalid_client"


async def test_a_machine_gets_a_token_about_itself_for_the_authority(program, secret):
    body = await (await program.credentials(secret)).json()
    claims = jwt.decode(body["id_token"], options={"verify_signature": False})
    assert (claims["sub"], claims["aud"]) == (SUBJECT, "sigstore")
    assert "email" not in claims
    assert body["scope"] == "openid"
    assert body["access_token"] == body["id_token"]
    assert "refresh_token" not in body


@pytest.mark.parametrize("named", ["sigstore", "release"])
@pytest.mark.parametrize("in_header", [False, True])
async def test_it_may_name_itself_or_the_client_and_by_basic_or_in_the_form(program, secret, named, in_header):
    fields = {"grant_type": "client_credentials", "scope": "openid"}
    headers = basic(f"{named}:{secret}") if in_header else {}
    answer = await program.post(
        "/auth/token", fields | ({} if in_header else {"client_id": named, "client_secret": secret}), headers
    )
    assert answer.status == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"client_secret": None},
        {"client_secret": ""},
        {"client_secret": "release."},
        {"client_secret": "release." + "A" * 43},
        {"client_secret": "other." + "A" * 43},
        {"client_secret": "." + "A" * 43},
        {"client_secret": "' OR 1=1 --." + "A" * 43},
        {"client_secret": "\u00e9." + "A" * 43},
        {"client_id": "another"},
        {"client_id": None},
    ],
)
async def test_no_other_secret_and_no_other_name_is_taken(program, secret, changed):
    await refused(await program.credentials(secret, **changed))


async def test_the_secret_of_one_machine_is_not_that_of_another(program, machines, secret, clock):
    other, kept = new_secret("other")
    machines.add(Machine("other", "https://ci.example.com/other", kept, clock()))
    await refused(await program.credentials(secret, client_id="other"))
    await refused(await program.credentials(f"other.{secret.partition('.')[2]}"))
    assert (await program.credentials(other)).status == 200


async def test_a_machine_that_is_locked_out_removed_or_has_another_secret_gets_nothing(program, machines, secret):
    machines.set_disabled("release", disabled=True)
    await refused(await program.credentials(secret))
    machines.set_disabled("release", disabled=False)
    assert (await program.credentials(secret)).status == 200
    text, kept = new_secret("release")
    machines.set_secret("release", kept)
    await refused(await program.credentials(secret))
    assert (await program.credentials(text)).status == 200
    machines.remove("release")
    await refused(await program.credentials(text))


@pytest.mark.parametrize(
    ("scope", "status"), [(None, 200), ("", 200), ("openid groups", 200), ("email", 400), ("<", 400)]
)
async def test_the_scope_is_openid_o22(program, secret, scope, status):
    assert (await program.credentials(secret, scope=scope)).status == status


async def test_a_secret_opens_no_other_grant_o22(program, secret):
    for grant in ("authorization_code", "password", "refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange"):
        answer = await program.credentials(secret, grant_type=grant, code="0" * 64, subject_token="x")
        assert answer.status == 400


async def test_a_provider_without_machines_does_not_know_the_grant(http):
    answer = await Program(http).credentials("release." + "A" * 43)
    assert (await answer.json())["error"] == "unsupported_grant_type"
    document = await (await http.get("/auth/.well-known/openid-configuration")).json()
    assert "client_credentials" not in document["grant_types_supported"]


async def test_discovery_says_that_there_are_machines(program):
    document = await (await program.http.get("/auth/.well-known/openid-configuration")).json()
    assert "client_credentials" in document["grant_types_supported"]


async def test_machines_that_cannot_be_read_now_are_no_wrong_secret(program, secret, machines, monkeypatch):
    def find(_name):
        raise Unavailable("the accounts in a place cannot be used")

    monkeypatch.setattr(machines, "find", find)
    answer = await program.credentials(secret)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


# --- the store -------------------------------------------------------------------------------------------------
def test_machines_are_kept_and_changed_by_name(machines, secret):
    (kept,) = machines.list()
    assert machines.find("release") == kept
    assert secret.encode() not in machines._file.path.read_bytes()
    assert secret_holds(kept, secret)
    with pytest.raises(Refused, match="already"):
        machines.add(kept)
    for change in (
        machines.remove,
        lambda name: machines.set_secret(name, b""),
        lambda name: machines.set_disabled(name, disabled=True),
    ):
        with pytest.raises(NotFound, match="nobody"):
            change("nobody")


def test_an_empty_store_has_no_machine(tmp_path):
    empty = SqliteMachines(tmp_path / "accounts.db")
    assert (empty.list(), empty.find("release")) == ((), None)


def test_a_secret_names_its_machine():
    text, kept = new_secret("a-b")
    assert machine_of(text) == "a-b"
    assert [machine_of(wrong) for wrong in ("", "x", ".x", "A.x", "a_b.x", "a" * 64 + ".x")] == [""] * 6
    assert secret_holds(Machine("a-b", SUBJECT, kept, Clock()()), text)
    assert not secret_holds(None, text)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a.b", "a b", "\u00e9", "a" * 64, "a\n"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(Malformed, match="client"):
        parse_machine_name(name)


@pytest.mark.parametrize(
    "subject",
    ["", "release", "spiffe://x/y", "https://", "https:///x", "https://h/ ", "https://h/x\n", "https://h?q", "https://h#f",
     "https://u@h/", "https://\u00e9/", "https://h/" + "a" * 1100],
)  # fmt: skip
def test_what_no_certificate_could_name_is_refused(subject):
    with pytest.raises(Malformed, match="subject"):
        parse_machine_subject(subject)


async def test_each_token_leaves_a_line_about_whom_and_how_and_no_secret(program, secret, caplog):
    caplog.set_level("INFO")
    body = await (await program.credentials(secret)).json()
    assert f"token about '{SUBJECT}' by client_credentials" in caplog.text
    assert secret not in caplog.text
    assert body["id_token"] not in caplog.text
