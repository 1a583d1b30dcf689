# SPDX-License-Identifier: Apache-2.0
"""Copies an image with everything attached to it: between registries, into a directory, out of one.

1. Resolve the source once; from here on by digest.
2. Every image below it, the deepest first: blobs that the target lacks, then the manifest by its digest. What refers comes
   after what it refers to.
3. For each of them what is at its tags (signatures, attestations, SBOMs): layers that the target has already stay, the others
   are added.
4. For each of them its referrers, attached anew: a registry without the referrers API gets its fallback index.
5. The tag at the target, last: until then nobody finds half a copy. Where it points to another image already, only if that is
   wanted.

Unlike cosign, no image is given the tag ``sha256-HEX``: that is where referrers are listed in old registries.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from client.oci.attached import ATTESTATIONS, SBOMS, SIGNATURES, Home, home_of
from client.oci.manifest import Descriptor, Document, ImageManifest, parse_manifest
from client.oci.ports import Registry
from client.oci.reading import read_tag_image
from client.oci.reference import Reference
from client.oci.walking import Node, walk
from client.oci.writing import add_layers
from sigcore import limits
from sigcore.errors import Malformed, NotFound, Refused
from sigcore.values import dataclass

EVERYTHING: Final = ("image", SIGNATURES, ATTESTATIONS, SBOMS, "referrers")


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was copied, or left out: its kind, its digest or tag, and a line about it for people.

    The kinds are ``image``, ``tag`` and ``referrer``; ``leftOut`` for a referrer that cannot be read; ``named`` for the target's tag.
    """

    kind: str
    name: str
    line: str


@dataclass(frozen=True, slots=True)
class Copying:
    """From where to where, and which kinds of things: of ``EVERYTHING``.

    The homes say where things are attached, if not beside the image. ``tell`` is given each step.
    """

    source: Registry
    target: Registry
    target_ref: Reference
    what: Sequence[str] = EVERYTHING
    source_home: Callable[[Reference], Home] = home_of
    target_home: Callable[[Reference], Home] = home_of
    tell: Callable[[Step], None] = lambda _step: None


async def copy_image(copying: Copying, top: Node, *, force: bool = False) -> Descriptor:
    """Steps 2 to 5 for ``top``, which :func:`client.oci.walking.open_image` opened at the source.

    Raises:
        Refused: the target's tag points to another image, and ``force`` is not given. Others as the registries'.
    """
    await _check_target(copying, top, force=force)
    nodes = [node async for node in walk(copying.source, top)]
    for node in reversed(nodes):
        if "image" in copying.what:
            await _copy_node(copying, node)  # 2
        for suffix in (SIGNATURES, ATTESTATIONS, SBOMS):
            if suffix in copying.what:
                await _copy_tag(copying, node, suffix)  # 3
        if "referrers" in copying.what:
            await _copy_referrers(copying, node)  # 4
    if "image" in copying.what and not copying.target_ref.digest:
        await copying.target.put_manifest(copying.target_ref, top.descriptor.media_type, top.data)  # 5
        named = str(copying.target_ref)
        copying.tell(Step("named", named, f"{named} is {top.descriptor.digest}"))
    return top.descriptor


async def _check_target(copying: Copying, top: Node, *, force: bool) -> None:
    ref = copying.target_ref
    if "image" not in copying.what:
        return
    if ref.digest and ref.digest != top.descriptor.digest:
        raise Refused(f"the target is named {ref.digest}, the image is {top.descriptor.digest}", "name it by a tag")
    try:
        there = await copying.target.resolve(ref)
    except NotFound:
        return
    if there.digest != top.descriptor.digest and not force:
        raise Refused(
            f"{ref} is {there.digest} already, the copy would make it {top.descriptor.digest}",
            "--force lets the tag point to the copy",
        )


async def _copy_node(copying: Copying, node: Node) -> None:
    await _copy_blobs(copying, node.ref, copying.target_ref, node.document)
    await copying.target.put_manifest(
        copying.target_ref.at_digest(node.descriptor.digest), node.descriptor.media_type, node.data
    )
    digest = node.descriptor.digest
    copying.tell(Step("image", digest, f"copied {digest}{f' ({node.platform})' if node.platform else ''}"))


async def _copy_blobs(copying: Copying, source: Reference, target: Reference, document: Document) -> None:
    """By way of a file each: a layer may be larger than the memory."""
    for blob in await _missing(copying, target, document):
        with tempfile.TemporaryDirectory(prefix="sigbox-") as folder:
            path = Path(folder) / "blob"
            await copying.source.save_blob(source, blob, path)
            await copying.target.load_blob(target, blob, path)


async def _missing(copying: Copying, target: Reference, document: Document) -> list[Descriptor]:
    """The blobs that the target lacks."""
    if not isinstance(document, ImageManifest):
        return []
    blobs = {one.digest: one for one in (document.config, *document.layers)}.values()
    return [blob for blob in blobs if not await copying.target.has_blob(target, blob)]


def _homes(copying: Copying, node: Node) -> tuple[Home, Home]:
    return copying.source_home(node.ref), copying.target_home(copying.target_ref.at_digest(node.descriptor.digest))


async def _copy_tag(copying: Copying, node: Node, suffix: str) -> None:
    source, target = _homes(copying, node)
    manifest = await read_tag_image(copying.source, source, suffix)
    if manifest is None:
        return
    there = await read_tag_image(copying.target, target, suffix)
    if there is None or suffix == SBOMS:
        descriptor, data = await copying.source.manifest(source.tag(suffix))
        await _copy_blobs(copying, source.repository, target.repository, manifest)
        await copying.target.put_manifest(target.tag(suffix), descriptor.media_type, data)
    else:
        missing = [layer for layer in manifest.layers if layer not in there.layers]
        contents = [await copying.source.blob(source.repository, layer, limit=limits.BUNDLE) for layer in missing]
        await add_layers(copying.target, target, suffix, list(zip(missing, contents, strict=True)))
    tag = target.tag(suffix).tag
    copying.tell(Step("tag", tag, f"copied {tag}"))


async def _copy_referrers(copying: Copying, node: Node) -> None:
    """A referrer that cannot be read is told of and left out; it may be anybody's."""
    source, target = _homes(copying, node)
    for listed in await copying.source.referrers(source.subject):
        try:
            await _copy_referrer(copying, source, target, listed)
        except _Unreadable as error:
            copying.tell(Step("leftOut", listed.digest, f"left out: the referrer {listed.digest}: {error}"))
        else:
            copying.tell(Step("referrer", listed.digest, f"copied the referrer {listed.digest}"))


class _Unreadable(Exception):
    """A referrer, or a blob of it, that the source has not or not as it says."""


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (NotFound, Refused, Malformed) as error:
        raise _Unreadable(error.message) from error


async def _copy_referrer(copying: Copying, source: Home, target: Home, listed: Descriptor) -> None:
    """All of it is read before any of it is written."""
    with _reading():
        data = await copying.source.referrer(source.subject, listed)
        document = parse_manifest(data, listed.media_type, what=f"the referrer {listed.digest}")
    with tempfile.TemporaryDirectory(prefix="sigbox-") as folder:
        files = {
            Path(folder) / str(at): blob for at, blob in enumerate(await _missing(copying, target.repository, document))
        }
        with _reading():
            for path, blob in files.items():
                await copying.source.save_blob(source.repository, blob, path)
        for path, blob in files.items():
            await copying.target.load_blob(target.repository, blob, path)
    await copying.target.attach(target.subject, document.media_type, data)
