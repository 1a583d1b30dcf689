# SPDX-License-Identifier: Apache-2.0
"""What can be seen on the machine of the stack: program, files, disk, certificates. Nothing is changed.

A role that runs alone sees its own folder only, a client's machine none: what cannot be looked at there is skipped, and said.
"""

from __future__ import annotations

import importlib.util
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Final

import stack
from sigcore.device_key import in_device
from sigcore.errors import Refused, SigError
from sigcore.keys import PrivateKey
from sigcore.strict import encode_time
from sigcore.values import dataclass
from sigcore.x509 import Certificate, common_name
from stack.bootstrap import ROLE_FOLDERS, load_ca, load_ecdsa, load_rekor, load_tsa
from stack.config import Home, load_settings
from stack.doctor.finding import Check, Skipped, Warned
from stack.files import check_folder
from stack.generations import load_generations
from stack.kept_logs import make_writers
from stack.key_places import by_place
from stack.shards import shards_of
from stack.trust.requested import successor

PACKAGES: Final = ("sigcore", "oidc_dev", "ca", "tlog", "tsa", "client", "stack")
KEYED: Final = ("ca", "ct", "rekor", "rekor-v1", "tsa", "oidc", "tuf")
"""The folders that hold keys in every stack."""
SQLITE: Final = (3, 35, 0)
"""The first with everything that the logs use (RETURNING, trigram indexes)."""
LOW_BYTES: Final = 1024**3
FULL_BYTES: Final = 100 * 1024**2
MOST: Final = 8
"""Wounds that are named one by one."""
SOON: Final = timedelta(days=180)


@dataclass(frozen=True, slots=True)
class Here:
    """A stack on this machine at a moment; ``home`` is None where there is none, for the reason ``absent``."""

    home: Home | None
    now: datetime
    absent: str = ""

    def folder(self) -> Home:
        """Raises Skipped where there is none."""
        if self.home is None:
            raise Skipped(self.absent)
        return self.home


def program(_here: Here) -> str:
    """That what runs is what was installed: our folder names are plain, and somebody else may own one of them."""
    place = Path(stack.__file__ or "").resolve().parent.parent
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        found = Path(spec.origin or "").resolve().parent.parent if spec else None
        if found != place:
            raise Refused(
                f"the package {package} is that of {found}, not ours in {place}",
                "install sigbox into an environment of its own: python3 -m venv",
            )
    if sqlite3.sqlite_version_info < SQLITE:
        wanted = ".".join(map(str, SQLITE))
        raise Refused(f"SQLite is {sqlite3.sqlite_version}, expected {wanted} or newer", "use a newer Python")
    version = ".".join(map(str, sys.version_info[:3]))
    return f"Python {version}, SQLite {sqlite3.sqlite_version}, packages in {place}"


def time(here: Here) -> str:
    """That somebody keeps the clock of this machine: certificates, timestamps and the trust root go by it."""
    here.folder()
    # Deferred: it is needed here only.
    from stack.kernel_clock import HINT, fault  # noqa: PLC0415 - see the line above

    if why := fault():
        raise Warned(why, HINT)
    return "the kernel takes its clock for synchronised"


def files(here: Here) -> str:
    """That secrets are readable by their owner only."""
    home = here.folder()
    settings, secrets, away = load_settings(home), 0, []
    check_folder(home.path)
    in_token = [name for name in settings.keys if any((home.path / name).glob("*.pub"))]
    for name in (*ROLE_FOLDERS, "audit"):
        folder = home.path / name
        if folder.exists():
            _check_mode(folder, 0o077)
        found = [*folder.rglob("*.key")]
        for key in found:
            _check_mode(key, 0o077)
        secrets += len(found)
        if name in KEYED and not found and name not in in_token:
            away.append(name)
    rest = f"; not here: the keys of {', '.join(away)}" if away else ""
    for place, roles in by_place({role: settings.keys[role] for role in in_token}).items():
        rest = f"{rest}; {place}: those of {', '.join(roles)}"
    return f"{home.path}: {secrets} secret keys, none readable by others; URL {settings.url}{rest}"


def tokens(here: Here) -> str:
    """That the tokens and programs of ``[keys]`` answer, and hold the keys that this stack was made with; how long each takes."""
    home = here.folder()
    rows = {role: uri for role, uri in load_settings(home).keys.items() if (home.path / role).exists()}
    if not rows:
        raise Skipped("no key is in a token or a KMS")
    there, files, took = {role: _signing_key(home, role) for role in rows}, [], []
    for role, key in there.items():
        if in_device(key):
            begun = monotonic()
            key.prove()
            took.append(f"{role} {(monotonic() - begun) * 1000:.0f} ms")
        else:
            files.append(role)
    if files:
        hint = "sigbox trust rotate makes the next key there"
        raise Warned(f"the keys of {', '.join(files)} are in files, although [keys] names other places for them", hint)
    return f"the keys sign where they are kept; opening that and one signature take: {', '.join(took)}"


