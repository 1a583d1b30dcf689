# SPDX-License-Identifier: Apache-2.0
"""Ports for servers that have to be told one, or come back to theirs after an absence.

The kernel gives the port of a server that is gone to the next one that asks for any, in whichever process of tests that is. These
are below the range that it gives from, and each process of tests takes them from a part of its own.
"""

from __future__ import annotations

import os
import random
import socket
from contextlib import suppress
from itertools import islice

LOWEST, END = 10_000, 30_000
PARTS = 16
_given: set[int] = set()


def free_ports(number: int) -> list[int]:
    """Ports of loopback that nobody has now; none is given twice."""
    part = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % PARTS
    ports = [port for port in range(LOWEST + part, END, PARTS) if port not in _given]
    random.shuffle(ports)
    found = list(islice(filter(_is_free, ports), number))
    assert len(found) == number
    _given.update(found)
    return found


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    with suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False
