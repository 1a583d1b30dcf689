# SPDX-License-Identifier: Apache-2.0
"""Both authorities move below a corporate root while the stack runs: the official clients sign and verify before and after.

The PKI is openssl's: a root on P-384 straight above what the stack asked for; then an RSA root above a policy authority on P-384; and
below these two an issuing authority on P-384 whose key was made elsewhere.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sigcore.x509 import common_name, parse_certificate
from tests.contract.test_rotation import wait
from tests.corporate_pki import ISSUING, SIGNER, Pki
from tests.interop.places import ALICE, MALLORY, Kind, Place, Signed, make_signed, refuse, succeed
from tests.interop.test_rotation import signs_with, wait_for_succession
from tests.interop.tools import PYTHON, SIGBOX, Cosign, SigstoreJs, Tool
from tests.stack_process import RunningStack, running_stack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]


@dataclass(frozen=True, slots=True)
class Moved:
    """A stack that has moved three times, and what was signed before each move and after the last, by sigstore-python."""

    stack: RunningStack
    signed: tuple[Signed, ...]


def move(stack: RunningStack, pki: Pki, issuers: tuple[str, ...]) -> None:
    """Both authorities below ``issuers``, the nearest first, the root last."""
    before = signs_with(stack)
    for role, extensions in (("ca", ISSUING), ("tsa", SIGNER)):
        request, name = pki.folder / f"{role}.csr", f"{role}-of-{issuers[0]}"
        succeed(sigbox("trust", "request", role, "-o", request, "--data", stack.data))
        pki.issue(request, name, issuers[0], extensions=extensions)
        succeed(sigbox("trust", "accept", role, pki.chain(name, *issuers), "--data", stack.data))
    wait_for_succession(stack, before)


def take_over(stack: RunningStack, pki: Pki) -> None:
    """The certificate authority has its key already, as Fulcio's file CA."""
    before = signs_with(stack)[0]
    key = pki.below("taken", "policy", "P-384", extensions=ISSUING, days=3000).with_suffix(".key")
    chain = pki.chain("taken", "policy", "root")
    succeed(sigbox("trust", "accept", "ca", chain, "--key", key, "--data", stack.data))
    wait(lambda: signs_with(stack)[0] != before)


def issuer_of(signed: Signed) -> str:
    material = signed.content()["verificationMaterial"]
    chain = material.get("x509CertificateChain")
    (leaf,) = chain["certificates"] if chain else (material["certificate"],)
    return common_name(parse_certificate(base64.b64decode(leaf["rawBytes"])).issuer)


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    folder = tmp_path_factory.mktemp("corporate")
    pki = Pki(folder)
    pki.root("straight", "P-384")
    pki.root("root", "4096")
    pki.below("policy", "root", "P-384", options=("-sha512",))
    with running_stack(folder, "--data", folder / "data") as stack:
        place, signed = Place(stack, folder), []
        for name, issuers in (("first", ()), ("second", ("straight",)), ("third", ("policy", "root"))):
            if issuers:
                move(stack, pki, issuers)
            signed.append(make_signed(PYTHON, place, Kind.MESSAGE_V2, name))
        take_over(stack, pki)
        signed.append(make_signed(PYTHON, place, Kind.MESSAGE_V2, "fourth"))
        assert len({issuer_of(one) for one in signed}) == 4
        yield Moved(stack, tuple(signed))


def check(tool: Tool, moved: Moved, place: Place) -> None:
    """``tool`` verifies what was signed under each chain, and what it signs under the newest; and nobody else's name."""
    own = make_signed(tool, place, Kind.MESSAGE_V2, f"by-{tool.name}")
    assert issuer_of(own) == issuer_of(moved.signed[-1])
    for signed in (*moved.signed, own):
        succeed(tool.verify(signed, ALICE, moved.stack.oidc_issuer))
    refuse(tool.verify(own, MALLORY, moved.stack.oidc_issuer))


@pytest.fixture
def there(moved: Moved, tmp_path: Path) -> Place:
    return Place(moved.stack, tmp_path)


def test_cosign_signs_and_verifies_below_a_corporate_root(cosign_v3: Cosign, moved: Moved, there: Place):
    succeed(cosign_v3.initialize(there))
    check(cosign_v3, moved, there)


def test_cosign_of_the_generation_before_reads_the_chains_from_the_files_of_tuf(
    cosign_v2: Cosign, moved: Moved, there: Place
):
    succeed(cosign_v2.initialize(there))
    signed = make_signed(cosign_v2, there, Kind.MESSAGE_V1)
    assert issuer_of(signed) == issuer_of(moved.signed[-1])
    succeed(cosign_v2.verify(signed, ALICE, moved.stack.oidc_issuer))


def test_sigstore_python_signs_and_verifies_below_a_corporate_root(moved: Moved, there: Place):
    check(PYTHON, moved, there)


def test_sigstore_js_signs_and_verifies_below_a_corporate_root(sigstore_js: SigstoreJs, moved: Moved, there: Place):
    check(sigstore_js, moved, there)


def test_our_client_signs_and_verifies_below_a_corporate_root(moved: Moved, there: Place):
    check(SIGBOX, moved, there)
