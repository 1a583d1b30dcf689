# SPDX-License-Identifier: Apache-2.0
"""``sigbox trust rotate``: the next generation of a role's key.

An authority (``ca``, ``tsa``):

1. A rotation that was interrupted after step 3 is finished, not begun anew.
2. Keys and chain of generation N+1 are made in a folder with another name, which is then renamed to ``ROLE/N+1``. One that is there
   already is of a rotation that was interrupted before step 3: nobody knows of it, and it is made anew.
3. ``public/generations.json`` says that generation N+1 counts from now on, and N for another :data:`OVERLAP`. This is the moment.
4. The public documents are written from it, then the TUF repository. Whoever is interrupted here is finished by the next
   rotation, ``trust refresh`` or start.
5. The running role signs with the new key once that is published (:mod:`stack.succession`).

Nothing is taken out of the trusted root: what the old key signed lies in its window.

The TUF roles (``tuf``) are the publisher's: :meth:`stack.trust.repository.Repository.rotate`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sigcore.errors import Refused
from sigcore.trustroot import Validity
from sigcore.values import dataclass
from sigcore.x509 import Certificate
from stack.authorities import Keep, make_ca, make_tsa
from stack.bootstrap import keep_for, load_ca, load_tsa
from stack.config import Home, Settings
from stack.files import make_folder
from stack.generations import Generation, folder_of, load_generations, save_generations
from stack.lock import alone
from stack.succession import is_published
from stack.trust.documents import load_public, save_documents

OVERLAP: Final = timedelta(hours=1)
"""The old key counts for so long after the new one began: certificates live ten minutes, and a process may have to be restarted."""
Maker = Callable[[Path, Settings, Keep, datetime, int], None]
_MAKERS: Final[Mapping[str, Maker]] = {"ca": make_ca, "tsa": make_tsa}


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation left: the number of the generation that signs, and how long the one before counts."""

    role: str
    number: int
    since: datetime
    old_until: datetime
    resumed: bool = False
    """The rotation had been interrupted, and was finished."""


def rotate_authority(home: Home, settings: Settings, role: str, now: datetime) -> Rotated:
    """Steps 1 to 4 but for the TUF repository, which the caller has published.

    Raises:
        NotFound, Malformed, Refused: the keys of that role are not here, or no good. OSError: the disk refuses.
    """
    now = now.replace(microsecond=0)
    with alone(home.public):  # one rotation at a time
        rotated = dict(load_generations(home))
        if role in rotated and not is_published(home):  # 1
            resume(home, settings)
            return _said(role, rotated[role], resumed=True)
        before = rotated.get(role) or (_first(home, settings, role),)
        if now < before[-1].validity.start:
            raise Refused(f"the clock is before the start of the key that signs, {before[-1].validity.start}")
        now = max(now, before[-1].validity.start + timedelta(seconds=1))  # each key has a start of its own
        _make(home, settings, role, len(before) + 1, now)  # 2
        ended = Generation(Validity(before[-1].validity.start, now + OVERLAP), before[-1].public)
        fresh = Generation(Validity(now), _public(role, home, folder_of(home, role, len(before) + 1)))
        rotated[role] = (*before[:-1], ended, fresh)
        save_generations(home, rotated, durable=not settings.ephemeral)  # 3
        resume(home, settings)  # 4
    return _said(role, rotated[role])


def resume(home: Home, settings: Settings) -> None:
    """Write the public documents of what ``public/`` says was rotated; for a stack that is whole, nothing changes."""
    save_documents(home, load_public(home), settings)


def _make(home: Home, settings: Settings, role: str, number: int, now: datetime) -> None:
    folder = folder_of(home, role, number)
    draft = folder.with_name(f"{number}.draft")
    for leftover in (draft, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    make_folder(draft, durable=not settings.ephemeral)
    _MAKERS[role](draft, settings, keep_for(home, settings), now, number)
    draft.rename(folder)
    make_folder(folder, durable=not settings.ephemeral)


def _first(home: Home, settings: Settings, role: str) -> Generation:
    return Generation(Validity(settings.created), _public(role, home, home.path / role))


def _public(role: str, home: Home, folder: Path) -> tuple[bytes, ...]:
    """The chain in ``folder``, whose key is there too and belongs to it."""
    chain: tuple[Certificate, ...] = (load_ca if role == "ca" else load_tsa)(home, folder)[1]
    return tuple(certificate.der for certificate in chain)


def _said(role: str, rows: tuple[Generation, ...], *, resumed: bool = False) -> Rotated:
    until = rows[-2].validity.end
    assert until is not None  # noqa: S101 - load_generations sees to it
    return Rotated(role, len(rows), rows[-1].validity.start, until, resumed)
