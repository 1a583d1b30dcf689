# SPDX-License-Identifier: Apache-2.0
"""Credentials of registries, found where docker and podman keep them. (G08)"""

from __future__ import annotations

import json
import stat
from base64 import b64encode

import pytest

from client.oci.credentials import Keychain
from client.oci.options import Credential, RegistryOptions
from client.oci.reference import parse_reference
from sigcore.errors import Malformed, Refused

SECRET = "a secret: with a colon"
ALICE = Credential("alice", SECRET)


def auth(user: str = "alice", password: str = SECRET) -> dict[str, str]:
    return {"auth": b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def home(tmp_path):
    (tmp_path / ".docker").mkdir()
    return tmp_path


def write(home, content, place: str = ".docker/config.json") -> None:
    (home / place).parent.mkdir(exist_ok=True, parents=True)
    (home / place).write_text(content if isinstance(content, str) else json.dumps(content))


async def find(home, image: str = "reg.example/team/app", **environment: str) -> Credential | None:
    return await Keychain({"HOME": str(home), **environment}).find(parse_reference(image))


@pytest.mark.parametrize(
    ("key", "image"),
    [
        ("reg.example", "reg.example/team/app"),
        ("REG.example", "reg.example/team/app"),
        ("https://reg.example", "reg.example/team/app"),
        ("https://reg.example/", "reg.example/team/app"),
        ("https://reg.example/v1/", "reg.example/team/app"),
        ("https://reg.example/v2/", "reg.example/team/app"),
        ("reg.example:5000", "reg.example:5000/app"),
        ("https://index.docker.io/v1/", "alpine"),
        ("docker.io", "alpine"),
        ("docker.io/team", "team/app"),
        ("reg.example/team", "reg.example/team/app"),
        ("reg.example/team/app", "reg.example/team/app"),
    ],
)
async def test_an_entry_is_found_by_its_registry(home, key, image):
    write(home, {"auths": {key: auth()}})
    assert await find(home, image) == ALICE


@pytest.mark.parametrize(
    "key",
    [
        "reg.example.evil",
        "xreg.example",
        "example",
        "reg.example:443",
        "reg.example:5000",
        "reg.example/tea",
        "reg.example/team/app/x",
        "reg.example@evil",
        "*.example",
        "*",
        "",
    ],
)
async def test_g08_an_entry_for_another_registry_is_not_taken(home, key):
    write(home, {"auths": {key: auth()}})
    assert await find(home) is None


async def test_g08_an_entry_without_a_port_is_not_for_a_port(home):
    write(home, {"auths": {"reg.example": auth()}})
    assert await find(home, "reg.example:5000/app") is None


async def test_the_entry_with_the_longest_path_counts(home):
    write(
        home,
        {"auths": {"reg.example": auth("all"), "reg.example/team": auth("team"), "reg.example/team/app": auth("app")}},
    )
    found = [await find(home, f"reg.example/{path}") for path in ("x", "team/x", "team/app")]
    assert [one.username for one in found if one] == ["all", "team", "app"]


@pytest.mark.parametrize(
    ("entry", "credential"),
    [
        ({"username": "alice", "password": SECRET}, ALICE),
        ({"identitytoken": "abc"}, Credential(identity_token="abc")),
        ({"registrytoken": "abc"}, Credential(registry_token="abc")),
        ({"email": "a@b.example"}, None),
        ({}, None),
    ],
)
async def test_the_forms_of_an_entry(home, entry, credential):
    write(home, {"auths": {"reg.example": entry}})
    assert await find(home) == credential


async def test_the_places_of_the_file_in_their_order(tmp_path):
    places = {
        "named/config.json": {"DOCKER_CONFIG": str(tmp_path / "named")},
        ".docker/config.json": {},
        "auth.json": {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")},
        "run/containers/auth.json": {"XDG_RUNTIME_DIR": str(tmp_path / "run")},
        ".config/containers/auth.json": {},
    }
    assert await find(tmp_path) is None
    for place, environment in reversed(places.items()):
        write(tmp_path, {"auths": {"reg.example": auth(place)}}, place)
        found = await find(tmp_path, **environment)
        assert found
        assert found.username == place
    assert await find(tmp_path, DOCKER_CONFIG=str(tmp_path / "nowhere")) is None


@pytest.mark.parametrize(
    "content",
    [
        SECRET,
        f'{{"auths": "{SECRET}"}}',
        f'{{"auths": {{"reg.example": "{SECRET}"}}}}',
        f'{{"auths": {{"reg.example": {{"auth": "{SECRET}"}}}}}}',
        json.dumps({"auths": {"reg.example": {"auth": b64encode(SECRET.replace(":", "").encode()).decode()}}}),
        f'{{"credsStore": "../{SECRET}"}}',
        f'{{"credHelpers": {{"reg.example": "x/{SECRET}"}}}}',
        f'["{SECRET}"]',
    ],
)
async def test_a_damaged_file_is_named_and_not_shown(home, content):
    write(home, content)
    with pytest.raises(Malformed) as error:
        await find(home)
    assert "config.json" in error.value.message
    shown = f"{error.value} {error.value.__cause__} {error.value.__context__ if not error.value.__suppress_context__ else ''}"
    assert SECRET not in shown
    assert b64encode(SECRET.encode()).decode() not in shown


async def test_a_file_that_cannot_be_read_is_not_no_file(home):
    (home / ".docker/config.json").mkdir()
    with pytest.raises(Refused, match=r"docker's configuration .* cannot be read"):
        await find(home)


# --- helpers -----------------------------------------------------------------------------------------
def helper(home, script: str, name: str = "tests") -> dict[str, str]:
    program = home / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(stat.S_IRWXU)
    return {"PATH": f"{home}:/usr/bin:/bin"}


@pytest.fixture
def path(home, monkeypatch):
    monkeypatch.setenv("PATH", f"{home}:/usr/bin:/bin")


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    "config", [{"credsStore": "tests"}, {"credHelpers": {"reg.example": "tests"}, "credsStore": "no"}]
)
async def test_a_helper_is_asked_for_the_registry_on_its_standard_input(home, config):
    write(home, config)
    script = (
        f"cat > {home}/asked; echo \"$@\" >> {home}/asked; echo '{json.dumps({'Username': 'alice', 'Secret': SECRET})}'"
    )
    environment = helper(home, script)
    assert await find(home, **environment) == ALICE
    assert (home / "asked").read_text() == "reg.exampleget\n"
    await find(home, "alpine", **environment) if "credHelpers" not in config else None


@pytest.mark.usefixtures("path")
async def test_a_helper_may_hold_an_identity_token(home):
    write(home, {"credsStore": "tests"})
    environment = helper(home, """echo '{"Username": "<token>", "Secret": "abc"}'""")
    assert await find(home, **environment) == Credential(identity_token="abc")


@pytest.mark.usefixtures("path")
async def test_what_a_helper_does_not_have_may_be_in_the_file(home):
    write(home, {"credsStore": "tests", "auths": {"reg.example": auth()}})
    environment = helper(home, "echo credentials not found in native keychain; exit 1")
    assert await find(home, **environment) == ALICE


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (f"echo {SECRET!r}; exit 1", Refused),
        (f"echo {SECRET!r}", Malformed),
        ("echo '{}'", Malformed),
        ("kill -9 $$", Refused),
    ],
)
async def test_a_helper_that_fails_is_named_and_not_quoted(home, script, kind):
    write(home, {"credsStore": "tests"})
    environment = helper(home, script)
    with pytest.raises(kind, match="docker-credential-tests") as error:
        await find(home, **environment)
    assert SECRET not in str(error.value)


@pytest.mark.usefixtures("path")
async def test_a_helper_that_hangs_is_ended(home, monkeypatch):
    monkeypatch.setattr("client.oci.credentials.HELPER_TIMEOUT_S", 0.2)
    write(home, {"credsStore": "tests"})
    environment = helper(home, "exec sleep 60")
    with pytest.raises(Refused, match="did not answer within"):
        await find(home, **environment)


async def test_a_helper_that_is_missing_is_named(home):
    write(home, {"credsStore": "nowhere-to-be-found"})
    with pytest.raises(Refused, match="docker-credential-nowhere-to-be-found cannot be run"):
        await find(home)


def test_a_credential_does_not_show_itself():
    assert SECRET not in repr(ALICE)
    assert SECRET not in repr(RegistryOptions(credential=ALICE))
    assert ALICE.secrets == (SECRET,)
