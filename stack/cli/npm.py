# SPDX-License-Identifier: Apache-2.0
"""Provenance of npm packages: say how a tarball was built, verify that.

`attest` makes the statement that `npm publish --provenance` makes, about the tarball that `npm pack` wrote: the package's URL, its
SHA-512, and an SLSA provenance; in a bundle beside it. In GitHub Actions the provenance comes from the job's variables, elsewhere from
--predicate. `verify` opens no socket; name and version in the tarball must be those of the statement. It reads the bundle beside the
file, or the document of a registry's /-/npm/v1/attestations/NAME@VERSION.

npm itself trusts the public Sigstore alone. `shim` prints a file that Node loads before it, after which `npm publish --provenance`,
`--provenance-file` and `npm audit signatures` go by your stack.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from client.files import READABLE, digest_file, read_file, save_bundle
from client.packages.npm import (
    PROVENANCES,
    Package,
    json_object,
    parse_attestations,
    provenance_statement,
    read_package,
    verify_provenance,
)
from client.packages.provenance import github_provenance
from client.sign import Signing, attest
from client.verify import Verified
from client.verify.recorder import Recorder
from client.verify.steps import Step, Steps
from sigcore import limits
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import Bundle
from sigcore.errors import NotFound
from sigcore.strict import JSON
from stack.cli.artifact import is_digest
from stack.cli.attested import attestation_verifier
from stack.cli.signing import Job, add_sign_options, sign_files
from stack.cli.table import ExitCode
from stack.cli.usage import Usage, tell, verifying
from stack.cli.verifying import Verify, add_verify_options, verify_files

EXAMPLES = """\
examples:
  sigbox npm attest demo-1.0.0.tgz
  sigbox npm attest demo-1.0.0.tgz --predicate provenance.json --identity-token @token.jwt
  sigbox npm verify demo-1.0.0.tgz --certificate-identity alice@example.com \\
      --certificate-oidc-issuer http://localhost:7780/auth
  sigbox npm shim > npm-trust.cjs
  sigbox npm verify demo-1.0.0.tgz --attestations attestations.json --certificate-identity-regexp \\
      'https://github\\.com/acme/.*' --certificate-oidc-issuer URL"""

SHIM = Path(__file__).parent.parent / "clients" / "npm_trust.cjs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of ``sigbox npm`` and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    attest = actions.add_parser("attest", help="sign how packages were built", allow_abbrev=False)
    attest.add_argument("files", nargs="+", type=Path, metavar="FILE.tgz", help="what `npm pack` wrote")
    about = "an SLSA provenance of version 1 (default: from the variables of GitHub Actions)"
    attest.add_argument("--predicate", type=Path, metavar="JSON", help=about)
    add_sign_options(attest)
    verify = actions.add_parser("verify", help="verify packages by their provenance, offline", allow_abbrev=False)
    add_verify_options(verify)
    about = "a registry's document about the package, instead of a bundle"
    verify.add_argument("--attestations", metavar="JSON", help=about)
    shim = "print what Node loads before npm: `sigbox env npm` has the lines for it"
    actions.add_parser("shim", help=shim, allow_abbrev=False)


def run(options: argparse.Namespace) -> int:
    """Do what was asked for."""
    if options.action == "shim":
        sys.stdout.write(SHIM.read_text("utf-8"))
        return ExitCode.DONE
    return _attest(options) if options.action == "attest" else _verify(options)


# --- attest ------------------------------------------------------------------------------------------
def _attest(options: argparse.Namespace) -> int:
    predicate = _predicate(options.predicate)
    packages = {file: _package(str(file)) for file in options.files}  # before anything is signed

    async def make(signing: Signing, job: Job) -> Bundle:
        digest = digest_file(job.file, HashAlgorithm.SHA2_512)
        statement = provenance_statement(packages[job.file], digest, predicate)
        return await attest(_readable(signing), statement, now=datetime.now(UTC))

    return sign_files(options, options.files, make)


def _readable(signing: Signing) -> Signing:
    """``signing`` into a log of Rekor v1 where there is one and none is asked for: npm 11 reads no attestation of a v2 log."""
    listed = any(service.api_version == 1 for service in signing.trust.config.rekor)
    return replace(signing, rekor_version=1) if listed and signing.rekor_version is None else signing


def _predicate(path: Path | None) -> JSON:
    if path is None:
        return github_provenance(os.environ)
    what = f"the predicate {path}"
    return dict(json_object(read_file(path, what=what, limit=limits.BUNDLE), what).raw())


def _package(file: str) -> Package:
    try:
        with Path(file).open("rb") as opened:
            return read_package(opened, what=file)
    except OSError as error:
        raise NotFound(f"the package {file} cannot be read: {error.strerror}", READABLE) from error


# --- verify ------------------------------------------------------------------------------------------
def _verify(options: argparse.Namespace) -> int:
    if digest := next(filter(is_digest, options.files), None):
        raise Usage(f"{digest[:20]}... is a digest, expected a package", "the statement must name the package, too")
    if options.attestations is None:
        return verify_files(options, _verifier(options, ""))
    if options.bundle or len(options.files) > 1:
        raise Usage("--attestations is for one FILE, and not beside --bundle", "verify the packages one by one")
    what = f"the document {options.attestations}"
    with verifying():
        rows = parse_attestations(read_file(options.attestations, what=what, limit=limits.BUNDLE), what=what)
    for kind in (kind for kind, bundle in rows if bundle is None):
        tell(f"passed over {kind}: no provenance, and signed by the registry with a key of its own")
    bundles = [(kind, bundle) for kind, bundle in rows if bundle is not None]
    if len(bundles) != 1:
        raise Usage(f"{what} holds {len(bundles)} provenances, expected one", f"of the type {' or '.join(PROVENANCES)}")
    ((kind, bundle),) = bundles
    with TemporaryDirectory(prefix="sigbox-") as folder:
        options.bundle = f"{folder}/provenance.sigstore.json"
        save_bundle(bundle, options.bundle)
        return verify_files(options, _verifier(options, kind))


def _verifier(options: argparse.Namespace, wanted: str) -> Callable[[str], Verify]:
    """1. Who may have signed. 2. The one verifier of :mod:`client.verify`. 3. The statement is about the package in the file."""
    return attestation_verifier(options, wanted, _named)


def _named(file: str, verify: Verify) -> Verify:
    """``verify``, and the statement is about the package that ``file`` says it is."""

    def named(bundle: Bundle, digest: bytes, found: Recorder) -> Steps[Verified]:
        verified = yield from verify(bundle, digest, found)
        with Step("statement"):
            if verified.statement is not None:
                verify_provenance(verified.statement, _package(file))
        return verified

    return named
