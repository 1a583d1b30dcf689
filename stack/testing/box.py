# SPDX-License-Identifier: Apache-2.0
"""A stack as tests see it: where it is, what to trust, and the few things that nearly every test does with one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sigcore import limits
from sigcore.errors import NotFound
from sigcore.strict import JSON, Fields, parse_json
from stack.testing.asked import Asked, asked_of
from stack.testing.command import run

if TYPE_CHECKING:
    from stack.testing.clock import StackClock

EMAIL: Final = "alice@example.com"
"""Who signs, where a test does not say."""
SUFFIX: Final = ".sigstore.json"


@dataclass(frozen=True, slots=True)
class Sigbox:
    """A stack whose every role answers. Paths are absolute; those that are None are not known of this stack."""

    url: str
    issuer: str
    """The ``iss`` of its tokens, and so the issuer in its certificates."""
    trust_config: Path
    """sigstore-python's ClientTrustConfig: the next two in one file."""
    trusted_root: Path
    signing_config: Path
    tuf_mirror: str
    timestamp_url: str
    tuf_root: Path | None = None
    """The first root of its TUF repository: what cosign and gitsign are initialized with."""
    tls_ca: Path | None = None
    """What https clients trust, where the stack has a TLS authority of its own."""
    data: Path | None = None
    log: Path | None = None
    """What it prints, where it is a process of these tests."""

    def run(self, *arguments: str | Path) -> str:
        """What ``sigbox ARGUMENTS`` prints. Trust is not added: give ``--trust-config``. Errors as :func:`.command.run`."""
        return run(*arguments, tls_ca=self.tls_ca)

    def token(
        self,
        email: str = "",
        subject: str = "",
        claims: Mapping[str, JSON] | None = None,
        *,
        audience: str = "",
        persona: str | Path = "",
    ) -> str:
        """A fresh identity token, for Alice when nobody is named.

        Args:
            email: an address, said to be verified.
            subject: the ``sub`` claim; the address when empty.
            claims: more of them.
            audience: the ``aud`` claim; ``sigstore`` when empty.
            persona: what the rest is laid over: a file, or a shipped one such as ``github-workflow``, which speaks as the
                issuer of another (the verifier must expect that one).

        Raises:
            NotFound: the stack does not give tokens to whoever asks, and its data directory is not known.
            Malformed: the claims contradict what a provider says itself.
        """
        # Deferred: every run of pytest imports this module, and few ask for a token.
        from stack.testing.control import ask  # noqa: PLC0415 - see the line above

        said = {"email": email, "subject": subject, "audience": audience}
        if not (email or subject or persona):
            said["email"] = EMAIL
        if persona:
            return self._minted("--url", self.url, said, claims, "--persona", persona)
        wanted: dict[str, JSON] = {**{name: text for name, text in said.items() if text}, "claims": dict(claims or {})}
        try:
            return ask(self.url, "token", wanted, self.tls_ca).text("token")
        except NotFound:
            if self.data is None:
                raise
        return self._minted("--data", self.data, said, claims)

    def requests(self) -> tuple[Asked, ...]:
        """What the stack was asked since its start or :meth:`reset`, oldest first: the last thousand, without those to ``/_ctl``.

        Errors as of :attr:`clock`.
        """
        # Deferred: as for a token.
        from stack.testing.control import ask  # noqa: PLC0415 - see the line above

        return asked_of(ask(self.url, "requests", None, self.tls_ca))

    def reset(self) -> None:
        """Have it be as it was when it was ready: logs empty but for their first entry, no fault on, the clock as at the start.

        Keys, trust and URL stay. Errors as of :attr:`clock`.
        """
        # Deferred: as for a token.
        from stack.testing.control import ask  # noqa: PLC0415 - see the line above

        ask(self.url, "reset", {}, self.tls_ca)

    @property
    def clock(self) -> StackClock:
        """What time it is for the stack, to be turned by tests."""
        # Deferred: as for a token.
        from stack.testing.clock import StackClock  # noqa: PLC0415 - see the line above

        return StackClock(self.url, self.tls_ca)

    def _minted(
        self, how: str, where: str | Path, said: Mapping[str, str], claims: Mapping[str, JSON] | None, *more: str | Path
    ) -> str:
        options = [f"--{name}={text}" for name, text in said.items() if text]
        options += [f"--claim={name}={json.dumps(value)}" for name, value in (claims or {}).items()]
        return self.run("token", how, where, *more, *options).strip()

    def sign(
        self,
        path: str | Path,
        email: str = EMAIL,
        *options: str | Path,
        token: str = "",
        bundle: str | Path | None = None,
    ) -> Path:
        """Sign a file with an identity, as ``sigbox sign-blob FILE OPTIONS``; the answer is the bundle's path.

        Args:
            path: the file.
            email: who signs.
            options: further options, such as ``"--rekor-version", "1"``.
            token: an identity token in place of one for ``email``.
            bundle: where the bundle goes; beside the file, with ``.sigstore.json``, when it is None.

        Errors as :meth:`token` and :func:`.command.run`.
        """
        where = Path(bundle or f"{path}{SUFFIX}")
        identity = ("--identity-token", token or self.token(email))
        self.run("sign-blob", path, "--bundle", where, "--trust-config", self.trust_config, *identity, *options)
        return where

    def verify(
        self,
        path: str | Path,
        email: str = EMAIL,
        *options: str | Path,
        identity: str = "",
        issuer: str = "",
        bundle: str | Path | None = None,
    ) -> Mapping[str, JSON]:
        """Verify a file and its bundle, as ``sigbox verify-blob FILE OPTIONS``; the answer is the verifier's report.

        Args:
            path: the file.
            email: who must have signed.
            options: further options.
            identity: any other name in a certificate, such as a URI, in place of ``email``.
            issuer: who must have vouched for it; the stack's own provider when empty.
            bundle: as :meth:`sign` wrote it.

        Raises:
            Refused: it does not hold. Malformed: it could not be tried, because a file is missing for example.
        """
        files = (path, "--bundle", bundle or f"{path}{SUFFIX}", "--trust-config", self.trust_config)
        signer = ("--certificate-identity", identity or email, "--certificate-oidc-issuer", issuer or self.issuer)
        printed = self.run("verify-blob", *files, *signer, "--json", *options)
        reports = parse_json(printed, what="the verifier's report", limit=limits.SERVICE_RESPONSE, floats=True)
        return Fields.of(reports[0] if isinstance(reports, list) else reports, "the verifier's report").raw()

    def environment(self, client: str) -> dict[str, str]:
        """The variables that make ``client`` use the stack: those of ``sigbox env CLIENT``.

        Raises:
            NotFound: the data directory is not known. Malformed: there is no such client.
        """
        document = Fields.parse(self._env(client, "--json"), what=f"sigbox env {client}", limit=limits.SERVICE_RESPONSE)
        variables = document.object("environment")
        return {name: variables.text(name) for name in variables.raw()}

    def lines(self, client: str) -> tuple[str, ...]:
        """The lines that make ``client`` use it, for a shell: what ``sigbox env CLIENT`` prints. Errors as :meth:`environment`."""
        return tuple(self._env(client).splitlines())

    def _env(self, client: str, *options: str) -> str:
        if self.data is None:
            raise NotFound(
                f"of the stack at {self.url} only the trust config is known", "give its ready file: --sigbox-ready-file"
            )
        return self.run("env", client, "--data", self.data, *options)
