# SPDX-License-Identifier: Apache-2.0
"""Look into bundles, make them from parts, and bring old ones to version 0.3.

`inspect` decodes every part and verifies nothing. `create` makes a bundle of a signature, its certificate or key, log entries and
timestamps that lie in files, and refuses parts that do not belong together; without an entry it asks a log of Rekor v1 for it, if you
name one. `upgrade` reads versions 0.1 and 0.2 and cosign's own
bundle; where only a promise of the log is there, the log is asked for a proof.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from client import assembly
from client.files import digest_file, load_bundle, read_file, save_whole
from client.inspection import encode_outline, inspect_bundle
from client.rekor import find_entry, prove_entry
from client.root import read_trust_file
from client.transport import AiohttpTransport, tls_context
from client.verify.signed import ManagedKey, Signed, digest_algorithm, read_signed
from sigcore import dsse, keys, limits
from sigcore.bundle import Bundle, Content, MessageSignature, encode_bundle
from sigcore.errors import Refused
from sigcore.keys import PublicKey
from sigcore.log_entry import LogEntry
from sigcore.signing_config import parse_signing_config
from stack.cli.places import check_free, files_read
from stack.cli.public_keys import read_public_key
from stack.cli.usage import Usage, verifying

EXAMPLES = """\
examples:
  sigbox bundle inspect release.tar.gz.sigstore.json
  sigbox bundle create --artifact F --signature F.sig --certificate F.pem --entry entry.json --out F.sigstore.json
  sigbox bundle create --artifact F --signature F.sig --certificate F.pem --rekor-url http://localhost:7780
  sigbox bundle upgrade old.bundle --rekor-url https://rekor.example.com --out new.sigstore.json"""


