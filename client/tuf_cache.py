# SPDX-License-Identifier: Apache-2.0
"""What ``sigbox initialize`` has kept of a TUF repository, read without a socket; and what cosign has kept.

Ours, under ``$SIGBOX_TUF``, ``$XDG_CACHE_HOME/sigbox`` or ``~/.cache/sigbox``:

    tuf/cache.json          {"mirror": URL, "expires": the first moment at which some metadata is no longer good}
    tuf/metadata/           as python-tuf keeps it
    tuf/targets/            trusted_root.json, signing_config.v0.2.json, policy.json, verified when they were fetched

cosign's, under ``$TUF_ROOT`` or ``~/.sigstore/root``: ``remote.json`` names the mirror, a folder named for it holds metadata and
targets. It is read and never written. ``$TUF_MIRROR`` says, as in cosign, which mirror is meant: a cache of another one, ours too, is
passed over.

Sources: TUF specification 1.0 section 5; sigstore-go ``pkg/tuf``; cosign ``cmd/cosign/cli/initialize``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from client.files import read_file
from sigcore import limits
from sigcore.errors import NotFound, Refused
from sigcore.strict import Fields, encode_time
from sigcore.values import dataclass

ROOT: Final = "trusted_root.json"
CONFIG: Final = "signing_config.v0.2.json"
POLICY: Final = "policy.json"
"""Who may sign what, where the repository publishes it; it is found beside the trusted root."""
STATE: Final = "cache.json"
_SIGNED_ROLES: Final = ("timestamp", "snapshot", "targets")


@dataclass(frozen=True, slots=True)
class TufCache:
    """A cache on disk. ``ours`` says whether we may refresh it; ``expires`` when it must be."""

    folder: str
    mirror: str
    expires: datetime
    ours: bool

    def files(self) -> dict[str, str]:
        """The targets that are there, by the names of the options that they stand for."""
        targets = {"trusted_root": ROOT, "signing_config": CONFIG}
        paths = {name: _join(self.folder, "targets", target) for name, target in targets.items()}
        return {name: path for name, path in paths.items() if os.path.exists(path)}  # noqa: PTH110 - see client.files


def cache_folder(environ: Mapping[str, str]) -> str:
    """Where our own cache lies, or would lie."""
    return _join(environ.get("SIGBOX_TUF") or _join(_cache_home(environ), "sigbox"), "tuf")


def _cache_home(environ: Mapping[str, str]) -> str:
    return environ.get("XDG_CACHE_HOME") or _join(_home(environ), ".cache")


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or "/nonexistent"


def find_cache(environ: Mapping[str, str]) -> TufCache | None:
    """Our cache, else cosign's, else None; of the mirror in ``$TUF_MIRROR`` alone, where it is set.

    Raises:
        Malformed: a file of the cache is not what it should be.
    """
    mirror = environ.get("TUF_MIRROR") or ""
    own = _own(cache_folder(environ))
    if own is not None and (not mirror or own.mirror.rstrip("/") == mirror.rstrip("/")):
        return own
    return _cosigns(environ.get("TUF_ROOT") or _join(_home(environ), ".sigstore", "root"), mirror)


def check_fresh(cache: TufCache, now: datetime) -> dict[str, str]:
    """The files of a cache that is good at ``now``.

    Raises:
        Refused: it has expired. NotFound: it holds no trusted root.
    """
    if now >= cache.expires:
        raise Refused(
            f"the TUF cache {cache.folder} was good until {encode_time(cache.expires)}",
            "fetch it again: sigbox initialize" if cache.ours else "it is cosign's: run cosign initialize again",
        )
    files = cache.files()
    if "trusted_root" not in files:
        raise NotFound(f"the TUF cache {cache.folder} holds no {ROOT}", "does the mirror publish one?")
    return files


def _own(folder: str) -> TufCache | None:
    state = _read(folder, STATE)
    if state is None:
        return None
    state.only("mirror", "expires")
    return TufCache(folder, state.text("mirror"), state.time("expires"), ours=True)


def _cosigns(folder: str, mirror: str) -> TufCache | None:
    if not mirror:
        remote = _read(folder, "remote.json")
        if remote is None:
            return None
        mirror = remote.text("mirror")
    place = _join(folder, _folder_name(mirror))
    roles = [_read(place, f"{role}.json") for role in _SIGNED_ROLES]
    if any(role is None for role in roles):
        return None
    moments = [role.object("signed").time("expires") for role in roles if role is not None]
    return TufCache(place, mirror, min(moments), ours=False)


def _folder_name(url: str) -> str:
    """How sigstore-go names the folder for a mirror."""
    return url.removeprefix("https://").removeprefix("http://").replace("/", "-").replace(":", "-").lower()


def _read(folder: str, name: str) -> Fields | None:
    path = _join(folder, name)
    if not os.path.exists(path):  # noqa: PTH110 - see client.files
        return None
    what = "the TUF cache's"
    return Fields.parse(
        read_file(path, what=what, limit=limits.TRUSTED_ROOT), what=f"{what} {name}", limit=limits.TRUSTED_ROOT
    )


def _join(*parts: str) -> str:
    return os.path.join(*parts)  # noqa: PTH118 - see client.files
