# SPDX-License-Identifier: Apache-2.0
r"""Policies about logs and their witnesses: which logs count, and whose cosignatures a checkpoint must have.

    log <vkey> [<url>]                      a log that counts; none: the reader knows by other means which do
    witness <name> <vkey> [<url>]           a witness, under a name of this file
    group <name> any|all|<k> <member>...    has witnessed a checkpoint when so many of its members have
    quorum <name>|none                      the witness or group that must have; exactly one such line

The file is octets. A line ends with a newline, its items stand apart by spaces and tabs; empty lines, and lines that begin with #,
say nothing. Names are opaque octets. Witnesses and groups share one set of names, each defined before it is used, each a member of at
most one group: so no witness counts twice. Two keys are the same where the key itself is, under whatever name.

Here a name is text in which an octet that is no UTF-8 is a lone surrogate (PEP 383): the same octets are the same text.

Source: C2SP tlog-policy. Not done: witnesses with ML-DSA-44 keys, which are refused by name. Decided here: what the specification
does not say of lines that are no line of its own, they are refused, and so is a last line without its newline: the rest may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeVar

from sigcore import keys, limits
from sigcore.checkpoint import parse_checkpoint
from sigcore.cosignature import (
    Cosignature,
    CosignerKey,
    encode_log_verifier,
    encode_witness_verifier,
    parse_log_verifier,
    parse_witness_verifier,
    verify_cosignature,
)
from sigcore.errors import Malformed, Refused, SigError
from sigcore.note import KEY_HASH_SIZE, Note, NoteKey, parse_note, verify_note
from sigcore.patterns import pattern
from sigcore.strict import parse_decimal, shown
from sigcore.values import dataclass

NONE: Final = "none"
"""The quorum of nobody."""
_ANY: Final = "any"
_ALL: Final = "all"
_FOREIGN = pattern(rb"[^\t\n -~\x80-\xff]")
_NAMED: Final = 8
"""Names in a message."""
_LONG: Final = 500
"""Characters of a rule in a message."""
_Row = TypeVar("_Row")


class NotCosigned(Refused):
    """The quorum has not cosigned a checkpoint. Nothing is wrong with it otherwise."""


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """A log that counts. The name of its key is its origin."""

    key: NoteKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class PolicyWitness:
    """A witness; ``name`` is that of the file, the key has one of its own."""

    name: str
    key: CosignerKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class PolicyGroup:
    """Has witnessed what at least ``threshold`` of its members have."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TlogPolicy:
    """``quorum`` is the name of a witness or group, or :data:`NONE`. Groups stand after their members."""

    logs: tuple[PolicyLog, ...]
    witnesses: tuple[PolicyWitness, ...]
    groups: tuple[PolicyGroup, ...]
    quorum: str


# --- bytes <-> policies ------------------------------------------------------------------------------
def parse_tlog_policy(data: bytes) -> TlogPolicy:
    """The policy in a file.

    Raises:
        Malformed: something is against the format; the message names the line. Refused: a weak key.
    """
    if len(data) > limits.TLOG_POLICY:
        raise Malformed(f"the witness policy is {len(data)} bytes long, the limit is {limits.TLOG_POLICY}")
    if found := _FOREIGN.search(data):
        hint = "lines end with a newline alone" if found[0] == b"\r" else ""
        place = data.count(b"\n", 0, found.start()) + 1
        raise Malformed(f"line {place} of the witness policy has the octet {found[0][0]:#04x}", hint)
    if data and not data.endswith(b"\n"):
        raise Malformed("the last line of the witness policy does not end with a newline", "is the file whole?")
    reading = _Reading()
    for number, line in enumerate(data.split(b"\n"), 1):
        items = line.decode("utf-8", "surrogateescape").replace("\t", " ").split(" ")
        if words := [item for item in items if item]:
            try:
                reading.line(words)
            except SigError as error:
                raise type(error)(f"line {number} of the witness policy: {error.message}", error.hint) from error
    return reading.policy()


