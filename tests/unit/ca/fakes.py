# SPDX-License-Identifier: Apache-2.0
"""A CA chain, and certificate logs that answer well, badly or not at all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from sigcore import certify, keys, precertificate, sct, x509
from sigcore.errors import Refused, Unavailable
from tests.unit.ca.tokens import NOW, SECONDS


@dataclass(frozen=True)
class Chain:
    """An issuing CA below a root."""

    key: object
    certificates: tuple[bytes, ...]

    @property
    def issuer(self):
        return x509.parse_certificate(self.certificates[0])


def make_chain(*, not_after=NOW + timedelta(days=365)):
    not_before = NOW.replace(microsecond=0) - timedelta(days=1)
    root_key, key = keys.generate_p256(), keys.generate_p256()
    not_after = not_after.replace(microsecond=0)
    root = certify.make_root(root_key, certify.Subject("test root", "tests", not_before, not_after))
    intermediate = certify.make_intermediate(
        x509.parse_certificate(root),
        root_key,
        keys.encode_public_key(key.public_key()),
        certify.Subject("test intermediate", "tests", not_before, not_after),
        eku=x509.EKU_CODE_SIGNING,
    )
    return Chain(key, (intermediate, root))


@dataclass
class FakeLog:
    """Signs SCTs; the faulty ones override ``stamp``."""

    key: object = field(default_factory=keys.generate_p256)
    chains: list = field(default_factory=list)

    async def add_pre_chain(self, chain):
        self.chains.append(tuple(chain))
        precert, issuer = (x509.parse_certificate(der) for der in chain[:2])
        return self.stamp(precertificate.precert_entry(precert, issuer.spki))

    def stamp(self, entry):
        return sct.sign_sct(entry, SECONDS * 1000, self.key)


class WrongKey(FakeLog):
    def stamp(self, entry):
        return sct.sign_sct(entry, SECONDS * 1000, keys.generate_p256())


class WrongEntry(FakeLog):
    def stamp(self, entry):
        return super().stamp(sct.PrecertEntry(b"\x00" * 32, entry.tbs))


class ChangedTime(FakeLog):
    def stamp(self, entry):
        good = super().stamp(entry)
        return sct.SignedCertificateTimestamp(good.log_id, good.timestamp_ms + 1, good.extensions, good.signature)


class OtherLogId(FakeLog):
    def stamp(self, entry):
        good = super().stamp(entry)
        return sct.SignedCertificateTimestamp(b"\x00" * 32, good.timestamp_ms, good.extensions, good.signature)


@dataclass
class Late(FakeLog):
    """Answers only when it is told to, if ever."""

    told: asyncio.Event = field(default_factory=asyncio.Event)

    async def add_pre_chain(self, chain):
        await self.told.wait()
        return await super().add_pre_chain(chain)


@dataclass
class OfAnotherTime(FakeLog):
    """A good SCT of a log whose clock is off."""

    seconds: int = 0

    def stamp(self, entry):
        return sct.sign_sct(entry, (SECONDS + self.seconds) * 1000, self.key)


@dataclass
class Crossed(FakeLog):
    """The first SCT again and again: good, and of another certificate from the second one on."""

    first: object = None

    def stamp(self, entry):
        self.first = self.first or super().stamp(entry)
        return self.first


class Down(FakeLog):
    def stamp(self, _):
        raise Unavailable("the log is being restarted")


class Unwilling(FakeLog):
    def stamp(self, _):
        raise Refused("the root is not one of mine")


class Broken(FakeLog):
    def stamp(self, _):
        raise RuntimeError("secret detail")
