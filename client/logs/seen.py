# SPDX-License-Identifier: Apache-2.0
"""The last checkpoint of each log that this user has seen, in a file, and what a new one must prove against it.

A log that shows two histories is caught by whoever keeps what it has signed. One file holds one checkpoint as it was signed:

    $SIGBOX_STATE, $XDG_STATE_HOME/sigbox or ~/.local/state/sigbox
    logs/<first half of the log's id>-<of SHA-256 of its origin>.checkpoint

A log of Rekor v1 has an origin for each of its trees, hence the second part.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Final

from client.files import read_file, save_whole
from client.logs.reader import Followed, SignedHead, signed_head
from sigcore import limits, merkle
from sigcore.errors import Refused, SigError
from sigcore.trustroot import LogInstance

_WHAT: Final = "the checkpoint that was seen last"


class Forked(Refused):
    """The log has signed two trees of which none is the beginning of the other, or went back.

    Args:
        message, hint: see :class:`SigError`.
        evidence: both signed heads, lines to keep.
    """

    def __init__(self, message: str, hint: str, evidence: str) -> None:
        super().__init__(message, hint)
        self.evidence = evidence


def state_folder(environ: Mapping[str, str]) -> str:
    """Where the checkpoints lie, or would lie."""
    home = environ.get("XDG_STATE_HOME") or os.path.join(environ.get("HOME") or "/nonexistent", ".local", "state")  # noqa: PTH118 - see client.files
    return os.path.join(environ.get("SIGBOX_STATE") or os.path.join(home, "sigbox"), "logs")  # noqa: PTH118 - the same


class SeenHeads:
    """The checkpoints in ``folder``; ``purpose`` names a set of its own (what a monitor has reported up to)."""

    def __init__(self, folder: str, purpose: str = "checkpoint") -> None:
        self._folder = folder
        self._purpose = purpose

    def path(self, log: LogInstance, origin: str) -> str:
        """The file of one log."""
        name = f"{log.log_id.hex()[:32]}-{hashlib.sha256(origin.encode()).hexdigest()[:32]}.{self._purpose}"
        return os.path.join(self._folder, name)  # noqa: PTH118 - see client.files

    def knows(self, log: LogInstance) -> bool:
        """Whether anything of ``log`` was seen."""
        head, tail = log.log_id.hex()[:32], f".{self._purpose}"
        try:
            names = os.listdir(self._folder)  # noqa: PTH208 - see client.files
        except FileNotFoundError:
            return False
        return any(name.startswith(f"{head}-") and name.endswith(tail) for name in names)

    def load(self, log: LogInstance, origin: str, generation: int) -> SignedHead | None:
        """What was seen last; None before the first. Malformed or Refused where the file is no checkpoint of the log."""
        path = self.path(log, origin)
        if not os.path.exists(path):  # noqa: PTH110 - see client.files
            return None
        text = read_file(path, what=_WHAT, limit=limits.NOTE).decode("utf-8", "replace")
        try:
            return signed_head(text, log, generation)
        except SigError as error:
            raise type(error)(f"{_WHAT}, in {path}, is none of this log: {error.message}", error.hint) from error

    def save(self, log: LogInstance, head: SignedHead) -> None:
        """Remember ``head``, durably. The caller has verified that it follows the one before."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)  # noqa: PTH103 - see client.files
        save_whole(head.envelope.encode("utf-8"), self.path(log, head.checkpoint.origin), what=_WHAT, mode=0o600)


async def verify_follows(reader: Followed, before: SignedHead, head: SignedHead) -> None:
    """That the tree of ``before`` is the beginning of that of ``head``.

    Raises:
        Forked: it is not, or ``head`` is smaller. Else as the reader.
    """
    if head.size < before.size:
        raise _forked("the log went back: it shows fewer entries than it has signed before", before, head)
    if head.size == before.size and head.root != before.root:
        raise _forked(f"the log has signed two different trees of {head.size} entries", before, head)
    proof = await reader.consistency(before.size, head.size, head) if 0 < before.size < head.size else ()
    try:
        if before.size:
            merkle.verify_consistency(
                first=before.size, second=head.size, first_root=before.root, second_root=head.root, proof=proof
            )
    except Refused as error:
        raise _forked(f"the log does not prove that it only grew: {error.message}", before, head) from error


async def follow(reader: Followed, seen: SeenHeads) -> tuple[SignedHead, SignedHead | None]:
    """The head of now and the one that was seen before it (None the first time); the head is remembered.

    1. Fetch the head and verify its signature.
    2. It must follow the one that was seen last.
    3. Remember it, where it is further, also than what another process has remembered meanwhile.

    Raises:
        Forked: see :func:`verify_follows`; what was seen stays remembered.
    """
    head = await reader.head()  # 1
    before = seen.load(reader.log, head.checkpoint.origin, reader.generation)
    if before is not None:
        await verify_follows(reader, before, head)  # 2
    latest = seen.load(reader.log, head.checkpoint.origin, reader.generation)
    if latest is None or latest.size < head.size:
        seen.save(reader.log, head)  # 3
    return head, before


def _forked(what: str, before: SignedHead, head: SignedHead) -> Forked:
    return Forked(
        what,
        "keep both: together they prove it, because the log has signed them. A copy that lags behind looks the same "
        "until it has caught up",
        f"--- seen before, size {before.size}:\n{before.envelope}--- shown now, size {head.size}:\n{head.envelope}---\n",
    )
