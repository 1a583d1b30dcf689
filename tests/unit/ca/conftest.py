# SPDX-License-Identifier: Apache-2.0
"""Three issuers and their keys. Two of them use the same key id for different keys."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from ca.issuers import Issuer, IssuerTable, PinnedKeys
from sigcore import keys
from tests.unit.ca.tokens import ISSUER, MACHINES, OTHER


@pytest.fixture(scope="session")
def issuer_key():
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def other_key():
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def machine_key():
    return keys.generate_p256()


@pytest.fixture(scope="session")
def issuers(issuer_key, other_key, machine_key):
    return IssuerTable(
        (
            Issuer(ISSUER, PinnedKeys((("key-1", issuer_key.public_key()),))),
            Issuer(OTHER, PinnedKeys((("key-1", other_key.public_key()),))),
            Issuer(
                MACHINES,
                PinnedKeys((("key-1", machine_key.public_key()), ("es", machine_key.public_key()))),
                kind="uri",
                subject_domain=MACHINES,
            ),
        )
    )
