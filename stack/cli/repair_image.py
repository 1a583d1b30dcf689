# SPDX-License-Identifier: Apache-2.0
"""Add the layout that is missing from the one that is there: for readers who know only the other.

An attestation is the same in both layouts and is carried over without its signer; where the log's proof is missing, the log is asked.
A signature cannot be carried over, because another text is signed in each layout: its signer gives --key or --identity-token here, and
signs again in the layout that lacks it. What does not verify is not touched, and told of.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from client.oci.ports import Registry
from client.oci.reading import read_all
from client.oci.repair import Plan, Unsigned, plan_repair, signing_again
from client.oci.signing import sign_image, store
from client.oci.verification import Expected
from client.oci.walking import Node
from client.policy.logged_keys import find_any_key
from client.rekor import prove_entry
from client.sign import Certified, Signing, certify
from client.transport import AiohttpTransport, Transport, tls_context
from client.verify.identity import Signer, key_signer, read_signer
from sigcore import x509
from sigcore.errors import Refused
from sigcore.keys import is_private_key
from sigcore.log_entry import LogEntry
from sigcore.trustroot import TrustedRoot
from stack.cli.image_outputs import described
from stack.cli.registries import add_recursive_option, add_registry_options, home, nodes_of, open_named, open_registry
from stack.cli.signing import add_who_signs, open_signing
from stack.cli.table import ExitCode
from stack.cli.trusting import add_trust_options, load_trusted_root

EXAMPLES = """\
examples:
  sigbox repair registry.example.com/app:1.0
  sigbox repair --key cosign.key --recursive registry.example.com/app@sha256:8fd1..."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox repair``."""
    parser.add_argument("image", metavar="IMAGE", help="registry/repository, with a :tag or @sha256:HEX")
    add_recursive_option(parser, "the images of all platforms too")
    parser.add_argument(
        "--rekor-url", metavar="URL", help="the log that is asked for proofs (default: as the trusted root says)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")
    add_who_signs(parser)
    add_registry_options(parser)
    add_trust_options(parser)


def run(options: argparse.Namespace) -> int:
    """Repair; 1 if something stays as it is."""
    rows = asyncio.run(_repair_all(options))
    if options.json:
        print(json.dumps(rows, indent=2))
    return ExitCode.REFUSED if any(row["left"] for row in rows) else ExitCode.DONE


async def _repair_all(options: argparse.Namespace) -> list[dict[str, object]]:
    root = load_trusted_root(options)
    expected = Expected(root, None, find_any_key)
    tls = tls_context(options.ca_file) if options.ca_file else None
    rows = []
    async with open_registry(options) as registry, AiohttpTransport(tls=tls) as transport:
        top = await open_named(registry, options.image)
        prove = partial(_prove, transport, root, options.rekor_url)
        for node in await nodes_of(registry, top, recursive=options.recursive):
            found = await read_all(registry, home(node.ref))
            plan = await plan_repair(found, node.ref.digest, expected, prove)
            rows.append(await _carry_out(options, registry, node, plan))
    return rows


async def _prove(transport: Transport, root: TrustedRoot, given: str | None, entry: LogEntry) -> LogEntry:
    """The entry with its proof; from the log of the trusted root that it is of, unless another URL is given."""
    url = given or next((log.base_url for log in root.logs if log.log_id == entry.log_id), "")
    if not url:
        raise Refused("its log is not in the trusted root, so nobody can be asked for its proof")
    return await prove_entry(transport, url, entry)


async def _carry_out(options: argparse.Namespace, registry: Registry, node: Node, plan: Plan) -> dict[str, object]:
    sys.stderr.write(f"{node.ref}\n")
    added: list[dict[str, object]] = [
        {"layout": one.layout.value, "predicateType": one.predicate_type} for one in plan.added
    ]
    signed: Sequence[Unsigned] = ()
    if not options.dry_run:
        places = await store(registry, home(node.ref), node.descriptor, plan.added, datetime.now(UTC))
        added = [described(node, one, place) for one, place in zip(plan.added, places, strict=True)]
        if plan.unsigned and (options.key or options.identity_token):
            signed, rows = await _sign_again(options, registry, node, plan.unsigned)
            added += rows
    left = [f"{defect.place}: {defect.error.message}" for defect in plan.defects]
    left += [signing_again(one) for one in plan.unsigned if one not in signed]
    _tell(plan, left, again=len(signed) < len(plan.unsigned))
    return {"image": str(node.ref), "added": added, "left": left, "notes": list(plan.doubts)}


def _tell(plan: Plan, left: Sequence[str], *, again: bool) -> None:
    """For people. ``again``: whether somebody must sign again."""
    for text in plan.doubts:
        sys.stderr.write(f"  note: {text}\n")
    for text in left:
        sys.stderr.write(f"  left as it is: {text}\n")
    if again:
        sys.stderr.write("  hint: its signer gives --key or --identity-token, and signs again\n")
    if plan == Plan():
        sys.stderr.write("  nothing to do\n")


async def _sign_again(
    options: argparse.Namespace, registry: Registry, node: Node, unsigned: Sequence[Unsigned]
) -> tuple[Sequence[Unsigned], list[dict[str, object]]]:
    """In each layout where this signer's signature is missing; nobody signs for somebody else."""
    rows: list[dict[str, object]] = []
    async with open_signing(options, lambda _issued: None) as given:
        now = datetime.now(UTC)
        signing = await certify(given, now=now)
        own = [one for one in unsigned if one.signer == _signer(signing)]
        if not own:
            others = ", ".join(ascii(one.signer.identity)[1:-1] for one in unsigned)
            raise Refused(
                f"you are {ascii(_signer(signing).identity)[1:-1]}, what lacks a layout is signed by {others}",
                "sign as yourself: sigbox sign",
            )
        for one in own:
            made = await sign_image(signing, node, layouts=(one.layout,), annotations=one.annotations, now=now)
            places = await store(registry, home(node.ref), node.descriptor, made, now)
            rows += [described(node, each, place) for each, place in zip(made, places, strict=True)]
    return own, rows


def _signer(signing: Signing) -> Signer:
    signer = signing.signer
    if isinstance(signer, Certified):
        return read_signer(x509.parse_certificate(signer.certificate))
    if is_private_key(signer):
        return key_signer(signer.public_key())
    raise Refused("nothing is certified yet")
