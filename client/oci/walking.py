# SPDX-License-Identifier: Apache-2.0
"""The images that one reference stands for: an image, or an index with the images of its platforms."""

from __future__ import annotations

from collections.abc import AsyncIterator

from client.oci.manifest import Descriptor, Document, ImageIndex, Platform, parse_manifest
from client.oci.ports import Registry
from client.oci.reference import Reference
from sigcore import limits
from sigcore.errors import Malformed, NotFound
from sigcore.strict import shown
from sigcore.values import dataclass

_DEPTH = 4
"""Indexes in indexes; more is somebody's trick."""


@dataclass(frozen=True, slots=True)
class Node:
    """One image or index, by its digest; ``data`` is its manifest, ``platform`` what the index above says of it."""

    ref: Reference
    descriptor: Descriptor
    data: bytes
    document: Document
    platform: Platform | None = None


async def open_image(registry: Registry, ref: Reference) -> Node:
    """The manifest that ``ref`` names now; whatever follows must use ``node.ref``, which names it by its digest.

    Raises: as the registry's, and Malformed for what is no manifest.
    """
    descriptor, data = await registry.manifest(ref)
    document = parse_manifest(data, descriptor.media_type, what=f"the manifest of {ref}")
    return Node(ref.at_digest(descriptor.digest), descriptor, data, document)


async def walk(registry: Registry, top: Node) -> AsyncIterator[Node]:
    """``top``, and below an index every image and index of it, each once, parents first.

    Raises:
        Malformed: nested too deep, or more images than ``limits.OCI_DESCRIPTORS``. Others as the registry's.
    """
    seen = {top.descriptor.digest}
    level = [top]
    for _ in range(_DEPTH):
        below: list[Node] = []
        for node in level:
            yield node
            for child in _children(node, seen):
                found = await open_image(registry, node.ref.at_digest(child.digest))
                below.append(Node(found.ref, found.descriptor, found.data, found.document, child.platform))
        if not below:
            return
        level = below
    raise Malformed(f"{top.ref} nests indexes more than {_DEPTH} deep")


def _children(node: Node, seen: set[str]) -> list[Descriptor]:
    if not isinstance(node.document, ImageIndex):
        return []
    fresh = [child for child in node.document.manifests if child.digest not in seen]
    seen.update(child.digest for child in fresh)
    if len(seen) > limits.OCI_DESCRIPTORS:
        raise Malformed(f"{node.ref} holds more than {limits.OCI_DESCRIPTORS} images")
    return fresh


def pick_platform(node: Node, wanted: str) -> Reference:
    """The image for ``wanted`` (``os/architecture[/variant]``) of an index.

    Raises:
        NotFound: not an index, or no image for it; the hint names those that are there.
    """
    if not isinstance(node.document, ImageIndex):
        raise NotFound(f"{node.ref} is an image for one platform, and --platform is given", "leave it out")
    for child in node.document.manifests:
        if child.platform is not None and str(child.platform) == wanted:
            return node.ref.at_digest(child.digest)
    there = ", ".join(str(child.platform) for child in node.document.manifests if child.platform is not None)
    raise NotFound(
        f"{node.ref} has no image for {shown(wanted)}", f"there are: {there or 'none that says its platform'}"
    )
