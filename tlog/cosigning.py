# SPDX-License-Identifier: Apache-2.0
"""Cosignatures that are asked for: the witnesses of one log, and how many of them a checkpoint must have.

For each checkpoint, of all witnesses at once:

1. Ask with the size that the witness was at when it answered last, 0 before, and the proof from there.
2. Where it says that it is at another size (409), ask once more from there. When that is beyond this log, or the same with another
   root, the log is forked or an old copy of it was put in place: said aloud, and no cosignature.
3. Only a line that the witness's key has signed counts.
4. With a quorum: fewer cosignatures than that are Unavailable, and the checkpoint is not shown. Without one (0) what has come is
   taken, and a witness that did not answer is left alone for a while, so that nobody waits for it each time.

What the caller must do before: commit the checkpoint and record it in the anchor. A witness never forgets what it was asked for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sigcore import limits
from sigcore.cosignature import CosignerKey, verify_cosignature
from sigcore.errors import Malformed, Refused, SigError, Unavailable
from sigcore.merkle import Hash
from sigcore.note import Note, NoteSignature, encode_note, parse_note
from sigcore.strict import parse_decimal, shown
from sigcore.values import dataclass
from tlog.witness import encode_witness_request

PATIENCE_S: Final = 2.0
"""For one checkpoint, all requests to one witness together."""
REST_S: Final = 5.0
"""How long a witness that failed is left alone where its cosignature is not needed."""

_OLD_COPY: Final = "an old copy of it was put in place, or the log is forked"
_WORDS: Final = 200
"""Characters of a witness's words in a message."""

Prove = Callable[[int], Awaitable[tuple[Hash, ...]]]
"""The consistency proof from a smaller size."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a witness answered: HTTP status and body."""

    status: int
    body: bytes


Ask = Callable[[bytes], Awaitable[Answer]]
"""One request to a witness. SigError: it did not answer."""