def encode_tlog_policy(policy: TlogPolicy) -> bytes:
    """The file, without comments.

    Raises:
        Malformed: the parts do not make a policy that :func:`parse_tlog_policy` would read back.
    """
    rows: list[tuple[str, ...]] = [("log", encode_log_verifier(log.key), log.url) for log in policy.logs]
    rows += [("witness", one.name, encode_witness_verifier(one.key), one.url) for one in policy.witnesses]
    rows += [("group", group.name, _threshold(group), *group.members) for group in policy.groups]
    rows.append(("quorum", policy.quorum))
    text = "".join(f"{' '.join(row).rstrip(' ')}\n" for row in rows)
    data = text.encode("utf-8", "surrogateescape")
    if parse_tlog_policy(data) != policy:
        raise Malformed("a name or URL of the witness policy has white space, or a group stands before its members")
    return data


def _threshold(group: PolicyGroup) -> str:
    if group.threshold == len(group.members):
        return _ALL
    return _ANY if group.threshold == 1 else str(group.threshold)


class _Reading:
    """A file as far as it was read."""

    def __init__(self) -> None:
        self._logs: dict[bytes, PolicyLog] = {}
        self._witnesses: dict[bytes, PolicyWitness] = {}
        self._groups: list[PolicyGroup] = []
        self._free: dict[str, bool] = {}
        """The names that are defined, and whether they are still in no group."""
        self._quorum = ""
        self._kinds: dict[str, Callable[[Sequence[str]], None]] = {
            "log": self._log,
            "witness": self._witness,
            "group": self._group,
            "quorum": self._quorum_line,
        }

    def line(self, words: Sequence[str]) -> None:
        """Take one line that is not empty."""
        if words[0].startswith("#"):
            return
        if (read := self._kinds.get(words[0])) is None:
            raise Malformed(f"it begins with {shown(words[0])}, expected {', '.join(self._kinds)} or a comment")
        read(words[1:])

    def policy(self) -> TlogPolicy:
        """All of it."""
        if not self._quorum:
            raise Malformed("the witness policy has no line `quorum`", "quorum none demands no cosignature")
        logs, witnesses = tuple(self._logs.values()), tuple(self._witnesses.values())
        return TlogPolicy(logs, witnesses, tuple(self._groups), self._quorum)

    def _log(self, words: Sequence[str]) -> None:
        _check_count(words, 1, 2, "log VKEY [URL]")
        key = parse_log_verifier(_ascii_or_utf8(words[0]))
        _add(self._logs, keys.encode_public_key(key.key), PolicyLog(key, *words[1:]), "log")

    def _witness(self, words: Sequence[str]) -> None:
        _check_count(words, 2, 3, "witness NAME VKEY [URL]")
        self._define(words[0])
        key = parse_witness_verifier(_ascii_or_utf8(words[1]))
        witness = PolicyWitness(words[0], key, *words[2:])
        _add(self._witnesses, key.key.public_bytes_raw(), witness, "witness")

    def _group(self, words: Sequence[str]) -> None:
        _check_count(words, 3, limits.TLOG_POLICY_ROWS, "group NAME any|all|K MEMBER...")
        (name, how), members = words[:2], tuple(words[2:])
        for member in members:
            if member not in self._free:
                raise Malformed(f"{shown(member)} is no witness or group of a line before", "define it first")
            if not self._free[member]:
                raise Malformed(f"{shown(member)} is in a group already", "it would count twice")
            self._free[member] = False
        self._define(name)
        threshold = {_ANY: 1, _ALL: len(members)}.get(how) or parse_decimal(how, what="the threshold")
        if not 1 <= threshold <= len(members):
            raise Malformed(f"the threshold is {threshold}, expected any, all, or 1 to {len(members)}")
        self._groups.append(PolicyGroup(name, threshold, members))
        if len(self._groups) > limits.TLOG_POLICY_ROWS:
            raise Malformed(f"it is one group too many, the limit is {limits.TLOG_POLICY_ROWS}")

    def _quorum_line(self, words: Sequence[str]) -> None:
        _check_count(words, 1, 1, "quorum NAME")
        if self._quorum:
            raise Malformed("it is a second line `quorum`, expected exactly one")
        if words[0] != NONE and words[0] not in self._free:
            raise Malformed(f"{shown(words[0])} is no witness or group of a line before", "define it first")
        self._quorum = words[0]

    def _define(self, name: str) -> None:
        if name == NONE or name in self._free:
            raise Malformed(f"the name {shown(name)} is taken", "witnesses and groups share one set of names")
        self._free[name] = True


