# SPDX-License-Identifier: Apache-2.0
"""Who may write into the signature logs of this stack: :mod:`stack.writer_rules`, judged for one entry.

A certificate is the stack's own where the verifier of our client would take it: at the moment at which it began to be valid, one of
the authorities of ``public/`` vouches for it, in the window of its generation. That moment, and not the time of day: signing, the
timestamp and the entry come after it, in processes with clocks of their own, and a retry may come late.

Which authorities there are is looked up before each answer: a rotation is known here before the new authority signs.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Final

from sigcore.errors import SigError
from sigcore.keys import encode_public_key, parse_public_key_pem
from sigcore.trustroot import AuthorityInstance
from sigcore.x509 import parse_certificate
from stack.announced import announced, opened
from stack.config import Home, Settings
from stack.files import load_file
from stack.generations import load_generations, path_of
from stack.trust.documents import authorities, load_public
from stack.writer_rules import FINGERPRINT, WriterRules
from tlog.writers import Unwelcome

_ASK: Final = "ask the operator of this log"
_log = logging.getLogger(__name__)


class OwnWriters:
    """The rules of one stack (:class:`tlog.writers.Writers`).

    Raises:
        NotFound, Malformed: a named key, or what is public of the stack's authorities, cannot be read.
    """

    def __init__(self, home: Home, settings: Settings, rules: WriterRules) -> None:
        self._home, self._settings, self._rules = home, settings, rules
        self._keys = None if rules.keys is None else frozenset(fingerprint_of(home.path, row) for row in rules.keys)
        self._seen: tuple[tuple[int, int], ...] = ()
        self._authorities: tuple[AuthorityInstance, ...] = ()
        if rules.certificates == "own":
            # Deferred: the verifier, which few logs need.
            from client.verify.certificate import verify_certificate  # noqa: PLC0415 - see the line above

            self._verify = verify_certificate
            self._seen = _stamp(home)
            self._authorities = _authorities(home, settings)

    def check_key(self, spki: bytes) -> None:
        """Raises Unwelcome where entries that this bare public key (DER) verifies are not taken."""
        if self._keys is None or (found := hashlib.sha256(spki).hexdigest()) in self._keys:
            return
        if not self._keys:
            raise Unwelcome("this log takes no signatures of keys without a certificate", "sign with an identity")
        raise Unwelcome(f"the key sha256:{found} is not among those that may write into this log", _ASK)

    def check_certificate(self, der: bytes) -> None:
        """Raises Unwelcome where entries that this certificate verifies are not taken."""
        if self._rules.certificates == "any":
            return
        self._follow()
        try:
            leaf = parse_certificate(der, what="the entry's certificate")
            self._verify(leaf, (leaf.not_before,), self._authorities)
        except SigError as error:
            message = f"this log takes certificates of its own stack's authority alone: {error.message}"
            raise Unwelcome(message, error.hint) from error

    def _follow(self) -> None:
        """What cannot be read is logged, and the authorities before it stay."""
        if (stamp := _stamp(self._home)) == self._seen:
            return
        try:
            self._authorities = _authorities(self._home, self._settings)
        except (SigError, OSError):
            _log.exception("the authorities whose certificates may be logged cannot be read anew")
        else:
            self._seen = stamp


def fingerprint_of(folder: Path, row: str) -> str:
    """SHA-256 (hex) of the key that a row of ``keys`` names; a file is looked for from ``folder``.

    Raises:
        NotFound, Malformed: the file is not there, or holds no public key.
    """
    if named := FINGERPRINT.match(row):
        return named[1]
    path = folder / row
    data = load_file(path, what="the public key of [log.writers]")
    return hashlib.sha256(encode_public_key(parse_public_key_pem(data, what=str(path)))).hexdigest()


def _authorities(home: Home, settings: Settings) -> tuple[AuthorityInstance, ...]:
    """All generations. One ends here when clients are told that it does: until then the authority signs with it."""
    rotated = load_generations(home)
    return authorities(load_public(home), settings, opened(rotated, announced(home, rotated)))


def _stamp(home: Home) -> tuple[tuple[int, int], ...]:
    """Of what says which generations there are, and of what is replaced whenever clients are told anew."""
    return tuple(map(_state, (path_of(home), home.tuf_repository / "timestamp.json")))


def _state(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError:
        return (0, 0)
    return (state.st_mtime_ns, state.st_ino)
