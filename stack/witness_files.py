# SPDX-License-Identifier: Apache-2.0
"""What a stack that witnesses other people's logs keeps, in the folder of its log role:

    witness.key        the key of its cosignatures, Ed25519, like every key encrypted where there is a passphrase
    witness.vkey       its verifier key: the name that it signs under was chosen with the key and stays
    witnessed          the logs: the verifier key of each on a line of its own, their names are the origins

and, outside of what is restored, ``anchor/witness.db``: what it has cosigned. ``sigbox witness`` writes the first three.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sigcore import limits
from sigcore.cosignature import (
    CosignerKey,
    cosigner_key,
    encode_log_verifier,
    encode_witness_verifier,
    parse_log_verifier,
    parse_witness_verifier,
)
from sigcore.errors import Malformed, NotFound, Refused, SigError
from sigcore.note import NoteKey
from sigcore.strict import shown
from stack.bootstrap import ENCRYPTED, keep_for, load_ed25519
from stack.config import Home, Settings
from stack.files import load_file, load_secret, save_file
from stack.lock import alone
from stack.seed import KeySource
from tlog.publish import SigningClock
from tlog.storage.witness_sqlite import MEMORY
from tlog.witness import Witness, WitnessStore

MOST: Final = 1024
"""Logs that one stack witnesses."""
_FOLDER: Final = "rekor"
_KEY: Final = "witness"
_HEAD: Final = "# The logs that this stack witnesses: sigbox witness add, list, remove. One verifier key a line.\n"

_log = logging.getLogger("sigbox.witness")


def list_file(home: Home) -> Path:
    """Where the witnessed logs are listed."""
    return home.path / _FOLDER / "witnessed"


def memory_file(home: Home) -> Path:
    """Where it is kept what was cosigned."""
    return home.path / "anchor" / MEMORY


# --- the key -----------------------------------------------------------------------------------------
def load_public(home: Home) -> CosignerKey | None:
    """What this stack's cosignatures are verified with; None while it is no witness. Malformed: the file is damaged."""
    try:
        data = load_file(
            home.path / _FOLDER / f"{_KEY}.vkey", what="the verifier key of the witness", limit=limits.TEXT
        )
    except NotFound:
        return None
    return parse_witness_verifier(data.decode("utf-8", "replace").strip())


def make_key(home: Home, settings: Settings) -> CosignerKey:
    """A key for this stack's cosignatures; that which is there stays."""
    public = load_public(home)
    if public is None:
        key, folder = KeySource(settings.seed).ed25519("witness"), home.path / _FOLDER
        public = cosigner_key(f"{settings.host_of('log')}/witness", key.public_key())
        keep_for(home, settings).save_keys(folder, {_KEY: key})
        line = f"{encode_witness_verifier(public)}\n".encode()
        save_file(folder / f"{_KEY}.vkey", line, durable=not settings.ephemeral)
    return public


def load_witness(home: Home, logs: Witnessed, store: WitnessStore, clock: SigningClock) -> Witness:
    """The witness that this stack is. NotFound: it is none. Refused: its two files do not belong together."""
    public = load_public(home)
    if public is None:
        raise NotFound("this stack witnesses no logs", "its operator makes it a witness: sigbox witness add")
    key = load_ed25519(home, f"{_FOLDER}/{_KEY}.key")
    witness = Witness(public.name, key, logs.now, store, clock)
    if witness.public != public:
        raise Refused(
            f"{_KEY}.key in {home.path / _FOLDER} is not the key of {_KEY}.vkey", "restore both from one backup"
        )
    return witness


def check_witness(home: Home) -> None:
    """That what a witness keeps in its folder fits together. An encrypted key is read with its passphrase only.

    Raises:
        NotFound, Malformed, Refused: it does not.
    """
    public, path = load_public(home), home.path / _FOLDER / f"{_KEY}.key"
    logs = load_witnessed(list_file(home))
    if public is None:
        if logs:
            raise NotFound(
                f"{_KEY}.vkey does not exist, and {len(logs)} logs are to be witnessed", "restore it from a backup"
            )
        return
    if home.passphrase is None and load_secret(path, what="the key").startswith(ENCRYPTED):
        return
    if load_ed25519(home, f"{_FOLDER}/{_KEY}.key").public_key() != public.key:
        raise Refused(f"{path} is not the key of {_KEY}.vkey", "restore both from one backup")


# --- the logs ----------------------------------------------------------------------------------------
def parse_witnessed(text: str) -> dict[str, NoteKey]:
    """The logs of a list, by origin. Malformed: a line is no verifier key of a log, or an origin is there twice."""
    found: dict[str, NoteKey] = {}
    for line in text.split("\n"):
        if not line.strip() or line.startswith("#"):
            continue
        key = parse_log_verifier(line.strip())
        if key.name in found:
            raise Malformed(f"the log {shown(key.name)} is listed twice", "an origin is one log, with one key")
        found[key.name] = key
    if len(found) > MOST:
        raise Malformed(f"the list has {len(found)} logs, the limit is {MOST}")
    return found


def load_witnessed(path: Path) -> dict[str, NoteKey]:
    """The logs in the file ``path``; none where there is no file. Malformed: as :func:`parse_witnessed`."""
    try:
        data = load_file(path, what="the list of witnessed logs", limit=limits.TRUSTED_ROOT)
    except NotFound:
        return {}
    try:
        return parse_witnessed(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Malformed(f"{path} is no text") from error


def save_witnessed(home: Home, settings: Settings, keys: Iterable[NoteKey]) -> None:
    """Write the list."""
    lines = "".join(f"{encode_log_verifier(key)}\n" for key in keys)
    save_file(list_file(home), f"{_HEAD}{lines}".encode(), durable=not settings.ephemeral)


def add_logs(home: Home, settings: Settings, added: Iterable[NoteKey]) -> CosignerKey:
    """Witness these logs too. Refused: another key is listed for one of the origins."""
    with alone(home.path / _FOLDER):
        known = load_witnessed(list_file(home))
        for key in added:
            if (there := known.get(key.name)) is not None and there != key:
                raise Refused(
                    f"the log {shown(key.name)} is witnessed with another key",
                    "two logs cannot have one origin: see sigbox witness list; sigbox witness remove",
                )
            known[key.name] = key
        public = make_key(home, settings)
        save_witnessed(home, settings, known.values())
    return public


def remove_log(home: Home, settings: Settings, origin: str) -> None:
    """Witness a log no longer; what was cosigned of it stays remembered. NotFound: it is not listed."""
    with alone(home.path / _FOLDER):
        known = load_witnessed(list_file(home))
        if origin not in known:
            raise NotFound(f"the log {shown(origin)} is not witnessed here", "sigbox witness list shows those that are")
        del known[origin]
        save_witnessed(home, settings, known.values())


class Witnessed:
    """The logs of a running witness: its list is looked at with each request, a bad one is said and not taken."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._logs: dict[str, tuple[NoteKey, ...]] = {}

    def now(self) -> dict[str, tuple[NoteKey, ...]]:
        """The keys of each log by its origin."""
        try:
            state = self._path.stat()
            stamp = state.st_mtime_ns, state.st_ino, state.st_size
        except OSError:
            stamp = None
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._logs = {origin: (key,) for origin, key in load_witnessed(self._path).items()}
            except SigError as error:
                _log.error("the list of witnessed logs was not taken: %s", error)
        return self._logs
