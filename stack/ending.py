# SPDX-License-Identifier: Apache-2.0
"""Which signals end a stack in order."""

from __future__ import annotations

import signal


def ending_signals() -> tuple[signal.Signals, ...]:
    """SIGTERM, SIGINT, and SIGHUP, which a terminal sends when it is closed; not that one where nohup has it ignored.

    Without it a closed terminal left the keys of an ephemeral stack on the disk, and the ready file of any.
    """
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return (signal.SIGTERM, signal.SIGINT, *(() if ignored else (signal.SIGHUP,)))
