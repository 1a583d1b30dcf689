# SPDX-License-Identifier: Apache-2.0
"""Two stacks that witness each other's logs, set up as their operators do it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from sigcore.cosignature import parse_log_verifier, parse_witness_verifier, verify_cosignature
from sigcore.note import parse_note, verify_note
from tests.ports import free_ports
from tests.stack_process import RunningStack, sigbox, start_stack

_OPENER = build_opener(ProxyHandler({}))


def done(*arguments: str | Path) -> str:
    """What a command of the operator prints; it must succeed."""
    found = sigbox(*arguments)
    assert found.returncode == 0, found.stderr
    return found.stdout


def fetch(url: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of an answer."""
    try:
        with _OPENER.open(url, body, timeout=30) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


@dataclass
class Side:
    """One of the two: ``host`` is the origin of its log, because two logs of one origin could have no common witness."""

    folder: Path
    host: str
    port: int
    options: tuple[str, ...] = ()
    stack: RunningStack | None = None
    _shown: dict[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self) -> RunningStack:
        self.stack = start_stack(self.folder, "--data", self.data, "--listen", f"127.0.0.1:{self.port}", *self.options)
        return self.stack

    def stop(self) -> None:
        if self.stack is not None:
            stack, self.stack = self.stack, None
            stack.stop()

    def running(self) -> RunningStack:
        assert self.stack is not None
        return self.stack

    def shown(self) -> dict[str, Any]:
        """``sigbox witness show``; once it is a witness, that stays."""
        if not self._shown.get("witness"):
            self._shown = json.loads(done("witness", "show", "--json", "--data", self.data))
        return self._shown

    def ask(self, other: Side, quorum: int) -> None:
        """Write into the settings that this log asks ``other``; it counts from the next start on."""
        settings, witness = self.data / "sigbox.toml", other.shown()["witness"]
        kept = settings.read_text("utf-8").partition("\n[log]\n")[0]
        row = f'[[log.witnesses]]\nurl = "{witness["url"]}"\nkey = "{witness["key"]}"\n'
        settings.write_text(f"{kept}\n[log]\nwitness_quorum = {quorum}\n\n{row}", "utf-8")

    def checkpoint(self) -> tuple[int, str]:
        """Of the log of Rekor v2: status and text."""
        status, body = fetch(f"{self.url}/api/v2/checkpoint")
        return status, body.decode()

    def cosigned_by(self, other: Side) -> bool:
        """Whether the checkpoint carries the verified cosignature of ``other``."""
        status, text = self.checkpoint()
        return status == 200 and carries(text, self, other)

    def ready(self) -> str:
        """What readiness says of the log: ``ok``, or what is wrong."""
        answer: str = json.loads(fetch(f"{self.url}/readyz")[1])["roles"]["rekor"]
        return answer

    def figure(self, name: str) -> float:
        """Of its one witness."""
        lines = fetch(f"{self.url}/metrics")[1].decode().splitlines()
        return float(next(line for line in lines if line.startswith(f"{name}{{")).rpartition(" ")[2])


def carries(text: str, side: Side, other: Side) -> bool:
    """Whether a checkpoint of ``side`` has the verified cosignature of ``other``; that of its own log it must have."""
    note = parse_note(text)
    verify_note(note, parse_log_verifier(side.shown()["log"]))
    if len(note.signatures) == 1:
        return False
    verify_cosignature(note, parse_witness_verifier(other.shown()["witness"]["key"]))
    return True


def make_pair(folder: Path, *, quorum: int, workers: bool = False) -> tuple[Side, Side]:
    """Both, not started yet."""
    ports = free_ports(2)
    sides = Side(folder / "a", "localhost", ports[0]), Side(folder / "b", "127.0.0.1", ports[1])
    if workers:
        sides[1].options = ("--workers", "2")
    for side in sides:
        side.folder.mkdir()
        done("init", "--data", side.data, "--url", side.url)
    first, second = sides
    for side, other in ((first, second), (second, first)):
        done("witness", "add", other.shown()["log"], "--data", side.data)
    for side, other in ((first, second), (second, first)):
        side.ask(other, quorum)
    return sides
