# SPDX-License-Identifier: Apache-2.0
"""A certificate log in another process, over HTTP (RFC 6962 section 4.2), as the authority needs it.

Imports the client's transport, and with it all of aiohttp: only an authority that stands alone imports this.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import orjson

from client.transport import AiohttpTransport, call
from sigcore import limits, precertificate, sct
from sigcore.errors import Malformed, SigError, Unavailable
from sigcore.keys import PublicKey
from sigcore.sct import SignedCertificateTimestamp
from sigcore.strict import Fields, encode_base64, parse_base64
from sigcore.values import dataclass
from sigcore.x509 import parse_certificate
from stack.logs import ID_HEADER, request_id
from stack.service import working
from stack.shards import Shard

TRY_S: Final = 2.0
"""For one try; there are two, and sigstore-js waits 5 s for its certificate."""
TRIES: Final = 2
LOOK_S: Final = 1.0
"""Between two looks at a log that failed."""
FIRST: Final = Shard("ct", 1)
_SERVICE: Final = "the certificate log"
_JSON: Final = {"Content-Type": "application/json", "Accept": "application/json"}

_log = logging.getLogger("sigbox.ct")


def parse_sct_answer(data: bytes) -> SignedCertificateTimestamp:
    """The answer to add-chain and add-pre-chain (RFC 6962 section 4.1).

    Raises:
        Malformed: it is none, or of another version.
    """
    fields = Fields.parse(data, what="the log's answer", limit=limits.TEXT)
    version, timestamp_ms = fields.integer("sct_version"), fields.integer("timestamp")
    if version != 0 or not 0 <= timestamp_ms < 1 << 63:
        raise Malformed(f"the log's answer has version {version} and time {timestamp_ms}, expected version 0")
    algorithm, signature = sct.parse_digitally_signed(_octets(fields, "signature"))
    return SignedCertificateTimestamp(
        log_id=_octets(fields, "id"),
        timestamp_ms=timestamp_ms,
        extensions=_octets(fields, "extensions"),
        signature=signature,
        signature_algorithm=algorithm,
    )


def _octets(fields: Fields, name: str) -> bytes:
    return parse_base64(fields.text(name), what=f"the answer's {name}")


class RemoteLog:
    """The log at ``url`` whose SCTs verify with ``key``; see :class:`ca.ports.CertificateLog`.

    Args:
        url: of the log's first tree, what ``/ct/v1/`` follows, without a slash at its end.
        first: the tree that ``key`` is of.
        tls: what to trust for https; the system's authorities when None.
        try_s: seconds for one try.
    """

    def __init__(
        self,
        url: str,
        key: PublicKey,
        first: Shard = FIRST,
        *,
        tls: ssl.SSLContext | None = None,
        try_s: float = TRY_S,
    ) -> None:
        self._base = url
        self._url = self._first_url = f"{url}{first.prefix}"
        self._key = key
        self._tls = tls
        self._try_s = try_s
        self._transport: AiohttpTransport | None = None
        self._fault = ""

    def tree(self, number: int, key: PublicKey) -> RemoteTree:
        """Another tree of this log, below the same URL and over the same connections; that one is looked at from now on."""
        self._url = f"{self._base}{Shard('ct', number).prefix}"
        return RemoteTree(self, self._url, key)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connections for the length of a block, in which a log that failed is looked at until it answers again."""
        async with AiohttpTransport(tls=self._tls, timeout_s=self._try_s) as self._transport:
            await self._look()
            async with working(self._watch):
                yield

    def check(self, _now: datetime) -> None:
        """Raises Unavailable with the reason, while the log does not do its work."""
        if self._fault:
            raise Unavailable(f"the certificate log gives no promises: {self._fault}")

    async def add_pre_chain(self, chain: Sequence[bytes]) -> SignedCertificateTimestamp:
        """As :meth:`add`, to the log that this was made for."""
        return await self.add(self._first_url, self._key, chain)

    async def add(self, url: str, key: PublicKey, chain: Sequence[bytes]) -> SignedCertificateTimestamp:
        """As the Protocol says of ``add_pre_chain``, to the log at ``url``.

        1. Send the chain. Where no answer comes, or none that is whole, once more: it is the same precertificate, for which a
           log that has it already gives the same SCT.
        2. The answer is an SCT of this log for this precertificate, or it counts as none.

        Raises:
            Unavailable: there is no such SCT, for whatever reason; what the log holds now is not known.
        """
        try:
            stamp = parse_sct_answer(await self._send(url, chain))
            leaf, issuer = (parse_certificate(der, what="of our own chain") for der in chain[:2])
            sct.verify_sct(stamp, precertificate.precert_entry(leaf, issuer.spki), key)  # 2
        except Unavailable as error:
            self._failed(error.message)
            raise Unavailable(f"no certificate without the certificate log: {error.message}", error.hint) from error
        except SigError as error:
            self._failed(error.message)
            raise Unavailable(f"{_SERVICE} gave no good answer: {error.message}", "its operator must look") from error
        self._fault = ""
        return stamp

    async def _send(self, url: str, chain: Sequence[bytes]) -> bytes:  # 1
        body = orjson.dumps({"chain": [encode_base64(der) for der in chain]})
        for left in reversed(range(TRIES)):
            try:
                return await self._call("POST", f"{url}/ct/v1/add-pre-chain", body)
            except Unavailable as error:
                if not left:
                    raise
                _log.info("asked again: %s", error.message)
        raise AssertionError

    async def _call(self, method: str, url: str, body: bytes | None = None) -> bytes:
        if self._transport is None:
            raise Unavailable(f"{_SERVICE} is not connected")
        headers = dict(_JSON)
        if identifier := request_id.get():  # the log's lines about this certificate then have the authority's id
            headers[ID_HEADER] = identifier
        return await call(self._transport, method, url, service=_SERVICE, headers=headers, body=body, limit=limits.TEXT)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if self._fault:
                await self._look()

    async def _look(self) -> None:
        try:
            answer = await self._call("GET", f"{self._url}/ct/v1/get-sth")
            Fields.parse(answer, what="the log's tree head", limit=limits.TEXT).integer("tree_size")
        except SigError as error:
            self._failed(error.message)
            return
        if self._fault:
            _log.info("%s answers again", _SERVICE)
        self._fault = ""

    def _failed(self, reason: str) -> None:
        if reason != self._fault:
            _log.warning("%s", reason)
        self._fault = reason


@dataclass(frozen=True, slots=True)
class RemoteTree:
    """A tree that came after the one that ``log`` was made for; a :class:`ca.ports.CertificateLog`."""

    log: RemoteLog
    url: str
    key: PublicKey

    async def add_pre_chain(self, chain: Sequence[bytes]) -> SignedCertificateTimestamp:
        """As the Protocol says."""
        return await self.log.add(self.url, self.key, chain)
