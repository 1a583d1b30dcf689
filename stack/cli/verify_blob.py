# SPDX-License-Identifier: Apache-2.0
"""Verify files and their bundles, offline: who signed, when, and that it is in the logs. No socket is opened.

FILE may be sha256:HEX. The verifier must say whom it expects: an identity and the issuer that vouches for it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from client.files import digest_file, load_bundle
from client.verify import Verified, verify_blob
from client.verify.identity import IdentityPolicy
from client.verify.report import list_checks
from sigcore.errors import Malformed, NotFound, SigError
from sigcore.strict import parse_hex
from sigcore.trustroot import TrustedRoot
from stack.cli.table import ExitCode
from stack.cli.trusting import add_trust_options, load_trust_options

EXAMPLES = """\
examples:
  sigbox verify-blob release.tar.gz --certificate-identity alice@example.com \\
      --certificate-oidc-issuer http://localhost:7780/auth
  sigbox verify-blob dist/*.whl --certificate-identity-regexp '.*@example\\.com' --certificate-oidc-issuer URL --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox verify-blob``."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file, or sha256:HEX with --bundle")
    parser.add_argument("--bundle", type=Path, metavar="B", help="the bundle (default: FILE.sigstore.json)")
    who = parser.add_argument_group("who may have signed")
    who.add_argument("--certificate-identity", metavar="I", default="", help="email address or URI, exact")
    who.add_argument("--certificate-identity-regexp", metavar="RE", default="", help="must match the whole identity")
    who.add_argument("--certificate-oidc-issuer", metavar="U", required=True, help="the issuer's URL, exact")
    parser.add_argument("--json", action="store_true", help="report every check as JSON on standard output")
    add_trust_options(parser)


def run(options: argparse.Namespace) -> int:
    """Verify every file; 0 only if all of them hold."""
    if len(options.files) > 1 and options.bundle:
        raise Malformed("one bundle is named for several files", "leave --bundle out")
    identity = IdentityPolicy(
        issuer=options.certificate_oidc_issuer,
        identity=options.certificate_identity,
        pattern=options.certificate_identity_regexp,
    )
    root = load_trust_options(options).root
    rows = [_verify(file, options.bundle, root, identity) for file in options.files]
    if options.json:
        print(json.dumps(rows, indent=2))
    return ExitCode.DONE if all(row["verified"] for row in rows) else ExitCode.REFUSED


def _verify(file: str, bundle: Path | None, root: TrustedRoot, identity: IdentityPolicy) -> dict[str, object]:
    """One file: the row of the report. What is missing ends the run; what does not hold is the file's own verdict."""
    try:
        found = load_bundle(bundle or Path(f"{file}.sigstore.json"))
        verified = verify_blob(found, _digest(file), root=root, identity=identity)
    except NotFound:
        raise
    except SigError as error:
        sys.stderr.write(f"REFUSED {ascii(file)[1:-1]}: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"  hint: {error.hint}\n")
        return {"file": file, "verified": False, "error": error.message, "hint": error.hint}
    sys.stderr.write(f"Verified OK {ascii(file)[1:-1]}: {_summary(verified)}\n")
    checks = [{"check": check.name, "what": check.what, "value": check.value} for check in list_checks(verified)]
    return {"file": file, "verified": True, "checks": checks}


def _digest(file: str) -> bytes:
    algorithm, colon, text = file.partition(":")
    if colon and algorithm == "sha256":
        return parse_hex(text, what="the artifact's digest", size=32)
    return digest_file(Path(file))


def _summary(verified: Verified) -> str:
    when = min(time.time for time in verified.times)
    entry = verified.entries[0]
    return f"{ascii(verified.signer.identity)[1:-1]} signed it at {when:%Y-%m-%dT%H:%M:%SZ}, log entry {entry.index}"
