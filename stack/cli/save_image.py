# SPDX-License-Identifier: Apache-2.0
"""Save an image with everything attached to it in a directory: an OCI layout, for a network without a registry.

`sigbox verify --local-image DIRECTORY` verifies it there without any network; `sigbox load` puts it into another registry. cosign reads
the directory too.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from client.oci.copying import Copying, copy_image
from client.oci.directory import ImageDirectory
from client.oci.reference import Reference
from stack.cli.moving import Moved, add_json_option
from stack.cli.registries import add_registry_options, home, open_named, open_registry
from stack.cli.usage import Usage

EXAMPLES = """\
examples:
  sigbox save --dir ./saved registry.example.com/app@sha256:8fd1..."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox save``."""
    parser.add_argument("image", metavar="IMAGE", help="registry/repository, with a :tag or @sha256:HEX")
    parser.add_argument("--dir", metavar="DIR", type=Path, required=True, help="a new directory, or an empty one")
    add_json_option(parser)
    add_registry_options(parser)


def run(options: argparse.Namespace) -> int:
    """Save."""
    if options.dir.exists() and any(options.dir.iterdir()):
        raise Usage(f"the directory {options.dir} is not empty", "name a new one")
    asyncio.run(_save(options))
    return 0


async def _save(options: argparse.Namespace) -> None:
    directory = ImageDirectory(options.dir)
    async with open_registry(options) as registry:
        top = await open_named(registry, options.image)
        target = Reference(top.ref.registry, top.ref.repository, "", top.ref.digest)
        moved = Moved()
        saved = await copy_image(Copying(registry, directory, target, source_home=home, tell=moved.tell), top)
    directory.mark(top.descriptor.digest)
    sys.stderr.write(f"saved {top.ref} in {options.dir}\n")
    if options.json:
        moved.print(str(top.ref), str(options.dir), saved)
