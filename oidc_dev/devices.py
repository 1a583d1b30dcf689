# SPDX-License-Identifier: Apache-2.0
"""Programs that wait while their user logs in elsewhere (RFC 8628). In memory: they wait ten minutes."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from oidc_dev.guests import GuestSession
from oidc_dev.sessions import Session

LIFETIME_S: Final = 600
INTERVAL_S: Final = 5
"""Between two polls; each that comes too early adds as much (section 3.5)."""
SLOWEST_S: Final = 60
MOST: Final = 1000
"""Programs that wait at one time; beyond it nobody else may begin, so that nobody's login can be pushed out."""

_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels and no digits: no words, nothing to be mistaken (section 6.1). Eight of them are 34 bits."""


@dataclass(frozen=True, slots=True)
class Device:
    """One waiting program, everything that its token is bound to, and what became of it."""

    client_id: str
    scope: str
    nonce: str
    code_challenge: str
    user_code: str
    address: str
    """Where it asked from; shown to whoever is to approve it."""
    asked: datetime
    expires: datetime
    interval_s: int = INTERVAL_S
    polled: datetime | None = None
    approved: Session | GuestSession | None = None
    """Whose login it waited for."""
    denied: bool = False

    def waits(self, now: datetime) -> bool:
        """Whether nobody has answered it, and somebody still can."""
        return self.approved is None and not self.denied and now < self.expires


class Devices:
    """The programs that wait, by the hash of their device code and by user code."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[bytes, Device] = OrderedDict()

    def begin(self, device: Device, *, now: datetime) -> str | None:
        """The device code of a program that begins to wait; None when too many do."""
        self._forget(now)
        if len(self._waiting) >= MOST:
            return None
        code = secrets.token_urlsafe(32)
        self._waiting[_hashed(code)] = device
        return code

    def new_user_code(self) -> str:
        """A user code that no waiting program has."""
        taken = {device.user_code for device in self._waiting.values()}
        while (code := "".join(secrets.choice(_LETTERS) for _ in range(8))) in taken:
            pass
        return code

    def poll(self, code: str, *, now: datetime) -> tuple[Device | None, bool]:
        """The program with this device code, and whether it asks too soon; from then on it has to wait longer.

        A program that has expired is known for as long again, so that it can be told.
        """
        key = _hashed(code)
        device = self._waiting.get(key)
        if device is None:
            return None, False
        early = device.polled is not None and now < device.polled + timedelta(seconds=device.interval_s)
        interval_s = min(device.interval_s + INTERVAL_S, SLOWEST_S) if early else device.interval_s
        self._waiting[key] = replace(device, polled=now, interval_s=interval_s)
        return device, early

    def take(self, code: str) -> None:
        """Forget the program with this device code: it has its answer."""
        self._waiting.pop(_hashed(code), None)

    def find(self, user_code: str, *, now: datetime) -> Device | None:
        """The program with this user code that waits for an answer."""
        waiting = (device for device in self._waiting.values() if device.user_code == user_code)
        return next((device for device in waiting if device.waits(now)), None)

    def decide(self, user_code: str, approved: Session | GuestSession | None, *, now: datetime) -> bool:
        """Give the program with this user code its answer, None for no; False when none waits for one any more."""
        for key, device in self._waiting.items():
            if device.user_code == user_code and device.waits(now):
                self._waiting[key] = replace(device, approved=approved, denied=approved is None)
                return True
        return False

    def _forget(self, now: datetime) -> None:
        known = timedelta(seconds=LIFETIME_S)
        for key in [key for key, device in self._waiting.items() if now >= device.expires + known]:
            del self._waiting[key]


def plain_user_code(typed: str) -> str:
    """What somebody typed as the code has it: capitals, no dashes and no spaces (section 6.1)."""
    return "".join(letter for letter in typed[:64].upper() if letter in _LETTERS)


def shown_user_code(code: str) -> str:
    """``code`` in two groups."""
    return f"{code[:4]}-{code[4:]}"


def _hashed(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8")).digest()