_PARTS = (
    "artifact",
    "signature",
    "attestation",
    "certificate",
    "key",
    "entry",
    "rfc3161_timestamp",
    "signing_config",
    "ca_file",
)
"""Options of ``create`` that name a file; ``--bundle`` may be written anew."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox bundle``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    inspect = actions.add_parser("inspect", help="show every part; nothing is verified", allow_abbrev=False)
    inspect.add_argument("file", metavar="FILE", help="a bundle of any version, or cosign's own")
    inspect.add_argument("--json", action="store_true", help="as JSON on standard output")
    _add_create(actions.add_parser("create", help="make a bundle of parts", allow_abbrev=False))
    upgrade = actions.add_parser("upgrade", help="bring an older bundle to version 0.3", allow_abbrev=False)
    upgrade.add_argument("file", metavar="FILE", help="a bundle of version 0.1 or 0.2, or cosign's own")
    upgrade.add_argument("--rekor-url", metavar="URL", help="the log (Rekor v1) that is asked where a proof is missing")
    upgrade.add_argument("--ca-file", metavar="PEM", help="certificate authorities to trust for https")
    upgrade.add_argument("--out", metavar="FILE", help="default: standard output")


def _add_create(create: argparse.ArgumentParser) -> None:
    create.add_argument("--artifact", metavar="FILE", required=True, help="what was signed, or attested to")
    create.add_argument("--signature", metavar="FILE", help="the signature, in base64 or as it is")
    create.add_argument("--attestation", metavar="FILE", help="a DSSE envelope, instead of a signature")
    create.add_argument("--certificate", metavar="FILE", help="the signing certificate: PEM, base64 of PEM, or DER")
    create.add_argument(
        "--key", metavar="KEY", help="the public key in PEM, or NAME://KEY in a KMS, instead of a certificate"
    )
    create.add_argument("--bundle", metavar="FILE", help="cosign's own bundle, whose log entry is taken")
    create.add_argument("--entry", metavar="FILE", action="append", default=[], help="a log entry; may be repeated")
    create.add_argument(
        "--rfc3161-timestamp", metavar="FILE", action="append", default=[], help="a timestamp: DER, or cosign's JSON"
    )
    about = "the log (Rekor v1) that is asked for the entry where none is given"
    create.add_argument("--rekor-url", metavar="URL", help=about)
    create.add_argument("--signing-config", metavar="FILE", help="the same: its logs of Rekor v1 are asked")
    create.add_argument("--ca-file", metavar="PEM", help="certificate authorities to trust for https")
    create.add_argument("--ignore-tlog", action="store_true", help="allow a bundle without a log entry")
    create.add_argument("--out", metavar="FILE", help="default: standard output")


def run(options: argparse.Namespace) -> int:
    """Do what was asked for."""
    if options.action == "inspect":
        parts = inspect_bundle(load_bundle(options.file))
        sys.stdout.write(f"{json.dumps(parts, indent=2)}\n" if options.json else encode_outline(parts))
    else:
        _write(_created(options) if options.action == "create" else _upgraded(options), options.out)
    return 0


def _write(bundle: Bundle, out: str | None) -> None:
    data = encode_bundle(bundle)
    if out is None:
        sys.stdout.write(f"{data.decode('utf-8')}\n")
    else:
        save_whole(data, out, what="the bundle")
        sys.stderr.write(f"wrote {out}\n")


# --- create ------------------------------------------------------------------------------------------
def _created(options: argparse.Namespace) -> Bundle:
    if options.out is not None:
        check_free(files_read(options, _PARTS), "the bundle", options.out)
    if bool(options.signature) == bool(options.attestation):
        given = "both" if options.signature else "none"
        raise Usage(f"{given} of --signature and --attestation are given", "give exactly one of them")
    if bool(options.certificate) == bool(options.key):
        given = "both" if options.certificate else "none"
        raise Usage(f"{given} of --certificate and --key are given", "give exactly one of them")
    entries = [assembly.parse_entry_file(_read(path)) for path in options.entry]
    if options.bundle:
        entries += load_bundle(options.bundle).log_entries
    named = options.rekor_url or options.signing_config
    if named and (entries or options.ignore_tlog):
        asked = "--rekor-url" if options.rekor_url else "--signing-config"
        beside = "--entry" if options.entry else "--bundle" if options.bundle else "--ignore-tlog"
        raise Usage(f"{asked} and {beside} are given: there is nothing to ask the log for", "leave one of them out")
    if not entries and not options.ignore_tlog and not named:
        raise Usage(
            "no log entry is given",
            "give --entry FILE or --bundle FILE; or --rekor-url URL (or --signing-config FILE) of the log that is asked for it; "
            "or --ignore-tlog, and few will verify it",
        )
    stamps = [assembly.parse_timestamp_file(_read(path)) for path in options.rfc3161_timestamp]
    verifier = _verifier(options)
    content = _content(options, verifier)
    draft = Bundle(None, (), (), content)
    digest = digest_file(options.artifact, digest_algorithm(draft))
    with verifying():
        draft = assembly.assemble_bundle(content, verifier, digest=digest, entries=entries, timestamps=stamps)
    if not named:
        return draft
    signed = read_signed(draft, digest, None if isinstance(verifier, bytes) else ManagedKey(verifier))
    found = asyncio.run(_asked(options, signed))  # only now: no log is told of a signature that does not hold
    with verifying():
        return assembly.assemble_bundle(content, verifier, digest=digest, entries=(found,), timestamps=stamps)


async def _asked(options: argparse.Namespace, signed: Signed) -> LogEntry:
    """The entry in the first log that has one: at ``--rekor-url``, or at those of the signing config."""
    places = [options.rekor_url] if options.rekor_url else _places(options.signing_config)
    async with AiohttpTransport(tls=tls_context(options.ca_file) if options.ca_file else None) as transport:
        for place in places:
            found = await find_entry(transport, place, signed)
            if found is not None:
                return found
    raise Refused(
        f"no entry for this signature is in the log at {' or '.join(places)}",
        "was it logged there, with this certificate or key? An attestation is found as the kind dsse alone",
    )


def _places(path: str) -> list[str]:
    """The logs of Rekor v1 in a signing config, also those that take nothing any more: they still answer."""
    config = parse_signing_config(read_trust_file(path, "the signing config"))
    places = [service.url for service in config.rekor if service.api_version == 1]
    if not places:
        raise Refused(
            f"the signing config {path} names no log of Rekor v1, and one of v2 finds nothing by its content",
            "give --entry FILE: what the log answered when it was signed",
        )
    return places


def _read(path: str) -> bytes:
    return read_file(path, what="the file", limit=limits.BUNDLE)


def _verifier(options: argparse.Namespace) -> bytes | PublicKey:
    if options.certificate:
        return assembly.parse_certificate_file(_read(options.certificate))
    return read_public_key(options.key)


def _content(options: argparse.Namespace, verifier: bytes | PublicKey) -> Content:
    if options.attestation:
        return dsse.parse_envelope(_read(options.attestation))
    key = assembly.key_of(verifier)
    hashing = keys.digest_details(key).hash
    signature = assembly.parse_signature_file(_read(options.signature))
    return MessageSignature(hashing, digest_file(options.artifact, hashing), signature)


# --- upgrade -----------------------------------------------------------------------------------------
def _upgraded(options: argparse.Namespace) -> Bundle:
    bundle = load_bundle(options.file)
    if assembly.is_newest(bundle):
        sys.stderr.write(f"{options.file} is of version 0.3 already\n")
        return bundle
    entries = bundle.log_entries
    if options.rekor_url:
        entries = asyncio.run(_proved(options, entries))
    return assembly.upgrade_bundle(bundle, entries)


async def _proved(options: argparse.Namespace, entries: tuple[LogEntry, ...]) -> tuple[LogEntry, ...]:
    tls = tls_context(options.ca_file) if options.ca_file else None
    async with AiohttpTransport(tls=tls) as transport:
        return tuple(
            [
                entry
                if entry.proof is not None and entry.proof.checkpoint
                else await prove_entry(transport, options.rekor_url, entry)
                for entry in entries
            ]
        )
