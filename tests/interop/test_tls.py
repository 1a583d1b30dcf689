# SPDX-License-Identifier: Apache-2.0
"""Every client over HTTPS, with the stack's own TLS authority in the one place where that client looks for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.client_lines import guide_for
from tests.interop.conftest import require
from tests.interop.matrix import rows
from tests.interop.places import ALICE, MALLORY, Kind, Place, Tool, make_signed, refuse, succeed
from tests.interop.tools import JS, PYTHON, SIGBOX, TOOLS, V2, V3
from tests.stack_process import RunningStack, running_stack

pytestmark = [pytest.mark.interop, pytest.mark.slow]

UNKNOWN = {V3: "unknown authority", V2: "unknown authority", JS: "certificate", SIGBOX: "certificate"}
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
    """The same place, where the user has exported what `sigbox env` prints for ``tool``, and nothing else."""
    exported = guide_for(place.stack, tool.name.split()[0])["environment"]
    return replace(place, environment=tuple(exported.items()))


def test_the_authority_is_exported_as_each_client_wants_it(place: Place):
    """The variables of wire.md 11.1; sigstore-python reads one for its services and the other for TUF."""
    authority = json.loads((place.stack.log.parent / "ready.json").read_bytes())["tls_ca"]
    names = {tool: {name for name, value in told(place, tool).environment if value == authority} for tool in TOOLS}
    assert names == {
        SIGBOX: {"SSL_CERT_FILE"},
        PYTHON: {"REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"},
        V3: {"SSL_CERT_FILE"},
        V2: {"SSL_CERT_FILE"},
        JS: {"NODE_EXTRA_CA_CERTS"},
    }
    assert f"export SSL_CERT_FILE={authority}" in place.stack.log.read_text("utf-8"), "a start prints them too"


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
    unknown = PYTHON.run(place, *instance, "trust-instance", there.stack.tuf_root)
    refuse(unknown, because="CERTIFICATE_VERIFY_FAILED")
    succeed(PYTHON.run(there, *instance, "trust-instance", there.stack.tuf_root))
    artifact, token = there.artifact(), ("--identity-token", there.stack.token(ALICE))
    succeed(PYTHON.run(there, *instance, "sign", *token, artifact))
    policy = ("--cert-identity", ALICE, "--cert-oidc-issuer", there.stack.oidc_issuer)
    succeed(PYTHON.run(there, *instance, "verify", "identity", *policy, artifact))
