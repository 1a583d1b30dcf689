# SPDX-License-Identifier: Apache-2.0
"""What a lie is made of beside the right answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from ca.ports import CertificateLog
from sigcore.values import dataclass
from stack.config import Home
from tlog.log import Log


@dataclass(frozen=True, slots=True)
class Means:
    """What a lie is made of beside the right answer.

    Attributes:
        home: where the keys are, as they are at that moment.
        logs: all of them, by name.
        ct: the certificate log that takes entries now.
        clock: the time of day.
    """

    home: Home
    logs: Mapping[str, Log]
    ct: Callable[[], CertificateLog]
    clock: Callable[[], datetime]