def _signing_key(home: Home, role: str) -> PrivateKey:
    if role in ("ca", "tsa"):
        return (load_ca if role == "ca" else load_tsa)(home)[0]
    newest = shards_of(load_generations(home), role)[-1]
    return (load_rekor if role == "rekor" else load_ecdsa)(home, newest.key_file)


def _check_mode(path: Path, forbidden: int) -> None:
    mode = path.stat().st_mode & 0o777
    if mode & forbidden:
        raise Refused(f"{path} has mode {mode:04o}: others may read it", f"chmod go-rwx {path}")


def disk(here: Here) -> str:
    """That there is room: a full disk takes no entries."""
    usage = shutil.disk_usage(here.folder().path)
    said = f"{usage.free / 1024**3:.1f} of {usage.total / 1024**3:.1f} GiB are free"
    if usage.free < FULL_BYTES:
        raise Refused(said, "make room: the logs stop to take entries before the disk is full")
    if usage.free < LOW_BYTES:
        raise Warned(said, "make room soon: a million entries take about 2 GiB")
    return said


async def database(here: Here) -> str:
    """That the server of the logs answers, keeps what it acknowledges, and cannot be mistaken for another one."""
    url = load_settings(here.folder()).database
    if not url:
        raise Skipped("the logs are not in a database; one that is given by --database alone is not known here")
    # Deferred: its driver is an extra.
    from stack.database import ASK_FOR_PROOF, look_at, unproven  # noqa: PLC0415 - see the line above

    said = await look_at(url, "rekor")
    if found := unproven(url):
        raise Warned(f"{said}; {found}", ASK_FOR_PROOF)
    return said


def certificates(here: Here) -> str:
    """That keys, certificates and their times fit, of the authorities whose folders are here."""
    home, loaders = here.folder(), {"ca": load_ca, "tsa": load_tsa}
    there = [role for role in loaders if (home.path / role).exists()]
    away = [f"{role}/" for role in loaders if role not in there]
    if not there:
        raise Skipped(f"neither {' nor '.join(away)} is in {home.path}: their chains are looked at where they are")
    try:
        chains = [loaders[role](home)[1] for role in there]
    except SigError as error:
        error.hint = error.hint or "restore it from a backup: sigbox restore"
        raise
    until, name = min((_good_until(chain, here.now) for chain in chains), key=lambda pair: pair[0])
    if until - here.now < SOON:
        raise Warned(
            f"the certificate {name!a} ends {encode_time(until)}",
            f"make a successor before: {', '.join(successor(home, role) for role in there)}",
        )
    rest = f"; {away[0]} is not here" if away else ""
    return f"the chains of {', '.join(there)} fit their keys; the first to end does it {encode_time(until)}{rest}"


def _good_until(chain: Sequence[Certificate], now: datetime) -> tuple[datetime, str]:
    for certificate in chain:
        if not certificate.not_before <= now <= certificate.not_after:
            raise Refused(
                f"the certificate {common_name(certificate.subject)!a} is good from {encode_time(certificate.not_before)}"
                f" to {encode_time(certificate.not_after)}, the clock says {encode_time(now)}",
                "is the clock right?",
            )
    first = min(chain, key=lambda certificate: certificate.not_after)
    return first.not_after, common_name(first.subject)


def contents(here: Here) -> str:
    """That every file is what it must be beside the others; of a damaged directory, that each of its wounds is named at once."""
    # Deferred: it reads what all parts of the stack write.
    from stack.doctor.contents import problems  # noqa: PLC0415 - see the line above

    found = list(problems(here.folder()))
    if found:
        said = "; ".join(dict.fromkeys(one.message for one in found[:MOST]))
        more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
        raise Refused(f"{said}{more}", "; ".join(dict.fromkeys(one.hint for one in found[:MOST] if one.hint)))
    return "every file can be read and fits those that it belongs to; sigbox fsck hashes the logs"


def writers(here: Here) -> str:
    """Whose entries the logs take, and that the keys that are named for it can be read."""
    home = here.folder()
    settings, there = load_settings(home), [name for name in ("rekor", "ct") if (home.path / name).exists()]
    if not there:
        raise Skipped(f"neither rekor/ nor ct/ is in {home.path}: their rules are looked at where they are")
    said = []
    if "rekor" in there:
        make_writers(home, settings)
        said.append(f"the signature logs take {settings.writers or 'entries of anybody'}")
    if "ct" in there:
        whose = "of this stack's authority" if settings.ct_issuers == "own" else "of any below its roots"
        said.append(f"the certificate log takes certificates {whose}")
    return "; ".join(said)


CHECKS: Final = (
    Check("program", program),
    Check("files", files),
    Check("disk", disk, "files"),
    Check("time", time),
    Check("tokens", tokens, "files"),
    Check("database", database, "files"),
    Check("certificates", certificates, "files"),
    Check("contents", contents),
    Check("writers", writers, "files"),
)
