# SPDX-License-Identifier: Apache-2.0
"""What an official client does against any stack, whatever it is made of: sign, verify, refuse; trust from the first root alone."""

from __future__ import annotations

from tests.interop.places import ALICE, CONTENT, MALLORY, Kind, Place, Tool, make_signed, refuse, succeed
from tests.interop.tools import PYTHON, SIGBOX


def sign_and_verify(client: Tool, place: Place, kind: Kind) -> None:
    """``client`` signs; it and we verify that, and refuse another name; it refuses a changed file."""
    signed = make_signed(client, place, kind)
    signed.entry()
    for reader in (client, SIGBOX):
        succeed(reader.verify(signed, ALICE, place.stack.oidc_issuer))
        refuse(reader.verify(signed, MALLORY, place.stack.oidc_issuer))
    signed.artifact.write_bytes(CONTENT + b".")
    refuse(client.verify(signed, ALICE, place.stack.oidc_issuer))


def trust_by_tuf_alone(place: Place) -> None:
    """sigstore-python is given the first root, and finds everything else over TUF."""
    instance = ("--instance", place.stack.tuf_mirror)
    succeed(PYTHON.run(place, *instance, "trust-instance", place.stack.tuf_root))
    artifact = place.artifact()
    succeed(PYTHON.run(place, *instance, "sign", "--identity-token", place.stack.token(ALICE), artifact))
    said = ("--cert-identity", ALICE, "--cert-oidc-issuer", place.stack.oidc_issuer)
    succeed(PYTHON.run(place, *instance, "verify", "identity", *said, artifact))
