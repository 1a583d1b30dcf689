# SPDX-License-Identifier: Apache-2.0
"""``sigbox timestamp create``: ask an authority, and write what it answers once it is verified."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime
from urllib.parse import urlsplit

from client.answers import answering
from client.files import save_whole
from client.sign import TSA_VERSION
from client.transport import AiohttpTransport, tls_context
from client.trust import Trust, load_trust
from client.tsa import fetch_timestamp, fresh_nonce
from client.verify.stamp import verify_stamp
from sigcore import timestamp, x509
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Malformed, NotFound
from sigcore.signing_config import select_services
from sigcore.strict import encode_time
from sigcore.timestamp import TimestampRequest, TimestampResponse
from sigcore.trustroot import AuthorityInstance
from stack.cli.artifact import digest_of, is_digest
from stack.cli.places import check_free, files_read
from stack.cli.table import ExitCode
from stack.cli.timestamping import checked_policy, named_authorities, place_of, report, summary
from stack.cli.trusting import given_trust
from stack.cli.usage import NotVerified, Usage, one_line, verifying

_HASHES = {algorithm.hashlib_name: algorithm for algorithm in HashAlgorithm}
_PATH = "/api/v1/timestamp"
_READ = ("file", "certificate_chain", "trust_config", "trusted_root", "signing_config", "ca_file")
"""Options that name a file."""
"""Where an authority answers of which only the host is named, as timestamp-cli names them."""


def create(options: argparse.Namespace) -> int:
    """1. Find whom to ask and whom to believe. 2. Ask. 3. Verify the answer. 4. Write it.

    Without anybody to believe, the certificate in the answer must hold with its signature, and that this is all is said.
    """
    place = place_of(options.file, options.out, "--out")
    check_free(files_read(options, _READ), "the timestamp", place)
    request = _request(options)
    trust = _trust(options)
    url = _url(options, trust)  # 1
    answer = asyncio.run(_ask(options, url, request))  # 2
    with answering("the timestamp authority", url):
        response = timestamp.parse_response(answer)
    found = _verified(response, request, _authorities(options, trust))  # 3
    save_whole(answer, place, what="the timestamp")  # 4
    sys.stderr.write(f"{one_line(options.file)} -> {one_line(place)}: {found.pop('summary')}\n")
    if options.json:
        print(json.dumps({"file": options.file, "timestamp": place, "url": url, **found}, indent=2))
    return ExitCode.DONE


def _request(options: argparse.Namespace) -> TimestampRequest:
    hashing = _hashing(options)
    digest = digest_of(options.file, hashing)
    nonce = fresh_nonce() if options.nonce else None
    return TimestampRequest(hashing, digest, checked_policy(options), nonce, options.certificate)


def _hashing(options: argparse.Namespace) -> HashAlgorithm:
    """Of a digest its own. Usage: ``--hash`` says another."""
    own = options.file.partition(":")[0] if is_digest(options.file) else None
    if own is not None and options.hash not in (None, own):
        raise Usage(f"--hash is {options.hash}, the digest is by {own}", "leave --hash out")
    return _HASHES[own or options.hash or "sha256"]


# --- whom to ask and to believe ------------------------------------------------------------------------
def _trust(options: argparse.Namespace) -> Trust | None:
    """None where nothing says what to trust, and the command line says whom to ask."""
    try:
        named = given_trust(options)
    except NotFound:
        if options.timestamp_server is None:
            raise
        return None
    return load_trust(**named)


def _url(options: argparse.Namespace, trust: Trust | None) -> str:
    if options.timestamp_server is not None:
        url: str = options.timestamp_server
        return url.rstrip("/") + _PATH if urlsplit(url).path in ("", "/") else url
    if trust is None or not trust.config.tsa:
        raise Usage(
            "no timestamp authority is known: there is no signing config, or it lists none",
            "give --timestamp-server URL, --trust-config FILE or --signing-config FILE",
        )
    config, what = trust.config, "timestamp authorities"
    chosen = select_services(config.tsa, config.tsa_selector, supported=[TSA_VERSION], now=datetime.now(UTC), what=what)
    return chosen[0].url


def _authorities(options: argparse.Namespace, trust: Trust | None) -> tuple[AuthorityInstance, ...] | None:
    if options.certificate_chain:
        return named_authorities(options)
    return trust.root.timestamp_authorities if trust is not None else None


async def _ask(options: argparse.Namespace, url: str, request: TimestampRequest) -> bytes:
    tls = tls_context(options.ca_file) if options.ca_file else None
    async with AiohttpTransport(tls=tls) as transport:
        return await fetch_timestamp(transport, url, request)


# --- the answer ------------------------------------------------------------------------------------------
def _verified(
    response: TimestampResponse, request: TimestampRequest, authorities: tuple[AuthorityInstance, ...] | None
) -> dict[str, object]:
    """What is reported of the answer.

    Raises:
        Refused: the authority grants nothing. NotVerified: what it grants is not what was asked for, or not to be believed.
    """
    try:
        with verifying():
            if authorities is not None:
                stamp = verify_stamp(response, request, authorities)
                return {"summary": summary(stamp), **report(stamp)}
            timestamp.verify_answer(response, request)
            signer = timestamp.verify_embedded(response)
    except Malformed as error:
        raise NotVerified(f"the timestamp authority's answer cannot be read: {error.message}", error.hint) from error
    name, digest = x509.common_name(signer.subject), HashAlgorithm.SHA2_256.digest(signer.der).hex()
    sys.stderr.write(
        f"warning: nobody says whether to believe {one_line(name)} (certificate sha256:{digest}): its signature holds, and that is all; "
        "give --trusted-root, --trust-config or --certificate-chain\n"
    )
    time = encode_time(response.info.time)
    return {"summary": f"{one_line(name)} says {time}", "verified": False, "time": time, "certificateSha256": digest}
