# SPDX-License-Identifier: Apache-2.0
"""``sigbox trust request`` and ``accept``: an authority of the stack below a corporate root, by files that go from hand to hand."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec

from sigcore import keys, x509
from sigcore.errors import Malformed, SigError
from sigcore.strict import encode_time
from stack.cli.placing import add_data_option, add_passphrase_option
from stack.cli.usage import Usage
from stack.config import Home, load_settings
from stack.files import load_file, load_secret, save_file

if TYPE_CHECKING:
    from stack.bootstrap import Chained

ROLES = ("ca", "tsa")
DRY_RUN = "accept --dry-run"
"""An action of its own, since it is not recorded."""
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
    parser.add_argument(
        "--dry-run",
        dest="action",
        action="store_const",
        const=DRY_RUN,
        default="accept",
        help="say what would be done, and change nothing",
    )
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")
    add_data_option(parser)
    add_passphrase_option(parser)


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox init`` for an authority that was made elsewhere."""
    add = parser.add_argument
    add(
        "--ca-chain",
        metavar="CHAIN",
        type=Path,
        help="the certificate authority that there is already, such as Fulcio's file CA: its certificates up to the root",
    )
    add("--ca-key", metavar="KEY", type=Path, help="its key: ECDSA on P-256 or P-384, PKCS#8 in PEM")
    add("--ca-key-passphrase-file", metavar="FILE", type=Path, help="what that key is encrypted with")


def imported(options: argparse.Namespace, now: datetime) -> Chained | None:
    """The authority that ``sigbox init`` is given, judged as one that came back from a request.

    Raises:
        Usage: one half of it is given, or it is given for another place. Others as :func:`stack.trust.corporate.judge`.
    """
    given = [name for name in ("ca_chain", "ca_key", "ca_key_passphrase_file") if getattr(options, name) is not None]
    if not given:
        return None
    from stack.trust.corporate import judge  # noqa: PLC0415 - see below

    if not {"ca_chain", "ca_key"} <= set(given):
        raise Usage(
            "--ca-chain and --ca-key belong together", "to make a key here and ask for its chain: sigbox trust request"
        )
    if any(one.startswith("ca=") for one in options.key):
        raise Usage(
            "--ca-key is a file, and --key says that the key of ca is in a token",
            "sigbox trust request makes a key in a token",
        )
    key = _opened(options.ca_key, options.ca_key_passphrase_file)
    judged = judge("ca", _given([options.ca_chain]), keys.encode_public_key(key.public_key()), now)
    sys.stderr.writelines(f"{note}\n" for note in judged.notes)
    return key, judged.chain


def is_imported(options: argparse.Namespace, home: Home) -> bool:
    """Whether that authority is the one of the stack in ``home``: the same command once more. Errors: as :func:`imported`."""
    from stack.bootstrap import load_ca  # noqa: PLC0415 - see below

    given = imported(options, datetime.now(UTC))
    return given is not None and given[1] == load_ca(home)[1]


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
    from stack.trust.publisher import finish_publisher, start_publisher  # noqa: PLC0415 - see above
    from stack.trust.requested import accept, consider  # noqa: PLC0415 - see above
    from stack.trust.rotation import as_published  # noqa: PLC0415 - see above

    settings, now = load_settings(home), datetime.now(UTC)
    key = _opened(options.key, options.key_passphrase_file) if options.key else None
    found = consider(home, options.role, _given(options.files), now, key)
    sys.stderr.writelines(f"{note}\n" for note in found.judged.notes)
    lines = [_line(one) for one in found.judged.chain]
    facts = {
        "role": options.role,
        "generation": found.number,
        "chain": [{"subject": _name(one), "notAfter": encode_time(one.not_after)} for one in found.judged.chain],
        "until": encode_time(found.judged.until),
        "notes": list(found.judged.notes),
        "done": options.action != DRY_RUN,
    }
    if options.action == DRY_RUN:
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
        how += f". The key before counts for what it signed until {encode_time(as_published(home, done).old_until)}"
    print("\n".join((*lines, f"this chain {how}")))
    return 0


def _given(files: Sequence[Path]) -> tuple[x509.Certificate, ...]:
    """The certificates in ``files``, each once."""
    from stack.trust.corporate import certificates_in  # noqa: PLC0415 - see above

    read = ((path, load_file(path, what="the chain")) for path in files)
    return tuple(dict.fromkeys(one for path, data in read for one in certificates_in(data, what=str(path))))


def _opened(path: Path, phrase: Path | None) -> ec.EllipticCurvePrivateKey:
    secret = load_secret(phrase, what="the passphrase").rstrip(b"\r\n") if phrase else None
    key = keys.parse_private_key(load_secret(path, what="the key"), secret, what=str(path))
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in ("secp256r1", "secp384r1"):
        hint = "make a key here instead: sigbox trust request"
        raise Malformed(f"{path} is no ECDSA key on P-256 or P-384, which an authority here needs", hint)
    return key


def _line(certificate: x509.Certificate) -> str:
    digest = hashlib.sha256(certificate.der).hexdigest()
    return f"  {_name(certificate):<40}  until {encode_time(certificate.not_after)}  sha256:{digest[:16]}"


def _name(certificate: x509.Certificate) -> str:
    try:
        return x509.common_name(certificate.subject) or x509.organization(certificate.subject) or "without a name"
    except SigError:
        return "a name that cannot be read"
