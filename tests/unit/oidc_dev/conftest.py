# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from oidc_dev.accounts import Account
from oidc_dev.app import make_app
from oidc_dev.parts import Directory
from oidc_dev.passwords import Passwords
from oidc_dev.provider import Provider
from oidc_dev.rules import LoginRules
from oidc_dev.seal import Seal
from oidc_dev.signing import KeyRing, SigningKey, generate_rsa
from oidc_dev.store import MemoryAccounts
from tests.unit.oidc_dev.visitor import ALICE, ISSUER, PASSES, PASSWORD, Clock, Visitor


@pytest.fixture(scope="session")
def signing_key():
    return SigningKey.of(generate_rsa())


@pytest.fixture(scope="session")
def hashed():
    return Passwords(PASSES).hash(PASSWORD)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def provider(signing_key, clock):
    return Provider(ISSUER, KeyRing(signing_key), clock)


@pytest.fixture
def accounts(hashed, clock):
    stored = MemoryAccounts()
    stored.add(Account(ALICE, hashed, verified=True, created=clock()))
    return stored


@pytest.fixture
def seal():
    return Seal(b"a key that is in no file")


@pytest.fixture
def directory(accounts, seal):
    return Directory(accounts, rules=LoginRules(passes=PASSES), seal=lambda: seal)


@pytest.fixture
async def http(provider, directory, aiohttp_client):
    return await aiohttp_client(make_app(provider, directory))


@pytest.fixture
def visitor(http):
    return Visitor(http)
