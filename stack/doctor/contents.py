# SPDX-License-Identifier: Apache-2.0
"""Every file of a data directory, read as the stack reads it and compared with those that it belongs to. Nothing is changed.

What the logs hold is for ``sigbox fsck`` to hash. What is not here, of a role that runs elsewhere or a key that is kept elsewhere,
is not missed: the checks before this one name it.
"""

from __future__ import annotations

import hashlib
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sigcore import chain, keys, x509
from sigcore.errors import Malformed, NotFound, Refused, SigError
from stack.audit_trail import verify_trail
from stack.authorities import CHAIN, is_issued
from stack.bootstrap import ENCRYPTED, ROLE_FOLDERS, load_material
from stack.config import Home, Settings, load_settings
from stack.files import leftover_of, load_file, load_secret
from stack.generations import LOGS, Generation, folder_of, load_generations
from stack.issuers import load_issuers
from stack.last_time import load_time
from stack.oidc_keys import load_entries
from stack.shards import all_shards, anchored_shards
from stack.trust.documents import encode_documents, load_public
from stack.trust.state import load_state
from stack.trust.versions import Versions
from stack.witness_files import check_witness
from tlog.anchor_file import load_anchored

BACKUP: Final = "restore it from a backup: sigbox restore"
ANEW: Final = "it is written anew at the next start"
_CHAINS: Final = {"ca": ("intermediate", "root"), "tsa": ("leaf", "intermediate", "root")}
_REMADE: Final = ("console/catalog.db", "rekor-v1/search.db")
_LOGS: Final = "log.db"


def problems(home: Home) -> Iterator[SigError]:
    """Everything that is wrong with the files of ``home``, each with what is to be done.

    Raises:
        NotFound, Malformed, Refused: it holds no stack.
    """
    settings = load_settings(home)
    for look in _LOOKS:
        found = look(home, settings)
        try:
            yield from found
        except SigError as error:
            error.hint = error.hint or BACKUP
            yield error
        except sqlite3.Error as error:
            yield Refused(f"a database in {home.path} cannot be read: {error}", BACKUP)


def _tried(look: Callable[[], object], place: Path, hint: str = BACKUP) -> Iterator[SigError]:
    """What ``look`` raises, with the ``place`` that it looks at, and with ``hint`` where it gives none."""
    try:
        look()
    except SigError as error:
        error.hint = error.hint or hint
        error.message = error.message if str(place) in error.message else f"{place}: {error.message}"
        yield error
    except (OSError, ValueError) as error:
        yield Refused(f"{place}: {error}", hint)


# --- who may do what with a file ---------------------------------------------------------------------
def _rights(home: Home, _settings: Settings) -> Iterator[SigError]:
    """Databases and anchors are their owner's alone, ``public/`` is everybody's to read; a file belongs to whom its folder belongs."""
    for name in (*ROLE_FOLDERS, "audit", "public"):
        for path in sorted((home.path / name).rglob("*")):
            state, folder = path.lstat(), path.parent.stat()
            if leftover_of(path) or not stat.S_ISREG(state.st_mode):
                continue
            mode = state.st_mode & 0o777
            if state.st_uid != folder.st_uid:
                hint = f"chown {folder.st_uid} {path}"
                yield Refused(f"{path} belongs to user {state.st_uid}, its folder to user {folder.st_uid}", hint)
            if name == "public" and mode & 0o044 != 0o044:
                yield Refused(f"{path} has mode {mode:04o}: it is for everybody to read", f"chmod a+r {path}")
            if path.suffix in (".db", ".checkpoint") and mode & 0o077:
                yield Refused(f"{path} has mode {mode:04o}: others may read it", f"chmod go-rwx {path}")
            if mode & 0o022:
                yield Refused(f"{path} has mode {mode:04o}: others may write it", f"chmod go-w {path}")
            if not mode & stat.S_IRUSR:
                yield Refused(f"{path} has mode {mode:04o}: its owner cannot read it", f"chmod u+rw {path}")


# --- keys and certificates ---------------------------------------------------------------------------
def _keys(home: Home, _settings: Settings) -> Iterator[SigError]:
    """Each key can be read, and belongs to the certificate or public half beside it. An encrypted one takes its passphrase."""
    record = home.path / "audit" / "log.key"
    if record.with_suffix(".pub").exists() and not record.exists():
        yield NotFound(f"{record} does not exist: no action can be recorded", BACKUP)
    for name in (*ROLE_FOLDERS, "audit"):
        for path in sorted((home.path / name).rglob("*.key")):
            yield from _tried(partial(_check_key, home, path), path)


