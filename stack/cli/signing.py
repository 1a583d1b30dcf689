# SPDX-License-Identifier: Apache-2.0
"""What the signing commands share: who signs, where, and writing each bundle whole or not at all."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import TypeAlias

from client.ambient import CiJob, ambient_token, find_source
from client.files import digest_file, save_bundle
from client.fulcio import Issued
from client.identity import ENVIRONMENT, IdentityToken, load_identity_token
from client.retrying import Retrying
from client.session import load_session, session_file
from client.sign import Signing, subject_digest
from client.transport import AiohttpTransport, Transport, tls_context
from client.trust import Trust, load_trust
from client.verify.signed import ManagedKey, digest_algorithm
from sigcore.bundle import Bundle, MessageSignature
from sigcore.errors import NotFound, SigError
from sigcore.intoto import parse_statement
from sigcore.keys import is_private_key
from sigcore.signing_config import SigningConfig
from sigcore.strict import JSON, encode_base64
from sigcore.x509 import encode_certificate_pem
from stack.cli.artifact import SUFFIX
from stack.cli.explain_options import add_explain_options, wants_explanation
from stack.cli.passphrase import open_signing_key
from stack.cli.places import check_apart, check_beside, check_places
from stack.cli.service_urls import add_service_options, with_named_services
from stack.cli.trusting import add_trust_options, given_trust
from stack.cli.usage import Usage, not_empty, one_line, tell
from stack.files import save_file


@dataclass(frozen=True, slots=True)
class Job:
    """One file to sign: its name, and where the bundle goes."""

    file: Path
    target: Path


@dataclass(frozen=True, slots=True)
class Form:
    """What lies beside a signed file: with which suffix, how it is written, what a report calls it."""

    suffix: str = SUFFIX
    save: Callable[[Bundle, Path], None] = save_bundle
    called: str = "bundle"


BUNDLE = Form()
Make: TypeAlias = Callable[[Signing, Job], Awaitable[Bundle]]
Show: TypeAlias = Callable[[Signing, Job, "Bundle | SigError", Sequence[Issued]], dict[str, JSON]]


def add_sign_options(parser: argparse.ArgumentParser) -> None:
    """``--bundle``, the identity or the key, ``--rekor-version``, ``--output-*``, ``--json``, services and trust."""
    parser.add_argument("--bundle", type=_place, metavar="OUT", help=f"where the bundle goes (default: FILE{SUFFIX})")
    add_who_signs(parser)
    parser.add_argument("--output-signature", type=_place, metavar="OUT", help="also write the signature, in base64")
    parser.add_argument("--output-certificate", type=_place, metavar="OUT", help="also write the certificate, in PEM")
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")
    add_explain_options(parser)
    add_service_options(parser)
    add_trust_options(parser)


def _place(text: str) -> Path:
    return Path(not_empty(text))


def add_who_signs(parser: argparse.ArgumentParser) -> None:
    """The identity or the key, ``--rekor-version``, ``--yes``."""
    add_identity(parser)
    parser.add_argument(
        "--key",
        metavar="KEY",
        type=not_empty,
        help="sign with this private key, not with an identity: a file (cosign.key, PEM), env://VARIABLE, or NAME://KEY in a KMS",
    )
    parser.add_argument(
        "--rekor-version",
        type=int,
        choices=(1, 2),
        metavar="1|2",
        help="use a log of this API (default: the highest that the signing config lists)",
    )
    parser.add_argument("-y", "--yes", action="store_true", help="accepted for cosign's sake: nothing is asked")


def add_identity(parser: argparse.ArgumentParser) -> None:
    """Who signs, where a key cannot: ``--identity-token``, ``--oidc-disable-ambient-providers``."""
    parser.add_argument(
        "--identity-token",
        metavar="T",
        help="the token, or @FILE (default: $SIGSTORE_ID_TOKEN, or that of the CI system)",
    )
    about = "do not take the token of a CI system that this runs in"
    parser.add_argument("--oidc-disable-ambient-providers", action="store_true", help=about)


def sign_files(options: argparse.Namespace, files: Sequence[Path], make: Make, form: Form = BUNDLE) -> int:
    """Sign each file in turn; the first failure ends the run, what was signed before it stays."""
    single = (options.bundle, options.output_signature, options.output_certificate)
    if len(files) > 1 and any(single):
        raise Usage("one output file is named for several files", "leave --bundle and --output-* out")
    for file in files:
        if file.is_dir():
            raise Usage(f"{file} is a directory, expected files", f"name the files in it: {file}/*")
        if len(files) > 1 and not os.access(file, os.R_OK):
            why = "it is not yours to read" if file.exists() else "there is no such file"
            raise NotFound(f"{file}, one of several to sign, cannot be read: {why}", "mend it; nothing was signed")
        if options.bundle is None:
            check_beside(file, form.suffix)
    if options.key is not None and options.output_certificate is not None:
        raise Usage("--key and --output-certificate are given: a bare key has no certificate", "leave one of them out")
    jobs = [Job(file, options.bundle or file.with_name(f"{file.name}{form.suffix}")) for file in files]
    check_places([place for _what, place in _places(options, jobs, form)])
    check_apart(options, files, _places(options, jobs, form))
    show = _explainer(options)
    _print_rows(options, asyncio.run(_sign_all(options, jobs, make, show, form)))
    return 0


def _places(options: argparse.Namespace, jobs: Sequence[Job], form: Form) -> list[tuple[str, Path]]:
    """What is written for ``jobs``, and where."""
    bundles = [(f"the {form.called} of {job.file}", job.target) for job in jobs]
    parts = (("the signature", options.output_signature), ("the certificate", options.output_certificate))
    return [*bundles, *((what, place) for what, place in parts if place is not None)]


def _print_rows(options: argparse.Namespace, rows: Sequence[dict[str, object]]) -> None:
    if options.json or options.explain == "json":
        print(json.dumps(rows, indent=2))


def _explainer(options: argparse.Namespace) -> Show | None:
    """What takes each bundle with what was issued for it."""
    if not wants_explanation(options):
        return None
    # Deferred: seldom asked for.
    from client.explain.signing import explain_failed_signing, explain_signing  # noqa: PLC0415 - see the line above
    from stack.cli.explaining import Explainer  # noqa: PLC0415 - the same

    explainer = Explainer(options)

    def show(signing: Signing, job: Job, made: Bundle | SigError, issued: Sequence[Issued]) -> dict[str, JSON]:
        key = signing.signer
        if isinstance(made, SigError):
            token, last = key if isinstance(key, IdentityToken) else None, issued[-1] if issued else None
            return explainer.show(str(job.file), explain_failed_signing(token, last, made))
        bundle, content = made, made.content
        digest = (
            content.digest
            if isinstance(content, MessageSignature)
            else subject_digest(parse_statement(content.payload))
        )
        # What has been read from a pipe is gone.
        same = job.file.is_file() and digest_file(job.file, digest_algorithm(bundle)) == digest
        made_by = ManagedKey(key.public_key()) if is_private_key(key) else issued[-1]
        artifact = str(job.file.absolute()) if same else ""
        return explainer.show(
            str(job.file), explain_signing(bundle, digest, artifact, root=signing.trust.root, made_by=made_by)
        )

    return show


async def _sign_all(
    options: argparse.Namespace, jobs: Sequence[Job], make: Make, show: Show | None, form: Form
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    issued: list[Issued] = []
    async with open_signing(options, issued.append) as signing:
        for number, job in enumerate(jobs, 1):
            issued.clear()
            try:
                bundle = await make(signing, job)
            except SigError as error:
                if show is not None or rows:  # what has been signed before is signed
                    told = show(signing, job, error, issued) if show is not None else {}
                    rows.append({"file": str(job.file), "error": error.message, "hint": error.hint, **told})
                    _print_rows(options, rows)
                    error.reported = options.json or options.explain == "json"
                raise
            form.save(bundle, job.target)
            _save_parts(options, bundle)
            entry = bundle.log_entries[0]
            kind = f"{entry.kind} {entry.version}"
            row = {"file": str(job.file), form.called: str(job.target), "logIndex": entry.index, "logEntryKind": kind}
            progress = f"[{number}/{len(jobs)}] " if len(jobs) > 1 else ""
            done = one_line(f"signed {job.file} -> {job.target}")
            sys.stderr.write(f"{progress}{done} (log index {entry.index})\n")
            rows.append(row | show(signing, job, bundle, issued) if show is not None else row)
    return rows


@asynccontextmanager
async def open_signing(options: argparse.Namespace, on_issued: Callable[[Issued], None]) -> AsyncIterator[Signing]:
    """Who signs and where, as the options say, with the connection to the services.

    Raises:
        Usage: a key and an identity, or a service that cannot be meant. NotFound, Malformed: what they name.
        BadAnswer: a service answered something else than such a service does.
    """
    trust = load_trust(**given_trust(options))
    trust = replace(trust, config=with_named_services(options, trust.config))
    if options.key is not None and options.identity_token is not None:
        raise Usage("--key and --identity-token are given", "leave one of them out")
    tls = tls_context(options.ca_file) if options.ca_file else None
    async with AiohttpTransport(tls=tls, request_id=token_hex(8)) as transport:
        signer = (
            open_signing_key(options.key) if options.key is not None else await _identity(options, trust, transport)
        )
        if trust.config == SigningConfig():
            raise Usage(
                "the trusted root is named, and nothing says which services to ask",
                "give --signing-config FILE beside it, or --trust-config FILE alone, which holds both",
            )
        yield Signing(signer, trust, Retrying(transport, tell), options.rekor_version, on_issued)


async def _identity(options: argparse.Namespace, trust: Trust, transport: Transport) -> IdentityToken:
    """The token that is given, the environment's, that of the CI system around, or that of ``sigbox login``."""
    if options.identity_token is None and not os.environ.get(ENVIRONMENT):
        if not options.oidc_disable_ambient_providers:
            job = CiJob(os.environ, transport)
            if find_source(job) is not None:
                return await ambient_token(job)
        path = session_file(os.environ)
        if path.exists():
            return load_session(path, {service.url for service in trust.config.oidc}, datetime.now(UTC))
    return load_identity_token(options.identity_token, os.environ)


def _save_parts(options: argparse.Namespace, bundle: Bundle) -> None:
    if options.output_signature:
        save_file(options.output_signature, encode_base64(bundle.signature).encode() + b"\n")
    if options.output_certificate and bundle.certificate:
        save_file(options.output_certificate, encode_certificate_pem(bundle.certificate).encode())
