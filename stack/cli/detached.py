# SPDX-License-Identifier: Apache-2.0
"""The bundle that a detached signature would have been, and what the log shows of a bundle today; both ask the log."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from client import assembly
from client.files import read_file
from client.logs.online import find_entries, verify_shown
from client.logs.reader import SignedHead
from client.transport import AiohttpTransport, ServiceRefused, tls_context
from client.verify.log import BY_KEY
from client.verify.signed import ManagedKey, Signed, read_signed, verify_signature
from client.verify.steps import Step
from sigcore import keys, limits
from sigcore.bundle import Bundle, MessageSignature
from sigcore.errors import Malformed, NotFound
from sigcore.keys import PublicKey
from sigcore.log_entry import LogEntry
from sigcore.strict import parse_base64
from sigcore.trustroot import TrustedRoot
from stack.cli.artifact import STDIN, digest_of
from stack.cli.public_keys import read_public_key
from stack.cli.trusting import load_trusted_root
from stack.cli.usage import NotServed, Usage


def detached_bundle(options: argparse.Namespace) -> Bundle:
    """The bundle of ``--signature``, ``--certificate`` or ``--key``, timestamps, and the entry that the log shows.

    Raises:
        NotFound, Malformed: a part cannot be read. Refused: the signature does not hold, or no log has it. Else as
            :func:`client.logs.online.find_entries`.
    """
    root = load_trusted_root(options)
    file = options.files[0]
    content, verifier, signed = read_detached(options, STDIN if file == "-" else file)
    if file == "-":  # it is read now: what is verified is its digest
        options.files = [f"{content.algorithm.hashlib_name}:{content.digest.hex()}"]
    stamps = tuple(assembly.parse_timestamp_file(_read(path)) for path in options.rfc3161_timestamp)
    entries = asyncio.run(_find(options, signed, root))
    return assembly.assemble_bundle(content, verifier, digest=content.digest, entries=entries, timestamps=stamps)


def read_detached(options: argparse.Namespace, file: str) -> tuple[MessageSignature, bytes | PublicKey, Signed]:
    """``--signature`` of ``file`` by ``--certificate`` or ``--key``: its content, the certificate (DER) or key, both as one.

    Raises:
        NotFound, Malformed: a part cannot be read. Refused: the signature does not hold, so no log need be told of it.
    """
    verifier = _verifier(options)
    hashing = keys.digest_details(assembly.key_of(verifier)).hash
    content = MessageSignature(hashing, digest_of(file, hashing), _signature(options.signature))
    key = None if isinstance(verifier, bytes) else ManagedKey(verifier)
    draft = Bundle(verifier if isinstance(verifier, bytes) else None, (), (), content)
    signed = read_signed(draft, content.digest, key)
    with Step("signature"):
        verify_signature(signed)
    return content, verifier, signed


def shown_heads(options: argparse.Namespace, bundle: Bundle) -> tuple[SignedHead, ...]:
    """For each entry of ``bundle`` the head that its log has today; see :func:`client.logs.online.verify_shown`."""
    return asyncio.run(_look(options, bundle, load_trusted_root(options)))


async def _find(options: argparse.Namespace, signed: Signed, root: TrustedRoot) -> tuple[LogEntry, ...]:
    url = _place(options, root)
    async with _asking(options) as transport:
        return await find_entries(transport, signed, root, url)


async def _look(options: argparse.Namespace, bundle: Bundle, root: TrustedRoot) -> tuple[SignedHead, ...]:
    url = _place(options, root)
    async with _asking(options) as transport:
        return tuple([await verify_shown(transport, entry, root, url) for entry in bundle.log_entries])


def _place(options: argparse.Namespace, root: TrustedRoot) -> str:
    """Where logs are asked; empty: where the root says. Usage: it knows of one by its key alone, and nothing else says where."""
    if not options.rekor_url and any(log.base_url == BY_KEY for log in root.logs):
        raise Usage(f"nothing says where the log of {BY_KEY} is", "give --rekor-url URL")
    return options.rekor_url or ""


@asynccontextmanager
async def _asking(options: argparse.Namespace) -> AsyncIterator[AiohttpTransport]:
    """NotServed: the log answered and said no, which is no verdict about the signature."""
    try:
        async with AiohttpTransport(tls=tls_context(options.ca_file) if options.ca_file else None) as transport:
            yield transport
    except ServiceRefused as error:
        raise NotServed(error.message, error.hint) from error


def _verifier(options: argparse.Namespace) -> bytes | PublicKey:
    if options.certificate:
        return assembly.parse_certificate_file(_read(options.certificate))
    return read_public_key(options.key)


def _signature(given: str) -> bytes:
    """Of a file, or as cosign takes it too: base64 itself."""
    try:
        return assembly.parse_signature_file(_read(given))
    except NotFound as error:
        try:
            return parse_base64(given, what="--signature")
        except Malformed:
            raise NotFound(error.message, "give the file that sign-blob --output-signature wrote") from error


def _read(path: str) -> bytes:
    return read_file(path, what="the file", limit=limits.BUNDLE)
