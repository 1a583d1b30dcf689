# SPDX-License-Identifier: Apache-2.0
"""The conformance suite from end to end: every call is a process that the suite's own wrapper starts, with the suite's options.

The suite asks for 140 verdicts about bundles that it brings, and for four kinds of signatures, which the client itself and a
second client must verify. Signatures are made on a stack of our own; no process is told of any other host.

The wrapper is a part of the kit that lies beside the vectors (``SIGBOX_CONFORMANCE_KIT``); its ``run.sh`` runs the suite's own
code in the same way, in a network namespace without routes, with ``tests/conformance/stack.py`` as the stack.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from client.files import digest_file
from sigcore import x509
from sigcore.bundle import parse_bundle
from sigcore.extensions import parse_basic_constraints
from sigcore.strict import parse_base64
from tests.conformance.stack import SIGNER, save_files
from tests.differential.cases import Case, load_cases
from tests.interop.places import NOWHERE
from tests.stack_process import SIGBOX, RunningStack, environment, running_stack

pytestmark = pytest.mark.slow
CLIENT = " ".join((*SIGBOX, "conformance"))


@dataclass(frozen=True)
class Suite:
    """The wrapper, and a stack for what is signed."""

    entry: Path
    stack: RunningStack
    private: Path
    assets: Path

    def call(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """One call, as the suite makes it."""
        variables = {
            "CLIENT": CLIENT,
            "PRIVATE_DIR": str(self.private),
            "PRIVATE_ISSUER": self.stack.oidc_issuer,
            "PRODUCTION_ROOT": str(self.assets / "production_trusted_root.json"),
            "HTTP_PROXY": NOWHERE,
            "HTTPS_PROXY": NOWHERE,
        }
        command = [sys.executable, str(self.entry), *map(str, arguments)]
        return subprocess.run(
            command, env=environment(**variables), capture_output=True, text=True, check=False, timeout=120
        )

    def sign(self, file: Path, bundle: Path, *options: str | Path) -> None:
        """``sign-bundle``; options always come in this order."""
        token = (self.private / "token.txt").read_text()
        first = ("--in-toto",) if "--in-toto" in options else ()
        rest = [option for option in options if option != "--in-toto"]
        done = self.call("sign-bundle", *first, "--identity-token", token, "--bundle", bundle, *rest, file)
        assert done.returncode == 0, done.stderr

    def verify(self, what: str | Path, bundle: Path, *options: str | Path) -> int:
        """``verify-bundle`` as the token's identity."""
        who = ("--certificate-identity", SIGNER, "--certificate-oidc-issuer", self.stack.oidc_issuer)
        return self.call("verify-bundle", "--bundle", bundle, *who, *options, what).returncode


@pytest.fixture(scope="module")
def suite(conformance_kit: Path, vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    folder = tmp_path_factory.mktemp("suite")
    with running_stack(folder, "--ephemeral") as stack:
        save_files(stack, folder)
        yield Suite(conformance_kit / "entry", stack, folder, vectors / "sigstore-conformance")


def verdict(suite: Suite, case: Case, *, by_digest: bool) -> int:
    """The exit code for a bundle that the suite brings."""
    folder = suite.assets / "bundle-verify" / case.name
    who: tuple[str | Path, ...] = ("--certificate-identity", case.identity, "--certificate-oidc-issuer", case.issuer)
    if case.key:
        who = ("--key", case.key)
    root = ("--trusted-root", case.root) if case.root.parent == folder else ()
    what = f"sha256:{case.digest}" if by_digest else case.artifact
    return suite.call("verify-bundle", "--bundle", folder / "bundle.sigstore.json", *who, *root, what).returncode


def test_every_bundle_of_the_suite_gets_its_verdict_by_path_and_by_digest(suite):
    cases = load_cases(suite.assets)
    asked = [(case, by_digest) for case in cases for by_digest in (False, True)]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        codes = list(pool.map(lambda one: verdict(suite, one[0], by_digest=one[1]), asked))
    wrong = [
        f"{case.name} by {'digest' if by_digest else 'path'}: {code}"
        for (case, by_digest), code in zip(asked, codes, strict=True)
        if code not in ((1,) if case.name.endswith("_fail") else (0,))
    ]
    print(f"{len(codes) - len(wrong)} of {len(codes)}: accepted {codes.count(0)}, refused {codes.count(1)}")
    assert not wrong
    assert (len(codes), codes.count(0), codes.count(1)) == (140, 42, 98)


@pytest.mark.parametrize("by_digest", [False, True], ids=["path", "digest"])
def test_a_file_is_signed_and_no_authority_is_in_the_bundle(suite, tmp_path, by_digest):
    file, bundle = suite.assets / "a.txt", tmp_path / "a.json"
    suite.sign(file, bundle)
    made = parse_bundle(bundle.read_bytes())
    for der in (made.certificate, *made.intermediates):
        constraints = parse_basic_constraints(x509.parse_certificate(der))
        assert constraints is None or not constraints.ca
    digest = digest_file(file).hex()
    assert suite.verify(f"sha256:{digest}" if by_digest else file, bundle) == 0
    assert suite.verify(suite.assets / "statement.json", bundle) == 1
    assert second_client(suite, file, bundle) == 0


def test_a_file_is_signed_on_rekor_2_with_the_files_that_are_named(suite, tmp_path):
    file, bundle = suite.assets / "a.txt", tmp_path / "a.json"
    root, config = suite.private / "trusted_root.json", suite.private / "signing_config.json"
    suite.sign(file, bundle, "--trusted-root", root, "--signing-config", config)
    (entry,) = parse_bundle(bundle.read_bytes()).log_entries
    assert (entry.kind, entry.version) == ("hashedrekord", "0.0.2")
    assert suite.verify(file, bundle, "--trusted-root", root) == 0
    assert second_client(suite, file, bundle) == 0


def test_a_statement_is_signed_byte_for_byte(suite, tmp_path):
    statement, bundle = suite.assets / "statement.json", tmp_path / "s.json"
    suite.sign(statement, bundle, "--in-toto")
    envelope = json.loads(bundle.read_bytes())["dsseEnvelope"]
    assert parse_base64(envelope["payload"], what="payload") == statement.read_bytes()
    assert suite.verify(suite.assets / "a.txt", bundle) == 0
    assert suite.verify(statement, bundle) == 1
    assert second_client(suite, suite.assets / "a.txt", bundle) == 0


def second_client(suite: Suite, file: Path, bundle: Path) -> int:
    """sigstore-python, which is the suite's own second opinion."""
    who = ("--cert-identity", SIGNER, "--cert-oidc-issuer", suite.stack.oidc_issuer)
    command = ("-P", "-m", "sigstore", "--trust-config", suite.stack.trust_config, "verify", "identity", *who)
    done = subprocess.run(
        [sys.executable, *map(str, (*command, "--offline", "--bundle", bundle, file))],
        env=environment(HOME=str(suite.private), XDG_DATA_HOME=str(suite.private), HTTPS_PROXY=NOWHERE),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.returncode
