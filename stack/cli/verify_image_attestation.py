# SPDX-License-Identifier: Apache-2.0
"""Verify attestations about images: who attested to this very digest, when, to what, and that it is in the logs.

Those among the referrers and those at the tag sha256-HEX.att are looked at; one of the demanded --type by the expected signer is
enough. The envelopes of those that hold are printed, one a line, as cosign does: what they say is for you to judge, or for a policy.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from client.oci.reading import Found, read_attestations
from client.oci.reference import Reference
from client.oci.verification import Expected, ImageVerified, verify_attestations
from sigcore.dsse import encode_envelope
from stack.cli.demanded_type import demanded_type
from stack.cli.image_verifying import Verdict, add_verify_image_options, expected_of, verify_images
from stack.cli.policy_choice import policy_path
from stack.cli.trusting import load_trusted_root
from stack.cli.usage import Usage
from stack.cli.verifying import read_signer

EXAMPLES = """\
examples:
  sigbox verify-attestation --type spdxjson --key cosign.pub registry.example.com/app@sha256:8fd1...
  sigbox verify-attestation --type slsaprovenance1 --certificate-identity alice@example.com \\
      --certificate-oidc-issuer http://localhost:7780/auth registry.example.com/app:1.0"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox verify-attestation``."""
    parser.add_argument(
        "--type", metavar="T", help="the predicate type that is demanded: cosign's short name or a URI (default: any)"
    )
    add_verify_image_options(parser)


def run(options: argparse.Namespace) -> int:
    """Verify every image; 0 only if all of them hold."""
    wanted = demanded_type(options.type)
    if (path := policy_path(options)) is not None:
        if path.endswith((".rego", ".cue")):
            raise Usage(f"--policy {path} is a policy of another kind", "those are not run here; see docs/policy.md")
        # Deferred: a verification without a policy pays nothing for it.
        from stack.cli.image_policing import ImagePolice  # noqa: PLC0415 - see the line above
        from stack.cli.policing import Police  # noqa: PLC0415 - the same

        police = ImagePolice(Police.of(path, options), options)
        expected = replace(expected_of(options, load_trusted_root(options), None), predicate_type=wanted)
        return verify_images(options, read_attestations, police.attestations, expected, _lines)
    signer = read_signer(options)
    expected = replace(expected_of(options, load_trusted_root(options), signer), predicate_type=wanted)
    return verify_images(options, read_attestations, _judge, expected, _lines)


def _judge(_asked: Reference, digest: str, found: Found, expected: Expected) -> tuple[ImageVerified, ...]:
    return verify_attestations(found, digest, expected)[0]


def _lines(verdict: Verdict) -> Sequence[str]:
    """The envelopes; the same attestation in both layouts is one."""
    envelopes = [one.attached.envelope for one in verdict.verified]
    return list(dict.fromkeys(encode_envelope(envelope) for envelope in envelopes if envelope is not None))
