# SPDX-License-Identifier: Apache-2.0
"""The form of a guide: what a client needs in its environment, and the lines to trust, sign and verify."""

from __future__ import annotations

import base64
import shlex
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Final

import orjson

from sigcore import limits
from sigcore.strict import parse_json
from sigcore.values import dataclass
from stack.config import Home, Settings
from stack.trust.documents import timestamp_url

IDENTITY: Final = "alice@example.com"
"""Who signs in the examples."""
HERE: Final = "$PWD/"
"""Begins a path that the shell completes: some programs change their folder, and want it whole."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line to type (or a few, joined), what it is for (``trust``, ``sign``, ``verify``) and a word about it.

    ``version`` is the client's major version, where the line is for that one alone.
    """

    purpose: str
    command: str
    about: str = ""
    version: str = ""
    local: bool = False
    """Whether it names files of the stack's machine that no other has."""


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
        lines += [f"export {name}={_quoted(value)}" for name, value in self.environment]
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


def _quoted(value: str) -> str:
    return f'"{value}"' if value.startswith(HERE) else shlex.quote(value)


@dataclass(frozen=True, slots=True)
class Place:
    """A stack as it stands in command lines on its own machine: paths and URLs, quoted where a shell needs it."""

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

    @property
    def fetch(self) -> str:
        """What comes before a command that needs the first root; it is here already."""
        return ""

    @property
    def identified(self) -> str:
        """The option with a token, with the space before it."""
        return f" --identity-token {self.token}"

    @property
    def token_variable(self) -> str:
        """The token for a program that takes it from its environment, with the space after it."""
        return f"SIGSTORE_ID_TOKEN={self.token} "

    @property
    def podman_identity(self) -> str:
        """How podman has its token."""
        return f"  oidcMode: staticToken\n  oidcIDToken: {self.token.strip(chr(34))}"

    @property
    def login(self) -> tuple[Step, ...]:
        """What makes a session for our own client; nothing where the token is minted."""
        return ()

    @property
    def trust_config(self) -> tuple[tuple[str, str], ...]:
        """The variable that tells our own client whom to trust."""
        return (("SIGBOX_TRUST_CONFIG", str(self.home.trust_config)),)

    @property
    def about_sigbox(self) -> str:
        """What its lines begin with."""
        return "sigbox: the trust material of the stack, for every command that follows"

    @property
    def root_base64(self) -> str:
        """The first root, in a document that is written between :attr:`heredoc` and its end."""
        return base64.b64encode(self.home.tuf_root.read_bytes()).decode("ascii")

    @property
    def heredoc(self) -> str:
        """The word that ends a document; in quotes, where the shell shall leave it alone."""
        return "'EOF'"

    def keys(self, purpose: str) -> tuple[Step, ...]:
        """What brings the files of :meth:`key`."""
        del purpose  # they are here already
        return ()

    def trusted_root_line(self) -> Step:
        """What makes ``trusted_root.jsonl``: the root stands there on one line, which can be pasted on any machine."""
        root = parse_json((self.home.trusted_root).read_bytes(), what="the trusted root", limit=limits.TRUSTED_ROOT)
        return Step(
            "trust",
            f"cat > trusted_root.jsonl <<'EOF'\n{orjson.dumps(root).decode()}\nEOF",
            "one trusted root per line; in >> others can be added, and make it anew when the stack's keys rotate",
        )

    def public(self, name: str) -> str:
        """A file of ``public/``."""
        return shlex.quote(str(self.home.public / name))

    def key(self, name: str) -> str:
        """A file of ``public/keys/``, not quoted: it is for the environment."""
        return str(self.home.keys / name)

    def pem(self, name: str, width: int) -> str:
        """The content of a file of ``public/keys/``, indented for a document."""
        return textwrap.indent((self.home.keys / name).read_text("ascii").strip(), " " * width)

    def tls(self, *variables: str) -> tuple[tuple[str, str], ...]:
        """``variables`` with the stack's own TLS authority, if the stack has one; a browser and curl want it too."""
        path: Path = self.home.tls_ca
        needed = self.settings.url.startswith("https://") and path.exists()
        return tuple((variable, str(path)) for variable in variables) if needed else ()
