# SPDX-License-Identifier: Apache-2.0
"""Attest to images in a registry: an in-toto statement about the image's digest, signed and pushed beside it.

--type says what --predicate holds: SLSA provenance, an SBOM (spdxjson, cyclonedx), a scan (vuln), a VEX document, or a URI of your
own; the file is looked at, so that a bill of materials is not attached as a provenance. With --statement the whole statement is
signed as it stands, and must be about the image. One signature serves both layouts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime

from client.files import read_file, save_bundle
from client.fulcio import Issued
from client.oci.predicates import read_predicate
from client.oci.signing import attest_image, statement_about, store
from client.oci.walking import Node
from sigcore import limits
from sigcore.algorithms import HashAlgorithm
from sigcore.intoto import parse_statement, predicate_type_uri
from sigcore.strict import parse_hex
from stack.cli.artifact import given_path
from stack.cli.explain_options import add_explain_options
from stack.cli.image_outputs import Explain, add_upload_options, described, explainer
from stack.cli.registries import (
    add_format_option,
    add_recursive_option,
    add_registry_options,
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

EXAMPLES = """\
examples:
  sigbox attest --predicate sbom.spdx.json --type spdxjson registry.example.com/app@sha256:8fd1... --key cosign.key
  sigbox attest --predicate provenance.json --type slsaprovenance1 registry.example.com/app@sha256:8fd1..."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox attest``."""
    parser.add_argument("image", metavar="IMAGE", help="registry/repository@sha256:HEX, or with a :tag")
    parser.add_argument("--predicate", type=given_path, metavar="FILE", help="what is said about the image")
    parser.add_argument(
        "--type", metavar="T", help="the predicate's type: cosign's short name or a URI (default: custom)"
    )
    parser.add_argument(
        "--statement", type=given_path, metavar="JSON", help="the whole statement, instead of the two above"
    )
    add_recursive_option(parser, "attest to the images of all platforms too, with the same predicate")
    add_format_option(parser)
    add_who_signs(parser)
    add_upload_options(parser, "the attestation")
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")
    add_explain_options(parser)
    add_registry_options(parser)
    add_service_options(parser)
    add_trust_options(parser)


def run(options: argparse.Namespace) -> int:
    """Make the statement, sign it, push it."""
    if bool(options.predicate) == bool(options.statement):
        raise Usage("both or none of --predicate and --statement are given", "give exactly one of them")
    if options.statement and (options.type or options.recursive):
        raise Usage("--statement names its type and its subjects itself", "leave --type and --recursive out")
    if options.bundle and options.recursive:
        raise Usage("one bundle is named for several images", "leave --bundle out")
    rows = asyncio.run(_attest_all(options))
    if options.json or options.explain == "json":
        print(json.dumps(rows, indent=2))
    return 0


async def _attest_all(options: argparse.Namespace) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    path = options.predicate or options.statement
    data = read_file(path, what="the predicate" if options.predicate else "the statement", limit=limits.BUNDLE)
    issued: list[Issued] = []
    async with open_signing(options, issued.append) as signing, open_registry(options) as registry:
        explain: Explain = explainer(options, signing, issued)
        top = await open_named(registry, options.image, warn=True)
        for node in await nodes_of(registry, top, recursive=options.recursive):
            now = datetime.now(UTC)
            statement = _statement(options, node, data, now)
            made = await attest_image(signing, node, statement, layouts=layouts_of(options), now=now)
            if options.bundle:
                save_bundle(made[0].bundle, options.bundle)
            places: tuple[str, ...] = ("",) * len(made)
            if options.upload:
                where = home(node.ref)
                sys.stderr.write(f"pushing the attestation of {node.ref} to {where.repository.name}\n")
                places = await store(registry, where, node.descriptor, made, now)
            told = [described(node, one, place) for one, place in zip(made, places, strict=True)]
            rows += explain(node, made, places, told)
    return rows


def _statement(options: argparse.Namespace, node: Node, data: bytes, now: datetime) -> bytes:
    if options.statement is None:
        kind = options.type or "custom"
        predicate = read_predicate(data, kind, what=f"the predicate {options.predicate}", now=now)
        return statement_about(node, predicate_type_uri(kind), predicate)
    what = f"the statement {options.statement}"
    statement = parse_statement(data, what=what)
    digest = parse_hex(node.ref.digest.partition(":")[2], what="the image's digest")
    if not statement.names(HashAlgorithm.SHA2_256, digest):
        raise Usage(f"{what} is not about the image: none of its subjects is {node.ref.digest}")
    return data
