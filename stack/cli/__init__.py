# SPDX-License-Identifier: Apache-2.0
"""The ``sigbox`` command: a table of commands, each in a module of its own that is imported when it is called.

Standard output is for the result, standard error for people. Exit codes are in :class:`stack.cli.table.ExitCode`.
"""

from __future__ import annotations

import gc
import os
import sys

from stack.cli.table import COMMANDS, ExitCode

_EXITS = """\
exit codes:
  0 done and verified       1 verification refused   2 usage
  3 the service refused     4 unreachable            5 policy expired or absent"""


_PLUGIN = "sigstore-kms-sigbox"
"""Our program by this name speaks the protocol of keys in a KMS: :mod:`stack.kms.plugin`."""
_SERVING = ("up", "serve")
_HEADINGS = {
    "init": "your stack",
    "sign-blob": "files",
    "sign": "images in a registry",
    "policy": "policies, keys, bundles, trust",
    "doctor": "looking after a stack and its logs",
    "demo": "and",
}
"""Before the command that each begins with."""


def overview() -> str:
    """The text of ``sigbox --help``."""
    groups: list[list[str]] = []
    for name in COMMANDS:
        if name in _HEADINGS:
            groups.append([])
        groups[-1].append(name)
    rows = "\n\n".join(map(_group, groups))
    return (
        "usage: sigbox COMMAND [options]\n\n"
        "Sigstore in a box: everything that keyless signing needs, in one process.\n\n"
        f"{rows}\n\n"
        "first steps:\n"
        "  sigbox demo                       see one signature happen, explained\n"
        "  sigbox up                         a stack that stays, data in ./sigbox-data\n"
        "  sigbox COMMAND --help             options and examples of one command\n\n"
        f"{_EXITS}\n"
    )


def _group(names: list[str]) -> str:
    width = max(map(len, names))
    return "\n".join((f"{_HEADINGS[names[0]]}:", *(f"  {name:<{width}}  {COMMANDS[name].summary}" for name in names)))


def main(argv: list[str] | tuple[str, ...] | None = None) -> int:
    """Run one command line; the answer is the exit code. Where an interrupt or a closed pipe has met us nobody is shown."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _open_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None and sys.argv[0].endswith(_PLUGIN):
        # Deferred: the executable of `make binary` is called by this name where a link has it.
        from stack.kms.plugin import main as answer  # noqa: PLC0415 - see the line above

        return answer(arguments)
    try:
        try:
            code = _run(arguments, is_process=argv is None)
        finally:
            print(end="", flush=True)  # here, and not at the end of the interpreter, which would complain
    except KeyboardInterrupt:
        sys.stderr.write(f"sigbox{''.join(f' {one}' for one in arguments[:1] if one in COMMANDS)}: interrupted\n")
        return 130
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # whoever read our output has gone: `sigbox ... | head`
            return 141
        sys.stderr.write(f"sigbox: standard output cannot be written to: {error.strerror}\n")
        return ExitCode.USAGE
    return code


def _run(arguments: list[str], *, is_process: bool) -> int:
    if len(arguments) > 1 and arguments[0] == "help":  # of a command, or of an action of one
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview(), end="")
        return ExitCode.DONE if arguments else ExitCode.USAGE
    name = "version" if arguments[0] == "--version" else arguments[0]
    command = COMMANDS.get(name)
    if command is None:
        sys.stderr.write(f"sigbox: there is no command {name!a}\n  hint: {_nearest(name)}\n")
        return ExitCode.USAGE
    if arguments == ["--version"]:
        # Deferred, like the rest: a script may ask this before every run.
        from stack.cli.version import run as print_version  # noqa: PLC0415 - see the line above

        return print_version(None)
    if is_process and name in _SERVING:
        _end_at_sigterm()
    gc.disable()  # the collector would walk the half-imported modules again and again, and find nothing; the runner enables it
    # Deferred: help is printed without it.
    from stack.cli.runner import run  # noqa: PLC0415 - see the line above

    code = run(name, command, arguments[1:])
    if is_process and command.refused == ExitCode.REFUSED:
        _leave(code)
    return code


def _open_streams() -> None:
    """What was started without one of the three streams gets a null device there, before a file or socket takes its number."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - for the whole run


def _end_at_sigterm() -> None:
    """SIGTERM ends what serves with 0, also before it serves: :func:`stack.serve.ended_by_sigterm` comes after its imports."""
    # Deferred: nothing else is ended by it in order.
    import signal  # noqa: PLC0415 - see the line above

    from stack.ending import Ending  # noqa: PLC0415 - the same

    signal.signal(signal.SIGTERM, Ending())


def _nearest(name: str) -> str:
    """What may have been meant."""
    # Deferred: most commands are spelled right.
    from difflib import get_close_matches  # noqa: PLC0415 - see the line above

    meant = get_close_matches(name, COMMANDS, n=3)
    return f"did you mean {' or '.join(meant)}?" if meant else "sigbox --help lists the commands"


def _leave(code: int) -> None:
    """End the process at once: taking the interpreter apart costs a verifier more than a whole start of Python.

    A verifier holds nothing that would have to be put back: no thread, no lock, no temporary file. An output that cannot be written is
    for :func:`main`: a verdict that nobody read is none.
    """
    print(end="", flush=True)
    sys.stderr.flush()
    os._exit(code)
