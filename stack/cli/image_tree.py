# SPDX-License-Identifier: Apache-2.0
"""Show what is attached to an image: signatures, attestations and SBOMs in both layouts, and everything else that refers to it.

Nothing is verified: whoever may write to the registry can attach what he likes. `sigbox verify` tells what holds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence

from client.oci.attached import ATTESTATIONS, SBOMS, SIGNATURES, Home, Layout
from client.oci.bundle_referrer import PREDICATE_TYPE
from client.oci.legacy import PREDICATE_TYPE as TYPE_AT_TAG
from client.oci.manifest import Descriptor, parse_manifest
from client.oci.ports import Registry
from client.oci.reading import read_tag_image
from client.oci.walking import Node
from sigcore.errors import NotFound, Refused, SigError
from sigcore.strict import shown
from stack.cli.registries import add_recursive_option, add_registry_options, home, nodes_of, open_named, open_registry

EXAMPLES = """\
examples:
  sigbox tree registry.example.com/app:1.0
  sigbox tree --recursive --json registry.example.com/app@sha256:8fd1..."""
_NAMES = {SIGNATURES: "signatures", ATTESTATIONS: "attestations", SBOMS: "SBOMs"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox tree``."""
    parser.add_argument("image", metavar="IMAGE", help="registry/repository, with a :tag or @sha256:HEX")
    add_recursive_option(parser, "the images of all platforms too")
    parser.add_argument("--json", action="store_true", help="as JSON on standard output")
    add_registry_options(parser)


def run(options: argparse.Namespace) -> int:
    """Print the tree."""
    trees = asyncio.run(_trees(options))
    print(json.dumps(trees, indent=2) if options.json else "\n".join(line for tree in trees for line in _lines(tree)))
    return 0


async def _trees(options: argparse.Namespace) -> list[dict[str, object]]:
    async with open_registry(options) as registry:
        top = await open_named(registry, options.image)
        nodes = await nodes_of(registry, top, recursive=options.recursive)
        return [await _tree(registry, node) for node in nodes]


async def _tree(registry: Registry, node: Node) -> dict[str, object]:
    where = home(node.ref)
    attached = [row for suffix in _NAMES for row in await _at_tag(registry, where, suffix)] + await _referring(
        registry, where
    )
    return {"image": str(node.ref), "platform": str(node.platform or ""), "attached": attached}


async def _at_tag(registry: Registry, where: Home, suffix: str) -> list[dict[str, str]]:
    manifest = await read_tag_image(registry, where, suffix)
    layers: Sequence[Descriptor] = manifest.layers if manifest is not None else ()
    tag = where.tag(suffix).tag
    return [
        _row(Layout.TAG.value, f"{_NAMES[suffix]} at {tag}", layer.annotation(TYPE_AT_TAG, layer.media_type), layer)
        for layer in layers
    ]


async def _referring(registry: Registry, where: Home) -> list[dict[str, str]]:
    rows = []
    for listed in await registry.referrers(where.subject):
        kind = listed.annotation(PREDICATE_TYPE, listed.artifact_type)
        try:
            data = await registry.referrer(where.subject, listed)
            kind = dict(parse_manifest(data, listed.media_type).annotations).get(PREDICATE_TYPE, kind)
        except (NotFound, Refused) as error:
            kind = f"listed, and not to be had: {error.message}"
        except SigError as error:
            kind = f"unreadable: {error.message}"
        rows.append(_row(Layout.REFERRERS.value, "referrers", kind or listed.media_type, listed))
    return rows


def _row(layout: str, where: str, kind: str, descriptor: Descriptor) -> dict[str, str]:
    return {"layout": layout, "where": where, "type": kind, "digest": descriptor.digest}


def _lines(tree: dict[str, object]) -> list[str]:
    platform = f" ({tree['platform']})" if tree["platform"] else ""
    rows = tree["attached"]
    if not isinstance(rows, list) or not rows:
        return [f"{tree['image']}{platform}", "  nothing is attached: sigbox sign IMAGE"]
    lines, group = [f"{tree['image']}{platform}"], ""
    for row in rows:
        if row["where"] != group:
            group = row["where"]
            lines.append(f"  {group}")
        lines.append(f"    {row['digest']}  {shown(row['type'], 200)[1:-1]}")
    return lines
