# SPDX-License-Identifier: Apache-2.0
"""Attestations of Python distributions (PEP 740): make, verify, convert.

`attest` says who publishes a wheel or source archive, in FILE.publish.attestation beside it, which an index takes with the upload
(`twine upload --attestations`). It is signed into a log of Rekor v1, whatever else the signing config lists: PEP 740 has no place
for timestamps, and a log of v2 signs no time. `verify` opens no socket; the statement must name the file, too. `convert` makes a
bundle of an attestation, or an attestation of a bundle, and verifies nothing.
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

from client.files import digest_file, load_bundle, read_file, save_bundle, save_whole
from client.packages.provenance import github_provenance
from client.packages.pypi import PREDICATES, identify, publish_statement, verify_distribution
from client.sign import Signing, attest
from client.verify import Verified
from client.verify.recorder import Recorder
from client.verify.steps import Step, Steps
from sigcore import limits
from sigcore.bundle import Bundle, encode_bundle
from sigcore.errors import NotFound
from sigcore.pep740 import encode_attestation, parse_attestation, parse_provenance
from sigcore.strict import JSON, Fields, parse_json
from stack.cli.artifact import SUFFIX, is_digest
from stack.cli.attested import attestation_verifier
from stack.cli.demanded_type import demanded_type
from stack.cli.explain_options import add_explain_options
from stack.cli.policy_choice import add_policy_options
from stack.cli.service_urls import add_service_options
from stack.cli.signing import Form, Job, add_identity, sign_files
from stack.cli.trusting import add_root_options, add_trust_options
from stack.cli.usage import Usage, tell, verifying
from stack.cli.verifying import Verify, add_signer_options, verify_files
from stack.cli.witness_choice import add_witness_option

EXAMPLES = """\
examples:
  sigbox pypi attest dist/* --identity-token @token.jwt
  sigbox pypi attest dist/*.whl --predicate provenance.json --type slsaprovenance1 --identity-token @token.jwt
  sigbox pypi verify dist/demo-1.0-py3-none-any.whl --certificate-identity alice@example.com \\
      --certificate-oidc-issuer http://localhost:7780/auth
  sigbox pypi verify demo-1.0.tar.gz --policy policy.json
  sigbox pypi verify demo-1.0.tar.gz --provenance provenance.json --certificate-identity-regexp \\
      'https://github\\.com/acme/.*' --certificate-oidc-issuer https://token.actions.githubusercontent.com
  sigbox pypi convert demo-1.0.tar.gz.publish.attestation --out demo-1.0.tar.gz.sigstore.json"""
PUBLISH_SUFFIX, SLSA_SUFFIX = ".publish.attestation", ".slsa.attestation"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of ``sigbox pypi`` and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_attest(actions.add_parser("attest", help="sign what is published: one attestation a file", allow_abbrev=False))
    _add_verify(actions.add_parser("verify", help="verify files by their attestations, offline", allow_abbrev=False))
    convert = actions.add_parser("convert", help="bundle to attestation, or the reverse", allow_abbrev=False)
    convert.add_argument("file", metavar="FILE", help="a bundle of a statement, or an attestation of PEP 740")
    convert.add_argument("--out", metavar="FILE", help="default: standard output")


def _add_attest(attest: argparse.ArgumentParser) -> None:
    attest.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="a wheel or source archive; attestations are passed over"
    )
    attest.add_argument(
        "--predicate",
        type=Path,
        metavar="JSON",
        help="an SLSA provenance (default: from the variables of GitHub Actions)",
    )
    attest.add_argument("--type", metavar="T", help=f"what is said: {' or '.join(PREDICATES)} (default: publish)")
    add_identity(attest)
    attest.add_argument("--json", action="store_true", help="report as JSON on standard output")
    add_explain_options(attest)
    add_service_options(attest)
    add_trust_options(attest)
    attest.set_defaults(key=None, rekor_version=1, bundle=None, output_signature=None, output_certificate=None)


def _add_verify(verify: argparse.ArgumentParser) -> None:
    verify.add_argument("files", nargs="+", metavar="FILE", help="a wheel or source archive, or a directory of them")
    about = f"the attestation, or a bundle of it (default: FILE{PUBLISH_SUFFIX})"
    verify.add_argument("--attestation", metavar="A", dest="bundle", help=about)
    about = "what an index hands out as the provenance of the one FILE: every attestation in it must hold"
    verify.add_argument("--provenance", metavar="JSON", help=about)
    verify.add_argument("--type", metavar="T", help=f"what must be said: {' or '.join(PREDICATES)} (default: either)")
    add_signer_options(verify)
    verify.add_argument("--json", action="store_true", help="report every check as JSON on standard output")
    add_explain_options(verify)
    add_policy_options(verify)
    add_witness_option(verify)
    add_root_options(verify)
    verify.set_defaults(max_workers=None)


def run(options: argparse.Namespace) -> int:
    """Do what was asked for."""
    return {"attest": _attest, "verify": _verify, "convert": _convert}[options.action](options)


# --- attest ------------------------------------------------------------------------------------------
def _attest(options: argparse.Namespace) -> int:
    if options.timestamp_server_url:
        raise Usage("--timestamp-server-url is given, and PEP 740 has no place for timestamps", "leave it out")
    kind, predicate = _said(options)
    files = [file for file in options.files if file.suffix != ".attestation"]
    if not files:
        raise Usage("every FILE is an attestation", "name the wheels and source archives: dist/*")
    for file in files:
        identify(file.name)  # before anything is signed

    async def make(signing: Signing, job: Job) -> Bundle:
        statement = publish_statement(job.file.name, digest_file(job.file), PREDICATES[kind], predicate)
        return await attest(_unstamped(signing), statement, now=datetime.now(UTC))

    return sign_files(options, files, make, Form(_suffix(kind), _save, "attestation"))


def _unstamped(signing: Signing) -> Signing:
    """``signing`` without timestamp authorities: there is no place for what they say, and our own check shall see what readers see.

    Raises:
        Usage: no log of Rekor v1.
    """
    config = signing.trust.config
    if not any(service.api_version == 1 for service in config.rekor):
        raise Usage(
            "the signing config lists no log of Rekor v1, and PEP 740 has no place for the timestamp that v2 needs",
            "name a log that signs a time: --rekor-url URL; or attest in a bundle instead: sigbox attest-blob",
        )
    return replace(signing, trust=replace(signing.trust, config=replace(config, tsa=())))


def _said(options: argparse.Namespace) -> tuple[str, JSON]:
    """The short name of the predicate's type, and the predicate."""
    kind = options.type or "publish"
    if kind not in PREDICATES:
        raise Usage(f"--type is {kind}, and indexes take {' or '.join(PREDICATES)} alone")
    if kind == "publish":
        if options.predicate:
            raise Usage("--predicate is given for the type publish, which has none", "add --type slsaprovenance1")
        return kind, None
    if not options.predicate:
        return kind, github_provenance(os.environ)
    what = f"the predicate {options.predicate}"
    data = read_file(options.predicate, what=what, limit=limits.BUNDLE)
    return kind, dict(Fields.of(parse_json(data, what=what, limit=limits.BUNDLE, floats=True), what).raw())


def _suffix(kind: str) -> str:
    return PUBLISH_SUFFIX if kind == "publish" else SLSA_SUFFIX


def _save(bundle: Bundle, target: Path) -> None:
    data = encode_attestation(bundle)
    parse_attestation(data)  # as its readers will
    save_whole(data, target, what="the attestation")


# --- verify ------------------------------------------------------------------------------------------
def _verify(options: argparse.Namespace) -> int:
    """1. Read who may have signed. 2. The one verifier of :mod:`client.verify`. 3. The statement is about a file of this name."""
    if digest := next(filter(is_digest, options.files), None):
        raise Usage(f"{digest[:20]}... is a digest, expected a file", "the statement must name the file, too")
    suffix = _suffix("publish" if _wanted(options) in ("", PREDICATES["publish"]) else "")
    if options.provenance is None:
        _check_present(options, suffix)
        return verify_files(options, _verifier(options), suffix)
    if options.bundle or len(options.files) > 1:
        raise Usage("--provenance is for one FILE, and not beside --attestation", "verify the files one by one")
    what = f"the provenance {options.provenance}"
    with verifying():
        bundles = parse_provenance(read_file(options.provenance, what=what, limit=limits.BUNDLE), what=what)
    verifier = _verifier(options)
    with TemporaryDirectory(prefix="sigbox-") as folder:
        places = [f"{folder}/{number}{SUFFIX}" for number in range(len(bundles))]
        for bundle, place in zip(bundles, places, strict=True):
            save_bundle(bundle, place)
        options.files = options.files * len(bundles)
        return verify_files(options, verifier, bundles=places)


def _verifier(options: argparse.Namespace) -> Callable[[str], Verify]:
    return attestation_verifier(options, _wanted(options), _named)


def _wanted(options: argparse.Namespace) -> str:
    return demanded_type(PREDICATES.get(options.type, options.type))


def _check_present(options: argparse.Namespace, suffix: str) -> None:
    for file in options.files:
        place = Path(f"{file}{suffix}")
        if options.bundle is None and Path(file).is_file() and not place.is_file():
            raise NotFound(
                f"the attestation {place} cannot be read: there is no such file",
                "give --attestation FILE; what has none is signed first: sigbox pypi attest",
            )


def _named(file: str, verify: Verify) -> Verify:
    """``verify``, and the statement is about a distribution that is called as ``file`` is."""

    def named(bundle: Bundle, digest: bytes, found: Recorder) -> Steps[Verified]:
        verified = yield from verify(bundle, digest, found)
        with Step("statement"):
            if verified.statement is not None:
                verify_distribution(verified.statement, file.rpartition("/")[2])
        return verified

    return named


# --- convert -----------------------------------------------------------------------------------------
def _convert(options: argparse.Namespace) -> int:
    data = read_file(options.file, what="the file", limit=limits.BUNDLE)
    with verifying():
        bundle = load_bundle(options.file)
        is_attestation = b'"transparency_entries"' in data
        made = encode_bundle(bundle) if is_attestation else encode_attestation(bundle)
    if not is_attestation and bundle.timestamps:
        tell("PEP 740 has no place for timestamps: what is left is the time that the log promises")
    if options.out is None:
        sys.stdout.write(f"{made.decode('utf-8')}\n")
    else:
        save_whole(made, options.out, what="the bundle" if is_attestation else "the attestation")
        tell(f"wrote {options.out}")
    return 0
