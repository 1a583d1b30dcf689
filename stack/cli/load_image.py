# SPDX-License-Identifier: Apache-2.0
"""Put an image that `sigbox save` or `cosign save` has written into a registry, with everything attached to it."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from client.oci.copying import Copying, copy_image
from client.oci.directory import ImageDirectory
from client.oci.reference import parse_reference
from client.oci.walking import open_image
from stack.cli.moving import Moved, add_json_option
from stack.cli.registries import add_registry_options, home, open_registry

EXAMPLES = """\
examples:
  sigbox load --dir ./saved registry.example.com/app:1.0"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox load``."""
    parser.add_argument("image", metavar="IMAGE", help="what it is called there: registry/repository:tag")
    parser.add_argument("--dir", metavar="DIR", type=Path, required=True, help="the directory of the saved image")
    parser.add_argument("-f", "--force", action="store_true", help="let the tag point to this image")
    add_json_option(parser)
    add_registry_options(parser)


def run(options: argparse.Namespace) -> int:
    """Load."""
    asyncio.run(_load(options))
    return 0


async def _load(options: argparse.Namespace) -> None:
    directory, target = ImageDirectory(options.dir), parse_reference(options.image)
    top = await open_image(directory, target.at_digest(directory.image().digest))
    async with open_registry(options) as registry:
        moved = Moved()
        copying = Copying(directory, registry, target, target_home=home, tell=moved.tell)
        loaded = await copy_image(copying, top, force=options.force)
    if options.json:
        moved.print(str(options.dir), str(target), loaded)
