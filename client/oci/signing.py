# SPDX-License-Identifier: Apache-2.0
"""Sign an image, or attest to one: one signature for each layout, for what is signed differs.

- tags: a signature over the payload of simple signing, as of a file.
- referrers: an attestation whose statement names the image's digest and says no more.

An attestation is one and the same in both layouts and is signed once. What stands in the layout of tags is put into a log of
Rekor v1 where the signing config has one: its readers know the promise (SET) of that log and nothing newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from client.oci.attached import ATTESTATIONS, SIGN, SIGNATURES, Home, Layout
from client.oci.legacy import attestation_layer, signature_layer
from client.oci.manifest import Descriptor
from client.oci.ports import Registry
from client.oci.simplesigning import Payload, encode_payload
from client.oci.walking import Node
from client.oci.writing import add_layers, add_referrer
from client.sign import Signing, attest, hash_of, sign_blob, with_artifact
from client.verify import verify_own
from client.verify.signed import ManagedKey
from sigcore.bundle import Bundle, encode_bundle
from sigcore.intoto import Statement, Subject, encode_statement, parse_statement
from sigcore.keys import is_private_key
from sigcore.strict import JSON, parse_hex
from sigcore.values import dataclass
from sigcore.x509 import Certificate

_LEGACY_LOG: Final = 1


@dataclass(frozen=True, slots=True)
class Attachment:
    """A signature or an attestation that is to be stored. ``payload`` is what a signature at a tag is over.

    ``text``: the envelope as it was logged, where that is not our spelling.
    """

    layout: Layout
    bundle: Bundle
    predicate_type: str = ""
    payload: bytes = b""
    issuers: tuple[Certificate, ...] = ()
    text: bytes = b""


def prefers_v1(signing: Signing, layouts: Sequence[Layout], now: datetime) -> Signing:
    """``signing`` for the layout of tags: in a log of v1, if no version is asked for and such a log is listed."""
    listed = any(log.api_version == _LEGACY_LOG and log.validity.covers(now) for log in signing.trust.config.rekor)
    if Layout.TAG not in layouts or signing.rekor_version is not None or not listed:
        return signing
    return replace(signing, rekor_version=_LEGACY_LOG)


async def sign_image(
    signing: Signing,
    image: Node,
    *,
    layouts: Sequence[Layout],
    annotations: Sequence[tuple[str, str]] = (),
    claimed: str = "",
    now: datetime,
) -> tuple[Attachment, ...]:
    """The signatures of an image for ``layouts``.

    Args:
        signing: who signs, and where.
        image: what is signed, by its digest.
        layouts: one or both.
        annotations: what the signer adds.
        claimed: what the payload calls the image, instead of its repository.
        now: as :func:`client.sign.sign_blob`.

    Raises: as :func:`client.sign.sign_blob`.
    """
    added: tuple[tuple[str, JSON], ...] = tuple(annotations)
    made = []
    if Layout.REFERRERS in layouts:
        statement = encode_statement(Statement((_subject(image, added=added),), SIGN, {}))
        made.append(Attachment(Layout.REFERRERS, await attest(signing, statement, now=now), SIGN))
    if Layout.TAG in layouts:
        payload = encode_payload(Payload(claimed or image.ref.name, image.ref.digest, added))
        digest = hash_of(signing.signer).digest(payload)
        signing = with_artifact(signing, payload)
        bundle = await sign_blob(prefers_v1(signing, layouts, now), digest, now=now)
        made.append(Attachment(Layout.TAG, bundle, payload=payload, issuers=_issuers(signing, bundle, digest)))
    return tuple(made)


async def attest_image(
    signing: Signing, image: Node, statement: bytes, *, layouts: Sequence[Layout], now: datetime
) -> tuple[Attachment, ...]:
    """One attestation, for each of ``layouts``. ``statement`` is about the image, in JSON.

    Raises: as :func:`client.sign.attest`.
    """
    bundle = await attest(prefers_v1(signing, layouts, now), statement, now=now)
    kind = parse_statement(statement).predicate_type
    issuers = _issuers(signing, bundle, parse_hex(image.ref.digest.partition(":")[2], what="the image's digest"))
    return tuple(Attachment(layout, bundle, kind, issuers=issuers) for layout in layouts)


def statement_about(image: Node, predicate_type: str, predicate: JSON) -> bytes:
    """An in-toto statement whose subject is the image; its name is the repository, as cosign has it."""
    return encode_statement(Statement((_subject(image, image.ref.name),), predicate_type, predicate))


def _subject(image: Node, name: str = "", added: tuple[tuple[str, JSON], ...] = ()) -> Subject:
    algorithm, _, digest = image.ref.digest.partition(":")
    return Subject(name, ((algorithm, digest),), added)


def _issuers(signing: Signing, bundle: Bundle, digest: bytes) -> tuple[Certificate, ...]:
    """The issuers of the bundle's certificate, from the trusted root: readers older than those want them beside it."""
    signer = signing.signer
    key = ManagedKey(signer.public_key()) if is_private_key(signer) else None
    return verify_own(bundle, digest, root=signing.trust.root, key=key).chain[1:]


async def store(
    registry: Registry, home: Home, image: Descriptor, attachments: Sequence[Attachment], now: datetime
) -> tuple[str, ...]:
    """Attach what was made; where each of it is now, for people.

    Raises: as the registry's.
    """
    places = []
    for one in attachments:
        if one.layout is Layout.REFERRERS:
            data = encode_bundle(one.bundle)
            referrer = await add_referrer(registry, home, image, data, one.predicate_type, now)
            places.append(str(home.repository.at_digest(referrer.digest)))
        else:
            places.append(await _store_at_tag(registry, home, one))
    return tuple(places)


async def _store_at_tag(registry: Registry, home: Home, one: Attachment) -> str:
    if one.payload:
        suffix, layer = SIGNATURES, signature_layer(one.bundle, one.payload, one.issuers)
    else:
        suffix, layer = ATTESTATIONS, attestation_layer(one.bundle, one.predicate_type, one.issuers, one.text)
    await add_layers(registry, home, suffix, [layer])
    return str(home.tag(suffix))
