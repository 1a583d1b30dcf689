# SPDX-License-Identifier: Apache-2.0
"""The authority: a checked request, a moment and a serial number in; a TimeStampResp out.

1. The policy is the authority's own (a request may leave it open).
2. The time is taken from the :class:`~tsa.timekeeper.TimeKeeper` and lies in the signer's validity.
3. The token repeats the request's imprint and nonce, and is signed; certificates only where they were asked for.

The caller gives a fresh random serial number per response and one reading of its clock.

Source: RFC 3161; policy and accuracy as sigstore/timestamp-authority has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sigcore import timestamp
from sigcore.errors import Refused, Unavailable
from sigcore.keys import PrivateKey
from sigcore.strict import encode_time, shown
from sigcore.timestamp import FailureInfo, Rejected, TimestampRequest
from sigcore.timestamp_signer import TimestampSigner
from sigcore.tst_info import TimestampInfo
from sigcore.values import dataclass
from sigcore.x509 import Certificate
from tsa.timekeeper import TimeKeeper

POLICY: Final = "1.3.6.1.4.1.57264.2"
"""The policy of sigstore's own authority, which its clients know."""
ACCURACY_US: Final = 1_000_000
"""genTime is cut to whole seconds."""
REMAINING: Final = timedelta(hours=24)
"""An authority whose certificates end sooner does not start."""


@dataclass(frozen=True, slots=True)
class TimestampAuthority:
    """One signer and its chain (leaf, intermediates, root). Make it with :meth:`of`."""

    signer: TimestampSigner
    chain: tuple[Certificate, ...]
    key: PrivateKey
    policy: str
    timekeeper: TimeKeeper

    def __repr__(self) -> str:
        return f"TimestampAuthority(signer={self.signer!r}, chain={self.chain!r}, policy={self.policy!r})"

    @classmethod
    def of(
        cls,
        key: PrivateKey,
        chain: Sequence[Certificate],
        *,
        now: datetime,
        policy: str = POLICY,
        timekeeper: TimeKeeper | None = None,
    ) -> TimestampAuthority:
        """An authority that has proved itself: its first token, issued for ``now`` and thrown away, verifies.

        Raises:
            Refused: the chain does not fit the key, does not hold now or in 24 hours, or is not one for timestamps.
        """
        if len(chain) < 2:
            raise Refused(f"the timestamp chain has {len(chain)} certificates, expected leaf to root")
        signer = TimestampSigner.of(key, chain[0], chain[1:-1])
        authority = cls(signer, tuple(chain), key, policy, timekeeper or TimeKeeper())
        for moment in (now, now + REMAINING):
            authority._prove(moment)
        return authority

    def _prove(self, moment: datetime) -> None:
        message = b"first timestamp"
        digest = self.signer.hash.digest(message)
        info = TimestampInfo(self.policy, self.signer.hash, digest, 1, moment, accuracy_us=ACCURACY_US)
        response = timestamp.parse_response(self.signer.encode_granted(info, certificates=True))
        timestamp.verify_response(response, message, chain=self.chain)

    def respond(self, request: TimestampRequest, *, now: datetime, serial: int) -> bytes:
        """The DER of a granted TimeStampResp.

        Args:
            request: from :func:`sigcore.timestamp.parse_request` or :func:`tsa.json_request.parse_json_request`.
            now: one reading of the caller's clock.
            serial: positive, unique among this signer's tokens; 64 random bits or more.

        Raises:
            Rejected: the request asks for another policy.
            Unavailable: the clock went back, or the signer's certificate is not valid now.
        """
        if request.policy not in (None, self.policy):
            raise Rejected(
                FailureInfo.UNACCEPTED_POLICY,
                f"the policy is {shown(request.policy)}",
                f"ask for {self.policy} or none",
            )
        time = self.timekeeper.advance(now)
        leaf = self.signer.certificate
        if not leaf.not_before <= time <= leaf.not_after:
            raise Unavailable(
                f"timeNotAvailable: the timestamp certificate is not valid at {encode_time(time)}",
                f"it is valid from {encode_time(leaf.not_before)} to {encode_time(leaf.not_after)}",
            )
        info = TimestampInfo(self.policy, request.hash, request.digest, serial, time, request.nonce, ACCURACY_US)
        return self.signer.encode_granted(info, certificates=request.certificates)


class Office:
    """The authority that answers now; another one may take its place while requests are served.

    ``check_clock`` is asked before each timestamp: it raises Unavailable where the clock is not to be trusted.
    """

    def __init__(self, authority: TimestampAuthority, check_clock: Callable[[], None] = lambda: None) -> None:
        self.authority = authority
        self.check_clock = check_clock
