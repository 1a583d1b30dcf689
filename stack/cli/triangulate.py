# SPDX-License-Identifier: Apache-2.0
"""Print where something is attached to an image: the tag of its signatures, attestations or SBOM; or its digest.

The registry is asked only where IMAGE is a tag. Nothing needs to be there.
"""

from __future__ import annotations

import argparse
import asyncio
import json

from client.oci.attached import ATTESTATIONS, SBOMS, SIGNATURES
from client.oci.reference import Reference, parse_reference
from stack.cli.registries import add_registry_options, home, open_named, open_registry

EXAMPLES = """\
examples:
  sigbox triangulate registry.example.com/app:1.0
  sigbox triangulate --type digest registry.example.com/app:1.0"""
_TYPES = {"signature": SIGNATURES, "attestation": ATTESTATIONS, "sbom": SBOMS, "digest": ""}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox triangulate``."""
    parser.add_argument("image", metavar="IMAGE", help="registry/repository, with a :tag or @sha256:HEX")
    text = f"{', '.join(_TYPES)} (default: signature)"
    parser.add_argument("--type", choices=tuple(_TYPES), default="signature", metavar="T", help=text)
    parser.add_argument("--json", action="store_true", help="as JSON on standard output")
    add_registry_options(parser)


def run(options: argparse.Namespace) -> int:
    """Print the reference."""
    image = parse_reference(options.image)
    if not image.digest:
        image = asyncio.run(_resolved(options))
    suffix = _TYPES[options.type]
    found = home(image).tag(suffix) if suffix else image.at_digest(image.digest)
    document = {"image": str(image.at_digest(image.digest)), "type": options.type, "reference": str(found)}
    print(json.dumps(document, indent=2) if options.json else found)
    return 0


async def _resolved(options: argparse.Namespace) -> Reference:
    async with open_registry(options) as registry:
        return (await open_named(registry, options.image)).ref