def _check_key(home: Home, path: Path) -> None:
    pem = load_secret(path, what="the key")
    if home.passphrase is None and pem.startswith(ENCRYPTED):
        return
    spki = keys.encode_public_key(
        keys.parse_private_key(pem, home.passphrase, what=str(path)).public_key()
    )  # an RSA key is tested
    certificate, public = path.with_suffix(".pem"), path.with_suffix(".pub")
    if certificate.exists() and _certificate(certificate).spki != spki:
        raise Refused(f"{path} is not the key of {certificate}", "restore both from one backup")
    if public.exists() and keys.encode_public_key(keys.parse_public_key_pem(public.read_bytes())) != spki:
        raise Refused(f"{path} is not the key of {public}", "restore both from one backup")


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.parse_certificate_pem(load_file(path, what="the certificate"))
    except Malformed as error:
        raise Malformed(f"{path}: {error.message}", BACKUP) from error


def _chains(home: Home, _settings: Settings) -> Iterator[SigError]:
    """Each certificate was signed by the one above it, in every generation, and those are the ones that were published."""
    rotated = load_generations(home)
    for role, names in _CHAINS.items():
        if not (home.path / role).exists():
            continue
        for number in range(1, len(rotated.get(role, ())) + 1 or 1):
            folder = folder_of(home, role, number)
            published = rotated[role][number - 1].public if role in rotated else ()
            yield from _tried(partial(_check_chain, folder, names, published), folder)


def _chain_in(folder: Path, names: tuple[str, ...]) -> list[x509.Certificate]:
    if is_issued(folder):
        path = folder / CHAIN
        return list(x509.parse_certificates_pem(load_file(path, what="the certificate chain"), what=str(path)))
    return [_certificate(folder / f"{name}.pem") for name in names]


def _check_chain(folder: Path, names: tuple[str, ...], published: tuple[bytes, ...]) -> None:
    found = _chain_in(folder, names)
    for certificate, issuer in zip(found, (*found[1:], found[-1]), strict=True):
        try:
            chain.verify_signed_by(certificate, issuer)
        except SigError as error:
            raise Refused(f"the certificates in {folder} do not fit: {error.message}", BACKUP) from error
    if published and tuple(one.der for one in found) != published:
        raise Refused(f"the certificates in {folder} are not those of public/generations.json", BACKUP)


def _generations(home: Home, _settings: Settings) -> Iterator[SigError]:
    """Keys of trees are those that were published, and no tree is there that nobody speaks of."""
    rotated = load_generations(home)
    for log in LOGS:
        for number, one in enumerate(rotated.get(log, ()), 1):
            path = folder_of(home, log, number) / "log.key"
            if path.exists():
                yield from _tried(partial(_check_tree, home, path, one), path)
    named = {shard.name for shard in all_shards(rotated)}
    for shard in anchored_shards(home.path / "anchor"):
        if shard.name not in named:
            message = f"{home.public / 'generations.json'} does not name the tree {shard.name}, which has signed"
            yield Refused(message, f"do not start it; {BACKUP}")


def _check_tree(home: Home, path: Path, one: Generation) -> None:
    pem = load_secret(path, what="the key")
    if home.passphrase is None and pem.startswith(ENCRYPTED):
        return
    key = keys.parse_private_key(pem, home.passphrase, what=str(path), ours=True)
    if keys.encode_public_key(key.public_key()) not in one.public:
        raise Refused(f"{path} is not the key that public/generations.json names for it", BACKUP)


def _provider(home: Home, _settings: Settings) -> Iterator[SigError]:
    """The next key is the one that is published ahead."""
    hint = "remove oidc/next.key and oidc/published.json: both are made anew"
    yield from _tried(partial(_check_coming, home), home.path / "oidc" / "published.json", hint)


def _check_coming(home: Home) -> None:
    path = home.path / "oidc" / "next.key"
    coming = [entry.key for entry in load_entries(home) if entry.until is None]
    pem = path.read_bytes() if path.exists() else ENCRYPTED
    if coming and not (home.passphrase is None and pem.startswith(ENCRYPTED)):
        key = keys.parse_private_key(pem, home.passphrase, what=str(path), ours=True)
        if keys.encode_public_key(key.public_key()) != keys.encode_public_key(coming[0]):
            raise Refused(f"{path} is not the key that is published ahead")


# --- what clients read -------------------------------------------------------------------------------
def _documents(home: Home, settings: Settings) -> Iterator[SigError]:
    """They are what the stack would write. From the keys where they are all here, else from what is public."""
    if not home.trusted_root.exists() and not home.keys.exists():
        return
    try:
        material = load_material(home).public
    except SigError:
        material = load_public(home)  # the keys are elsewhere, or are named by what looks at them
    for path, data in encode_documents(home, material, settings).items():
        if not path.exists():
            yield NotFound(f"{path} does not exist", ANEW)
        elif path.read_bytes() != data:
            yield Refused(f"{path} is not what this stack publishes", ANEW)


