# SPDX-License-Identifier: Apache-2.0
"""``--config FILE``: the flags of a command, in TOML. What is given wins over the environment, that over the file, that over
the default. ``SIGBOX_CONFIG`` names the file where the flag does not.

The keys are the names of the long flags without their dashes; ``SIGBOX_LISTEN`` is ``--listen``. A key that the command does
not have is refused, with the keys that it has. Tables are left to whoever declared them (``tables``).
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import shown
from stack.files import load_file

PREFIX: Final = "SIGBOX_"
_FILE: Final = "SIGBOX_CONFIG"
ISSUERS_ONLY: Final = (".yaml", ".yml", ".json")
"""Fulcio's own file may be given too; it has no flags, and :mod:`stack.issuers` reads it."""
_SWITCH: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}


def fill(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    environ: Mapping[str, str],
    *,
    tables: Collection[str] = (),
) -> dict[str, Mapping[str, Any] | list[Any]]:
    """Complete ``options``, whose ``config`` names the file; the answer holds the tables of the file.

    1. Read the file; refuse keys that are neither flags of ``parser`` nor in ``tables``.
    2. For each flag that the command line left at None: take the environment's value, else the file's. An empty variable is as
       one that is not set (compose files make such), but to a switch it says false.
    3. Both are judged as the command line would be: a switch is true or false, the rest goes through the flag's own type.

    Raises:
        NotFound, Malformed: the file, or a value in it or in the environment, cannot be used; the message names which.
    """
    flags = {action.dest: action for action in parser._actions if action.option_strings and action.dest != "help"}  # noqa: SLF001 - argparse shows its flags no other way
    path = options.config or (Path(environ[_FILE]) if environ.get(_FILE) else None)
    table = {} if path is None or path.suffix in ISSUERS_ONLY else _load(path)  # (1)
    names = {dest.replace("_", "-"): dest for dest in flags if dest != "config"}
    for key in table:
        if key not in names and key not in tables:
            known = ", ".join((*names, *tables))
            raise Malformed(f"{path} has the unknown key {shown(key)}", f"known: {known}")
    for name, dest in names.items():  # (2)
        if getattr(options, dest) is None:
            variable = PREFIX + dest.upper()
            if environ.get(variable) or (variable in environ and flags[dest].nargs == 0):
                setattr(options, dest, _value(flags[dest], environ[variable], f"${variable}"))
            elif name in table:
                setattr(options, dest, _value(flags[dest], table[name], f"{name} in {path}"))
    return {name: table[name] for name in tables if name in table}


def _load(path: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - only with --config

    text = load_file(path, what="the configuration", limit=limits.TRUSTED_ROOT)
    try:
        return tomllib.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{path} is not TOML: {error}") from error


def _value(flag: argparse.Action, found: object, where: str) -> object:  # (3)
    if flag.nargs == 0:
        switch = found if isinstance(found, bool) else _SWITCH.get(found.lower()) if isinstance(found, str) else None
        if switch is None:
            raise Malformed(f"{where} is {shown(found)}, expected true or false")
        return switch
    if isinstance(found, bool | dict | list | float):
        raise Malformed(f"{where} is {shown(found)}, expected text")
    convert = flag.type if callable(flag.type) else str
    try:
        value = convert(str(found))
    except (ValueError, argparse.ArgumentTypeError) as error:
        why = "expected a whole number" if convert is int else error
        raise Malformed(f"{where} is {shown(found)}: {why}") from error
    if flag.choices is not None and value not in flag.choices:
        raise Malformed(f"{where} is {shown(found)}, expected one of {', '.join(map(str, flag.choices))}")
    return value
