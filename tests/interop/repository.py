# SPDX-License-Identifier: Apache-2.0
"""A Git repository whose commits gitsign signs, set up by the lines of `sigbox env gitsign`."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.interop.places import ALICE, Done, Place, succeed
from tests.stack_process import sigbox

AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Alice"), ("EMAIL", ALICE))
}


class Repository:
    """A repository set up as the guide says, and a home with the stack's root."""

    def __init__(self, place: Place, gitsign: Path) -> None:
        self.place = place
        guide = json.loads(sigbox("env", "gitsign", "--data", place.stack.data, "--json").stdout)
        self.path = {"PATH": f"{gitsign.parent}:{os.environ['PATH']}"}
        self.environment = guide["environment"] | AUTHOR | self.path
        succeed(self.run("git", "init", "--quiet"))
        for step in guide["steps"]:
            if step["purpose"] == "trust":
                succeed(self.run("sh", "-ec", step["command"]))

    def run(self, *command: str, **more: str) -> Done:
        """A command in the repository."""
        return self.place.run(*command, **(self.environment | more))

    def stage(self) -> None:
        """Something that was not there before, for a commit to hold."""
        (self.place.folder / "file").write_text(os.urandom(8).hex())
        succeed(self.run("git", "add", "file"))

    def commit(self, **token: str) -> None:
        """A commit by the source of tokens that ``token`` is."""
        self.stage()
        succeed(self.run("git", "commit", "--quiet", "-m", "a change", **token))

    def verify(self, identity: str, issuer: str, commit: str = "HEAD") -> Done:
        """``gitsign verify``, for this identity."""
        who = ("--certificate-identity", identity, "--certificate-oidc-issuer", issuer)
        return self.run("gitsign", "verify", *who, commit)