def _add(rows: dict[bytes, _Row], key: bytes, row: _Row, what: str) -> None:
    if key in rows:
        raise Malformed(f"it has the key of another {what}", "one key is one party, under whatever name")
    rows[key] = row
    if len(rows) > limits.TLOG_POLICY_ROWS:
        raise Malformed(f"it is one {what} too many, the limit is {limits.TLOG_POLICY_ROWS}")


def _check_count(words: Sequence[str], least: int, most: int, form: str) -> None:
    if not least <= len(words) <= most:
        raise Malformed(f"it has {len(words) + 1} items, expected `{form}`")


def _ascii_or_utf8(vkey: str) -> str:
    """The name of a key is hashed as UTF-8."""
    try:
        vkey.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Malformed("the name of the verifier key is not UTF-8") from error
    return vkey


# --- what a policy says of a checkpoint --------------------------------------------------------------
def verify_witnessed(envelope: str, policy: TlogPolicy) -> tuple[tuple[PolicyWitness, Cosignature], ...]:
    """The cosignatures of a signed checkpoint that ``policy`` knows, in its order, once they make its quorum.

    1. Where the policy lists logs, one whose name is the checkpoint's origin has signed it.
    2. Each line with the name and id of a listed witness is its cosignature. One that is not is a refusal, as C2SP signed-note
       recommends for every known key: whoever could add it could have spoilt the note by any other change. Unknown lines say nothing.
    3. The witnesses with a cosignature, each counted once, make the quorum.

    A time beyond 2^63 - 1 is refused, as it must be. A time in the future may be, and is not: that takes a clock, and what is
    verified here must come to the same whenever it is (docs/adr/0049).

    What the caller must do: where the policy lists no log, verify the log's signature by other means.

    Raises:
        Refused: one of these does not hold; of the quorum :class:`NotCosigned`. Malformed: it is no checkpoint.
    """
    note = parse_note(envelope)
    _verify_log(note, parse_checkpoint(note.text).origin, policy.logs)  # 1
    signers = {(line.name, line.key_hash) for line in note.signatures}
    found = tuple(
        (one, verify_cosignature(note, one.key))  # 2
        for one in policy.witnesses
        if (one.key.name, one.key.hash) in signers
    )
    if not makes_quorum(policy, {one.name for one, _ in found}):  # 3
        raise NotCosigned(
            f"the checkpoint is cosigned by {_names([one.name for one, _ in found])} of the witness policy, "
            f"expected {describe_quorum(policy)}",
            "a witness may have been away: the log shows what it lacks later, a bundle keeps what it has, so sign again",
        )
    return found


def makes_quorum(policy: TlogPolicy, witnesses: Collection[str]) -> bool:
    """Whether these witnesses of the policy together are what it demands."""
    have = {one.name for one in policy.witnesses if one.name in witnesses}
    for group in policy.groups:  # each after its members
        if sum(member in have for member in group.members) >= group.threshold:
            have.add(group.name)
    return policy.quorum == NONE or policy.quorum in have


def describe_quorum(policy: TlogPolicy) -> str:
    """What the quorum demands, in words: ``2 of (a, b, all of (c, d))``. Safe to print."""
    if policy.quorum == NONE:
        return "no cosignature"
    said: dict[str, str] = {}
    for group in policy.groups:
        how = _threshold(group)
        members = ", ".join(said.get(member) or _plain(member) for member in group.members)
        said[group.name] = f"{how} of ({members})"
    text = said.get(policy.quorum) or _plain(policy.quorum)
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."


def _verify_log(note: Note, origin: str, logs: Sequence[PolicyLog]) -> None:
    if not logs:
        return
    signers = {(line.name, line.key_hash) for line in note.signatures}
    for log in logs:
        if log.key.name == origin and (origin, log.key.id[:KEY_HASH_SIZE]) in signers:
            verify_note(note, log.key)
            return
    raise Refused(
        f"the checkpoint is of the log {shown(origin)} and not signed by a log of the witness policy, "
        f"expected {_names([f'{log.key.name}+{log.key.id[:KEY_HASH_SIZE].hex()}' for log in logs])}",
        "is it the policy for this log, and was the log's key rotated since?",
    )


def _names(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(map(_plain, names[:_NAMED]))}{more}"


def _plain(name: str) -> str:
    return ascii(name)[1:-1][:200]
