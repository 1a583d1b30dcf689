# SPDX-License-Identifier: Apache-2.0
"""Where a client works: a stack, a folder that is its home and nothing of ours in its environment; and what it made there."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from tests.stack_process import RunningStack

ALICE, MALLORY = "alice@example.com", "mallory@example.com"
CONTENT = b"the content that its author meant\n"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
PREDICATE = {
    "buildDefinition": {"buildType": "https://example.com/build", "externalParameters": {}},
    "runDetails": {"builder": {"id": "https://example.com/builder"}},
}

NOWHERE = "http://127.0.0.1:1"

Done = subprocess.CompletedProcess[str]


class Kind(Enum):
    """What is signed, and as which entry of which log: the matrix's name of it, major version of the log, is it an attestation.

    The intoto entry is what @sigstore/cli writes, and nobody else.
    """

    MESSAGE_V1 = ("message v1", 1, False)
    MESSAGE_V2 = ("message v2", 2, False)
    DSSE_V1 = ("DSSE v1", 1, True)
    DSSE_V2 = ("DSSE v2", 2, True)
    INTOTO_V1 = ("DSSE v1, intoto", 1, True)

    def __init__(self, label: str, version: int, dsse: bool) -> None:  # noqa: FBT001 - the members are written as tuples
        self.label = label
        self.version = version
        self.dsse = dsse

    @property
    def entry(self) -> tuple[str, str]:
        """Kind and version of the log entry: on v2 an attestation is logged as the hash of what was signed."""
        if self.version == 2:
            return ("hashedrekord", "0.0.2")
        return {"message v1": ("hashedrekord", "0.0.1"), "DSSE v1": ("dsse", "0.0.1")}.get(
            self.label, ("intoto", "0.0.2")
        )


@dataclass(frozen=True, slots=True)
class Place:
    """A stack, and the folder that a client works in."""

    stack: RunningStack
    folder: Path
    environment: tuple[tuple[str, str], ...] = ()
    """What a user of this place has exported."""

    def run(self, *command: str | Path, **environment: str) -> Done:
        """Run an official client to its end, in a home of its own and with no environment of ours.

        Whatever it would ask of another host goes to a proxy that is not there.
        """
        home = {
            name: str(self.folder / name) for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
        }
        return subprocess.run(
            [*map(str, command)],
            cwd=self.folder,
            env={
                **home,
                "PATH": os.environ["PATH"],
                "HTTP_PROXY": NOWHERE,
                "HTTPS_PROXY": NOWHERE,
                "NO_PROXY": "localhost,127.0.0.1",
                "NO_COLOR": "1",
                "COLUMNS": "200",
                **dict(self.environment),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def artifact(self, name: str = "release.txt", content: bytes = CONTENT) -> Path:
        """A file to sign."""
        path = self.folder / name
        path.write_bytes(content)
        return path

    def predicate(self) -> Path:
        """What an attestation says."""
        path = self.folder / "predicate.json"
        path.write_text(json.dumps(PREDICATE))
        return path

    def statement(self, artifact: Path) -> Path:
        """The same as a whole in-toto Statement v1 about ``artifact``."""
        path = artifact.with_name(f"{artifact.name}.statement.json")
        digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": artifact.name, "digest": {"sha256": digest}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": PREDICATE,
        }
        path.write_text(json.dumps(statement))
        return path

    def signing_config(self, version: int) -> Path:
        """Where to sign, on a log of this major version: two of the stack's public files."""
        ours = self.stack.signing_config
        return ours if version == 2 else ours.with_name("signing_config_v1.json")


@dataclass(frozen=True, slots=True)
class Signed:
    """An artifact, and the bundle that a client made for it."""

    place: Place
    artifact: Path
    bundle: Path
    kind: Kind

    def content(self) -> dict[str, Any]:
        """The bundle's JSON."""
        content: dict[str, Any] = json.loads(self.bundle.read_bytes())
        return content

    def entry(self) -> dict[str, Any]:
        """Its one log entry, which is of the kind that was asked for."""
        (entry,) = self.content()["verificationMaterial"]["tlogEntries"]
        assert (entry["kindVersion"]["kind"], entry["kindVersion"]["version"]) == self.kind.entry
        return dict(entry)

    def beside(self, content: bytes, folder: Path) -> Signed:
        """The same bundle beside another artifact."""
        artifact = folder / "other.txt"
        artifact.write_bytes(content)
        return Signed(self.place, artifact, self.bundle, self.kind)

    def at(self, place: Place) -> Signed:
        """The same files, looked at from another place."""
        return Signed(place, self.artifact, self.bundle, self.kind)


class Tool(Protocol):
    """A client as writer and as reader of bundles."""

    @property
    def name(self) -> str:
        """As the matrix prints it."""
        ...

    def require(self) -> None:
        """Raise ``Missing`` where it is not installed."""
        ...

    def sign(self, place: Place, kind: Kind, artifact: Path, bundle: Path) -> Done:
        """Write ``bundle``."""
        ...

    def verify(self, signed: Signed, identity: str, issuer: str) -> Done:
        """End with 0 exactly if the bundle holds, at ``signed.place``."""
        ...


def make_signed(tool: Tool, place: Place, kind: Kind, name: str = "release.txt") -> Signed:
    """A file of ours, signed by ``tool`` in ``place``."""
    artifact = place.artifact(name)
    signed = Signed(place, artifact, artifact.with_name(f"{name}.sigstore.json"), kind)
    succeed(tool.sign(place, kind, artifact, signed.bundle))
    return signed


def succeed(done: Done) -> None:
    """The command ended with 0."""
    assert done.returncode == 0, shown(done)


def refuse(done: Done, *, because: str = "") -> None:
    """The command ended in order, with another status than 0, and said ``because``."""
    assert done.returncode > 0, shown(done)
    assert because in done.stdout + done.stderr, shown(done)


def shown(done: Done) -> str:
    """What was run, and what it printed."""
    arguments: Sequence[str] = done.args
    return f"{' '.join(arguments)}\nended with {done.returncode}\n{done.stdout}{done.stderr}"
