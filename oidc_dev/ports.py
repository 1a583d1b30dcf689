# SPDX-License-Identifier: Apache-2.0
"""What the provider needs from others. Structural: whoever has the methods fits, no import needed."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from oidc_dev.claims import Identity


class Broker(Protocol):
    """Knows outside issuers whose tokens are exchanged for ours, and whom they speak of here (RFC 8693)."""

    async def identify(self, token: str, *, now: datetime) -> Identity:
        """The identity that ours says of the bearer of ``token``, a JWT of an outside issuer that is good at ``now``.

        The token is whatever somebody sent, at most a few KiB. Nothing that it names may be fetched; what was configured may.

        Raises:
            Malformed, Refused: it is none that counts; the message is for whoever sent it, so it says what was found and what was
                expected, and nothing of other people. Unavailable: the keys of its issuer cannot be had now.
        """
        ...
