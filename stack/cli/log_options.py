# SPDX-License-Identifier: Apache-2.0
"""The options that say which log is read and how it is asked. Whoever only shows them imports no HTTP."""

from __future__ import annotations

import argparse
from typing import Final

from client.logs.choice import GENERATIONS
from stack.cli.trusting import add_trust_options
from stack.cli.witness_choice import add_witness_option

RETRIES: Final = 10
LONGEST_S: Final = 600
TIMEOUT_S: Final = 30.0
"""As :data:`client.transport.REQUEST_TIMEOUT_S`."""


def add_log_options(parser: argparse.ArgumentParser, json_help: str = "one JSON document on standard output") -> None:
    """Which log, where its checkpoints are kept, ``--json``, what is trusted."""
    which = parser.add_argument_group("which log", "default: the newest log of the trusted root, at its own URL")
    which.add_argument("--rekor-url", metavar="URL", help="where it is read: a log's URL, or that of a static copy")
    add_reading_options(parser, which, json_help)
    add_witness_option(parser)


def add_reading_options(parser: argparse.ArgumentParser, which: argparse._ArgumentGroup, json_help: str) -> None:
    """Those that go with any way to name the log, in the group ``which``."""
    which.add_argument("--rekor-version", type=int, choices=GENERATIONS, help="which generation, where there are both")
    which.add_argument("--log-id", metavar="HEX", default="", help="how the log's id begins, of several logs")
    text = "where the last seen checkpoints are kept (default: $SIGBOX_STATE, $XDG_STATE_HOME/sigbox, ~/.local/state/sigbox)"
    which.add_argument("--state", metavar="DIR", help=text)
    how = parser.add_argument_group("how it is asked")
    text = f"ask up to N times more where it does not answer (default: 0; at most {RETRIES})"
    how.add_argument("--retry", metavar="N", type=int, default=0, help=text)
    text = f"for one answer (default: {TIMEOUT_S:g})"
    how.add_argument("--timeout", metavar="SECONDS", type=float, default=TIMEOUT_S, help=text)
    parser.add_argument("--json", action="store_true", help=json_help)
    add_trust_options(parser)
