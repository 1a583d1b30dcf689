# SPDX-License-Identifier: Apache-2.0
"""Make a trusted_root.json of certificates and keys that lie in files, with cosign's options.

Each service is KEY=VALUE pairs with commas between them; an option is repeated for a second service. With
--with-default-services the services of the trust that is in force (options, variables, `sigbox initialize`) come first.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from itertools import pairwise
from urllib.parse import urlsplit

from client.files import read_file, save_whole
from sigcore import chain, keys, limits, note, x509
from sigcore.algorithms import HashAlgorithm
from sigcore.trustroot import (
    AuthorityInstance,
    LogInstance,
    TrustedRoot,
    encode_trusted_root,
    parse_trusted_root,
)
from stack.cli.pairs import parse_pairs, parse_window
from stack.cli.places import check_free
from stack.cli.trusting import add_root_options, load_trusted_root
from stack.cli.usage import Usage, verifying

EXAMPLES = """\
examples:
  sigbox trusted-root create --out trusted_root.json \\
      --fulcio "url=https://fulcio.corp.example,certificate-chain=fulcio.pem" \\
      --ctfe "url=https://ct.corp.example,public-key=ct.pub,start-time=2026-01-01T00:00:00Z" \\
      --rekor "url=https://rekor.corp.example,public-key=rekor.pub,start-time=2026-01-01T00:00:00Z" \\
      --tsa "url=https://tsa.corp.example/api/v1/timestamp,certificate-chain=tsa.pem"
  sigbox trusted-root create --with-default-services --no-default-tsa --tsa "url=U,certificate-chain=tsa.pem\""""

_KINDS = ("fulcio", "ctfe", "rekor", "tsa")
_MEMBERS = {
    "fulcio": "certificate_authorities",
    "ctfe": "ct_logs",
    "rekor": "logs",
    "tsa": "timestamp_authorities",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox trusted-root``."""
    create = parser.add_subparsers(dest="action", metavar="ACTION", required=True).add_parser(
        "create", help="make a trusted root", allow_abbrev=False
    )
    chained, keyed = (
        "url=U,certificate-chain=PEM [,start-time=T] [,end-time=T]",
        "url=U,public-key=PEM,start-time=T [,end-time=T]",
    )
    abouts = {"fulcio": chained, "ctfe": keyed, "rekor": f"{keyed} [,origin=HOST]", "tsa": chained}
    for kind, about in abouts.items():
        create.add_argument(f"--{kind}", metavar="PAIRS", action="append", default=[], help=about)
        create.add_argument(f"--no-default-{kind}", action="store_true", help=f"leave the default {kind} services out")
    create.add_argument("--with-default-services", action="store_true", help="start from the trust that is in force")
    create.add_argument("--out", metavar="FILE", help="default: standard output")
    add_root_options(create)


def run(options: argparse.Namespace) -> int:
    """Make it, read it back, write it."""
    root = load_trusted_root(options) if options.with_default_services else TrustedRoot()
    for kind in _KINDS:
        if getattr(options, f"no_default_{kind}"):
            root = replace(root, **{_MEMBERS[kind]: ()})
    made = TrustedRoot(
        logs=(*root.logs, *(_log(text, "--rekor") for text in options.rekor)),
        certificate_authorities=(
            *root.certificate_authorities,
            *(_authority(text, "--fulcio") for text in options.fulcio),
        ),
        ct_logs=(*root.ct_logs, *(_log(text, "--ctfe") for text in options.ctfe)),
        timestamp_authorities=(*root.timestamp_authorities, *(_authority(text, "--tsa") for text in options.tsa)),
    )
    if made == TrustedRoot():
        raise Usage("no service is named: such a root trusts nobody", "give --fulcio, --ctfe, --rekor, --tsa")
    data = encode_trusted_root(made)
    parse_trusted_root(data)
    if options.out is not None:
        check_free(_files(options), "the trusted root", options.out)
    write_out(data, options.out, what="the trusted root")
    return 0


def _files(options: argparse.Namespace) -> dict[str, str]:
    """The keys and chains that are named: where each is -> what it is called."""
    pairs = [
        (kind, pair.partition("=")) for kind in _KINDS for text in getattr(options, kind) for pair in text.split(",")
    ]
    return {
        os.path.realpath(value): f"the {key} of --{kind}"
        for kind, (key, _, value) in pairs
        if key in ("certificate-chain", "public-key")
    }


def write_out(data: bytes, out: str | None, *, what: str) -> None:
    """To the file, or to standard output."""
    if out is None:
        sys.stdout.write(data.decode("utf-8"))
    else:
        save_whole(data, out, what=what)
        sys.stderr.write(f"wrote {out}\n")


def _log(text: str, option: str) -> LogInstance:
    """A log's id is SHA-256 of its key; an Ed25519 key (Rekor v2) is hashed together with the log's origin."""
    optional = ("end-time", "origin") if option == "--rekor" else ("end-time",)
    pairs = parse_pairs(text, option, required=("url", "public-key", "start-time"), optional=optional)
    window = parse_window(pairs, option)
    what = f"the key {pairs['public-key']}"
    key = keys.parse_public_key_pem(read_file(pairs["public-key"], what=what, limit=limits.PUBLIC_KEY), what=what)
    spki, details = keys.encode_public_key(key), keys.default_details(key)
    origin = pairs.get("origin") or urlsplit(_url(pairs, option)).hostname or ""
    is_note = option == "--rekor" and details.value.family == "ed25519"
    log_id = note.note_key(origin, key).id if is_note else keys.key_id(spki)
    return LogInstance(pairs["url"], HashAlgorithm.SHA2_256, spki, details, window, log_id)


def _authority(text: str, option: str) -> AuthorityInstance:
    """The chain as the file has it: each certificate is signed by the next."""
    required, optional = ("url", "certificate-chain"), ("start-time", "end-time")
    pairs = parse_pairs(text, option, required=required, optional=optional)
    what = f"the chain {pairs['certificate-chain']}"
    found = x509.parse_certificates_pem(
        read_file(pairs["certificate-chain"], what=what, limit=limits.TRUSTED_ROOT), what=what
    )
    with verifying():
        for lower, upper in pairwise(found):
            chain.verify_signed_by(lower, upper)
    window = parse_window(pairs, option, start=max(certificate.not_before for certificate in found))
    name, organization = x509.common_name(found[-1].subject), x509.organization(found[-1].subject)
    return AuthorityInstance(organization, name, _url(pairs, option), tuple(one.der for one in found), window)


def _url(pairs: dict[str, str], option: str) -> str:
    url = pairs["url"]
    if not url.startswith(("https://", "http://")):
        raise Usage(f"{option}: url is {url!a}, expected an http or https URL")
    return url
