# SPDX-License-Identifier: Apache-2.0
"""Who did what to a stack: a log of its own, by the engine of the other logs and with a key of its own, in ``audit/``.

An action is two entries, one before it is done and one after, under one id; the second one says how it ended. Each is on the disk
and under a signed head before the next thing happens, and the head is remembered in ``anchor/audit.checkpoint``. So an entry that
is changed, taken out, moved or cut off is found, by :func:`verify_trail`; who holds the key and every file of the machine can
begin another history, which differs from every head that was kept elsewhere.

The first entry says of which stack it is. Nothing is kept of an ephemeral stack.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import pwd
import secrets
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from cryptography.hazmat.primitives.asymmetric import ed25519

from sigcore import canonical, keys, limits, merkle, strict
from sigcore.checkpoint import Checkpoint, verify_checkpoint
from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable
from sigcore.note import NoteKey, note_key
from sigcore.strict import JSON, encode_time
from sigcore.values import dataclass
from stack.authorities import Keep
from stack.bootstrap import ENCRYPTED, ROLE_FOLDERS, UNLOCK_HINT, keep_for, load_ed25519
from stack.config import Home, Settings
from stack.files import PUBLIC, load_file, make_folder, save_file
from stack.lock import held_patiently
from tlog.anchor import Anchored
from tlog.anchor_file import FileAnchor, load_anchored
from tlog.audit import Audit, audit
from tlog.log import Log
from tlog.publish import CheckpointPublisher
from tlog.storage.sqlite import SqliteStore
from tlog.submission import Submission

BEGUN, DONE, FAILED = "begun", "done", "failed"
PATIENCE_S: Final = 30.0
"""Another action that is being recorded takes a fraction of this."""
LONGEST: Final = 1000
"""Characters of what an action is done to; the rest is left out."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Action:
    """What is done, on what; ``id`` is the same in both of its entries. Never a secret."""

    id: str
    name: str
    object: str

    @classmethod
    def of(cls, name: str, object_: str) -> Action:
        """One that has not been recorded."""
        return cls(secrets.token_hex(8), name, object_.encode("utf-8", "backslashreplace").decode("utf-8")[:LONGEST])


def record(home: Home, settings: Settings, action: Action, state: str, now: datetime) -> None:
    """Add an entry; it is durable when this returns.

    Raises:
        Refused, Unavailable: it cannot be recorded; the hint says what helps. Others: the key cannot be read.
    """
    if settings.ephemeral:
        return
    folder = home.path / "audit"
    try:
        _check_whole(home, folder)
        entry: dict[str, JSON] = {"action": action.name, "object": action.object, "id": action.id, "state": state}
        moment = encode_time(now.replace(microsecond=0))
        with held_patiently(folder, PATIENCE_S, "writing.lock"):
            _prepare(home, folder, keep_for(home, settings))
            _run(_append(home, settings, entry | {"at": moment, "by": _who()}))
    except OSError as error:
        raise Unavailable(
            f"the action cannot be recorded: {error.strerror}",
            _helps(folder),
        ) from error
    except SigError as error:
        error.message = f"the action cannot be recorded: {error.message}"
        error.hint = error.hint or _helps(folder)
        raise


def _helps(folder: Path) -> str:
    return f"make {folder} writable and make room on its disk; without a record nothing is done"


def _check_whole(home: Home, folder: Path) -> None:
    """A record is begun where every role is, so that there is one."""
    missing = [name for name in ROLE_FOLDERS if not (home.path / name).exists()]
    if missing and not (folder / "log.pub").exists():
        raise Refused(
            f"{home.path} has no folder {missing[0]}: it is not the whole data directory",
            f"run it where all of them are, or give it {folder} and {home.path / 'anchor'} as well",
        )


def _prepare(home: Home, folder: Path, keep: Keep) -> None:
    """The key, where there is none yet; the public half beside it, so that verifying needs no secret."""
    if (folder / "log.pub").exists():
        return
    if (folder / "log.db").exists():
        raise Refused(f"{folder} has lost its log.pub", "restore it from a backup")
    if keep.passphrase is None and (home.path / "oidc" / "signing.key").read_bytes().startswith(ENCRYPTED):
        raise Refused("the keys are encrypted, and so is that of the record", UNLOCK_HINT)
    make_folder(folder, durable=keep.durable)
    key = ed25519.Ed25519PrivateKey.generate()
    keep.save_keys(folder, {"log": key})
    pem = keys.encode_public_key_pem(key.public_key()).encode("ascii")
    save_file(folder / "log.pub", pem, mode=PUBLIC, durable=keep.durable)


async def _append(home: Home, settings: Settings, entry: dict[str, JSON]) -> None:
    folder = home.path / "audit"
    publisher = CheckpointPublisher(_origin(settings), load_ed25519(home, "audit/log.key"))
    if publisher.note_key.id != _key(home, settings).id:
        raise Refused(f"{folder}/log.key does not belong to log.pub", "restore both from one backup")
    if (folder / "log.db").exists():
        await _opened(home, partial(_check_anchor, home))
    log = Log(SqliteStore(folder / "log.db"), FileAnchor(_anchor(home)), publisher, lambda: datetime.now(UTC))
    await log.start()
    try:
        if log.size == 0:
            await log.submit(_submission(_first(home, settings)))
        await log.submit(_submission(entry))
    finally:
        await log.stop()


