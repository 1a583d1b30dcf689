# SPDX-License-Identifier: Apache-2.0
"""Reads what is attached to an image: the images at its tags, and its referrers.

1. The signatures' or the attestations' tag: each layer of the image there, by its type.
2. Referrers: those whose type is one of ours, or says nothing (fallback tags of old writers lose it); each must have the image
   as its subject. Each layer again by its type, whichever writer it is of.
3. What cannot be read is a defect with its place: whoever may write to the registry can add rubbish, and what is good must
   stay so.

Counts and sizes are bounded: each layer of each manifest is one request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from client.oci.attached import ATTESTATIONS, BUNDLE, DSSE, SIGN, SIGNATURES, Attached, Defect, Home, Layout
from client.oci.bundle_referrer import parse_bundle_layer
from client.oci.legacy import parse_layer
from client.oci.manifest import EMPTY, IMAGE_CONFIG, Descriptor, ImageManifest, parse_manifest
from client.oci.ports import Registry
from client.oci.simplesigning import MEDIA_TYPE as SIMPLE_SIGNING
from sigcore import limits
from sigcore.errors import NotFound, SigError, Unavailable
from sigcore.values import dataclass

T = TypeVar("T")
_AT_ONCE: Final = 16
_COSIGN: Final = "application/vnd.dev.cosign.artifact."
_IN_TOTO: Final = "application/vnd.in-toto+json"
_SAY_NOTHING: Final = ("", EMPTY, IMAGE_CONFIG)


@dataclass(frozen=True, slots=True)
class Found:
    """What is attached: what can be read, and what cannot."""

    attached: tuple[Attached, ...] = ()
    defects: tuple[Defect, ...] = ()

    def __add__(self, other: Found) -> Found:
        return Found(self.attached + other.attached, self.defects + other.defects)

    def signatures(self) -> Found:
        """The signatures among them."""
        return Found(tuple(one for one in self.attached if is_signature(one)), self.defects)

    def attestations(self) -> Found:
        """The attestations among them."""
        return Found(tuple(one for one in self.attached if not is_signature(one)), self.defects)


def is_signature(one: Attached) -> bool:
    """Whether it signs the image and says no more; a statement that cannot be read counts as one."""
    try:
        statement = one.statement()
    except SigError:
        return True
    return statement is None or statement.predicate_type == SIGN


async def read_signatures(registry: Registry, home: Home, layouts: Sequence[Layout] = tuple(Layout)) -> Found:
    """All signatures of an image, in ``layouts``.

    Raises:
        Unavailable: the registry does not answer. What else is wrong is a defect.
    """
    return (await _read(registry, home, layouts, SIGNATURES)).signatures()


async def read_attestations(registry: Registry, home: Home, layouts: Sequence[Layout] = tuple(Layout)) -> Found:
    """All attestations of an image. Errors as :func:`read_signatures`."""
    return (await _read(registry, home, layouts, ATTESTATIONS)).attestations()


async def read_all(registry: Registry, home: Home, layouts: Sequence[Layout] = tuple(Layout)) -> Found:
    """Signatures and attestations. Errors as :func:`read_signatures`."""
    return await _read(registry, home, layouts, SIGNATURES, ATTESTATIONS)


async def _read(registry: Registry, home: Home, layouts: Sequence[Layout], *suffixes: str) -> Found:
    found = Found()
    if Layout.TAG in layouts:
        for suffix in suffixes:
            found += await _read_tag(registry, home, suffix)
    if Layout.REFERRERS in layouts:
        found += await _read_referrers(registry, home)
    return found


async def read_tag_image(registry: Registry, home: Home, suffix: str) -> ImageManifest | None:
    """The image at a tag of the layout of tags, or None where there is none.

    Raises:
        Malformed: the tag points to something else. Others as :func:`read_signatures`.
    """
    try:
        descriptor, data = await registry.manifest(home.tag(suffix))
    except NotFound:
        return None
    manifest = parse_manifest(data, descriptor.media_type, what=f"the manifest at {home.tag(suffix).tag}")
    return manifest if isinstance(manifest, ImageManifest) else None


async def _read_tag(registry: Registry, home: Home, suffix: str) -> Found:
    place = home.tag(suffix).tag
    try:
        manifest = await read_tag_image(registry, home, suffix)
    except Unavailable:
        raise
    except SigError as error:
        return Found(defects=(Defect(place, error),))
    if manifest is None:
        return Found()
    return await _read_layers(registry, home, manifest, place, Layout.TAG)


async def _read_referrers(registry: Registry, home: Home) -> Found:
    try:
        listed = [one for one in await registry.referrers(home.subject) if _may_be_ours(one.artifact_type)]
    except Unavailable:
        raise
    except SigError as error:
        return Found(defects=(Defect("the list of referrers", error),))
    return sum(await each(listed, lambda one: _read_referrer(registry, home, one)), Found())


def _may_be_ours(artifact_type: str) -> bool:
    return artifact_type.startswith((BUNDLE, _COSIGN)) or artifact_type in (*_SAY_NOTHING, _IN_TOTO)


async def _read_referrer(registry: Registry, home: Home, listed: Descriptor) -> Found:
    place = f"referrer {listed.digest}"
    try:
        data = await registry.referrer(home.subject, listed)
        manifest = parse_manifest(data, listed.media_type, what=place)
    except Unavailable:
        raise
    except SigError as error:
        return Found(defects=(Defect(place, error),))
    if not isinstance(manifest, ImageManifest):
        return Found()
    return await _read_layers(registry, home, manifest, place, Layout.REFERRERS)


async def _read_layers(registry: Registry, home: Home, manifest: ImageManifest, place: str, layout: Layout) -> Found:
    """Layers of our types; a referrer may hold others. Layers with one content are fetched once: signatures often are."""
    contents: dict[str, asyncio.Task[bytes]] = {}

    async def read(numbered: tuple[int, Descriptor]) -> Found:
        number, layer = numbered
        where = place if len(manifest.layers) == 1 else f"{place}, layer {number}"
        limit = limits.OCI_PAYLOAD if layer.media_type == SIMPLE_SIGNING else limits.BUNDLE
        try:
            if layer.digest not in contents:
                fetch = registry.blob(home.repository, layer, limit=limit)
                contents[layer.digest] = asyncio.ensure_future(fetch)
            data = await contents[layer.digest]
            if layer.media_type.startswith(BUNDLE):
                return Found((parse_bundle_layer(data, where),))
            return Found((parse_layer(layer, data, where, layout),))
        except Unavailable:
            raise
        except SigError as error:
            return Found(defects=(Defect(where, error),))

    known = [
        one for one in enumerate(manifest.layers, 1) if one[1].media_type.startswith((BUNDLE, DSSE, SIMPLE_SIGNING))
    ]
    return sum(await each(known, read), Found())


async def each(values: Iterable[T], work: Callable[[T], Awaitable[Found]]) -> list[Found]:
    """The results of ``work`` in the order of ``values``, a bounded number at once."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def bounded(value: T) -> Found:
        async with gate:
            return await work(value)

    tasks = [asyncio.ensure_future(bounded(value)) for value in values]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