def _repository(home: Home, _settings: Settings) -> Iterator[SigError]:
    """What clients fetch is signed by whom the root names, and each target has the hash that it is named by."""
    folder = home.tuf_repository
    if not folder.exists():
        return
    for target in load_state(home).targets:
        path = folder / "targets" / f"{target.sha256}.{target.name}"
        if not path.exists():
            yield NotFound(f"the TUF target {path} does not exist", "sigbox trust refresh; else a backup")
    for path in sorted((folder / "targets").iterdir()):
        if not leftover_of(path) and hashlib.sha256(path.read_bytes()).hexdigest() != path.name.partition(".")[0]:
            yield Refused(f"the TUF target {path} does not have the hash that it is named by", BACKUP)
    # Deferred: python-tuf takes longer to import than the rest of the doctor.
    from stack.doctor.repository import check_signatures  # noqa: PLC0415 - see the line above

    yield from _tried(partial(check_signatures, home), folder)


# --- what remembers ----------------------------------------------------------------------------------
def _anchors(home: Home, settings: Settings) -> Iterator[SigError]:
    """Each can be read; a log of more than its first entry has one, where anchors are kept; versions are not behind what is published."""
    folder = home.path / "anchor"
    for path in sorted(folder.glob("*.checkpoint")):
        yield from _tried(partial(load_anchored, path), path)
    whole = folder.is_dir() or all((home.path / name).is_dir() for name in ("ca", "ct", "rekor", "tsa", "oidc"))
    for shard in all_shards(load_generations(home)) if whole and not settings.database else ():
        database = shard.database(home.path)
        if (
            database.exists()
            and not shard.anchor(folder).exists()
            and not shard.anchor(folder).with_suffix(".db").exists()
        ):
            hint = (
                f"{BACKUP}. Without it nobody sees that the log was cut off; the next start makes one of what is there"
            )
            if _size(database) > 1:
                yield NotFound(f"the log {shard.name} has lost its anchor {shard.anchor(folder)}", hint)
    yield from _tried(
        partial(load_time, folder / "tsa.time"),
        folder / "tsa.time",
        "remove it, if the clock is right: it is made anew",
    )
    if home.tuf_repository.exists() and any((home.path / "tuf").glob("*.key")):
        yield from _tried(partial(_check_versions, home), folder / "tuf.json", "sigbox trust refresh writes it anew")


def _check_versions(home: Home) -> None:
    path = home.path / "anchor" / "tuf.json"
    begun = Versions(path, durable=False).load()
    for role in load_state(home).roles:
        if begun.get(role.role, 0) < role.version:
            raise Refused(
                f"{path} knows of version {begun.get(role.role, 0)} of {role.role}, {role.version} is published"
            )


def _size(database: Path) -> int:
    with closing(_opened(database)) as opened:
        row = opened.execute("SELECT size FROM head").fetchone()
    return int(row[0]) if row else 0


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)


def _databases(home: Home, _settings: Settings) -> Iterator[SigError]:
    """SQLite finds nothing wrong with those that are no logs."""
    for path in sorted(home.path.glob("*/*.db")):
        remade = path.relative_to(home.path).as_posix() in _REMADE
        if path.name != _LOGS and path.parent.name != "anchor":
            hint = "stop the stack and remove it: it is made anew" if remade else BACKUP
            yield from _tried(partial(_check_database, path), path, hint)


def _check_database(path: Path) -> None:
    if not path.stat().st_size:
        raise Refused(f"the database {path} is empty", f"{BACKUP}; remove it if nothing was ever put in")
    try:
        with closing(_opened(path)) as opened:
            found = [row[0] for row in opened.execute("PRAGMA integrity_check(1)")]
    except sqlite3.Error as error:
        raise Refused(f"the database {path} is damaged: {error}") from error
    if found != ["ok"]:
        raise Refused(f"the database {path} is damaged: {found[0]}")


def _rest(home: Home, settings: Settings) -> Iterator[SigError]:
    """The issuers, and the record of actions."""
    if home.issuers.exists():
        yield from _tried(partial(load_issuers, home.issuers), home.issuers)
    if (home.path / "audit" / "log.db").exists() or (home.path / "anchor" / "audit.checkpoint").exists():
        yield from _tried(partial(verify_trail, home, settings), home.path / "audit")


# --- a witness of other people's logs ------------------------------------------------------------------
def _witness(home: Home, _settings: Settings) -> Iterator[SigError]:
    """Its key is that of its verifier key, and its list of logs can be read."""
    yield from _tried(lambda: check_witness(home), home.path / "rekor")


_LOOKS: Final = (
    _rights,
    _keys,
    _chains,
    _generations,
    _provider,
    _documents,
    _repository,
    _anchors,
    _databases,
    _witness,
    _rest,
)
