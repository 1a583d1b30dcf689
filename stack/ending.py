# SPDX-License-Identifier: Apache-2.0
"""Which signals end a stack in order, and what they do before an event loop has them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable
from types import FrameType

IMPORTING = "<frozen importlib._bootstrap>"


def ending_signals() -> tuple[signal.Signals, ...]:
    """SIGTERM, SIGINT, and SIGHUP, which a terminal sends when it is closed; not that one where nohup has it ignored.

    Without it a closed terminal left the keys of an ephemeral stack on the disk, and the ready file of any.
    """
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return (signal.SIGTERM, signal.SIGINT, *(() if ignored else (signal.SIGHUP,)))


class Ending:
    """A handler that ends the process with 0, in order, wherever it is.

    What is raised in a callback of a weak reference is ignored by Python, and ``import`` has such a one, named ``cb``, for each
    module: a signal that came then was lost. There it is only remembered; elsewhere it is that, too. Whoever takes the signals
    over asks :func:`came_before`.
    """

    def __init__(self) -> None:
        self.came: signal.Signals | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """SystemExit where it is heard."""
        self.came = signal.Signals(number)
        if frame is None or (frame.f_code.co_filename, frame.f_code.co_name) != (IMPORTING, "cb"):
            sys.exit(0)


def came_before(handlers: Iterable[object]) -> signal.Signals | None:
    """A signal that one of ``handlers`` has met, and that has ended nothing yet."""
    return next((one.came for one in handlers if isinstance(one, Ending) and one.came is not None), None)
