# SPDX-License-Identifier: Apache-2.0
"""Who signed what a log holds, counted. Pure; the caller has led each entry to a head that the log has signed.

That an entry is in a log says nothing about whom it names: anybody can log a certificate that he made himself. So a signer counts when
the trusted root vouches for the certificate, as a verification would find it, and when the signature over the digest that was logged
holds. What only the log could look at, as it needs the text that was signed, are the signatures of envelopes (dsse, intoto) and rekord.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Final

from client.logs.decoded import read_content_or_nothing
from client.policy.learning import identity_of
from client.verify.certificate import verify_certificate
from client.verify.identity import Signer, read_signer
from client.verify.scts import verify_scts
from sigcore import entries, entries_v1, keys
from sigcore.errors import Refused, SigError
from sigcore.log_entry import LogEntry
from sigcore.strict import JSON
from sigcore.trustroot import TrustedRoot
from sigcore.values import dataclass
from sigcore.x509 import Certificate

UNREADABLE: Final = "entries that name nobody who can be read"
BROKEN: Final = "entries whose signature does not hold"
KEY: Final = "signatures by bare keys, which anybody can make (--keys takes them)"
UNTRUSTED: Final = "certificates that the trusted root does not vouch for"
UNSAYABLE: Final = "signers whom no policy can name exactly"
EARLIER: Final = "signatures before --since"
UNDATED: Final = "signatures that nothing dates, with --since"
SELDOM: Final = "signers with fewer signatures than --min-count"
_ATTESTING: Final = ("dsse", "intoto")


@dataclass(frozen=True, slots=True)
class LoggedSigner:
    """One identity, as a policy spells it, and what it signed. ``signatures`` are of digests, ``attestations`` of envelopes.

    ``first`` and ``last``: when the log took it, where it says so (Rekor v1); else when the certificate was issued, minutes before. None
    where neither is there.
    """

    identity: dict[str, JSON]
    signatures: int
    attestations: int
    first: datetime | None
    last: datetime | None

    @property
    def count(self) -> int:
        """Of both."""
        return self.signatures + self.attestations


class Tally:
    """Counts entry by entry.

    Args:
        root: whom to believe about certificates.
        since: what was signed before is left out.
        bare_keys: whether bare keys count too.
    """

    def __init__(self, root: TrustedRoot, *, since: datetime | None = None, bare_keys: bool = False) -> None:
        self.left_out: Counter[str] = Counter()
        """Why something was left out, and how often."""
        self._root = root
        self._since = since
        self._bare_keys = bare_keys
        self._signers: dict[str, LoggedSigner] = {}

    def add(self, entry: LogEntry) -> None:
        """Count the signers of ``entry``.

        1. It names nobody who can be read, or its signature is over a digest and does not hold: left out.
        2. A bare key counts where that was asked for.
        3. A certificate must be one that a verification would accept at its time.
        4. What was signed before ``since``, or nothing dates, is left out where that is given.
        5. An identity that no policy can spell exactly is left out.
        """
        content = read_content_or_nothing(entry.body)
        if not content.signers:
            self.left_out[UNREADABLE] += 1  # 1
            return
        try:
            _verify_signature(entry)
        except SigError:
            self.left_out[BROKEN] += 1
            return
        for one in content.signers:
            reason = self._count(one, _promised(entry), attests=content.kind.startswith(_ATTESTING))
            if reason:
                self.left_out[reason] += 1

    def _count(self, one: bytes | Certificate, promised: datetime | None, *, attests: bool) -> str:
        """Why it does not count; empty where it does."""
        time = promised
        if isinstance(one, bytes):
            if not self._bare_keys:
                return KEY  # 2
            signer, leaf = Signer(f"sha256:{keys.key_id(one).hex()}", "Key", ""), None
        else:
            leaf, time = one, promised or one.not_before
            try:
                signer = self._verified(leaf, time)  # 3
            except SigError:
                return UNTRUSTED
        if self._since is not None and (time is None or time < self._since):
            return UNDATED if time is None else EARLIER  # 4
        try:
            self._enter(identity_of(signer, leaf), time, attests=attests)
        except Refused:
            return UNSAYABLE  # 5
        return ""

    def _verified(self, leaf: Certificate, time: datetime) -> Signer:
        chain = verify_certificate(leaf, [time], self._root.certificate_authorities)
        verify_scts(leaf, chain[1], self._root.ct_logs)
        return read_signer(leaf)

    def _enter(self, identity: dict[str, JSON], time: datetime | None, *, attests: bool) -> None:
        place = json.dumps(identity, sort_keys=True)
        known = self._signers.get(place) or LoggedSigner(identity, 0, 0, None, None)
        times = [moment for moment in (known.first, known.last, time) if moment is not None]
        self._signers[place] = LoggedSigner(
            identity,
            known.signatures + (not attests),
            known.attestations + attests,
            min(times, default=None),
            max(times, default=None),
        )

    def signers(self, min_count: int = 1) -> tuple[LoggedSigner, ...]:
        """Those with at least ``min_count`` signatures, the busiest first; who is left out for it is counted too."""
        enough = [one for one in self._signers.values() if one.count >= min_count]
        if seldom := len(self._signers) - len(enough):
            self.left_out[SELDOM] = seldom
        return tuple(sorted(enough, key=lambda one: (-one.count, json.dumps(one.identity))))


def _verify_signature(entry: LogEntry) -> None:
    if entry.kind == "hashedrekord" and entry.version == entries.VERSION_002:
        entries.verify_entry(entries.parse_body(entry.body))
    elif entry.kind == "hashedrekord":
        entries_v1.parse_proposal(entry.body).verify()


def _promised(entry: LogEntry) -> datetime | None:
    """When the log took it, as its promise says (which the reader has verified); None where it says no moment of the calendar."""
    if entry.promise is None:
        return None
    try:
        return datetime.fromtimestamp(entry.integrated_time, UTC)
    except (OverflowError, ValueError, OSError):
        return None
