# SPDX-License-Identifier: Apache-2.0
"""The Rekor v1 log in a data directory and in the trust documents, also where the directory is older than that log."""

from __future__ import annotations

import logging
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from sigcore import keys
from sigcore.errors import NotFound, Refused
from sigcore.signing_config import SelectorKind
from stack import bootstrap
from stack.config import Home
from stack.trust import documents

NOW = datetime(2026, 3, 1, tzinfo=UTC)
URL = "http://localhost:7780"


def prepare(home: Home):
    return bootstrap.prepare(home, url=None, default_url=URL, ephemeral=False, now=NOW)


@pytest.fixture
def home(tmp_path) -> Home:
    home = Home(tmp_path / "data")
    prepare(home)
    return home


def test_a_fresh_directory_has_a_key_of_that_log_alone(home):
    material = bootstrap.load_material(home)
    assert (home.path / "rekor-v1" / "log.key").stat().st_mode & 0o777 == 0o600
    assert (home.path / "rekor-v1").stat().st_mode & 0o777 == 0o700
    others = {material.ca_key, material.ct_key, material.tsa_key}
    public = {keys.encode_public_key(key.public_key()) for key in (*others, material.rekor_key, material.rekor_v1_key)}
    assert len(public) == 5


def test_an_older_directory_gets_the_key_once_and_says_so(home, caplog):
    before = bootstrap.load_material(home)
    shutil.rmtree(home.path / "rekor-v1")
    with pytest.raises(NotFound):
        bootstrap.load_material(home)
    with caplog.at_level(logging.WARNING):
        prepare(home)
    assert "from before the Rekor v1 log" in caplog.text
    after = bootstrap.load_material(home)
    assert (home.path / "rekor-v1" / "log.key").stat().st_mode & 0o777 == 0o600
    assert after.public.ct_key == before.public.ct_key
    caplog.clear()
    prepare(home)
    assert bootstrap.load_material(home).rekor_v1_key.private_numbers() == after.rekor_v1_key.private_numbers()
    assert caplog.text == ""


@pytest.mark.parametrize("trace", ["rekor-v1/log.db", "anchor/rekor-v1.checkpoint", "anchor/rekor-v1.db"])
def test_a_log_that_lost_its_key_does_not_get_another_one(home, trace):
    (home.path / "rekor-v1" / "log.key").unlink()
    (home.path / trace).write_bytes(b"entries")
    with pytest.raises(Refused, match=r"has no log\.key"):
        prepare(home)
    assert not (home.path / "rekor-v1" / "log.key").exists()


def test_the_v1_log_is_trusted_first_and_asked_last(home):
    settings, material = prepare(home), bootstrap.load_material(home)
    root, config = documents.trusted_root(material.public, settings), documents.services(settings)
    spki = keys.encode_public_key(material.rekor_v1_key.public_key())
    first, second = root.logs
    assert (first.key, first.log_id, first.details.name) == (spki, keys.key_id(spki), "PKIX_ECDSA_P256_SHA_256")
    assert second.log_id not in {first.log_id, *(log.log_id for log in root.ct_logs)}
    assert [(service.url, service.api_version) for service in config.rekor] == [(URL, 2), (URL, 1)]
    assert len({service.operator for service in config.rekor}) == 1
    assert config.rekor_selector.kind is SelectorKind.ANY
    # sigstore-js takes the first of those with the newest start, whatever their version.
    newest = max(service.validity.start for service in config.rekor)
    assert next(service for service in config.rekor if service.validity.start == newest).api_version == 2
    assert first.validity.covers(NOW + timedelta(days=1))
