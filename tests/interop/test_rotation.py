# SPDX-License-Identifier: Apache-2.0
"""Every role's key rotated while the stack runs: what was signed before and what is signed after hold, for clients of before.

They were told the first root, once, before the rotation; the rest comes to them over TUF.
"""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.interop.places import ALICE, Kind, Place, Signed, make_signed, succeed
from tests.interop.tools import PYTHON, SIGBOX, Cosign
from tests.stack_process import RunningStack, running_stack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]

PATIENCE_S = 60


def ask(url: str) -> bytes:
    with build_opener(ProxyHandler({})).open(url, timeout=20) as answer:
        return answer.read()


def signs_with(stack: RunningStack) -> tuple[bytes, bytes]:
    """The chains of the two authorities, as they give them."""
    return ask(f"{stack.url}/api/v1/rootCert"), ask(f"{stack.url}/api/v1/timestamp/certchain")


def wait_for_succession(stack: RunningStack, before: tuple[bytes, bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while any(old == new for old, new in zip(before, signs_with(stack), strict=True)):
        assert time.monotonic() < deadline, stack.output()
        time.sleep(0.2)


def verify_over_tuf(cosign: Cosign, signed: Signed) -> None:
    """By the three clients, each with what it was told before the first rotation. Ours asks a mirror only when told to."""
    place, issuer = signed.place, signed.place.stack.oidc_issuer
    succeed(cosign.verify(signed, ALICE, issuer))
    instance = ("--instance", place.stack.tuf_mirror)
    policy = ("--cert-identity", ALICE, "--cert-oidc-issuer", issuer)
    succeed(PYTHON.run(place, *instance, "verify", "identity", "--bundle", signed.bundle, *policy, signed.artifact))
    succeed(sigbox("initialize", cwd=place.folder, **ours_at(place)))
    ours = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", issuer)
    done = sigbox("verify-blob", signed.artifact, "--bundle", signed.bundle, *ours, cwd=place.folder, **ours_at(place))
    succeed(done)


def stale(signed: Signed) -> str:
    """What our client says of a new signature before it has looked at the mirror again."""
    place = signed.place
    who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", place.stack.oidc_issuer)
    done = sigbox("verify-blob", signed.artifact, "--bundle", signed.bundle, *who, cwd=place.folder, **ours_at(place))
    assert done.returncode == 1
    return done.stderr


def ours_at(place: Place) -> dict[str, str]:
    return {name: str(place.folder / name) for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}


def certificate_of(signed: Signed) -> bytes:
    return base64.b64decode(signed.content()["verificationMaterial"]["certificate"]["rawBytes"])


def test_every_rotated_role_keeps_what_was_signed_and_goes_on_with_new_keys(cosign_v3: Cosign, tmp_path: Path):
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        place = Place(stack, tmp_path)
        succeed(cosign_v3.initialize(place))
        succeed(PYTHON.run(place, "--instance", stack.tuf_mirror, "trust-instance", stack.tuf_root))
        mirror = ("--mirror", stack.tuf_mirror, "--root", stack.tuf_root)
        succeed(sigbox("initialize", *mirror, cwd=tmp_path, **ours_at(place)))
        signed = [
            make_signed(tool, place, kind, f"before-{number}")
            for number, (tool, kind) in enumerate(
                ((cosign_v3, Kind.MESSAGE_V2), (PYTHON, Kind.MESSAGE_V1), (SIGBOX, Kind.MESSAGE_V2))
            )
        ]
        for round_ in (1, 2):
            before = signs_with(stack)
            done = sigbox("trust", "rotate", "all", "--now", "--data", stack.data)
            succeed(done)
            assert f"root version {round_ + 1}" in done.stdout
            wait_for_succession(stack, before)
            signed += [
                make_signed(cosign_v3, place, Kind.MESSAGE_V2, f"after-{round_}-cosign"),
                make_signed(PYTHON, place, Kind.MESSAGE_V2, f"after-{round_}-python"),
                make_signed(SIGBOX, place, Kind.MESSAGE_V1, f"after-{round_}-sigbox"),
            ]
            assert "run it again" in stale(signed[-1])
            for one in signed:
                verify_over_tuf(cosign_v3, one)
    root = json.loads(stack.trusted_root.read_bytes())
    assert len(root["certificateAuthorities"]) == len(root["timestampAuthorities"]) == 3
