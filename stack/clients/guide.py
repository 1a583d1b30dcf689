# SPDX-License-Identifier: Apache-2.0
"""The form of a guide: what a client needs in its environment, and the lines to trust, sign and verify."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Final

from sigcore.values import dataclass
from stack.config import Home, Settings
from stack.trust.documents import timestamp_url

IDENTITY: Final = "alice@example.com"
"""Who signs in the examples."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line to type (or a few, joined), what it is for (``trust``, ``sign``, ``verify``) and a word about it.

    ``version`` is the client's major version, where the line is for that one alone.
    """

    purpose: str
    command: str
    about: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Guide:
    """The lines for one client. ``steps`` are enough; ``more`` are other ways to the same end."""

    client: str
    about: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    steps: tuple[Step, ...] = ()
    more: tuple[Step, ...] = ()

    def lines(self, *, everything: bool = True) -> tuple[str, ...]:
        """What can be pasted into a shell: comments, exports, commands."""
        lines = [f"# {line}" for line in self.about]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in self.environment]
        for step in (*self.steps, *(self.more if everything else ())):
            lines += [f"# {step.about}"] if step.about else []
            lines += step.command.splitlines()
        return tuple(lines)

    def document(self) -> dict[str, object]:
        """The same for programs: one JSON object."""
        return {
            "client": self.client,
            "about": list(self.about),
            "environment": dict(self.environment),
            "steps": [asdict(step) | {"needed": step in self.steps} for step in (*self.steps, *self.more)],
        }


@dataclass(frozen=True, slots=True)
class Place:
    """A stack as it stands in command lines: paths and URLs, quoted where a shell needs it."""

    home: Home
    settings: Settings

    @property
    def ca(self) -> str:
        """The certificate authority's URL."""
        return self.settings.at("ca")

    @property
    def log(self) -> str:
        """That of both Rekor logs."""
        return self.settings.at("log")

    @property
    def tsa(self) -> str:
        """The timestamp authority's origin."""
        return self.settings.at("tsa")

    @property
    def issuer(self) -> str:
        """The OIDC issuer."""
        return self.settings.issuer

    @property
    def mirror(self) -> str:
        """Where the TUF repository is served."""
        return f"{self.settings.at('trust')}/tuf"

    @property
    def timestamps(self) -> str:
        """The timestamp authority's whole URL."""
        return timestamp_url(self.settings)

    @property
    def root(self) -> str:
        """The first TUF root."""
        return shlex.quote(str(self.home.tuf_root))

    @property
    def token(self) -> str:
        """A command that prints a fresh identity token, as an argument in double quotes."""
        return f'"$(sigbox token --data {shlex.quote(str(self.home.path))} --email {IDENTITY})"'

    def public(self, name: str) -> str:
        """A file of ``public/``."""
        return shlex.quote(str(self.home.public / name))

    def key(self, name: str) -> str:
        """A file of ``public/keys/``, not quoted: it is for the environment."""
        return str(self.home.keys / name)

    def pem(self, name: str) -> str:
        """The content of a file of ``public/keys/``."""
        return (self.home.keys / name).read_text("ascii").strip()

    def tls(self, *variables: str) -> tuple[tuple[str, str], ...]:
        """``variables`` with the stack's own TLS authority, if the stack has one; a browser and curl want it too."""
        path: Path = self.home.tls_ca
        needed = self.settings.url.startswith("https://") and path.exists()
        return tuple((variable, str(path)) for variable in variables) if needed else ()
