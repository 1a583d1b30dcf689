# SPDX-License-Identifier: Apache-2.0
"""Server and clients each on a core of their own.

Left alone, the kernel wakes a client on the core of the server that has just answered it, in the middle of the server's
``send``: what is measured then is how often the two push each other aside. The event loop gets the first core, the clients and
the references the last one; the server's other threads go where they like.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def apart(server: int) -> Iterator[None]:
    """For the length of a block: the main thread of process ``server`` here, this process and what it starts there."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        yield  # there is one core for all of them, or the system does not say
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(server, {min(cores)})
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
