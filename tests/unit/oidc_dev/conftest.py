# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from oidc_dev.accounts import Account
from oidc_dev.app import make_app
from oidc_dev.passwords import hash_password
from oidc_dev.provider import Provider
from oidc_dev.signing import SigningKey, generate_rsa
from oidc_dev.store import MemoryAccounts
from tests.unit.oidc_dev.visitor import ALICE, ISSUER, PASSWORD, Clock, Visitor


@pytest.fixture(scope="session")
def signing_key():
    return SigningKey.of(generate_rsa())


@pytest.fixture(scope="session")
def hashed():
    return hash_password(PASSWORD)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def provider(signing_key, clock):
    return Provider(ISSUER, (signing_key,), clock)


@pytest.fixture
def accounts(hashed, clock):
    stored = MemoryAccounts()
    stored.add(Account(ALICE, hashed, verified=True, created=clock()))
    return stored


@pytest.fixture
async def http(provider, accounts, aiohttp_client):
    return await aiohttp_client(make_app(provider, accounts))


@pytest.fixture
def visitor(http):
    return Visitor(http)
