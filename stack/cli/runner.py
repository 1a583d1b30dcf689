# SPDX-License-Identifier: Apache-2.0
"""Runs one command: parse its options, call it, turn errors into one message and an exit code."""

from __future__ import annotations

import argparse
import errno
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Final, NoReturn

from sigcore.errors import Malformed, NotFound, SigError, Unavailable
from stack.cli.table import Command, ExitCode
from stack.cli.usage import NoPolicy, NotServed, NotVerified, Usage, one_line

argparse._ = str  # type: ignore[attr-defined]  # where it is called otherwise one day, nothing is lost
"""It looks for translations of its own words in the languages of the environment: a tenth of a start, to find none of ours."""
_HELP: Final = frozenset({"-h", "--help"})
_NARROW: Final = 20
"""Columns; in fewer nothing can be set."""
_JSON: Final = frozenset({"--json", "--explain=json"})
_HINTS = {
    errno.ENOENT: "make it first, or give another place",
    errno.EEXIST: "a file is in the way: give another place",
    errno.EACCES: "run it as the owner of that file, or give another place",
    errno.EPERM: "run it as the owner of that file, or give another place",
    errno.EROFS: "the file system is mounted read-only: give another place",
    errno.ENOSPC: "the disk is full: make room, and start again",
    errno.EDQUOT: "your quota is used up: make room, and start again",
    errno.EFBIG: "a limit on the size of files stands in the way: see ulimit -f",
    errno.EISDIR: "name a file in it, or give another place",
    errno.ENOTDIR: "a part of that path is a file: give another place",
}


def run(name: str, command: Command, arguments: Sequence[str]) -> int:
    """The exit code of ``sigbox NAME ARGUMENTS``. A traceback is never an answer."""
    module = import_module(command.module)
    gc.freeze()
    gc.enable()
    parser = _Parser(
        prog=f"sigbox {name}",
        epilog=getattr(module, "EXAMPLES", None),
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    if _HELP.intersection(arguments):
        # Deferred: few runs are for the help.
        from stack.cli.helping import describe  # noqa: PLC0415 - see the line above

        describe(parser, module, _columns())
    if any(one.endswith(("=true", "=false")) for one in arguments):
        # Deferred: only scripts made for cosign write that.
        from stack.cli.cosign_flags import plain_switches  # noqa: PLC0415 - see the line above

        arguments = plain_switches(parser, arguments)
    try:
        options, unknown = parser.parse_known_args(arguments)
        if unknown:
            # Deferred: nothing is unknown, nearly always.
            from stack.cli.cosign_flags import refused  # noqa: PLC0415 - see the line above

            reason = refused(unknown)
            if reason is not None:
                parser.error(reason)
        code = _done(name, command, module, options)
    except BrokenPipeError:
        raise  # main knows
    except Exception as error:  # noqa: BLE001 - the last edge: whatever it is, it must not end with 0
        code = _failed(name, command, error)
        if _JSON.intersection(arguments) and not getattr(error, "reported", False):
            _print_failure(error, code)
    return code


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the command line in one line, like every other error, and not after a page of options."""

    def error(self, message: str) -> NoReturn:
        """Raises :class:`Usage` instead of ending the process; the help of an action is named where it is the action's."""
        raise Usage(message, f"{self.prog} --help shows what it takes")


def _done(name: str, command: Command, module: ModuleType, options: argparse.Namespace) -> int:
    code: int
    if command.audited and getattr(options, "action", name) in command.audited and not _elsewhere(name, options):
        # Deferred: few commands change a stack.
        from stack.cli.audited import run as run_audited  # noqa: PLC0415 - see the line above

        code = run_audited(name, options, module.run)
    else:
        code = module.run(options)
    return code


def _elsewhere(name: str, options: argparse.Namespace) -> bool:
    """Another process does it, in a stack that keeps nothing."""
    return name == "user" and bool(options.url)


def _formatter(prog: str) -> argparse.HelpFormatter:
    """With the width given: argparse would import ``shutil`` to find it, for each option, in every run."""
    return argparse.RawDescriptionHelpFormatter(prog, width=_columns() - 2)


def _columns() -> int:
    """Of the terminal; it may have none of its own, where nobody told it a size: in a container, under a script."""
    try:
        columns = int(os.environ.get("COLUMNS") or os.get_terminal_size(sys.stdout.fileno()).columns)
    except (OSError, ValueError):
        columns = 0
    return max(columns, _NARROW) if columns > 0 else 80


def _failed(name: str, command: Command, error: Exception) -> int:
    if isinstance(error, SigError):
        sys.stderr.write(f"sigbox {name}: {one_line(error.message)}\n")
        for line in getattr(error, "evidence", "").splitlines():  # of client.logs.seen.Forked
            sys.stderr.write(f"{one_line(line)}\n")
        if error.hint:
            sys.stderr.write(f"  hint: {one_line(error.hint)}\n")
        return ExitCode.UNREACHABLE if isinstance(error, Unavailable) else _refused(command, error)
    if isinstance(error, OSError):
        sys.stderr.write(f"sigbox {name}: {one_line(_of_system(error))}\n")
        if error.errno in _HINTS:
            sys.stderr.write(f"  hint: {_HINTS[error.errno]}\n")
        return ExitCode.USAGE
    sys.stderr.write(f"sigbox {name}: internal error: {type(error).__name__}: {error}\n")
    sys.stderr.write("  hint: this is a bug; SIGBOX_TRACEBACK=1 shows where\n")
    if os.environ.get("SIGBOX_TRACEBACK"):
        raise error
    return ExitCode.REFUSED


def _of_system(error: OSError) -> str:
    """What the system said, and about which place: a directory that is missing is named, and not the file in it."""
    place = str(error.filename or "")
    folder = os.path.dirname(place)  # noqa: PTH120 - pathlib would be imported for it
    if error.errno == errno.ENOENT and folder and not os.path.isdir(folder):  # noqa: PTH112 - the same
        return f"there is no directory {folder}"
    return f"{error.strerror or error}" + (f": {place}" if place else "")


def _print_failure(error: Exception, code: int) -> None:
    """Who asked for JSON gets a document in every case: the step that failed where it is one of several, the error, what to do, the exit code."""
    # Deferred: few runs fail, and fewer are read by a program.
    from json import dumps  # noqa: PLC0415 - see the line above

    message = error.message if isinstance(error, SigError) else str(error)
    if isinstance(error, OSError):
        message = _of_system(error)
    step = {"step": error.step} if isinstance(error, SigError) and error.step else {}
    with suppress(OSError):  # nobody reads it; the exit code says it all the same
        print(dumps({**step, "error": message, "hint": getattr(error, "hint", ""), "exitCode": code}, indent=2))


def _refused(command: Command, error: SigError) -> int:
    """A verifier refuses with 1 whatever the defect; elsewhere a file that cannot be used is a usage error."""
    if isinstance(error.__cause__, OSError) and error.__cause__.errno in _HINTS:
        return ExitCode.USAGE  # a place that cannot be read or written to; not one that another process holds
    if isinstance(error, NoPolicy):
        return ExitCode.POLICY
    # Deferred: few runs fail.
    from client.answers import BadAnswer  # noqa: PLC0415 - see the line above

    if isinstance(error, NotServed | BadAnswer):
        return ExitCode.SERVICE
    if isinstance(error, NotVerified):
        return ExitCode.REFUSED
    if command.refused == ExitCode.REFUSED and not isinstance(error, NotFound | Usage):
        return ExitCode.REFUSED
    return ExitCode.USAGE if isinstance(error, Malformed | NotFound) else command.refused
