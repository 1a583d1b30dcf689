# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sqlite3

import pytest

from tlog.storage.rows import MOST_ROWS, insert_rows


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 64, 255, 256, 257, 1000, 3 * MOST_ROWS])
def test_every_row_is_there_once_and_in_its_place(count):
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE found (key BLOB, idx INTEGER)")
    statements = []
    connection.set_trace_callback(statements.append)
    rows = [(b"%d" % number, number) for number in range(count)]
    insert_rows(connection, "INSERT INTO found", 2, [value for row in rows for value in row])
    connection.set_trace_callback(None)
    assert connection.execute("SELECT key, idx FROM found ORDER BY rowid").fetchall() == rows
    assert len(statements) <= count // MOST_ROWS + MOST_ROWS.bit_length()
    connection.close()


def test_a_row_that_does_not_fit_fails_the_caller():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE found (key BLOB, idx INTEGER PRIMARY KEY)")
    with pytest.raises(sqlite3.IntegrityError):
        insert_rows(connection, "INSERT INTO found", 2, [b"a", 1, b"b", 1])
    insert_rows(connection, "INSERT OR IGNORE INTO found", 2, [b"a", 1, b"b", 1])
    assert connection.execute("SELECT * FROM found").fetchall() == [(b"a", 1)]
    connection.close()
