# SPDX-License-Identifier: Apache-2.0
"""An image in a registry in memory and a Sigstore in memory, and the steps of signing and verifying between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from client.identity import IdentityToken
from client.oci.attached import Layout, home_of
from client.oci.ports import Registry
from client.oci.reading import read_attestations, read_signatures
from client.oci.reference import Reference, parse_reference
from client.oci.signing import Attachment, attest_image, sign_image, statement_about, store
from client.oci.verification import Expected, ImageVerified, verify_attestations, verify_signatures
from client.oci.walking import Node, open_image
from client.sign import Signing
from client.verify.identity import IdentityPolicy
from client.verify.signed import ManagedKey
from sigcore.intoto import predicate_type_uri
from tests.unit.client.minisig import EMAIL, ISSUER, NOW, MiniSigstore, MiniTransport

APP = parse_reference("registry.example/team/app:1.0")
WHO = IdentityPolicy(ISSUER, EMAIL)
BOTH = tuple(Layout)
PREDICATE = {"buildDefinition": {}, "runDetails": {}}


@dataclass
class Place:
    """A registry and a Sigstore. ``email`` is who signs where nobody else is named."""

    registry: Registry
    sigstore: MiniSigstore
    email: str = EMAIL

    def signing(self, *, email: str = "", key: object = None, version: int | None = None) -> Signing:
        who = email or self.email
        signer = key or IdentityToken("the.jwt.text", ISSUER, "subject", who)
        return Signing(signer, self.sigstore.trust, MiniTransport(self.sigstore, who), version)

    async def open(self, ref: Reference = APP) -> Node:
        return await open_image(self.registry, ref)

    async def store(self, image: Node, made: Sequence[Attachment], at: Node | None = None) -> tuple[str, ...]:
        """``at``: another image than the one that was signed, as a liar does it."""
        where = at or image
        return await store(self.registry, home_of(where.ref), where.descriptor, made, NOW)

    async def sign(self, ref: Reference = APP, layouts: Sequence[Layout] = BOTH, **given) -> tuple[str, ...]:
        image = await self.open(ref)
        parts = {name: given.pop(name) for name in ("annotations", "claimed") if name in given}
        made = await sign_image(self.signing(**given), image, layouts=layouts, now=NOW, **parts)
        return await self.store(image, made)

    async def attest(
        self, ref: Reference = APP, layouts: Sequence[Layout] = BOTH, kind: str = "slsaprovenance1", **given
    ):
        image = await self.open(ref)
        predicate = given.pop("predicate", PREDICATE)
        statement = statement_about(image, predicate_type_uri(kind), predicate)
        made = await attest_image(self.signing(**given), image, statement, layouts=layouts, now=NOW)
        return await self.store(image, made)

    def expected(self, image: Node, who: IdentityPolicy | ManagedKey = WHO, **given) -> Expected:
        given.setdefault("repositories", (image.ref.name,))
        return Expected(self.sigstore.root, who, **given)

    async def verify(
        self, ref: Reference = APP, layouts: Sequence[Layout] = BOTH, who: IdentityPolicy | ManagedKey = WHO, **given
    ) -> tuple[ImageVerified, ...]:
        image = await self.open(ref)
        found = await read_signatures(self.registry, home_of(image.ref), layouts)
        return verify_signatures(found, image.ref.digest, self.expected(image, who, **given))[0]

    async def verify_attestation(
        self,
        ref: Reference = APP,
        layouts: Sequence[Layout] = BOTH,
        who: IdentityPolicy | ManagedKey = WHO,
        kind: str = "slsaprovenance1",
    ) -> tuple[ImageVerified, ...]:
        image = await self.open(ref)
        found = await read_attestations(self.registry, home_of(image.ref), layouts)
        expected = self.expected(image, who, predicate_type=predicate_type_uri(kind))
        return verify_attestations(found, image.ref.digest, expected)[0]
