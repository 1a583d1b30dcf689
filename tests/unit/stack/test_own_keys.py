# SPDX-License-Identifier: Apache-2.0
"""The provider's keys reach an authority in another process by a file."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from ca.discovery import DiscoveredKeys
from oidc_dev.provider import Provider
from oidc_dev.signing import KeyRing, SigningKey
from sigcore.errors import Refused, Unavailable
from stack import own_keys
from stack.config import Home, Settings
from stack.own_keys import FileKeys, key_set, publishing

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ISSUER = "http://localhost:7780/auth"
SETTINGS = Settings("http://localhost:7780", NOW, ephemeral=False, url_follows_listen=False)


def fresh() -> SigningKey:
    return SigningKey.of(rsa.generate_private_key(65537, 2048))


@pytest.fixture
def provider():
    return Provider(ISSUER, KeyRing(fresh()), lambda: NOW)


async def test_the_file_is_there_when_the_provider_answers_and_follows_a_rotation(provider, tmp_path, monkeypatch):
    monkeypatch.setattr(own_keys, "LOOK_S", 0.01)
    file = tmp_path / "oidc" / "jwks.json"
    found, first, second = FileKeys(file), provider.keys.signing, fresh()
    async with publishing(provider, file, provider.clock):
        assert await found.find(first.id)
        assert file.stat().st_mode & 0o777 == 0o644
        with pytest.raises(Refused):
            await found.find(second.id)
        provider.keys.replace(second, (), now=NOW)
        async with asyncio.timeout(60):
            while second.id not in file.read_text():
                await asyncio.sleep(0.01)
    assert (await found.find(second.id)).key.public_numbers() == second.key.public_key().public_numbers()


async def test_keys_that_are_known_stay_when_the_file_goes_away_or_is_damaged(provider, tmp_path):
    file = tmp_path / "jwks.json"
    found, known = FileKeys(file), provider.keys.signing.id
    with pytest.raises(Unavailable, match="cannot be read"):
        await found.find(known)
    async with publishing(provider, file, provider.clock):
        await found.find(known)
    for damage in (lambda: file.write_text("{"), file.unlink):
        damage()
        await found.find(known)
    with pytest.raises(Refused):
        await found.find("another")


def test_a_url_is_asked_a_file_is_read_and_plain_http_is_for_this_machine_only(tmp_path):
    assert isinstance(key_set(SETTINGS, None, Home(tmp_path)), FileKeys)
    assert isinstance(key_set(SETTINGS, str(tmp_path / "f"), Home(tmp_path)), FileKeys)
    for url in ("https://id.example/keys", "http://127.0.0.1:1/keys"):
        assert isinstance(key_set(SETTINGS, url, Home(tmp_path)), DiscoveredKeys)
    with pytest.raises(Refused, match="plain HTTP"):
        key_set(SETTINGS, "http://oidc:7780/auth/keys", Home(tmp_path))
