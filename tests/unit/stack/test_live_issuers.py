# SPDX-License-Identifier: Apache-2.0
"""The issuers of a running CA follow their files."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time

import jwt
import pytest

from ca.issuers import OWN, Issuer, PinnedKeys
from sigcore import keys
from sigcore.errors import Malformed, NotFound, Refused
from stack import live_issuers
from stack.config import Home
from stack.issuers import KeyRing, load_issuers
from stack.live_issuers import LiveIssuers, issuer_files, load_all
from tests.unit.ca.tls_pair import make_tls_authority

KEY = keys.generate_p256()
JWK = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key())) | {"kid": "a"}
URL, OTHER = "https://ci.example.com", "https://id.example.com"
ROW = "oidc-issuers:\n  {}:\n    client-id: sigstore\n    type: email\n    jwks: ci.jwks\n"
PATTERN = "meta-issuers:\n  https://*.example.org:\n    client-id: sigstore\n    type: kubernetes\n"
OURS = Issuer("http://localhost:7780/auth", PinnedKeys([("own", KEY.public_key())]), kind=OWN)


@pytest.fixture
def file(tmp_path):
    (tmp_path / "ci.jwks").write_text(json.dumps({"keys": [JWK]}))
    return tmp_path / "issuers.yaml"


@pytest.fixture
async def watched(file, monkeypatch):
    """A live table, and what waits until it is as expected."""
    monkeypatch.setattr(live_issuers, "LOOK_S", 0.01)
    live = LiveIssuers((file,))
    table = live.table(OURS)
    task = asyncio.create_task(live.watch())

    async def until(*urls):
        deadline = time.monotonic() + 60
        while [issuer.url for issuer in table] != [OURS.url, *urls]:
            assert time.monotonic() < deadline, [issuer.url for issuer in table]
            await asyncio.sleep(0.01)

    until.table = table
    yield until
    task.cancel()


async def test_rows_come_change_and_go_without_a_restart(file, watched):
    await watched()
    file.write_text(ROW.format(URL))
    await watched(URL)
    found = watched.table.find(URL)
    assert (await found.keys.find("a")).key == KEY.public_key()
    file.write_text(ROW.format(OTHER) + PATTERN)
    await watched(OTHER, "https://*.example.org")
    assert watched.table.find("https://a.example.org").url == "https://a.example.org"
    with pytest.raises(Refused, match="not accepted here"):
        watched.table.find(URL)
    file.unlink()
    await watched()
    with pytest.raises(Refused, match="not accepted here"):
        watched.table.find("https://a.example.org")


@pytest.mark.parametrize("text", ["oidc-issuers: [", "x: y\n", ROW.format("ftp://x"), ROW.format(OURS.url)])
async def test_what_cannot_be_used_is_said_and_the_old_rows_stay(file, watched, text, caplog):
    file.write_text(ROW.format(URL))
    await watched(URL)
    file.write_text(text)
    deadline = time.monotonic() + 60
    while "cannot be used" not in caplog.text:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await watched(URL)
    file.write_text(ROW.format(OTHER))
    await watched(OTHER)


async def test_a_key_set_that_a_row_names_is_followed_too(file, watched):
    file.write_text(ROW.format(URL))
    await watched(URL)
    (file.parent / "ci.jwks").write_text(json.dumps({"keys": [JWK | {"kid": "b"}]}))
    deadline = time.monotonic() + 60
    while "b" not in watched.table.find(URL).keys:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert "a" not in watched.table.find(URL).keys


async def test_a_change_with_the_same_size_and_second_is_seen(file, watched):
    file.write_text(ROW.format("https://a.example.com"))
    await watched("https://a.example.com")
    before = file.stat()
    renamed = file.with_name("other")
    renamed.write_text(ROW.format("https://b.example.com"))
    os.utime(renamed, ns=(before.st_atime_ns, before.st_mtime_ns))
    renamed.replace(file)
    await watched("https://b.example.com")


def test_rows_that_stayed_keep_the_keys_that_were_fetched(file):
    ring = KeyRing()
    discovered = ROW.format(URL).replace("    jwks: ci.jwks\n", "")
    file.write_text(discovered)
    (first,) = load_issuers(file, ring).issuers
    file.write_text(discovered + "  https://b.example.com:\n    client-id: sigstore\n    type: email\n")
    again, other = load_issuers(file, ring).issuers
    assert again.keys is first.keys
    assert other.keys is not first.keys
    file.write_text(discovered.replace("type: email", "type: email\n    jwks-host: keys.example.com"))
    assert load_issuers(file, ring).issuers[0].keys is not first.keys


def test_another_tls_authority_in_the_same_file_is_another_row(file, tmp_path):
    ring = KeyRing()
    file.write_text(ROW.format(URL).replace("jwks: ci.jwks", "ca-file: ca.pem"))
    found = []
    for authority in (make_tls_authority(), make_tls_authority()):
        (tmp_path / "ca.pem").write_text(authority.pem)
        found.append(load_issuers(file, ring).issuers[0].keys)
    assert found[0] is not found[1]


async def test_a_file_that_was_missing_is_taken_up_when_it_comes(file, watched, caplog):
    file.write_text(ROW.format(URL).replace("ci.jwks", "late.jwks"))
    deadline = time.monotonic() + 60
    while "late.jwks does not exist" not in caplog.text:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    (file.parent / "late.jwks").write_text(json.dumps({"keys": [JWK]}))
    await watched(URL)
    assert caplog.text.count("cannot be used") == 1


def test_the_files_of_a_stack(tmp_path):
    home = Home(tmp_path)
    config = tmp_path / "fulcio.yaml"
    assert issuer_files(home, None) == (home.settings_file, home.issuers)
    assert issuer_files(home, config) == (home.settings_file, config, home.issuers)
    assert load_all(issuer_files(home, None)).issuers == ()


def test_one_issuer_in_two_files_is_named_twice(file, tmp_path):
    file.write_text(ROW.format(URL))
    other = tmp_path / "other.toml"
    other.write_text(f'[[issuers]]\nurl = "{URL}"\njwks = "ci.jwks"\n')
    live = LiveIssuers((file, other))
    with pytest.raises(Malformed, match="names one issuer twice"):
        live.table(OURS)


def test_a_start_with_a_file_that_cannot_be_used_fails(file):
    file.write_text(ROW.format(URL).replace("ci.jwks", "absent.jwks"))
    with pytest.raises(NotFound, match=rf"issuer {URL}: the issuer's key set .*absent.jwks does not exist"):
        LiveIssuers((file,))


def test_a_tls_authority_that_is_none_is_found_at_the_start(file):
    file.write_text(ROW.format(URL).replace("jwks: ci.jwks", "ca-file: ci.jwks"))
    with pytest.raises(Malformed, match="the issuer's TLS authority"):
        LiveIssuers((file,))
    file.write_text(ROW.format(URL).replace("jwks: ci.jwks", "ca-cert: nonsense"))
    with pytest.raises(Malformed, match="the issuer's TLS authority"):
        LiveIssuers((file,))


def test_json_and_yaml_with_more_than_json_says(file, tmp_path):
    as_json = tmp_path / "fulcio.json"
    as_json.write_text(json.dumps({"OIDCIssuers": {URL: {"ClientID": "sigstore", "Type": "email", "jwks": "ci.jwks"}}}))
    assert load_issuers(as_json).issuers[0].url == URL
    as_json.write_text(ROW.format(URL))
    with pytest.raises(Malformed, match="not JSON"):
        load_issuers(as_json)
    for trick in ("a: &x {b: c}\nd: *x\n", "<<: {a: b}\n", "a: !!python/name:os.system x\n", "oidc-issuers: *absent\n"):
        file.write_text(trick)
        with pytest.raises(Malformed):
            load_issuers(file)


def test_the_log_says_that_rows_were_read_anew(file, caplog):
    caplog.set_level(logging.INFO)

    async def scenario():
        live = LiveIssuers((file,))
        live.table(OURS)
        file.write_text(ROW.format(URL) + PATTERN)
        await live._take_up()

    asyncio.run(scenario())
    assert "issuers read anew: 1, and 1 patterns" in caplog.text
