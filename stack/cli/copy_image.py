# SPDX-License-Identifier: Apache-2.0
"""Copy an image with everything attached to it, in both layouts, to another repository or registry.

All platforms of an index are copied, or with --platform one image. What the target has already is not sent again; signatures that are
there stay. A signature at a tag names the repository that it was made for: verify the copy with --signed-as.
"""

from __future__ import annotations

import argparse
import asyncio

from client.oci.attached import ATTESTATIONS, SBOMS, SIGNATURES
from client.oci.copying import EVERYTHING, Copying, copy_image
from client.oci.reference import parse_reference
from client.oci.walking import open_image, pick_platform
from stack.cli.moving import Moved, add_json_option
from stack.cli.registries import add_registry_options, home, open_named, open_registry
from stack.cli.usage import Usage

EXAMPLES = """\
examples:
  sigbox copy registry.example.com/app:1.0 mirror.example.com/app:1.0
  sigbox copy --only sig,att registry.example.com/app:1.0 mirror.example.com/app:1.0"""
_ONLY = (SIGNATURES, ATTESTATIONS, SBOMS, "referrers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox copy``."""
    parser.add_argument("source", metavar="SOURCE", help="registry/repository, with a :tag or @sha256:HEX")
    parser.add_argument("target", metavar="TARGET", help="registry/repository:tag")
    parser.add_argument("-f", "--force", action="store_true", help="let the target's tag point to the copy")
    text = f"what is attached and not the image: {', '.join(_ONLY)}; several with commas"
    parser.add_argument("--only", metavar="W", action="append", default=[], help=text)
    parser.add_argument("--platform", metavar="OS/ARCH", help="one image of an index")
    add_json_option(parser)
    add_registry_options(parser)


def run(options: argparse.Namespace) -> int:
    """Copy."""
    only = tuple(word for text in options.only for word in text.split(","))
    if unknown := [word for word in only if word not in _ONLY]:
        raise Usage(f"--only has {unknown[0]!a}, expected {', '.join(_ONLY)}")
    asyncio.run(_copy(options, only or EVERYTHING))
    return 0


async def _copy(options: argparse.Namespace, what: tuple[str, ...]) -> None:
    target = parse_reference(options.target)
    async with open_registry(options) as registry:
        top = await open_named(registry, options.source)
        if options.platform:
            top = await open_image(registry, pick_platform(top, options.platform))
        moved = Moved()
        copied = await copy_image(
            Copying(registry, registry, target, what, home, tell=moved.tell), top, force=options.force
        )
    if options.json:
        moved.print(str(top.ref), str(target), copied)
