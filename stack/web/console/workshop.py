# SPDX-License-Identifier: Apache-2.0
"""Signs as throw-away identities, as anybody's client would: through the services of this stack, over its own URL.

Only where the control API is, which mints tokens for anybody and lives in stacks that end with their process. The client has
no way in here that others have not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Final

from client.fulcio import Issued
from client.identity import IdentityToken, parse_identity_token
from client.rekor import add_entry
from client.sign import Certified, Signing, attest, choose_services, sign_blob
from client.transport import AiohttpTransport, ServiceRefused, Transport, call, tls_context
from client.trust import Trust, load_trust
from client.tsa import request_timestamp
from client.verify.signed import read_signed
from sigcore import keys
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import Bundle, MessageSignature
from sigcore.errors import Malformed
from sigcore.keys import PrivateKey
from sigcore.strict import JSON, Fields
from sigcore.trustroot import TrustedRoot
from stack.config import Home, Settings

AT_ONCE: Final = 2
"""Signings; who comes later waits. The stack serves others too."""
_PATIENCE_S: Final = 20.0
Clock = Callable[[], datetime]


class Bench:
    """One reader's turn."""

    def __init__(self, settings: Settings, trust: Trust, transport: Transport, clock: Clock) -> None:
        self._settings, self._trust, self._transport = settings, trust, transport
        self.clock = clock
        """The stack's."""
        self.issued: list[Issued] = []
        """The certificates of this turn, with what was shown for them."""

    @property
    def root(self) -> TrustedRoot:
        """What the stack's clients trust."""
        return self._trust.root

    async def identify(self, persona: JSON) -> IdentityToken:
        """A token for ``persona``, in the members of :class:`stack.personas.Persona`.

        Raises:
            Malformed: the provider states no such identity.
        """
        try:
            answer = await call(
                self._transport,
                "POST",
                f"{self._settings.url}/_ctl/token",
                service="the provider",
                headers={"Content-Type": "application/json"},
                body=json.dumps(persona).encode("utf-8", "surrogatepass"),
            )
        except ServiceRefused as error:
            raise Malformed(error.message, "an identity is an email address, such as alice@example.com") from error
        fields = Fields.parse(answer, what="the provider's answer", limit=1 << 16)
        return parse_identity_token(fields.text("token", limit=1 << 16))

    async def sign(self, signer: IdentityToken | PrivateKey, data: bytes) -> Bundle:
        """A bundle for ``data``. Errors as :func:`client.sign.sign_blob`; Malformed where the authority certifies no such name."""
        digest = HashAlgorithm.SHA2_256.digest(data)
        with _judged():
            return await sign_blob(self._signing(signer), digest, now=self.clock())

    async def attest(self, signer: IdentityToken, statement: bytes) -> Bundle:
        """A bundle with ``statement``; errors as :meth:`sign`."""
        with _judged():
            return await attest(self._signing(signer), statement, now=self.clock())

    async def sign_with(self, certified: Certified, data: bytes) -> Bundle:
        """As :meth:`sign`, but without a look at the certificate: a forger does not stop at that.

        Clock and log witness the signature all the same: that is not what they judge.
        """
        now, digest = self.clock(), HashAlgorithm.SHA2_256.digest(data)
        services = choose_services(self._trust.config, now, certify=True, rekor_version=None)
        content = MessageSignature(HashAlgorithm.SHA2_256, digest, keys.sign_digest(certified.key, digest))
        draft = Bundle(certified.certificate, (), (), content)
        stamps = [
            await request_timestamp(self._transport, authority.url, draft.signature, root=self.root)
            for authority in services.timestamp_authorities
        ]
        signed = read_signed(draft, digest, None)
        logged = [await add_entry(self._transport, log, signed, root=self.root, now=now) for log in services.logs]
        return replace(draft, log_entries=tuple(logged), timestamps=tuple(stamps))

    def _signing(self, signer: IdentityToken | PrivateKey) -> Signing:
        return Signing(signer, self._trust, self._transport, on_issued=self.issued.append)


@contextmanager
def _judged() -> Iterator[None]:
    """What a service says no to is the reader's to change."""
    try:
        yield
    except ServiceRefused as error:
        raise Malformed(error.message, error.hint) from error


class Workshop:
    """Where readers take turns."""

    def __init__(self, home: Home, settings: Settings, clock: Clock) -> None:
        self._home, self._settings, self._clock = home, settings, clock
        self._turns = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Bench]:
        """A connection to the services. Raises Unavailable, NotFound or Malformed where they or the trust root are not there."""
        home = self._home
        async with self._turns:
            trust = load_trust(trust_config=home.trust_config)
            tls = tls_context(str(home.tls_ca)) if home.tls_ca.exists() else None
            async with AiohttpTransport(tls=tls, timeout_s=_PATIENCE_S) as transport:
                yield Bench(self._settings, trust, transport, self._clock)
