# SPDX-License-Identifier: Apache-2.0
"""``sigbox trust rotate``: the next generation of a role's key.

An authority (``ca``, ``tsa``):

1. A rotation that was interrupted after step 3 is finished; that of the role itself is not begun anew.
2. Keys and chain of generation N+1 are made in a folder with another name, which is then renamed to ``ROLE/N+1``. One that is there
   already is of a rotation that was interrupted before step 3: nobody knows of it, and it is made anew.
3. ``public/generations.json`` says that generation N+1 counts from now on, and N for another :data:`OVERLAP`. This is the moment.
4. The public documents are written from it, then the TUF repository. Whoever is interrupted here is finished by the next
   rotation, ``trust refresh`` or start. The end of the old key is moved then, if it is near or over: :mod:`stack.trust.windows`.
5. The running role signs with the new key once that is published (:mod:`stack.succession`).

Nothing is taken out of the trusted root: what the old key signed lies in its window.

A log (``ct``, ``rekor``, ``rekor-v1``) gets another tree in the same steps, with these differences:

- The window of the new tree begins :data:`LEAD` later, when the running log has opened it: clients of the new signing config find it.
- The old tree takes entries until its window ends, and is frozen from then on; its URL, its tiles and its last head stay. That of
  Rekor v1 ends when the new one begins: behind one URL, one tree at a time can say what comes next.

The TUF roles (``tuf``) are the publisher's: :meth:`stack.trust.repository.Repository.rotate`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sigcore.errors import Refused
from sigcore.keys import encode_public_key
from sigcore.trustroot import Validity
from sigcore.values import dataclass
from sigcore.x509 import Certificate
from stack.authorities import Keep, make_ca, make_log_key, make_tsa
from stack.bootstrap import keep_for, load_ca, load_ecdsa, load_rekor, load_tsa
from stack.config import Home, Settings, load_settings
from stack.files import make_folder
from stack.generations import LEAD, LOGS, OVERLAP, Generation, folder_of, load_generations, save_generations
from stack.lock import WORKERS, held
from stack.shards import Shard
from stack.succession import names_newest
from stack.trust.documents import load_public, save_documents, unrotated

AT_ONCE: Final = timedelta(seconds=15)
"""The overlap of two trees where the old one shall end soon: an authority elsewhere has changed over by then."""
Maker = Callable[[Path, Settings, Keep, datetime, int], None]


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation left: the number of the generation that signs, and how long the one before counts."""

    role: str
    number: int
    since: datetime
    old_until: datetime
    resumed: bool = False
    """The rotation had been interrupted, and was finished."""


def rotate_authority(home: Home, settings: Settings, role: str, now: datetime, make: Maker | None = None) -> Rotated:
    """Steps 1 to 4 but for the TUF repository, which the caller has published. ``make`` is what step 2 does, where it is another.

    Raises:
        NotFound, Malformed, Refused: the keys of that role are not here, or no good. OSError: the disk refuses.
    """
    return _rotate(home, settings, role, now, OVERLAP, make or _MAKERS[role])


def rotate_log(home: Home, settings: Settings, log: str, now: datetime, *, at_once: bool = False) -> Rotated:
    """The same for a log; ``at_once`` freezes the old tree as soon as can be.

    Raises:
        Refused: the log is not kept here, is in a database, has witnesses, or is served by workers. Others as :func:`rotate_authority`.
    """
    with _growable(home, settings, log):
        return _rotate(home, settings, log, now + LEAD, AT_ONCE if at_once else OVERLAP, _MAKERS[log])


@contextmanager
def _growable(home: Home, settings: Settings, log: str) -> Iterator[None]:
    """That another tree can be served, for the length of a block."""
    if settings.database:
        hint = (
            "a new tree needs a new stack beside this one; keep this one's logs readable, and both in the trusted root"
        )
        raise Refused(
            f"the logs of {home.path} are in a database, which several hosts may share: none is rotated", hint
        )
    if log == "rekor" and settings.witnesses:
        hint = "a witnessed log keeps its key; take [[log.witnesses]] out of sigbox.toml and start again, then rotate"
        raise Refused("the log's witnesses would take its next tree for a fork: both have one origin", hint)
    if not settings.ephemeral and not Shard(log, 1).database(home.path).exists():
        hint = "where it was never served, start it once: sigbox up"
        raise Refused(f"there is no log in {home.path / log}: it has no entry yet, or is kept elsewhere", hint)
    with ExitStack() as unserved:
        try:
            unserved.enter_context(held(home.path / log, WORKERS))
        except Refused as error:
            message = f"the log {log} is served with --workers, which cannot take a new tree while they run"
            raise Refused(message, "stop it, rotate, start it again") from error
        yield


