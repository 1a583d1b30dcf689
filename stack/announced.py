# SPDX-License-Identifier: Apache-2.0
"""What verifiers can know of the generations of keys: the trusted root that they get over TUF.

``public/generations.json`` is written before that, so it may name a generation that nobody knows, for as long as it likes: the
rotation was cut off. Then the one before signs, and its end is only meant (:mod:`stack.trust.windows` moves it).
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sigcore.errors import SigError
from stack.config import Home
from stack.generations import Generation, Generations

if TYPE_CHECKING:
    from sigcore.trustroot import TrustedRoot

TRUSTED_ROOT: Final = "trusted_root.json"
Named = AbstractSet[tuple[bytes, ...]]
"""Every chain, and every log's key, of a trusted root."""


def published_keys(home: Home) -> Named:
    """What the trusted root names that clients get now; nothing where the repository has none.

    Raises:
        NotFound, Malformed: the repository is not there, or damaged.
    """
    # Deferred: documents and repository are read after a rotation only.
    from sigcore.trustroot import parse_trusted_root  # noqa: PLC0415 - see the line above
    from stack.files import load_file  # noqa: PLC0415 - the same
    from stack.trust.state import load_state  # noqa: PLC0415 - the same

    digests = [target.sha256 for target in load_state(home).targets if target.name == TRUSTED_ROOT]
    if not digests:
        return frozenset()
    published = home.tuf_repository / "targets" / f"{digests[0]}.{TRUSTED_ROOT}"
    return keys_of(parse_trusted_root(load_file(published, what="the trusted root")))


def keys_of(root: TrustedRoot) -> Named:
    """Every chain, and every log's key, of a trusted root."""
    chains = {authority.chain for authority in (*root.certificate_authorities, *root.timestamp_authorities)}
    return chains | {(log.key,) for log in (*root.logs, *root.ct_logs)}


def announced(home: Home, rotated: Generations) -> Generations:
    """Of each role the generations that clients can know; the last of them goes on.

    All of them where the repository cannot be read: whoever publishes next says what is wrong with it.
    """
    if not rotated:
        return rotated
    try:
        named = published_keys(home)
    except SigError:
        return rotated
    return {role: _known(rows, named) for role, rows in rotated.items()}


def pending(home: Home, rotated: Generations) -> tuple[str, ...]:
    """The roles whose newest generation no client can know."""
    known = announced(home, rotated)
    return tuple(role for role, rows in rotated.items() if len(known[role]) < len(rows))


def opened(rotated: Generations, known: Generations) -> Generations:
    """Every generation, where those end that have ended for clients who know the ``known`` ones."""
    return {role: (*known[role], *map(_open, rows[len(known[role]) :])) for role, rows in rotated.items()}


def _known(rows: tuple[Generation, ...], named: Named) -> tuple[Generation, ...]:
    last = max((number for number, row in enumerate(rows, 1) if row.public in named), default=1)
    return rows if last == len(rows) else (*rows[: last - 1], _open(rows[last - 1]))


def _open(row: Generation) -> Generation:
    return replace(row, validity=replace(row.validity, end=None))
