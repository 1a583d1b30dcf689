# SPDX-License-Identifier: Apache-2.0
"""Verify the signatures of images: who signed this very digest, when, and that it is in the logs.

Signatures are looked for among the referrers (cosign 3) and at the tag sha256-HEX.sig (cosign 2). One by the expected signer is
enough; what else is attached does no harm. What was signed is printed as cosign prints it: compare the digest with the image that you
use, or use the digest. A signature at a tag must name the repository: for a copied image say --signed-as. With --local-image a
directory made by `sigbox save` is verified and no socket is opened.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from client.oci.claims import claims_json
from client.oci.reading import Found, read_all, read_signatures
from client.oci.reference import Reference
from client.oci.verification import Expected, ImageVerified, verify_signatures
from stack.cli.image_verifying import Verdict, add_verify_image_options, expected_of, verify_images
from stack.cli.policy_choice import policy_path
from stack.cli.registries import add_annotations_option, annotations_of
from stack.cli.trusting import load_trusted_root
from stack.cli.verifying import read_signer

EXAMPLES = """\
examples:
  sigbox verify registry.example.com/app@sha256:8fd1... --certificate-identity alice@example.com \\
      --certificate-oidc-issuer http://localhost:7780/auth
  sigbox verify --key cosign.pub -a env=prod --recursive registry.example.com/app:1.0
  sigbox verify --local-image ./saved --key cosign.pub
  sigbox verify registry.example.com/app:1.0 --policy policy.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox verify``."""
    add_annotations_option(parser, "what the signature must say beside the digest")
    add_verify_image_options(parser)


def run(options: argparse.Namespace) -> int:
    """Verify every image; 0 only if all of them hold."""
    annotations = annotations_of(options)
    if (path := policy_path(options)) is not None:
        # Deferred: a verification without a policy pays nothing for it.
        from stack.cli.image_policing import ImagePolice  # noqa: PLC0415 - see the line above
        from stack.cli.policing import Police  # noqa: PLC0415 - the same

        police = ImagePolice(Police.of(path, options), options)
        expected = replace(expected_of(options, load_trusted_root(options), None), annotations=annotations)
        return verify_images(options, read_all, police.signatures, expected, _lines(options))
    signer = read_signer(options)
    expected = replace(expected_of(options, load_trusted_root(options), signer), annotations=annotations)
    return verify_images(options, read_signatures, _judge, expected, _lines(options))


def _judge(_asked: Reference, digest: str, found: Found, expected: Expected) -> tuple[ImageVerified, ...]:
    return verify_signatures(found, digest, expected)[0]


def _lines(options: argparse.Namespace) -> Callable[[Verdict], Sequence[str]]:
    """cosign's JSON: one list for each image; or with ``--output text`` each claim, or payload as it was signed, on a line."""  # noqa: D403 - its name

    def lines(verdict: Verdict) -> Sequence[str]:
        claims = [claims_json(one, verdict.asked) for one in verdict.verified]
        if options.output == "json":
            return [_json(claims)]
        texts = [one.attached.text.decode("utf-8") if one.attached.payload else "" for one in verdict.verified]
        return [text or _json(claim) for text, claim in zip(texts, claims, strict=True)]

    return lines


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
