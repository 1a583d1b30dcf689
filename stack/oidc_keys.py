# SPDX-License-Identifier: Apache-2.0
"""The provider's keys on disk: the one that signs, the next one, and those before; rotation, and following it while it runs.

``oidc/signing.key`` signs. ``oidc/next.key`` will; its public half is published ahead, in ``oidc/published.json``, together with
those of the keys before, each until the last token that it signed has ended.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from ca.issuers import token_key
from ca.ports import TokenKey
from oidc_dev.provider import Provider
from oidc_dev.signing import OVERLAP, KeyRing, PublishedKey, SigningKey, generate_rsa, key_id
from sigcore import keys, limits
from sigcore.errors import Malformed, NotFound, Refused
from sigcore.strict import Fields, encode_base64, encode_time, parse_base64, parse_time, shown
from sigcore.values import dataclass
from stack.bootstrap import load_ed25519, load_oidc_key, save_oidc_key
from stack.config import Home, Settings
from stack.files import load_file, save_file
from stack.lock import alone
from stack.service import working

AHEAD: Final = timedelta(seconds=600)
"""A key is published for so long before it signs: twice as long as anybody may keep the key set."""
FOLLOW_S: Final = 2.0
"""How often a running provider looks whether its keys were rotated."""

_log = logging.getLogger(__name__)


if TYPE_CHECKING:
    from oidc_dev.seal import Seal


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of ``published.json``: a key that does not sign. ``until`` is None for the next one, published since ``since``."""

    key: rsa.RSAPublicKey
    since: datetime
    until: datetime | None = None


def load_ring(home: Home, signing: rsa.RSAPrivateKey) -> KeyRing:
    """The provider's keys, with ``signing`` as the one that signs."""
    return KeyRing(SigningKey.of(signing), _others(load_entries(home)))


def load_entries(home: Home) -> tuple[Entry, ...]:
    """What ``published.json`` says; nothing where there is none.

    Raises:
        Malformed: it is damaged.
    """
    try:
        data = load_file(_list(home), what="the list of the provider's keys", limit=limits.TEXT)
    except NotFound:
        return ()
    fields = Fields.parse(data, what="the list of the provider's keys", limit=limits.TEXT)
    return tuple(_entry(entry) for entry in fields.objects("keys", limit=64))


def prepare_next(home: Home, settings: Settings, *, now: datetime) -> None:
    """Make the next key and publish it ahead, where there is none yet."""
    with alone(home.path / "oidc"):
        _prepare_next(home, settings, now)


def _prepare_next(home: Home, settings: Settings, now: datetime) -> None:
    """The key itself, unless it is there (1); then its public half in the list (2)."""
    entries, path = load_entries(home), _next(home)
    if path.exists() and any(entry.until is None for entry in entries):
        return
    if not path.exists():  # 1
        save_oidc_key(home, "next", generate_rsa(), settings)
    fresh = Entry(_load_next(home).public_key(), since=now)  # 2
    _save_entries(home, settings, (*(entry for entry in entries if entry.until is not None), fresh))


def rotate(home: Home, settings: Settings, *, now: datetime, at_once: bool = False) -> tuple[str, str]:
    """Sign with the next key from now on; the ids of the key before and of that key.

    1. The next key must have been published for long enough, so that everybody knows it; ``at_once`` does without.
    2. The key that signs now goes into the list, until its last token ends.
    3. The next key takes its place, in one rename. Whatever happens before it leaves a list that says too much, which harms nobody.
    4. Another next key is made and published.

    Raises:
        Refused: the next key is too young.
    """
    with alone(home.path / "oidc"):
        return _rotate(home, settings, now, at_once=at_once)


def _rotate(home: Home, settings: Settings, now: datetime, *, at_once: bool) -> tuple[str, str]:
    _prepare_next(home, settings, now)
    entries = load_entries(home)
    coming = next(entry for entry in entries if entry.until is None)
    if not at_once and now < coming.since + AHEAD:  # 1
        raise Refused(
            f"the next key is published since {encode_time(coming.since)} only; who keeps the key set does not know it yet",
            f"rotate after {encode_time(coming.since + AHEAD)}, or at once with --now",
        )
    before = load_oidc_key(home).public_key()
    kept = [entry for entry in entries if entry.until is None or now < entry.until]
    _save_entries(home, settings, (*kept, Entry(before, since=now, until=now + OVERLAP)))  # 2
    _next(home).replace(home.path / "oidc" / "signing.key")  # 3
    _prepare_next(home, settings, now)  # 4
    return key_id(before), key_id(coming.key)


def rotate_old(home: Home, settings: Settings, age: timedelta, *, now: datetime) -> tuple[str, str] | None:
    """:func:`rotate`, if the key that signs is as old as ``age`` and everybody knows the next one; else None."""
    with alone(home.path / "oidc"):
        _prepare_next(home, settings, now)
        entries = load_entries(home)
        known = all(entry.since + AHEAD <= now for entry in entries if entry.until is None)
        if not known or now < _signs_since(entries, settings) + age:
            return None
        return _rotate(home, settings, now, at_once=False)


