# SPDX-License-Identifier: Apache-2.0
"""What verifying signatures and attestations of images shares: what is read and from where, who decides, and the report."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from client.files import load_bundle
from client.oci.attached import Attached, Home, Layout, home_of
from client.oci.directory import ImageDirectory
from client.oci.ports import Registry
from client.oci.reading import Found
from client.oci.reference import Reference, parse_reference, parse_repository
from client.oci.verification import Expected, ImageVerified, repository_names
from client.oci.walking import Node, open_image
from client.verify.report import list_checks
from sigcore.errors import NotFound, SigError, Unavailable
from sigcore.strict import JSON, shown
from sigcore.trustroot import TrustedRoot
from stack.cli.explain_options import add_explain_options, wants_explanation
from stack.cli.policy_choice import add_policy_options
from stack.cli.registries import (
    add_format_option,
    add_recursive_option,
    add_registry_options,
    home,
    layouts_of,
    nodes_of,
    open_registry,
)
from stack.cli.table import ExitCode
from stack.cli.trusting import add_root_options
from stack.cli.usage import Usage
from stack.cli.verifying import Signer, add_signer_options, workflow_of
from stack.cli.witness_choice import add_witness_option, load_witness_policy

if TYPE_CHECKING:
    from stack.cli.image_explaining import ImageExplainer

LOCAL: Final = Reference("localhost", "saved", "latest")
"""What a saved image is called: a directory knows no name."""

_AGE: Final = re.compile(r"([1-9][0-9]{0,4})([hdw])\Z", re.ASCII)
_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}

Read: TypeAlias = Callable[[Registry, Home, Sequence[Layout]], Awaitable[Found]]
Judge: TypeAlias = Callable[[Reference, str, Found, Expected], tuple[ImageVerified, ...]]
"""(as asked for, digest, what was found, what must hold) -> what holds; raises Refused."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one image's verification came to: what holds, or why nothing does; and its explanation, if one is wanted."""

    asked: str
    digest: str
    platform: str
    verified: tuple[ImageVerified, ...] = ()
    error: SigError | None = None
    steps: tuple[dict[str, JSON], ...] = ()


def add_verify_image_options(parser: argparse.ArgumentParser) -> None:
    """IMAGE, where from, who, and how it is reported."""
    parser.add_argument("files", nargs="+", metavar="IMAGE", help="an image, or with --local-image a directory")
    parser.add_argument(
        "--local-image", action="store_true", help="IMAGE is a directory made by `sigbox save`: offline"
    )
    add_recursive_option(parser, "the images of all platforms must hold too")
    add_format_option(parser)
    parser.add_argument(
        "--signed-as",
        metavar="REPOSITORY",
        action="append",
        default=[],
        help="what a payload at a tag may call the image (default: its repository); any: whatever it says",
    )
    text = "what is printed: cosign's JSON, or the payloads (default: json)"
    parser.add_argument("-o", "--output", choices=("json", "text"), default="json", help=text)
    parser.add_argument("--max-workers", metavar="N", type=int, help="accepted for cosign's sake")
    parser.add_argument("--use-signed-timestamps", action="store_true", help="the same: every time is always verified")
    parser.add_argument("--json", action="store_true", help="report every check as JSON on standard output instead")
    add_explain_options(parser)
    add_signer_options(parser)
    parser.add_argument(
        "--max-age",
        metavar="AGE",
        help="refuse what was signed longer ago, by the earliest time that is verified: 12h, 30d, 2w",
    )
    add_policy_options(parser)
    add_witness_option(parser)
    add_root_options(parser)
    add_registry_options(parser)


def expected_of(options: argparse.Namespace, root: TrustedRoot, signer: Signer | None) -> Expected:
    """What must hold of every image, as the options say; ``signer`` is None where a policy decides."""
    since = datetime.now(UTC) - read_age(options.max_age) if options.max_age else None
    witnesses = load_witness_policy(options)
    return Expected(root, signer, workflow=workflow_of(options), since=since, witnesses=witnesses)


def read_age(text: str) -> timedelta:
    """``12h``, ``30d``, ``2w``. Usage for anything else."""
    match = _AGE.match(text)
    if match is None:
        raise Usage(f"--max-age is {shown(text)}, expected a number with h, d or w", "such as --max-age 30d")
    return int(match[1]) * _UNITS[match[2]]


def verify_images(
    options: argparse.Namespace,
    read: Read,
    judge: Judge,
    expected: Expected,
    output: Callable[[Verdict], Sequence[str]],
) -> int:
    """Verify every image; 0 only if all of them hold.

    Args:
        options: the command line.
        read: what is looked at.
        judge: decides.
        expected: what must hold; the repository that a payload may name is added for each image.
        output: the lines for what holds.
    """
    if len(options.files) > 1 and options.and_bundle:
        raise Usage("a bundle is named for several images", "verify them one by one")
    verdicts = asyncio.run(_verify_all(options, read, judge, expected))
    for verdict in verdicts:
        _tell(verdict)
    if options.json or options.explain == "json":
        print(json.dumps([_row(verdict) for verdict in verdicts], indent=2))
    else:
        for verdict in verdicts:
            for line in output(verdict) if verdict.error is None else ():
                print(line)
    return ExitCode.DONE if all(verdict.error is None for verdict in verdicts) else ExitCode.REFUSED


