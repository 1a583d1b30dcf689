# SPDX-License-Identifier: Apache-2.0
"""Who says when it was signed: timestamps, and the promises of Rekor v1."""

from __future__ import annotations

from collections.abc import Sequence

from client.explain import shell
from client.explain.part import Part, pem, size_and_hex
from client.verify.promise import promised_bytes
from client.verify.times import VerifiedTime
from sigcore import keys, timestamp
from sigcore.log_entry import LogEntry
from sigcore.strict import encode_time, shown
from sigcore.trustroot import AuthorityInstance, LogInstance


def time_parts(
    times: Sequence[VerifiedTime], responses: Sequence[bytes], entries: Sequence[LogEntry], stamped: tuple[str, bytes]
) -> tuple[Part, ...]:
    """One part for each verified time: first those of the timestamps, in their order, then those of the promises.

    ``stamped`` is what the timestamps are over, with the name of its file: the signature as a rule.
    """
    promising = [(number, entry) for number, entry in enumerate(entries, 1) if entry.promise is not None]
    parts = []
    for number, (time, response) in enumerate(zip(times, responses, strict=False), 1):
        if isinstance(time.source, AuthorityInstance):
            parts.append(_timestamp(number, time, time.source, response, stamped))
    for time, (number, entry) in zip(times[len(responses) :], promising, strict=False):
        if isinstance(time.source, LogInstance):
            parts.append(_promise(number, time, time.source, entry))
    return tuple(parts)


def _timestamp(
    number: int, time: VerifiedTime, authority: AuthorityInstance, response: bytes, stamped: tuple[str, bytes]
) -> Part:
    *chain, root = authority.chain
    info = timestamp.parse_response(response).info
    name, epoch = f"timestamp-{number}.tsr", int(time.time.timestamp())
    files = [(name, response), (f"tsa-{number}-root.pem", pem(root)), stamped]
    untrusted = ""
    if chain:
        files.append((f"tsa-{number}-chain.pem", b"".join(map(pem, chain))))
        untrusted = f" -untrusted tsa-{number}-chain.pem"
    verify = (
        f"openssl ts -verify -in {name} -data {stamped[0]} -attime {epoch} -CAfile tsa-{number}-root.pem{untrusted}"
    )
    facts = (
        ("time", encode_time(time.time)),
        ("authority", shown(time.authority, 200)),
        ("serial", f"{info.serial:x}"),
        ("over", f"{info.hash.hashlib_name} of {stamped[0]}, {info.digest.hex()}"),
        ("response", size_and_hex(response)),
    )
    liar = "The timestamp authority could sign a wrong time; so could nobody else. Its clock is all that it is trusted for."
    lines = (verify, f"openssl ts -reply -in {name} -text")
    checks = (
        "A timestamp authority of the trusted root signed the hash of the signature together with the time (RFC 3161)."
    )
    return Part("timestamp", checks, liar, facts, lines, tuple(files))


def _promise(number: int, time: VerifiedTime, log: LogInstance, entry: LogEntry) -> Part:
    pub, signed, signature = f"log-{number}.pub", f"promise-{number}.json", f"promise-{number}.sig"
    files = (
        (pub, keys.encode_public_key_pem(log.public_key()).encode("ascii")),
        (signed, promised_bytes(entry)),
        (signature, entry.promise or b""),
    )
    facts = (
        ("time", encode_time(time.time)),
        ("log", shown(time.authority, 200)),
        ("signed bytes", size_and_hex(files[1][1])),
        ("promise", size_and_hex(files[2][1])),
    )
    liar = "The log could sign a wrong time, and it is its own only witness for it; a timestamp authority is another."
    checks = "The log signed the entry's body, its index and the time at which it took it (the SET of Rekor v1)."
    line = shell.verify_message(log.public_key(), pub=pub, signature=signature, message=signed)
    return Part("promise", checks, liar, facts, (line,), files)
