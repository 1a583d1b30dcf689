# SPDX-License-Identifier: Apache-2.0
"""``sigbox trust request`` and ``accept``: an authority of the stack below a corporate root, by files that go from hand to hand."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from sigcore import keys, x509
from sigcore.errors import Malformed, SigError
from sigcore.strict import encode_time
from stack.cli.placing import add_data_option, add_passphrase_option
from stack.config import Home, load_settings
from stack.files import load_file, load_secret, save_file

ROLES = ("ca", "tsa")
_ABOUT = "ca: what issues certificates; tsa: what signs timestamps"


def add_request_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox trust request``."""
    parser.add_argument("role", choices=ROLES, metavar="ROLE", help=_ABOUT)
    parser.add_argument("-o", "--out", metavar="FILE", type=Path, help="where to write the request (default: ROLE.csr)")
    parser.add_argument(
        "--subject",
        metavar="NAME",
        default="",
        help="such as 'CN=ACME Signing CA,O=ACME,C=JP' (default: the stack's name)",
    )
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")
    add_data_option(parser)
    add_passphrase_option(parser)


def add_accept_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox trust accept``."""
    parser.add_argument("role", choices=ROLES, metavar="ROLE", help=_ABOUT)
    parser.add_argument(
        "files", metavar="CHAIN", type=Path, nargs="+", help="what came back, and what stands above it up to the root"
    )
    parser.add_argument("--key", metavar="KEY", type=Path, help="the key, where it was made elsewhere: PKCS#8 in PEM")
    parser.add_argument("--key-passphrase-file", metavar="FILE", type=Path, help="what that key is encrypted with")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")
    add_data_option(parser)
    add_passphrase_option(parser)


def run_request(home: Home, options: argparse.Namespace) -> int:
    """Write a request; nothing else changes."""
    # Deferred, here and below: most actions of `trust` need none of it.
    from stack.trust.requested import request  # noqa: PLC0415 - see the line above

    pem, pending = request(home, load_settings(home), options.role, options.subject)
    out = options.out or Path(f"{options.role}.csr")
    save_file(out, pem.encode("ascii"))
    digest = hashlib.sha256(pending.spki).hexdigest()
    if options.json:
        facts = {"role": options.role, "file": str(out), "generation": pending.number, "publicKeySha256": digest}
        print(json.dumps(facts, indent=2))
        return 0
    print(
        f"{out} asks for the certificate of key {pending.number} of {options.role}; SHA-256 of the public key {digest}"
    )
    print(f"when it is back, with the certificates up to the root: sigbox trust accept {options.role} CHAIN.pem")
    return 0


def run_accept(home: Home, options: argparse.Namespace) -> int:
    """Judge what came back, and rotate to it."""
    from stack.trust.corporate import certificates_in  # noqa: PLC0415 - see above
    from stack.trust.publisher import finish_publisher, start_publisher  # noqa: PLC0415 - see above
    from stack.trust.requested import accept, consider  # noqa: PLC0415 - see above

    settings, now = load_settings(home), datetime.now(UTC)
    given = dict.fromkeys(
        one for path in options.files for one in certificates_in(load_file(path, what="the chain"), what=str(path))
    )
    found = consider(home, options.role, tuple(given), now, _key(options))
    sys.stderr.writelines(f"{note}\n" for note in found.judged.notes)
    lines = [_line(one) for one in found.judged.chain]
    facts = {
        "role": options.role,
        "generation": found.number,
        "chain": [{"subject": _name(one), "notAfter": encode_time(one.not_after)} for one in found.judged.chain],
        "until": encode_time(found.judged.until),
        "notes": list(found.judged.notes),
        "done": not options.dry_run,
    }
    if options.dry_run:
        said = f"nothing was changed; without --dry-run this chain would be key {found.number} of {options.role}"
        print(json.dumps(facts, indent=2) if options.json else "\n".join((*lines, said)))
        return 0
    done = accept(home, settings, found, now)
    finish_publisher(start_publisher(home))
    if options.json:
        print(json.dumps(facts, indent=2))
        return 0
    how = f"is key {found.number} of {options.role}, published; a running stack signs with it within seconds"
    if done is not None:
        how += f". The key before counts for what it signed until {encode_time(done.old_until)}"
    print("\n".join((*lines, f"this chain {how}")))
    return 0


def _key(options: argparse.Namespace) -> ec.EllipticCurvePrivateKey | None:
    if options.key is None:
        return None
    phrase = options.key_passphrase_file
    secret = load_secret(phrase, what="the passphrase").rstrip(b"\r\n") if phrase else None
    key = keys.parse_private_key(load_secret(options.key, what="the key"), secret, what=str(options.key))
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in ("secp256r1", "secp384r1"):
        hint = "make a key here instead: sigbox trust request"
        raise Malformed(f"{options.key} is no ECDSA key on P-256 or P-384, which an authority here needs", hint)
    return key


def _line(certificate: x509.Certificate) -> str:
    digest = hashlib.sha256(certificate.der).hexdigest()
    return f"  {_name(certificate):<40}  until {encode_time(certificate.not_after)}  sha256:{digest[:16]}"


def _name(certificate: x509.Certificate) -> str:
    try:
        return x509.common_name(certificate.subject) or x509.organization(certificate.subject) or "without a name"
    except SigError:
        return "a name that cannot be read"
