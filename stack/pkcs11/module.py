# SPDX-License-Identifier: Apache-2.0
"""A PKCS#11 library in this process: its sessions, and what is wrong when a token cannot be used.

The library is used by one thread at a time. When anything fails, all of it is closed and finalized, and the next use begins anew:
a token that was away is found again only by a library that was initialized again. A process that forks afterwards must have let
go of the library (:meth:`Module.close`): PKCS#11 v2.40 section 5.4 leaves open what a child inherits.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sigcore.errors import NotFound, Refused, Unavailable
from sigcore.pkcs11_uri import KeyUri
from sigcore.strict import shown
from stack.files import load_secret
from stack.line import Line
from stack.waiting_key import PATIENCE_S

if TYPE_CHECKING:
    import pkcs11

Made = TypeVar("Made")
PAUSES_S: Final = (0.0, 0.1, 0.3)
"""Between the tries of one thing."""
INSTALL: Final = (
    "pip install 'sigbox[pkcs11]', or from a checkout: pip install --require-hashes -r requirements/pkcs11.txt"
)
WHERE: Final = "[keys] of sigbox.toml"


class Module:
    """The library in the file ``path``; see :func:`module_at`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.line = Line(path)
        self.epoch = 0
        """Counts how often everything was closed: what was found before is of no use after."""
        self._lock = threading.RLock()
        self._library: Any = None  # pkcs11.lib, a class of its compiled part
        self._sessions: dict[tuple[str, str], pkcs11.Session] = {}
        self._wrong_pins: dict[tuple[str, str], bytes] = {}

    @contextmanager
    def held(self) -> Iterator[None]:
        """For one thread at a time. Unavailable: another one waits for the token, for longer than :data:`PATIENCE_S`."""
        if not self._lock.acquire(timeout=PATIENCE_S):
            raise Unavailable(f"the PKCS#11 module {self.path} has not answered for {PATIENCE_S:.0f} s")
        try:
            yield
        finally:
            self._lock.release()

    def close(self) -> None:
        """End all sessions and let go of the library."""
        self.epoch += 1
        self._sessions.clear()
        library, self._library = self._library, None
        if library is not None:
            with suppress(Exception):  # whatever it says: it is begun anew
                library.finalize()

    def tried(self, work: Callable[[], Made]) -> Made:
        """The outcome of ``work``, tried anew with everything opened again when it fails, but for what is refused.

        An old session may have ended long ago; and while a process beside this one logs in, SoftHSM shows no token.
        """
        for pause_s in PAUSES_S:
            with suppress(NotFound, Unavailable, RuntimeError):  # the last are the library's own, of many kinds
                return work()
            self.close()
            time.sleep(pause_s)
        return work()

    def session(self, uri: KeyUri, *, writable: bool = False) -> pkcs11.Session:
        """The session with the token of ``uri``, logged in; a new one is ``writable`` only where it is asked for.

        Raises:
            NotFound: library, token or PIN file are not there. Refused: they are not what they should be, or the PIN is wrong.
            Unavailable: the token does not answer.
        """
        place = (uri.token, uri.serial)
        if place not in self._sessions:
            token = self._find(uri)
            self._sessions[place] = self._log_in(uri, token, writable=writable)
        return self._sessions[place]

    def _find(self, uri: KeyUri) -> pkcs11.Token:
        library = self._initialized()
        try:
            tokens = [slot.get_token() for slot in library.get_slots(token_present=True)]
        except Exception as error:
            raise Unavailable(f"the PKCS#11 module {self.path} does not list its tokens: {said(error)}") from error
        # A label is padded with blanks (CK_TOKEN_INFO); serial numbers are text.
        fitting = [
            token
            for token in tokens
            if (not uri.token or token.label.rstrip() == uri.token)
            and (not uri.serial or token.serial.decode("latin-1").rstrip() == uri.serial)
        ]
        if not fitting:
            there = ", ".join(sorted({shown(token.label) for token in tokens if token.label})) or "none"
            raise NotFound(
                f"{uri.place} is not there: {self.path} has {there}",
                f"connect it, or make it (softhsm2-util --init-token --free --label LABEL); it is named in {WHERE}",
            )
        if len(fitting) > 1:
            raise Refused(f"{len(fitting)} tokens are {uri.place}", f"add serial=NUMBER to the URI in {WHERE}")
        token: pkcs11.Token = fitting[0]
        return token

    def _initialized(self) -> Any:
        if self._library is None:
            if not Path(self.path).is_file():
                hint = f"install it (SoftHSM on Debian: softhsm2), or correct module-path in {WHERE}"
                raise NotFound(f"the PKCS#11 module {self.path} does not exist", hint)
            try:
                import pkcs11  # noqa: PLC0415 - an extra, which only such keys need
            except ImportError as error:
                raise Refused("keys in a token need python-pkcs11, which is not installed", INSTALL) from error
            try:
                self._library = pkcs11.lib(self.path)
            except Exception as error:
                if type(error) is pkcs11.PKCS11Error:  # the kinds below it are answers of a library
                    raise Refused(f"{self.path} is no PKCS#11 module: {error}", f"correct it in {WHERE}") from error
                hint = "see its own configuration and log (SoftHSM: the file that SOFTHSM2_CONF names)"
                raise Unavailable(f"the PKCS#11 module {self.path} does not start: {said(error)}", hint) from error
        return self._library

    def _log_in(self, uri: KeyUri, token: pkcs11.Token, *, writable: bool) -> pkcs11.Session:
        """A token locks itself after a few wrong PINs: one that was refused is not tried again."""
        from pkcs11 import exceptions  # noqa: PLC0415 - the library was loaded with it

        pin = load_secret(Path(uri.pin_file), what="the PIN file").removesuffix(b"\n").removesuffix(b"\r")
        place, digest = (uri.token, uri.serial), hashlib.sha256(pin).digest()
        wrong = Refused(
            f"{uri.place} refuses the PIN in {uri.pin_file}",
            "write the right one there: this one is not tried again, since a token locks after a few wrong PINs",
        )
        if self._wrong_pins.get(place) == digest:
            raise wrong
        try:
            return token.open(rw=writable, user_pin=pin.decode("utf-8", "surrogateescape"))
        except (exceptions.PinIncorrect, exceptions.PinLenRange, exceptions.PinInvalid) as error:
            self._wrong_pins[place] = digest
            raise wrong from error
        except exceptions.PinLocked as error:
            self._wrong_pins[place] = digest
            raise Refused(f"{uri.place} is locked", "its security officer can set a new PIN") from error
        except exceptions.UserPinNotInitialized as error:
            raise Refused(f"{uri.place} has no user PIN yet", "its security officer sets one") from error
        except Exception as error:
            raise Unavailable(f"{uri.place} opens no session: {said(error)}") from error


_MODULES: dict[str, Module] = {}


def module_at(path: str) -> Module:
    """The one :class:`Module` of this process for the library in the file ``path``."""
    return _MODULES.setdefault(path, Module(path))


def said(error: Exception) -> str:
    """What a library answered; its errors have names rather than texts. Nothing of a PIN is in either."""
    return " ".join(filter(None, (type(error).__name__, str(error))))
