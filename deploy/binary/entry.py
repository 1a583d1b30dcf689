# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - a script, not a package
"""What the single executable runs. It is ``sigbox``, and the Python that sigbox starts its own helpers with.

There is no other interpreter, and `sys.executable` is this file. So a helper arrives here as the arguments ``[-P] -m MODULE ...``:
taken for the modules of ours that are run as programs, and for nothing else.
"""

from __future__ import annotations

import runpy
import sys

PROGRAMS = ("stack.cli", "stack.trust.publish")


def main() -> int:
    """Be the interpreter for a helper, else the command."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["-P"]:
        arguments = arguments[1:]
    if len(arguments) >= 2 and arguments[0] == "-m" and arguments[1] in PROGRAMS:
        sys.argv[1:] = arguments[2:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return 0
    from stack.cli import main as command  # noqa: PLC0415 - a helper may not need it

    return command()


if __name__ == "__main__":
    sys.exit(main())
