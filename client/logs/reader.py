# SPDX-License-Identifier: Apache-2.0
"""What both generations of Rekor have in common for a reader, and a certificate log with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Protocol

from client.logs.certificates import LoggedCertificate, read_tree_head
from client.verify.log import read_head
from sigcore import limits
from sigcore.checkpoint import Checkpoint
from sigcore.errors import Malformed
from sigcore.log_entry import LogEntry
from sigcore.merkle import Hash
from sigcore.strict import Fields
from sigcore.trustroot import LogInstance
from sigcore.values import dataclass

CT: Final = 0
"""The generation of a Certificate Transparency log: its heads are those of RFC 6962 and no notes."""


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A checkpoint, and the signed note (or tree head in JSON) that it was read from."""

    checkpoint: Checkpoint
    envelope: str

    @property
    def size(self) -> int:
        """Entries in the tree."""
        return self.checkpoint.size

    @property
    def root(self) -> Hash:
        """The root of the tree."""
        return self.checkpoint.root


def signed_head(envelope: str, log: LogInstance, generation: int) -> SignedHead:
    """The head that ``log`` has signed. Malformed and Refused: as :func:`client.verify.log.read_head`, or of a certificate log
    :func:`client.logs.certificates.read_tree_head`.
    """
    head = read_tree_head(envelope, log) if generation == CT else read_head(envelope, log, generation)
    return SignedHead(head, envelope)


def kind_and_version(body: bytes) -> tuple[str, str]:
    """What a body says that it is; of what is no such body, nothing."""
    try:
        fields = Fields.parse(body, what="the log entry", limit=limits.ENTRY)
        return fields.text("kind"), fields.text("apiVersion")
    except Malformed:
        return "", ""


class Followed(Protocol):
    """A log as it is followed. Every call raises Unavailable where nobody answers, ServiceRefused where the answer is no,
    Malformed where it is none, and Refused where it does not lead to a head that the log has signed.
    """

    log: LogInstance
    generation: int

    async def head(self) -> SignedHead:
        """The head of now, its signature verified."""
        ...

    async def consistency(self, first: int, second: int, head: SignedHead) -> tuple[Hash, ...]:
        """The proof between two sizes up to that of ``head``; the caller verifies it."""
        ...

    def entries(self, first: int, head: SignedHead) -> AsyncIterator[LogEntry] | AsyncIterator[LoggedCertificate]:
        """The entries of the tree from its leaf ``first`` on up to ``head``, each proved, in their order."""
        ...


class LogReader(Followed, Protocol):
    """A log of Rekor as it is read."""

    async def entry(self, index: int, head: SignedHead) -> LogEntry:
        """The entry at ``index`` (in v1 counted over all trees of the log), its inclusion proof verified.

        In v2 the proof is for ``head``; a log of v1 proves for the head that it has when it is asked.
        """
        ...

    async def find(self, entry_id: str) -> LogEntry:
        """The entry with a UUID or leaf hash, as :meth:`entry`. NotFound also where the log has no such look-up."""
        ...

    async def root(self, size: int, head: SignedHead) -> Hash:
        """The root of the first ``size`` entries. What it is worth the caller finds out with :meth:`consistency`."""
        ...

    def entries(self, first: int, head: SignedHead) -> AsyncIterator[LogEntry]:
        """The entries of the tree from its leaf ``first`` on up to ``head``, each as :meth:`entry`, in their order."""
        ...
