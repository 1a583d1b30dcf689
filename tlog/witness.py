# SPDX-License-Identifier: Apache-2.0
"""Cosignatures that are given: a witness of other people's logs.

One request (:meth:`Witness.add`):

1. Read it: ``old`` and a size, the consistency proof, an empty line, the checkpoint.                  Malformed
2. The origin must be of a log that is witnessed, ...                                                 NotFound
3. ... and one of its keys must have signed; signatures of other keys are ignored.                    Unsigned
4. The old size must not be above the checkpoint's.                                                   Malformed
5. The old size must be that of the last checkpoint that was cosigned, 0 where there was none.        Conflict
6. Equal sizes: equal roots. The same size with another root is a fork.                               Conflict
7. Otherwise the proof must lead from the stored root to the new one; none from size 0.               Refused
8. Store the checkpoint, if what is stored is still what (5) has seen: compare and swap, durable.     Conflict
9. Only then cosign it, with a time that never goes back.

A race of two requests ends in (8) for one of them, so the stored size never decreases.

Source: C2SP tlog-witness, "add-checkpoint". The same size with another root is 409 there; earlier drafts said 422.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric import ed25519

from sigcore import merkle
from sigcore.checkpoint import Checkpoint, parse_checkpoint
from sigcore.cosignature import CosignerKey, cosign, cosigner_key
from sigcore.errors import Malformed, NotFound, Refused, SigError
from sigcore.merkle import HASH_SIZE, Hash
from sigcore.note import Note, NoteKey, encode_note, parse_note, verify_note
from sigcore.strict import encode_base64, parse_base64, parse_decimal, shown
from sigcore.values import dataclass
from tlog.publish import SigningClock

PROOF_LINES: Final = 63
"""C2SP tlog-witness: a client must not send more."""
_OLD: Final = "old "

_log = logging.getLogger(__name__)

Logs = Mapping[str, Sequence[NoteKey]]
"""The logs that are witnessed: their keys by origin."""


class Unsigned(Refused):
    """None of the log's keys has signed the checkpoint."""


class Conflict(Refused):
    """The witness is at another size, or at another tree of this size. ``size`` is that of the last checkpoint that it cosigned."""

    def __init__(self, message: str, hint: str = "", *, size: int) -> None:
        super().__init__(message, hint)
        self.size = size


@dataclass(frozen=True, slots=True)
class Seen:
    """The largest checkpoint of a log that was cosigned, and when (Unix milliseconds)."""

    size: int
    root: Hash
    time_ms: int


class WitnessStore(Protocol):
    """Durable memory of one checkpoint for each log."""

    async def read(self, origin: str) -> Seen | None:
        """What is stored; None where nothing is. Unavailable: the storage failed."""
        ...

    async def swap(self, origin: str, previous: Seen | None, current: Seen) -> bool:
        """Store ``current`` if ``previous`` is what is stored; whether it was. It is durable when this returns. Unavailable: the storage failed."""
        ...

    async def latest_ms(self) -> int:
        """The highest time that was ever stored, of any log."""
        ...


class MemoryWitnessStore:
    """A :class:`WitnessStore` as durable as the object: for tests and ephemeral stacks."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}

    async def read(self, origin: str) -> Seen | None:
        """See :class:`WitnessStore`."""
        return self._seen.get(origin)

    async def swap(self, origin: str, previous: Seen | None, current: Seen) -> bool:
        """See :class:`WitnessStore`."""
        if self._seen.get(origin) != previous:
            return False
        self._seen[origin] = current
        return True

    async def latest_ms(self) -> int:
        """See :class:`WitnessStore`."""
        return max((seen.time_ms for seen in self._seen.values()), default=0)


@dataclass(frozen=True, slots=True)
class Request:
    """What a log sends: the size that it believes the witness to be at, the proof from there, the signed checkpoint."""

    old: int
    proof: tuple[Hash, ...]
    note: Note
    checkpoint: Checkpoint


def parse_witness_request(body: bytes) -> Request:
    """The body of ``add-checkpoint``. Malformed: it is none."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("the request is not UTF-8") from error
    head, separator, signed = text.partition("\n\n")
    first, *lines = head.split("\n")
    if not separator or not first.startswith(_OLD):
        raise Malformed("the request does not begin with a line `old SIZE` and a proof that ends with an empty line")
    if len(lines) > PROOF_LINES:
        raise Malformed(f"the consistency proof has {len(lines)} lines, the limit is {PROOF_LINES}")
    proof = tuple(parse_base64(line, what="a line of the consistency proof") for line in lines)
    if any(len(hash_) != HASH_SIZE for hash_ in proof):
        raise Malformed(f"a line of the consistency proof does not hold {HASH_SIZE} bytes")
    note = parse_note(signed)
    old = parse_decimal(first.removeprefix(_OLD), what="the old size")
    return Request(old, proof, note, parse_checkpoint(note.text))


