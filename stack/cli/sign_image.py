# SPDX-License-Identifier: Apache-2.0
"""Sign images in a registry, with an identity or a key.

The signature goes to the registry beside the image: as a referrer (what cosign 3 reads first), at the tag sha256-HEX.sig (what
cosign 2 and most other verifiers read), or both. Name the image by its digest: a tag may point to another image by the time it is
signed. What is signed is the digest in any case.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from client.files import save_bundle
from client.fulcio import Issued
from client.oci.ports import Registry
from client.oci.signing import Attachment, sign_image, store
from client.oci.walking import Node
from client.sign import Signing, certify
from sigcore.strict import encode_base64
from sigcore.x509 import encode_certificate_pem
from stack.cli.explain_options import add_explain_options
from stack.cli.image_outputs import Explain, add_upload_options, described, explainer
from stack.cli.registries import (
    add_annotations_option,
    add_format_option,
    add_recursive_option,
    add_registry_options,
    annotations_of,
    home,
    layouts_of,
    nodes_of,
    open_named,
    open_registry,
)
from stack.cli.service_urls import add_service_options
from stack.cli.signing import add_who_signs, open_signing
from stack.cli.trusting import add_trust_options
from stack.cli.usage import Usage
from stack.files import save_file

EXAMPLES = """\
examples:
  sigbox sign registry.example.com/app@sha256:8fd1... --identity-token "$(sigbox token --email alice@example.com)"
  sigbox sign --key cosign.key -a env=prod --recursive registry.example.com/app:1.0
  sigbox sign --format tag registry.example.com/app@sha256:8fd1...      as cosign 2 does"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox sign``."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="registry/repository@sha256:HEX, or with a :tag")
    add_annotations_option(parser, "what the signature says beside the digest")
    add_recursive_option(parser, "sign the images of all platforms too")
    add_format_option(parser)
    parser.add_argument(
        "--sign-container-identity",
        metavar="NAME",
        help="what the payload at a tag calls the image (default: repository)",
    )
    add_who_signs(parser)
    add_upload_options(parser, "the signature")
    parser.add_argument("--output-signature", type=Path, metavar="OUT", help="also write the signature, in base64")
    parser.add_argument("--output-payload", type=Path, metavar="OUT", help="also write what was signed at the tag")
    parser.add_argument("--output-certificate", type=Path, metavar="OUT", help="also write the certificate, in PEM")
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")
    add_explain_options(parser)
    add_registry_options(parser)
    add_service_options(parser)
    add_trust_options(parser)


def run(options: argparse.Namespace) -> int:
    """Sign each image in turn; the first failure ends the run, what was signed before it stays."""
    files = (options.bundle, options.output_signature, options.output_payload, options.output_certificate)
    if any(files) and (len(options.images) > 1 or options.recursive or len(layouts_of(options)) > 1):
        raise Usage("an output file is named for several signatures", "sign one image with --format referrers, or tag")
    if options.output_payload and options.format != "tag":
        raise Usage("--output-payload is for --format tag", "a referrer holds a statement: see --bundle")
    rows = asyncio.run(_sign_all(options))
    if options.json or options.explain == "json":
        print(json.dumps(rows, indent=2))
    return 0


async def _sign_all(options: argparse.Namespace) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    annotations_of(options)
    issued: list[Issued] = []
    async with open_signing(options, issued.append) as given, open_registry(options) as registry:
        signing, explain = given, explainer(options, given, issued)
        for text in options.images:
            top = await open_named(registry, text, warn=True)
            for node in await nodes_of(registry, top, recursive=options.recursive):
                if signing is given:
                    signing = await certify(given, now=datetime.now(UTC))
                rows += await _sign(options, signing, registry, node, explain)
    return rows


async def _sign(
    options: argparse.Namespace, signing: Signing, registry: Registry, node: Node, explain: Explain
) -> list[dict[str, object]]:
    now = datetime.now(UTC)
    made = await sign_image(
        signing,
        node,
        layouts=layouts_of(options),
        annotations=annotations_of(options),
        claimed=options.sign_container_identity or "",
        now=now,
    )
    places: tuple[str, ...] = ("",) * len(made)
    if options.upload:
        where = home(node.ref)
        sys.stderr.write(f"pushing the signature of {node.ref} to {where.repository.name}\n")
        places = await store(registry, where, node.descriptor, made, now)
    for one in made:
        _save_parts(options, one)
    return explain(node, made, places, [described(node, one, at) for one, at in zip(made, places, strict=True)])


def _save_parts(options: argparse.Namespace, one: Attachment) -> None:
    bundle = one.bundle
    if options.bundle:
        save_bundle(bundle, options.bundle)
    if options.output_signature:
        save_file(options.output_signature, encode_base64(bundle.signature).encode() + b"\n")
    if options.output_payload:
        save_file(options.output_payload, one.payload)
    if options.output_certificate and bundle.certificate:
        save_file(options.output_certificate, encode_certificate_pem(bundle.certificate).encode())