async def _verify_all(options: argparse.Namespace, read: Read, judge: Judge, expected: Expected) -> list[Verdict]:
    verdicts: list[Verdict] = []
    explainer = _explainer(options)

    async def verify(registry: Registry, asked: Reference, node: Node) -> Verdict:
        where = home_of(node.ref) if options.local_image else home(node.ref)
        shown = asked.at_digest(node.ref.digest) if node.platform else asked
        named = replace(expected, repositories=_repositories(options, node.ref), watcher=explainer)
        verdict = Verdict(text if options.local_image else str(asked), node.ref.digest, str(node.platform or ""))
        try:
            found = await read(registry, where, layouts_of(options)) + _given(options)
            verdict = replace(verdict, verified=judge(shown, node.ref.digest, found, named))
        except (NotFound, Unavailable, Usage):
            raise
        except SigError as error:
            verdict = replace(verdict, error=error)
        return replace(verdict, steps=tuple(explainer.show(node.ref.digest))) if explainer is not None else verdict

    for text in options.files:
        async with _opened(options, text) as (registry, asked):
            top = await open_image(registry, asked)
            nodes = await nodes_of(registry, top, recursive=options.recursive)
            verdicts += [await verify(registry, asked, node) for node in nodes]
    return verdicts


@asynccontextmanager
async def _opened(options: argparse.Namespace, text: str) -> AsyncIterator[tuple[Registry, Reference]]:
    """Where an image is, and its name there."""
    if options.local_image:
        directory = ImageDirectory(text)
        yield directory, Reference(LOCAL.registry, LOCAL.repository, LOCAL.tag, directory.image().digest)
    else:
        async with open_registry(options) as registry:
            yield registry, parse_reference(text)


def _explainer(options: argparse.Namespace) -> ImageExplainer | None:
    if not wants_explanation(options):
        return None
    # Deferred: a verification that explains nothing is faster without it.
    from stack.cli.image_explaining import ImageExplainer  # noqa: PLC0415 - see the line above

    return ImageExplainer(options)


def _given(options: argparse.Namespace) -> Found:
    """Bundles of the image that are in files."""
    return Found(tuple(Attached(Layout.REFERRERS, path, load_bundle(path)) for path in options.and_bundle))


def _repositories(options: argparse.Namespace, image: Reference) -> tuple[str, ...] | None:
    if options.local_image and not options.signed_as:
        return None
    return repository_names(image, options.signed_as, parse_repository)


# --- the report ------------------------------------------------------------------------------------------
def _tell(verdict: Verdict) -> None:
    """For people, on standard error."""
    name = f"{ascii(verdict.asked)[1:-1]}{f' ({verdict.platform})' if verdict.platform else ''}"
    if verdict.error is not None:
        sys.stderr.write(f"REFUSED {name}: {verdict.error.message}\n")
        if verdict.error.hint:
            sys.stderr.write(f"  hint: {verdict.error.hint}\n")
        return
    sys.stderr.write(f"Verified OK {name}: the image {verdict.digest}\n")
    certified = any(one.verified.chain for one in verdict.verified)
    by = "certificate, its publication, the times" if certified else "your key"
    sys.stderr.write(f"  checked of each: claims (digest, name, annotations), {by}, log entry (offline), signature\n")
    for one in verdict.verified:
        who, when = ascii(one.verified.signer.identity)[1:-1], min((t.time for t in one.verified.times), default=None)
        at = f" at {when:%Y-%m-%dT%H:%M:%SZ}" if when is not None else ""
        kind = one.verified.statement.predicate_type if one.verified.statement is not None else "signature"
        payload = one.attached.payload
        named = f", for {ascii(payload.reference)[1:-1]}" if payload is not None else ""
        sys.stderr.write(f"  {one.attached.layout.value}: {who}{at}, {ascii(kind)[1:-1]}{named}\n")


def _row(verdict: Verdict) -> dict[str, object]:
    row: dict[str, object] = {
        "image": verdict.asked,
        "digest": verdict.digest,
        "platform": verdict.platform,
        "verified": verdict.error is None,
    }
    if verdict.steps:
        row["explanations"] = list(verdict.steps)
    if verdict.error is not None:
        error = verdict.error
        return row | {"step": error.step, "error": error.message, "hint": error.hint}
    return row | {"signatures": [_signature_row(one) for one in verdict.verified]}


def _signature_row(one: ImageVerified) -> dict[str, object]:
    checks = [{"check": check.name, "what": check.what, "value": check.value} for check in list_checks(one.verified)]
    annotations = dict(one.annotations)
    return {
        "layout": one.attached.layout.value,
        "place": one.attached.place,
        "annotations": annotations,
        "checks": checks,
    }