def encode_witness_request(old: int, proof: Sequence[Hash], envelope: str) -> bytes:
    """What :func:`parse_witness_request` reads; ``envelope`` is the signed checkpoint."""
    lines = "".join(f"{encode_base64(hash_)}\n" for hash_ in proof)
    return f"{_OLD}{old}\n{lines}\n{envelope}".encode()


class Witness:
    """See the module.

    Args:
        name, key: who cosigns; the key is for this alone.
        logs: gives the logs that are witnessed at this moment.
        store: where their checkpoints are kept.
        clock: the time of the cosignatures; :meth:`start` tells it what was signed with before.
    """

    def __init__(
        self,
        name: str,
        key: ed25519.Ed25519PrivateKey,
        logs: Callable[[], Logs],
        store: WitnessStore,
        clock: SigningClock,
    ) -> None:
        self._name = name
        self._key = key
        self._logs = logs
        self._store = store
        self._clock = clock
        self._floored = False
        self._told: dict[str, str] = {}
        """What the process's log says of a witnessed log already: whoever is refused comes again and again."""

    @property
    def public(self) -> CosignerKey:
        """What its cosignatures are verified with."""
        return cosigner_key(self._name, self._key.public_key())

    async def add(self, body: bytes) -> str:
        """The cosignature of the checkpoint in ``body``, as a line of a note. Errors: see the module."""
        request = parse_witness_request(body)
        checkpoint = request.checkpoint
        self._check_signed(request)
        if request.old > checkpoint.size:
            raise Malformed(f"the old size is {request.old}, the checkpoint's is {checkpoint.size}")
        seen = await self._store.read(checkpoint.origin)
        self._check_follows(request, seen)
        current = Seen(checkpoint.size, checkpoint.root, await self._now_ms())
        if not await self._store.swap(checkpoint.origin, seen, current):
            now = await self._store.read(checkpoint.origin)
            raise Conflict("another checkpoint of this log came first", "ask again", size=now.size if now else 0)
        line = cosign(request.note.text, self._name, self._key, current.time_ms // 1000).line
        return encode_note(Note(request.note.text, (line,))).removeprefix(f"{request.note.text}\n")

    def _check_signed(self, request: Request) -> None:
        origin = request.checkpoint.origin
        known = self._logs().get(origin)
        if not known:
            raise NotFound(
                f"the log {shown(origin)} is not witnessed here", "its key is added with: sigbox witness add"
            )
        refusals = []
        for key in known:
            try:
                verify_note(request.note, key)
            except SigError as error:
                refusals.append(error.message)
            else:
                return
        raise Unsigned(refusals[-1])

    def _check_follows(self, request: Request, seen: Seen | None) -> None:
        """Steps 5 to 7."""
        checkpoint, size = request.checkpoint, seen.size if seen else 0
        if request.old != size:
            raise Conflict(f"the last checkpoint cosigned here has size {size}, not {request.old}", size=size)
        if seen is None or size == 0:
            if request.proof:
                raise Refused("the consistency proof from size 0 is not empty")
            if checkpoint.size == 0 and checkpoint.root != merkle.EMPTY_ROOT:
                raise Refused("the checkpoint of an empty tree has another root than the empty tree")
            return
        if checkpoint.size == size and checkpoint.root != seen.root:
            self._tell(checkpoint.origin, f"a fork: two trees of {size} entries are signed")
            raise Conflict(f"another tree of {size} entries was cosigned: the log is forked", size=size)
        try:
            merkle.verify_consistency(
                first=size,
                second=checkpoint.size,
                first_root=seen.root,
                second_root=checkpoint.root,
                proof=request.proof,
            )
        except SigError as error:
            self._tell(checkpoint.origin, f"at size {checkpoint.size}: {error.message}")
            raise Refused(error.message) from error

    def _tell(self, origin: str, why: str) -> None:
        if self._told.get(origin) != why:
            self._told[origin] = why
            _log.error("not cosigned, the log %s, %s", origin, why)

    async def _now_ms(self) -> int:
        if not self._floored:
            self._clock.raise_floor(await self._store.latest_ms())
            self._floored = True
        return self._clock.now_ms()
