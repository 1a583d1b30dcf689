# SPDX-License-Identifier: Apache-2.0
"""What a log signs about itself, and the time it signs with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Protocol, TypeAlias

from sigcore import keys, merkle
from sigcore.checkpoint import Checkpoint, encode_checkpoint, verify_checkpoint
from sigcore.errors import Unavailable
from sigcore.floor import Floor
from sigcore.keys import PrivateKey, PublicKey
from sigcore.note import KEY_HASH_SIZE, Note, NoteSignature, encode_note, note_key
from sigcore.pace import MOST, Pace
from sigcore.strict import encode_base64, encode_time
from sigcore.values import dataclass

Clock: TypeAlias = Callable[[], datetime]

STEP_BACK_MS: Final = 5_000
"""A clock that is corrected by less is waited out by standing still; more is a fault that a person must look at."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


# --- time --------------------------------------------------------------------------------------------
class SigningClock:
    """Time for signatures: Unix milliseconds that never decrease, across restarts too.

    Args:
        clock: the time of day, UTC.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._floor = Floor()
        self._pace: Pace | None = None
        self.accepted = False
        """Somebody has said that the clock is right: what was signed with a time that is still to come counts no more."""

    def guard(self, ticks: Callable[[], float], *, accepted: bool = False) -> None:
        """Sign with no time to which the clock leaps forward from now on, as ``ticks`` show it (:class:`sigcore.pace.Pace`).

        ``accepted`` is as the attribute.
        """
        self._pace, self.accepted = Pace(self._clock(), ticks), accepted

    def check(self, now: datetime) -> None:
        """Raises Unavailable for a clock that has leapt forward."""
        if self._pace is not None:
            self._pace.check(now)

    def share(self, floor: Floor) -> None:
        """From now on the last answer counts that anybody gave who has ``floor`` too."""
        floor.raise_to(self._floor.value)
        self._floor = floor

    @property
    def signed_ms(self) -> int:
        """The last answer that was given; 0 for none."""
        return self._floor.value

    def raise_floor(self, timestamp_ms: int) -> None:
        """What was signed with already; no later answer is below it."""
        if not self.accepted or timestamp_ms <= _ms(self._clock()) + STEP_BACK_MS:
            self._floor.raise_to(timestamp_ms)

    def now_ms(self) -> int:
        """The time to put under a signature.

        Raises:
            Unavailable: the clock is more than :data:`STEP_BACK_MS` behind the last answer, or has leapt forward.
        """
        now = self._clock()
        self.check(now)
        now_ms = _ms(now)
        if now_ms < (floor_ms := self._floor.value) - STEP_BACK_MS:
            signed = encode_time(_EPOCH + timedelta(milliseconds=floor_ms))
            raise Unavailable(
                f"the clock is {(floor_ms - now_ms) // 1000} s behind {signed}, which was signed already",
                "set the clock right; if it is right now, and was ahead when that was signed: start once with --accept-clock",
            )
        self._floor.raise_to(now_ms)
        return self._floor.value

    def latest_ms(self) -> int:
        """As :meth:`now_ms`, for records that need not be right: stands still however far the clock is behind, or has leapt."""
        now = self._clock()
        if self._pace is None or self._pace.leap(now) <= MOST or not self._floor.value:
            self._floor.raise_to(_ms(now))
        return self._floor.value


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


# --- signatures ----------------------------------------------------------------------------------------
class HeadReader(Protocol):
    """Reads what one log signs about itself."""

    origin: str

    def verify(self, envelope: str) -> Checkpoint:
        """What a checkpoint of this log says. Malformed or Refused when it is not one."""
        ...


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed checkpoint, a note whose first line is the origin of its log, and what verifies its signature.

    A wrong one, from a fault in the machine, would be stored for good, and can betray the key: none is stored or shown before
    :meth:`verified` has returned.
    """

    envelope: str
    _verify: Callable[[], None]

    def verified(self) -> str:
        """The checkpoint, with a good signature. Refused: it is a wrong one."""
        self._verify()
        return self.envelope


class Publisher(HeadReader, Protocol):
    """Signs the head of one log, with ``key``; where that is in a device, whoever asks does not wait in the event loop."""

    key: PrivateKey

    def sign(self, size: int, root: bytes, timestamp_ms: int) -> Signed:
        """The checkpoint of a tree with ``size`` leaves."""
        ...


class CheckpointReader:
    """Reads C2SP checkpoints: Rekor. The time is not part of them.

    Args:
        origin: the first line of the checkpoint.
        key: the log's public key.
        signer: the name on the signature line where it is not the origin (Rekor v1).
    """

    def __init__(self, origin: str, key: PublicKey, *, signer: str | None = None) -> None:
        self.origin = origin
        self.note_key = note_key(origin if signer is None else signer, key)

    def verify(self, envelope: str) -> Checkpoint:
        """See :class:`HeadReader`."""
        return verify_checkpoint(envelope, self.note_key, allow_origin=self.origin)


class CheckpointPublisher(CheckpointReader):
    """And signs them, with the ``key`` of this log only."""

    def __init__(self, origin: str, key: PrivateKey, *, signer: str | None = None) -> None:
        super().__init__(origin, key.public_key(), signer=signer)
        self.key = key
        # The strict encoders read back what they write. Only three things differ from one checkpoint to the next, so that is done
        # once here; the tests compare.
        text = encode_checkpoint(Checkpoint(origin, 0, bytes(merkle.HASH_SIZE)))
        line = NoteSignature(self.note_key.name, self.note_key.id[:KEY_HASH_SIZE], bytes(64))
        self._line = encode_note(Note(text, (line,))).removeprefix(text).rpartition(" ")[0]
        """The empty line, and the signature's up to its name."""

    def sign(self, size: int, root: bytes, timestamp_ms: int) -> Signed:  # noqa: ARG002  # a checkpoint has no time
        """See :class:`Publisher`."""
        text = f"{self.origin}\n{size}\n{encode_base64(root)}\n"
        signed = text.encode()
        signature = keys.sign(self.key, signed)
        envelope = f"{text}{self._line} {encode_base64(self.note_key.id[:KEY_HASH_SIZE] + signature)}\n"
        what = "the checkpoint's own signature"
        return Signed(envelope, partial(keys.verify, self.note_key.key, signature, signed, what=what))