def _first(home: Home, settings: Settings) -> dict[str, JSON]:
    return {
        "action": "begin this record",
        "at": encode_time(datetime.now(UTC).replace(microsecond=0)),
        "by": _who(),
        "object": settings.url,
        "root": hashlib.sha256(home.tuf_root.read_bytes()).hexdigest() if home.tuf_root.exists() else "",
        "stackCreated": encode_time(settings.created),
    }


def _who() -> dict[str, JSON]:
    """The user of the operating system; who logged in, where the kernel knows another one (``sudo``)."""
    uid = os.getuid()
    who: dict[str, JSON] = {"uid": uid, "user": _name(uid)}
    with suppress(OSError, ValueError):
        login = int(Path("/proc/self/loginuid").read_text("ascii"))
        if login not in (uid, 2**32 - 1):
            who |= {"loginUid": login, "loginUser": _name(login)}
    return who


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def _submission(entry: dict[str, JSON]) -> Submission:
    leaf = canonical.encode(entry)
    return Submission(leaf, merkle.hash_leaf(leaf))


# --- read ------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Trail:
    """What a record says, oldest first, and the signed head over it."""

    entries: tuple[dict[str, JSON], ...]
    head: str


def load_trail(home: Home, settings: Settings) -> Trail:
    """Everything that was recorded, verified as :func:`verify_trail` does.

    Raises:
        NotFound: nothing was. Refused, Unavailable: it does not verify, or cannot be read.
    """

    async def read(store: SqliteStore) -> Trail:
        found = await _audit(home, settings, store)
        head = await store.head()
        leaves = [entry.leaf for entry in await store.entries(0, found.entries)]
        return Trail(tuple(map(_entry, leaves)), head.checkpoint if head else "")

    return _reading(home, read)


def _entry(leaf: bytes) -> dict[str, JSON]:
    what = "an entry of the record"
    entry = strict.parse_json(leaf, what=what, limit=limits.ENTRY)
    if not isinstance(entry, dict):
        raise Malformed(f"{what} is no object")
    return entry


def verify_trail(home: Home, settings: Settings, heads: Sequence[str] = ()) -> Audit:
    """Hash every entry, compare with the signed head and the anchor, and with ``heads`` that were kept elsewhere.

    Raises:
        NotFound: nothing was recorded. Refused: the first thing that does not fit. Malformed: a head is none.
    """
    key = _key(home, settings)
    kept = [verify_checkpoint(head, key) for head in heads]

    async def check(store: SqliteStore) -> Audit:
        found = await _audit(home, settings, store)
        for head, text in zip(kept, heads, strict=True):
            await audit(store, _Reader(_origin(settings), key), Anchored(head.size, head.root, text))
        return found

    return _reading(home, check)


async def _audit(home: Home, settings: Settings, store: SqliteStore) -> Audit:
    anchored = load_anchored(_anchor(home))  # before the head, which is never behind it
    await _check_anchor(home, store)
    return await audit(store, _Reader(_origin(settings), _key(home, settings)), anchored)


def _reading(home: Home, read: Callable[[SqliteStore], Coroutine[Any, Any, _T]]) -> _T:
    path = home.path / "audit" / "log.db"
    if not path.exists():
        if _anchor(home).exists():
            raise Refused(f"{path} is gone, and {_anchor(home)} remembers it", "restore it from a backup")
        raise NotFound(f"nothing was recorded in {home.path}", "actions are, from the first one on")

    return _run(_opened(home, read))


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    """``work`` in an event loop of its own; the caller may have one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _opened(home: Home, read: Callable[[SqliteStore], Coroutine[Any, Any, _T]]) -> _T:
    store = SqliteStore(home.path / "audit" / "log.db")
    store.open_for_reading()
    try:
        return await read(store)
    finally:
        await store.close()


class _Reader:
    """Whoever reads needs no secret."""

    def __init__(self, origin: str, key: NoteKey) -> None:
        self.origin = origin
        self._key = key

    def verify(self, envelope: str) -> Checkpoint:
        return verify_checkpoint(envelope, self._key)


async def _check_anchor(home: Home, store: SqliteStore) -> None:
    """A record of one entry may have been interrupted before it had an anchor; a longer one has lost it."""
    head = await store.head()
    if head is not None and head.size > 1 and not _anchor(home).exists():
        message = f"the record in {home.path / 'audit'} has lost its anchor {_anchor(home)}"
        raise Refused(message, "restore it from a backup; without it nobody sees that the record was cut off")


def _key(home: Home, settings: Settings) -> NoteKey:
    pem = load_file(home.path / "audit" / "log.pub", what="the public key of the record")
    return note_key(_origin(settings), keys.parse_public_key_pem(pem))


def _origin(settings: Settings) -> str:
    """Not of the URL, which may change: the moment of creation stays."""
    return f"sigbox audit {encode_time(settings.created)}".replace(" ", "-")


def _anchor(home: Home) -> Path:
    return home.path / "anchor" / "audit.checkpoint"
