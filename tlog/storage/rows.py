# SPDX-License-Identifier: Apache-2.0
"""Many rows in few statements.

``sqlite3`` lets the other threads run for each step of a statement and then waits for its turn again. With a step for each row, as
``executemany`` takes them, a commit beside a busy event loop lasts ten times as long, and disturbs it as often.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

MOST_ROWS: Final = 256
"""Of one statement; the numbers of rows are powers of two, so that few statements are ever prepared."""


def insert_rows(connection: sqlite3.Connection, into: str, columns: int, values: Sequence[object]) -> None:
    """Insert rows of ``columns`` values each, one row after the other in ``values``.

    Args:
        connection: in a transaction of the caller.
        into: the statement up to VALUES, fixed text.
        columns: of a row.
        values: of all rows.
    """
    first = 0
    while first < len(values):
        left = (len(values) - first) // columns
        rows = min(MOST_ROWS, 1 << left.bit_length() - 1)
        end = first + rows * columns
        connection.execute(_statement(into, columns, rows), values[first:end])
        first = end


@lru_cache(maxsize=64)
def _statement(into: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"{into} VALUES {', '.join([row] * rows)}"
