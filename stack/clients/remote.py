# SPDX-License-Identifier: Apache-2.0
"""A stack as it stands in command lines on another machine: nothing of it is there but its URL and its fingerprint.

1. The first root comes from the stack and counts only after it was compared with the fingerprint: the command that trusts it stands behind
   that comparison, joined by ``&&``.
2. Everything else a client fetches over TUF, from that root on. Keys that a client wants as files are written by ``sigbox enroll --keys``,
   out of the trusted root that it has verified so.
3. Tokens come from a login: none can be minted without the stack's directory.
"""

from __future__ import annotations

from typing import Final

from stack.clients.guide import HERE, Place, Step
from stack.trust.serving import fingerprint

KEYS: Final = "sigbox-keys"
"""The folder that the lines let ``sigbox enroll --keys`` write."""
_TLS_CA: Final = "tls_ca.pem"


class Remote(Place):
    """The same words as :class:`Place`, for lines that are pasted elsewhere."""

    __slots__ = ()

    @property
    def origin(self) -> str:
        """Where the trust root and its downloads are served."""
        return self.settings.at("trust")

    @property
    def enroll(self) -> str:
        """The line that sets up every client that is there."""
        return f"sigbox enroll {self.origin} --fingerprint sha256:{fingerprint(self.home)}{self._ca('--ca-file')}"

    @property
    def fetch(self) -> str:
        """The first root into the current folder, compared with the fingerprint; what follows runs only if it is the right one."""
        got = f"curl -fsS{self._ca('--cacert')} -O {self.origin}/root.json"
        return f"{got} && echo '{fingerprint(self.home)}  root.json' | sha256sum --check &&\n"

    @property
    def root(self) -> str:
        """As :attr:`fetch` has left it."""
        return "root.json"

    @property
    def identified(self) -> str:
        """Nothing: the client opens a browser, or finds the token of its CI system."""
        return ""

    @property
    def token_variable(self) -> str:
        """Nothing, likewise."""
        return ""

    @property
    def podman_identity(self) -> str:
        """By a browser."""
        return f"  oidcMode: interactive\n  oidcIssuerURL: {self.issuer}\n  oidcClientID: sigstore"

    @property
    def login(self) -> tuple[Step, ...]:
        """A session of our own client."""
        return (Step("sign", "sigbox login"),)

    @property
    def trust_config(self) -> tuple[tuple[str, str], ...]:
        """Nothing: it is enrolled."""
        return ()

    @property
    def about_sigbox(self) -> str:
        """It is enrolled."""
        return "sigbox: after it was enrolled no command needs a URL"

    @property
    def root_base64(self) -> str:
        """What the shell puts there: the root that was compared."""
        return "$(base64 < root.json | tr -d '\\n')"

    @property
    def heredoc(self) -> str:
        """The shell fills in what it has."""
        return "EOF"

    def keys(self, purpose: str) -> tuple[Step, ...]:
        """Keys as files, verified from the fingerprint on."""
        return (Step(purpose, f"{self.enroll} --client sigbox --keys {KEYS}"),)

    def trusted_root_line(self) -> Step:
        """By gh itself, over TUF."""
        got = f"gh attestation trusted-root --tuf-url {self.mirror} --tuf-root {self.root}"
        return Step("trust", f"{self.fetch}{got} > trusted_root.jsonl")

    def public(self, name: str) -> str:
        """The file as it is called there; the steps that name one are ``local``."""
        return name

    def key(self, name: str) -> str:
        """A file that :meth:`keys` wrote."""
        return f"{HERE}{KEYS}/{name}"

    def pem(self, name: str, width: int) -> str:
        """What the shell puts there."""
        return f"$(sed 's/^/{' ' * width}/' {KEYS}/{name})"

    def tls(self, *variables: str) -> tuple[tuple[str, str], ...]:
        """``variables`` with the stack's own TLS authority, which its user has got as he got the fingerprint."""
        return tuple((name, f"{HERE}{_TLS_CA}") for name in variables) if self._ca("") else ()

    def _ca(self, option: str) -> str:
        own = self.settings.url.startswith("https://") and self.home.tls_ca.exists()
        return f" {option} {_TLS_CA}" if own else ""
