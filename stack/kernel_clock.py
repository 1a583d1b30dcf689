# SPDX-License-Identifier: Apache-2.0
"""Whether the kernel takes its clock for synchronised: what chronyd, ntpd or systemd-timesyncd have told it. Nothing is asked over a network.

Source: adjtimex(2), which everybody may call with ``modes`` 0; ``STA_UNSYNC`` is set by the kernel itself too, when nobody has
corrected the clock for about half a day. chronyd tells the kernel with ``rtcsync`` in its configuration only.
"""

from __future__ import annotations

import ctypes
from typing import Final

from sigcore.errors import Unavailable

UNSYNCHRONISED: Final = 0x40
"""``STA_UNSYNC`` of ``status``."""
HINT: Final = "run chronyd with rtcsync, ntpd or systemd-timesyncd on this machine (of a container: on its host)"


class _Timex(ctypes.Structure):
    """``struct timex`` up to ``status``, and more room for the rest than it needs."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


def status() -> int | None:
    """The kernel's status bits; None where it does not tell, as on another system than Linux."""
    library, timex = ctypes.CDLL(None), _Timex()
    call = getattr(library, "adjtimex", None)
    if call is None or call(ctypes.byref(timex)) < 0:
        return None
    return int(timex.status)


def fault() -> str:
    """Why the clock is not known to be synchronised; empty where the kernel says that it is."""
    found = status()
    if found is None:
        return "the kernel does not say whether its clock is synchronised"
    return "the kernel says that its clock is not synchronised" if found & UNSYNCHRONISED else ""


def check_synchronised() -> None:
    """Raises Unavailable unless the kernel says that its clock is synchronised."""
    if why := fault():
        raise Unavailable(f"timeNotAvailable: {why}", f"{HINT}, or take require_synchronised_clock out of [tsa]")