def _rotate(home: Home, settings: Settings, role: str, now: datetime, overlap: timedelta, make: Maker) -> Rotated:
    now = now.replace(microsecond=0)
    with unrotated(home, settings):
        settings = load_settings(home)  # a start may have changed the URL meanwhile
        _resume(home, settings)  # 1, and before a folder is made anew: that none is lost which was published
        rotated = dict(load_generations(home))
        if role in rotated and not names_newest(home, role):
            return _said(role, rotated[role], resumed=True)
        before = rotated.get(role) or (_first(home, settings, role),)
        if now < before[-1].validity.start:
            raise Refused(f"the clock is before the start of the key that signs, {before[-1].validity.start}")
        now = max(now, before[-1].validity.start + timedelta(seconds=1))  # each key has a start of its own
        _make(home, settings, folder_of(home, role, len(before) + 1), now, make)  # 2
        ended = Generation(Validity(before[-1].validity.start, now + overlap), before[-1].public, overlap)
        fresh = Generation(Validity(now), _public(role, home, folder_of(home, role, len(before) + 1)))
        rotated[role] = (*before[:-1], ended, fresh)
        save_generations(home, rotated, durable=not settings.ephemeral)  # 3
        _resume(home, settings)  # 4
    return _said(role, rotated[role])


def as_published(home: Home, done: Rotated) -> Rotated:
    """What a rotation has left, now that it is published: the end of the old key may have been moved until then."""
    until = load_generations(home)[done.role][done.number - 2].validity.end
    return done if until is None else replace(done, old_until=until)


def resume(home: Home, settings: Settings) -> None:
    """Write the public documents of what ``public/`` says was rotated; for a stack that is whole, nothing changes."""
    with unrotated(home, settings):
        _resume(home, load_settings(home))


def _resume(home: Home, settings: Settings) -> None:
    save_documents(home, load_public(home), settings)


def _make(home: Home, settings: Settings, folder: Path, now: datetime, make: Maker) -> None:
    draft = folder.with_name(f"{folder.name}.draft")
    for leftover in (draft, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    make_folder(draft, durable=not settings.ephemeral)
    make(draft, settings, keep_for(home, settings), now, int(folder.name))
    draft.rename(folder)
    make_folder(folder, durable=not settings.ephemeral)


def _first(home: Home, settings: Settings, role: str) -> Generation:
    return Generation(Validity(settings.created), _public(role, home, home.path / role))


def _public(role: str, home: Home, folder: Path) -> tuple[bytes, ...]:
    """The chain in ``folder``, whose key is there too and belongs to it; of a log the one key."""
    if role in LOGS:
        load = load_rekor if role == "rekor" else load_ecdsa
        return (encode_public_key(load(home, f"{folder.relative_to(home.path)}/log.key").public_key()),)
    chain: tuple[Certificate, ...] = (load_ca if role == "ca" else load_tsa)(home, folder)[1]
    return tuple(certificate.der for certificate in chain)


def _make_log_key(folder: Path, settings: Settings, keep: Keep, _since: datetime, number: int) -> None:
    keep.save_keys(folder, {"log": make_log_key(folder.parent.name, settings, number)})


_MAKERS: Final[Mapping[str, Maker]] = {"ca": make_ca, "tsa": make_tsa, **dict.fromkeys(LOGS, _make_log_key)}


def _said(role: str, rows: tuple[Generation, ...], *, resumed: bool = False) -> Rotated:
    until = rows[-2].validity.end
    assert until is not None  # noqa: S101 - load_generations sees to it
    return Rotated(role, len(rows), rows[-1].validity.start, until, resumed)