class Asked:
    """One witness, from the side of one log, and what has come of asking it."""

    def __init__(self, key: CosignerKey, ask: Ask, ticks: Callable[[], float] = time.monotonic) -> None:
        self.key = key
        self._ask = ask
        self._ticks = ticks
        self._rests_until = 0.0
        self.seen = 0
        """The size that it was at when it answered last."""
        self.cosigned = 0
        self.failed = 0
        self.fault = ""
        """Why it gave no cosignature when it was asked last; empty when it did."""

    @property
    def resting(self) -> bool:
        """It has failed a moment ago."""
        return self._ticks() < self._rests_until

    async def cosign(self, note: Note, envelope: str, size: int, prove: Prove) -> str:
        """Its line for the checkpoint, or nothing: then :attr:`fault` says why."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                line = await self._line(note, envelope, size, prove)
        except TimeoutError:
            self._failed(f"it did not answer within {PATIENCE_S:g} s")
        except SigError as error:
            self._failed(error.message)
        else:
            if self.fault:
                _log.info("the witness %s cosigns again", self.key.name)
            self.seen, self.fault, self._rests_until = size, "", 0.0
            self.cosigned += 1
            return line
        return ""

    def _failed(self, why: str) -> None:
        self.failed += 1
        self._rests_until = self._ticks() + REST_S
        if why != self.fault:
            _log.error("no cosignature of the witness %s: %s", self.key.name, why)
        self.fault = why

    async def _line(self, note: Note, envelope: str, size: int, prove: Prove) -> str:
        old = min(self.seen, size)
        answer = await self._bring(old, envelope, prove)
        if answer.status == 409:
            old = self._corrected(answer.body, old, size)
            answer = await self._bring(old, envelope, prove)
        if answer.status == 409:
            self._corrected(answer.body, old, size)
        if answer.status == 422 and old:
            raise Refused(f"it has seen another tree of {old} entries than this log has grown from: {_OLD_COPY}")
        if answer.status != 200:
            said = shown(answer.body.decode("utf-8", "replace").strip(), _WORDS)
            raise Unavailable(f"it answered {answer.status}: {said}")
        return _checked(note, self.key, answer.body)

    def _corrected(self, body: bytes, old: int, size: int) -> int:
        """The size that it says it is at, and not at ``old``. Refused: that cannot be."""
        self.seen = parse_decimal(body.decode("ascii", "replace").removesuffix("\n"), what="its answer")
        if self.seen > size:
            raise Refused(f"it has seen {self.seen} entries of this log, which has {size}: {_OLD_COPY}")
        if self.seen == old:
            raise Refused(f"it has seen another tree of {old} entries: the log is forked")
        return self.seen

    async def _bring(self, old: int, envelope: str, prove: Prove) -> Answer:
        proof = await prove(old) if old else ()
        return await self._ask(encode_witness_request(old, proof, envelope))


def _checked(note: Note, key: CosignerKey, body: bytes) -> str:
    """The one line of ``key`` in an answer. Refused, Malformed: there is none."""
    if len(body) > limits.NOTE:
        raise Malformed("its answer is too long")
    answered = parse_note(f"{note.text}\n{body.decode('utf-8', 'replace')}")
    found = verify_cosignature(Note(note.text, answered.signatures), key)
    return _encode_line(note, found.line)


def _encode_line(note: Note, line: NoteSignature) -> str:
    return encode_note(Note(note.text, (line,))).removeprefix(f"{note.text}\n")


class Cosigners:
    """The witnesses of one log, and the ``quorum`` of them that its checkpoints must have; 0 for as many as answer."""

    def __init__(self, witnesses: Sequence[Asked], quorum: int) -> None:
        self.witnesses = tuple(witnesses)
        self.quorum = quorum

    async def cosign(self, envelope: str, size: int, prove: Prove, *, shown: str = "") -> str:
        """The signed checkpoint with the cosignatures that came.

        Args:
            envelope: signed by the log alone.
            size: of its tree.
            prove: gives consistency proofs up to there.
            shown: the same with cosignatures that are there already, which are not asked for again.

        Raises:
            Unavailable: fewer than the quorum came.
        """
        note = parse_note(envelope)
        lines = self._lines(note, shown)
        wanted = [one for one in self.witnesses if one.key.hash not in lines]
        resting = [one for one in wanted if one.resting]
        lines |= await _gathered([one for one in wanted if one not in resting], note, envelope, size, prove)
        if len(lines) < self.quorum:
            lines |= await _gathered(resting, note, envelope, size, prove)
        if len(lines) < self.quorum:
            faults = "; ".join(f"{one.key.name}: {one.fault}" for one in self.witnesses if one.fault)
            raise Unavailable(
                f"{len(lines)} of its witnesses cosigned, {self.quorum} must ({faults})",
                "the entry may be in the log by then; it takes entries again when enough witnesses answer",
            )
        return envelope + "".join(lines[one.key.hash] for one in self.witnesses if one.key.hash in lines)

    def _lines(self, note: Note, shown: str) -> dict[bytes, str]:
        found = parse_note(shown).signatures if shown else ()
        known = {one.key.hash for one in self.witnesses}
        return {line.key_hash: _encode_line(note, line) for line in found if line.key_hash in known}

    def lacking(self, envelope: str) -> bool:
        """Whether somebody's cosignature is missing who may be asked now."""
        there = {line.key_hash for line in parse_note(envelope).signatures}
        missing = [one for one in self.witnesses if one.key.hash not in there]
        return len(self.witnesses) - len(missing) < self.quorum or not all(one.resting for one in missing)


async def _gathered(witnesses: Sequence[Asked], note: Note, envelope: str, size: int, prove: Prove) -> dict[bytes, str]:
    lines = await asyncio.gather(*(one.cosign(note, envelope, size, prove) for one in witnesses))
    return {one.key.hash: line for one, line in zip(witnesses, lines, strict=True) if line}
