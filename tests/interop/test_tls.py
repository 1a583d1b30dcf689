# SPDX-License-Identifier: Apache-2.0
"""Every client over HTTPS, with the stack's own TLS authority in the one place where that client looks for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.interop.conftest import require
from tests.interop.matrix import rows
from tests.interop.places import ALICE, MALLORY, Kind, Place, Tool, make_signed, refuse, succeed
from tests.interop.tools import JS, PYTHON, SIGBOX, TOOLS, V2, V3
from tests.stack_process import RunningStack, running_stack

pytestmark = [pytest.mark.interop, pytest.mark.slow]

GO, OPENSSL = ("SSL_CERT_FILE",), ("SSL_CERT_FILE",)
WHERE = {SIGBOX: OPENSSL, PYTHON: ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"), V3: GO, V2: GO, JS: ("NODE_EXTRA_CA_CERTS",)}
"""The variables of wire.md 11.1; sigstore-python reads one for its services and the other for TUF."""
UNKNOWN = {V3: "unknown authority", V2: "unknown authority", JS: "certificate"}
"""What a client says of a certificate that it has no reason to trust, where it says it."""
ROWS = [pytest.param(tool, kind, id=f"{tool.name}, {kind.label}") for tool, kind in rows()]
EACH = pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("tls")
    with running_stack(folder, "--ephemeral", "--tls", "auto") as running:
        assert running.url.startswith("https://localhost:")
        yield running


def told(place: Place, tool: Tool) -> Place:
    """The same place, where the user has exported the authority's certificate as ``tool`` wants it."""
    authority = json.loads((place.stack.log.parent / "ready.json").read_bytes())["tls_ca"]
    return replace(place, environment=tuple((name, authority) for name in WHERE[tool]))


@pytest.mark.parametrize(("tool", "kind"), ROWS)
def test_it_signs_and_verifies_over_https(place: Place, tool: Tool, kind: Kind):
    require(tool)
    signed = make_signed(tool, told(place, tool), kind)
    succeed(tool.verify(signed, ALICE, place.stack.oidc_issuer))
    refuse(tool.verify(signed, MALLORY, place.stack.oidc_issuer))


@EACH
def test_who_is_not_told_of_the_authority_gets_no_signature(place: Place, tool: Tool, tmp_path: Path):
    require(tool)
    if tool in (V3, V2):
        refuse(tool.initialize(place), because=UNKNOWN[tool])
        succeed(tool.initialize(told(place, tool)))
    bundle = tmp_path / "bundle.json"
    refuse(tool.sign(place, Kind.MESSAGE_V2, place.artifact(), bundle), because=UNKNOWN.get(tool, ""))
    assert not bundle.exists()


def test_sigstore_python_takes_its_trust_over_https(place: Place):
    there = told(place, PYTHON)
    instance = ("--instance", there.stack.tuf_mirror)
    refuse(PYTHON.run(place, *instance, "trust-instance", there.stack.tuf_root))
    succeed(PYTHON.run(there, *instance, "trust-instance", there.stack.tuf_root))
    artifact, token = there.artifact(), ("--identity-token", there.stack.token(ALICE))
    succeed(PYTHON.run(there, *instance, "sign", *token, artifact))
    policy = ("--cert-identity", ALICE, "--cert-oidc-issuer", there.stack.oidc_issuer)
    succeed(PYTHON.run(there, *instance, "verify", "identity", *policy, artifact))
