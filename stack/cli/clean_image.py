# SPDX-License-Identifier: Apache-2.0
"""Remove what is attached to an image: signatures, attestations, SBOMs at tags, and bundles among its referrers.

The image stays, and so do referrers of other kinds. What is in the logs stays there for ever. A registry must allow deleting.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence

from client.oci.attached import ATTESTATIONS, BUNDLE, SBOMS, SIGNATURES, Home
from client.oci.ports import Registry
from client.oci.reference import Reference
from sigcore.errors import NotFound, Refused
from stack.cli.registries import add_recursive_option, add_registry_options, home, nodes_of, open_named, open_registry
from stack.cli.usage import Usage

EXAMPLES = """\
examples:
  sigbox clean --type signature registry.example.com/app:1.0
  sigbox clean --force registry.example.com/app@sha256:8fd1..."""
_TAGS = {
    "signature": (SIGNATURES,),
    "attestation": (ATTESTATIONS,),
    "sbom": (SBOMS,),
    "referrer": (),
    "all": (SIGNATURES, ATTESTATIONS, SBOMS),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox clean``."""
    parser.add_argument("image", metavar="IMAGE", help="registry/repository, with a :tag or @sha256:HEX")
    parser.add_argument(
        "--type", choices=tuple(_TAGS), default="all", metavar="T", help=f"{', '.join(_TAGS)} (default: all)"
    )
    parser.add_argument("-f", "--force", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")
    add_recursive_option(parser, "of the images of all platforms too")
    add_registry_options(parser)


def run(options: argparse.Namespace) -> int:
    """Ask, then remove; what is not there is no error."""
    if not options.force:
        _ask(options)
    removed, failed = asyncio.run(_clean(options))
    sys.stderr.write(f"removed {len(removed)}\n")
    if options.json:
        rows = [{"reference": str(ref), "error": error.message} for ref, error in failed]
        print(json.dumps({"removed": [*map(str, removed)], "failed": rows}, indent=2))
    if failed:
        refusal = Refused(
            f"{len(failed)} could not be removed: {failed[0][1].message}",
            "does this registry allow deleting, and may you?",
        )
        refusal.reported = options.json
        raise refusal
    return 0


def _ask(options: argparse.Namespace) -> None:
    if not sys.stdin.isatty():
        raise Usage("nobody is there to be asked", "--force removes without asking")
    sys.stderr.write(f"remove {options.type} of {ascii(options.image)[1:-1]} from the registry? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Usage("nothing was removed")


async def _clean(options: argparse.Namespace) -> tuple[Sequence[Reference], Sequence[tuple[Reference, Refused]]]:
    removed, failed = list[Reference](), list[tuple[Reference, Refused]]()
    async with open_registry(options) as registry:
        top = await open_named(registry, options.image)
        for node in await nodes_of(registry, top, recursive=options.recursive):
            for ref in await _attached(registry, home(node.ref), options.type):
                try:
                    removed += [ref] * await _remove(registry, ref)
                except Refused as error:
                    failed.append((ref, error))
    return removed, failed


async def _attached(registry: Registry, where: Home, kind: str) -> Sequence[Reference]:
    tags = [where.tag(suffix) for suffix in _TAGS[kind]]
    if kind not in ("all", "referrer"):
        return tags
    listed = await registry.referrers(where.subject)
    bundles = [one for one in listed if one.artifact_type.startswith(BUNDLE)]
    return [*tags, *(where.repository.at_digest(one.digest) for one in bundles)]


async def _remove(registry: Registry, ref: Reference) -> bool:
    """By the tag; where the registry does not delete tags, what it points to."""
    try:
        try:
            await registry.delete(ref)
        except Refused:
            if ref.digest:
                raise
            await registry.delete(ref.at_digest((await registry.resolve(ref)).digest))
    except NotFound:
        return False
    sys.stderr.write(f"removed {ref}\n")
    return True