def _signs_since(entries: tuple[Entry, ...], settings: Settings) -> datetime:
    """With the last rotation the key before went into the list, and it stays there until the next one."""
    return max((entry.since for entry in entries if entry.until is not None), default=settings.created)


class OwnKeys:
    """The provider's keys for the authority (:class:`ca.ports.KeySet`), as they are at that moment: nothing is fetched."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._known: dict[str, TokenKey] = {}

    async def find(self, key_id: str) -> TokenKey:
        """The key of exactly this id; Refused otherwise."""
        key = self._provider.keys.published(self._provider.clock()).get(key_id)
        if key is None:
            raise Refused(f"the issuer has no key with the id {shown(key_id)}", "ask for a fresh token")
        if key_id not in self._known:
            self._known = {key_id: token_key(key), **dict(list(self._known.items())[:7])}
        return self._known[key_id]


@asynccontextmanager
async def following(
    home: Home, settings: Settings, ring: KeyRing, clock: Callable[[], datetime], age: timedelta = timedelta()
) -> AsyncIterator[None]:
    """Keep ``ring`` up with the disk while the block runs, and see to it that a next key is published.

    A key that is as old as ``age`` is changed, unless that is 0 or the stack ephemeral.
    """
    ages = age if age and not settings.ephemeral else None
    async with working(partial(_follow, home, settings, ring, clock, ages)):
        yield


async def _follow(
    home: Home, settings: Settings, ring: KeyRing, clock: Callable[[], datetime], age: timedelta | None
) -> None:
    """The first look is at keys that were loaded a while ago; so it reads them anew."""
    seen: tuple[int, ...] = ()
    due: datetime | None = None
    while True:
        await asyncio.sleep(FOLLOW_S)
        try:
            if not seen and not settings.ephemeral:
                await asyncio.to_thread(prepare_next, home, settings, now=clock())
            if age and due and clock() >= due:
                await asyncio.to_thread(rotate_old, home, settings, age, now=clock())
            if (stamp := _stamp(home)) != seen:
                before, signing, entries = (
                    ring.signing.id,
                    await asyncio.to_thread(load_oidc_key, home),
                    load_entries(home),
                )
                ring.replace(SigningKey.of(signing), _others(entries), now=clock())
                seen, due = stamp, _signs_since(entries, settings) + age if age else None
                if ring.signing.id != before:
                    _log.info("the provider signs with the key %s from now on, after %s", ring.signing.id, before)
        except Exception:  # noqa: BLE001 - logged; the keys in memory stay good
            _log.exception("the provider's keys cannot be read anew; next try in %s s", FOLLOW_S)


def seal_of(home: Home, settings: Settings | None = None) -> Seal:
    """What seals the secrets of one-time passwords. Its key is made where there is none and ``settings`` are given.

    Raises:
        NotFound, Refused, Malformed: the key is missing, or cannot be read.
    """
    from oidc_dev.seal import Seal  # noqa: PLC0415 - few accounts have one-time codes, and a start is counted in milliseconds

    with alone(home.path / "oidc"):
        if settings is not None and not (home.path / "oidc" / "seal.key").exists():
            save_oidc_key(home, "seal", ed25519.Ed25519PrivateKey.generate(), settings)
    return Seal(load_ed25519(home, "oidc/seal.key").private_bytes_raw())


def _others(entries: tuple[Entry, ...]) -> tuple[PublishedKey, ...]:
    return tuple(PublishedKey.of(entry.key, entry.until) for entry in entries)


def _entry(fields: Fields) -> Entry:
    fields.only("spki", "since", "until")
    what = "the list of the provider's keys"
    key = keys.parse_public_key(parse_base64(fields.text("spki"), what=what))
    if not isinstance(key, rsa.RSAPublicKey):
        raise Malformed(f"{what} holds a key of another kind, expected RSA", "restore it from a backup, or delete it")
    until = parse_time(fields.text("until"), what=what) if "until" in fields else None
    return Entry(key, parse_time(fields.text("since"), what=what), until)


def _save_entries(home: Home, settings: Settings, entries: tuple[Entry, ...]) -> None:
    rows = [
        {
            "spki": encode_base64(keys.encode_public_key(entry.key)),
            "since": encode_time(entry.since.replace(microsecond=0)),
        }
        | ({} if entry.until is None else {"until": encode_time(entry.until.replace(microsecond=0))})
        for entry in entries
    ]
    data = json.dumps({"keys": rows}, indent=2).encode() + b"\n"
    save_file(_list(home), data, durable=not settings.ephemeral)


def _load_next(home: Home) -> rsa.RSAPrivateKey:
    return load_oidc_key(home, "next")


def _list(home: Home) -> Path:
    return home.path / "oidc" / "published.json"


def _next(home: Home) -> Path:
    return home.path / "oidc" / "next.key"


def _stamp(home: Home) -> tuple[int, ...]:
    """Changes when one of the two files does."""
    found = []
    for path in (home.path / "oidc" / "signing.key", _list(home)):
        try:
            state = path.stat()
            found += [state.st_mtime_ns, state.st_ino]
        except FileNotFoundError:
            found += [0, 0]
    return tuple(found)
