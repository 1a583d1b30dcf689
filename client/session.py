# SPDX-License-Identifier: Apache-2.0
"""The identity token of a login, kept for the session: one file that only its owner can read.

It is given to a service only where the signing config names the token's issuer: a token is a credential, and whoever gets it can
sign in its user's name until it expires.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from client.files import read_file, save_whole
from client.identity import IdentityToken, parse_identity_token, token_claims
from sigcore import limits
from sigcore.errors import Malformed, NotFound, Refused
from sigcore.strict import shown

SPARE_S: Final = 10
"""A token that ends within this time is not worth trying."""


def session_file(environ: Mapping[str, str]) -> Path:
    """In the folder that the system empties at the end of a session, else in the cache."""
    folder = (
        environ.get("XDG_RUNTIME_DIR")
        or environ.get("XDG_CACHE_HOME")
        or str(Path(environ.get("HOME") or "/nonexistent", ".cache"))
    )
    return Path(folder, "sigbox", "identity-token")


def save_session(token: IdentityToken, path: Path) -> None:
    """Keep ``token``, readable by its owner alone.

    Raises:
        Refused: the folder is somebody else's, or cannot be written to.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = path.parent.stat().st_uid
    except OSError as error:
        raise Refused(f"the folder {path.parent} cannot be made: {error.strerror}") from error
    if owner != os.getuid():
        raise Refused(f"the folder {path.parent} belongs to somebody else", "set XDG_RUNTIME_DIR to a folder of yours")
    save_whole(token.text.encode("ascii"), path, what="the identity token", mode=0o600)


def load_session(path: Path, issuers: Collection[str], now: datetime) -> IdentityToken:
    """The token that was kept, if it may be used.

    Args:
        path: from :func:`session_file`.
        issuers: whose tokens the services take, as the signing config says.
        now: the token must be good at this time.

    Raises:
        NotFound: there is none, it has expired, or it is of another issuer. Malformed: the file holds no token.
    """
    try:
        text = read_file(path, what="the identity token", limit=limits.IDENTITY_TOKEN).decode("ascii")
    except UnicodeDecodeError as error:
        raise Malformed(f"the file {path} holds bytes that no token has", "log in again: sigbox login") from error
    token = parse_identity_token(text)
    if token.issuer not in issuers:
        raise NotFound(
            f"you are logged in at {shown(token.issuer, 200)}, which the signing config does not name",
            "log in there: sigbox login; or give --identity-token TOKEN",
        )
    if expiry(token) - SPARE_S <= now.timestamp():
        raise NotFound("your login has expired", "log in again: sigbox login")
    return token


def expiry(token: IdentityToken) -> int:
    """When the token ends, in Unix seconds, as it says itself."""
    return token_claims(token.text).integer("exp")
