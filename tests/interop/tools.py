# SPDX-License-Identifier: Apache-2.0
"""The five clients, each as writer and reader of bundles: the command lines that its own manual gives."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.interop.clients import COSIGN_V2, COSIGN_V3, SIGSTORE_JS, Client
from tests.interop.places import ALICE, PREDICATE_TYPE, Done, Kind, Place, Signed, Tool
from tests.stack_process import PROGRAM, sigbox_process

JS_TIMEOUT_S = 30
"""Its own default is 5 s, little for a machine that compiles beside the tests."""


@dataclass(frozen=True, slots=True)
class Sigbox:
    """Our own client."""

    @property
    def name(self) -> str:
        return "sigbox" if PROGRAM is None else "sigbox, one file"

    def require(self) -> None:
        """It is the checkout."""

    def sign(self, place: Place, kind: Kind, artifact: Path, bundle: Path) -> Done:
        what = ("attest-blob", "--statement", place.statement(artifact)) if kind.dsse else ("sign-blob",)
        trust, token = ("--trust-config", place.stack.trust_config), ("--identity-token", place.stack.token(ALICE))
        log = ("--rekor-version", "1") if kind.version == 1 else ()
        where, exported = place.folder, dict(place.environment)
        return sigbox_process(*what, artifact, "--bundle", bundle, *trust, *token, *log, cwd=where, **exported)

    def verify(self, signed: Signed, identity: str, issuer: str) -> Done:
        what = ("verify-blob-attestation", "--type", PREDICATE_TYPE) if signed.kind.dsse else ("verify-blob",)
        policy = ("--certificate-identity", identity, "--certificate-oidc-issuer", issuer)
        trust = ("--trust-config", signed.place.stack.trust_config)
        where, exported = signed.place.folder, dict(signed.place.environment)
        return sigbox_process(*what, signed.artifact, "--bundle", signed.bundle, *policy, *trust, cwd=where, **exported)


@dataclass(frozen=True, slots=True)
class SigstorePython:
    """The official Python client, told where the trust config is and nothing else."""

    @property
    def name(self) -> str:
        return f"sigstore-python {version('sigstore')}"

    def require(self) -> None:
        """It is in the same environment as the tests."""

    def run(self, place: Place, *arguments: str | Path, **environment: str) -> Done:
        """``sigstore``, without the checkout on its path."""
        return place.run(sys.executable, "-P", "-m", "sigstore", *arguments, **environment)

    def sign(self, place: Place, kind: Kind, artifact: Path, bundle: Path) -> Done:
        predicate = ("--predicate", place.predicate(), "--predicate-type", PREDICATE_TYPE)
        what = ("attest", *predicate) if kind.dsse else ("sign",)
        options = ("--identity-token", place.stack.token(ALICE), "--rekor-version", str(kind.version))
        trust = ("--trust-config", place.stack.trust_config)
        return self.run(place, *trust, *what, *options, "--bundle", bundle, artifact)

    def verify(self, signed: Signed, identity: str, issuer: str) -> Done:
        policy = ("--cert-identity", identity, "--cert-oidc-issuer", issuer)
        trust = ("--trust-config", signed.place.stack.trust_config)
        return self.run(signed.place, *trust, "verify", "identity", "--bundle", signed.bundle, *policy, signed.artifact)


@dataclass(frozen=True, slots=True)
class Cosign:
    """cosign, v3 or v2.6, told where the TUF mirror is and nothing else, unless a log is asked for that is not the default."""

    client: Client

    @property
    def name(self) -> str:
        return f"cosign {self.client.version}"

    def require(self) -> None:
        self.client.installed()

    @property
    def is_v2(self) -> bool:
        """It wants to be told that bundles are of the new kind."""
        return self.client is COSIGN_V2

    def run(self, place: Place, *arguments: str | Path, **environment: str) -> Done:
        """``cosign``."""
        return place.run(self.client.installed(), *arguments, **environment)

    def initialize(self, place: Place) -> Done:
        """Trust the stack of this place; once in a home."""
        return self.run(place, "initialize", "--mirror", place.stack.tuf_mirror, "--root", place.stack.tuf_root)

    def trust(self, place: Place) -> None:
        """The same, if it has not been done."""
        if not (place.folder / "HOME" / ".sigstore").exists():
            done = self.initialize(place)
            assert done.returncode == 0, done.stderr

    def sign(self, place: Place, kind: Kind, artifact: Path, bundle: Path) -> Done:
        self.trust(place)
        what = ("attest-blob", "--statement", place.statement(artifact)) if kind.dsse else ("sign-blob",)
        where = self._classic(place) if self.is_v2 and kind.version == 1 else self._configured(place, kind.version)
        token = ("--identity-token", place.stack.token(ALICE))
        return self.run(place, *what, "--yes", *where, *token, "--bundle", bundle, artifact)

    def _classic(self, place: Place) -> tuple[str | Path, ...]:
        url = place.stack.url
        return (
            *("--fulcio-url", url, "--rekor-url", url, "--oidc-issuer", place.stack.oidc_issuer),
            "--new-bundle-format",
        )

    def _configured(self, place: Place, version: int) -> tuple[str | Path, ...]:
        """Over TUF the stack steers to v2."""
        return ("--signing-config", place.signing_config(1)) if version == 1 else ("--use-signing-config",)

    def verify(self, signed: Signed, identity: str, issuer: str) -> Done:
        self.trust(signed.place)
        what = ("verify-blob-attestation", "--type", PREDICATE_TYPE) if signed.kind.dsse else ("verify-blob",)
        policy = ("--certificate-identity", identity, "--certificate-oidc-issuer", issuer)
        return self.run(signed.place, *what, *self.reading(signed), "--bundle", signed.bundle, *policy, signed.artifact)

    def reading(self, signed: Signed) -> tuple[str, ...]:
        """v2.6 must be told that the bundle is of the new kind, and that the time comes from the timestamp authority."""
        if not self.is_v2:
            return ()
        return ("--new-bundle-format", *(("--use-signed-timestamps",) if signed.kind.version == 2 else ()))


@dataclass(frozen=True, slots=True)
class SigstoreJs:
    """The official JavaScript client: its libraries sign, its command attests, and verifies over TUF."""

    @property
    def name(self) -> str:
        return f"sigstore-js {SIGSTORE_JS.version}"

    def require(self) -> None:
        SIGSTORE_JS.installed()

    @property
    def node(self) -> Path:
        """The Node that it wants; its command lies beside."""
        return SIGSTORE_JS.installed()

    def command(self, place: Place, *arguments: str | Path, **environment: str) -> Done:
        """``sigstore`` of @sigstore/cli."""
        return place.run(self.node, self.node.with_name("sigstore"), *arguments, **environment)

    def script(self, place: Place, name: str, wanted: dict[str, object]) -> Done:
        """One of our scripts, on the libraries that are installed."""
        wanted = {"timeout": 1000 * JS_TIMEOUT_S, **wanted}
        return place.run(self.node, SIGSTORE_JS.folder / name, json.dumps(wanted), SIGSTORE_JS=str(SIGSTORE_JS.home))

    def sign(self, place: Place, kind: Kind, artifact: Path, bundle: Path) -> Done:
        if kind is Kind.INTOTO_V1:
            return self.attest(place, place.statement(artifact), bundle)
        where = {"signingConfig": str(place.signing_config(2))} if kind.version == 2 else {"tlog": True}
        return self.write(place, place.statement(artifact) if kind.dsse else artifact, bundle, dsse=kind.dsse, **where)

    def attest(self, place: Place, statement: Path, bundle: Path, *options: str) -> Done:
        """Attest by the command; it takes its token as in continuous integration."""
        url, timeout = place.stack.url, ("--timeout", str(JS_TIMEOUT_S))
        where = ("--fulcio-url", url, "--rekor-url", url, "--oidc-issuer", place.stack.oidc_issuer)
        ci = {"CI": "true", "SIGSTORE_ID_TOKEN": place.stack.token(ALICE)}
        return self.command(place, "attest", statement, *where, *options, *timeout, "--output-file", bundle, **ci)

    def write(self, place: Place, file: Path, bundle: Path, **wanted: object) -> Done:
        """Sign ``file`` as ``wanted`` and keep the bundle."""
        what = {"file": str(file), "url": place.stack.url, "token": place.stack.token(ALICE), **wanted}
        done = self.script(place, "sign.mjs", what)
        if done.returncode == 0:
            bundle.write_text(done.stdout)
        return done

    def verify(self, signed: Signed, identity: str, issuer: str) -> Done:
        blob = () if signed.kind.dsse else ("--blob-file", signed.artifact)
        policy = ("--certificate-identity-email", re.escape(identity), "--certificate-issuer", issuer)
        return self.command(signed.place, "verify", signed.bundle, *blob, *policy, *self.tuf(signed.place))

    def tuf(self, place: Place) -> tuple[str | Path, ...]:
        """Where trust comes from."""
        mirror = ("--tuf-mirror-url", place.stack.tuf_mirror, "--tuf-root-path", place.stack.tuf_root)
        return (*mirror, "--tuf-cache-path", place.folder / "sigstore-js-tuf")


SIGBOX = Sigbox()
PYTHON = SigstorePython()
V3, V2 = Cosign(COSIGN_V3), Cosign(COSIGN_V2)
JS = SigstoreJs()
TOOLS: tuple[Tool, ...] = (SIGBOX, PYTHON, V3, V2, JS)
