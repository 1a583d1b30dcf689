# SPDX-License-Identifier: Apache-2.0
"""An official client that waits for its user: started, watched while a browser does its part, and brought to its end."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.browser.chromium import Hook
from tests.interop.places import NOWHERE, Place

WAIT_S = 60
"""A bound for failure on a busy machine, not an expectation."""


@dataclass
class Waiting:
    """The process, and everything that it has printed up to now."""

    process: subprocess.Popen[str]
    printed: list[str] = field(default_factory=list)

    def said(self, pattern: str) -> str:
        """The first group of ``pattern``, as soon as the client has printed it; it may stand in a line without an end."""
        deadline = time.monotonic() + WAIT_S
        while not (found := re.search(pattern, "".join(self.printed))):
            assert time.monotonic() < deadline, f"the client said only\n{''.join(self.printed)}"
            assert self.process.poll() is None or re.search(pattern, "".join(self.printed)), "".join(self.printed)
            time.sleep(0.02)
        return found[1]

    def type(self, text: str) -> None:
        """A line on its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()

    def finish(self, code: int = 0) -> str:
        """What it printed; it must end with ``code``."""
        assert self.process.wait(WAIT_S) == code, "".join(self.printed)
        return "".join(self.printed)


@contextmanager
def waiting(place: Place, *command: str | Path, browser: Hook | None, **environment: str) -> Iterator[Waiting]:
    """Start an official client in ``place``. What it opens in a browser goes to ``browser``; None: there is no browser.

    Without one its programs are those of ``PATH`` in ``environment``, by default none.
    """
    folders = ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    path = environment.pop("PATH", os.environ["PATH"] if browser else str(place.folder / "no-programs"))
    process = subprocess.Popen(
        [*map(str, command)],
        cwd=place.folder,
        env={
            **{name: str(place.folder / name) for name in folders},
            "PATH": f"{browser.program.parent}:{path}" if browser else path,
            "HTTP_PROXY": NOWHERE,
            "HTTPS_PROXY": NOWHERE,
            "NO_PROXY": "localhost,127.0.0.1",
            "NO_COLOR": "1",
            **({"BROWSER": str(browser.program)} if browser else {}),
            **environment,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    client = Waiting(process)
    reader = threading.Thread(target=_read, args=(client,))
    reader.start()
    try:
        yield client
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT_S)
        reader.join(WAIT_S)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def _read(client: Waiting) -> None:
    assert client.process.stdout is not None
    while letter := client.process.stdout.read(1):
        client.printed.append(letter)
