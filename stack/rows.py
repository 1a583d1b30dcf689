# SPDX-License-Identifier: Apache-2.0
"""``[[NAME]]`` in a TOML file: a list of tables, one row each, with the row's place in whatever is wrong with it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sigcore import limits
from sigcore.errors import Malformed, SigError
from sigcore.strict import JSON, Fields, shown
from stack.files import load_file

Row = TypeVar("Row")


def toml_of(text: bytes, what: str) -> dict[str, JSON]:
    """The TOML document ``text``, if it holds nothing that JSON cannot say, such as a date.

    Raises:
        Malformed: it does, or it is none.
    """
    try:
        document = tomllib.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{what} is not TOML: {error}") from error
    try:
        json.dumps(document, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Malformed(
            f"{what} holds a value that is no text, number or boolean: {error}", "put dates in quotes"
        ) from error
    return document


def load_rows(file: Path, name: str, make: Callable[[Fields, Path], Row]) -> tuple[Row, ...]:
    """The rows that ``file`` names; none where it has no such table.

    Args:
        file: TOML.
        name: of the list of tables.
        make: a row out of one table and the folder that its files are looked for from.

    Raises:
        NotFound, Malformed, Refused: the file or one that it names cannot be read, or a row is not one that could be meant.
    """
    text = load_file(file, what="the configuration", limit=limits.TOKEN_KEY_SET)
    tables = toml_of(text, str(file)).get(name, [])
    if not isinstance(tables, list):
        raise Malformed(f"{file}: {name} is no list of tables", f"write [[{name}]] above each of them")
    rows = []
    for number, table in enumerate(tables, 1):
        try:
            if not isinstance(table, dict):
                raise Malformed(f"{shown(table)} is no table")
            rows.append(make(Fields.of(table, name), file.parent))
        except SigError as error:
            raise type(error)(f"{file}, {name} {number}: {error.message}", error.hint) from error
    return tuple(rows)
