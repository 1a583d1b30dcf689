# SPDX-License-Identifier: Apache-2.0
"""Who has cosigned the checkpoint of an entry, as a witness policy demands it."""

from __future__ import annotations

from client.explain import shell
from client.explain.part import Part, size_and_hex
from client.verify.witnessed import Witnessed
from sigcore import keys
from sigcore.cosignature import cosigned_bytes
from sigcore.log_entry import LogEntry
from sigcore.note import parse_note
from sigcore.strict import shown


def witnesses_part(number: int, head: Witnessed, entry: LogEntry, checks: tuple[str, str]) -> Part:
    """The cosignatures of the checkpoint of the bundle's log entry ``number``; the text of it is in a file of its part.

    ``checks`` are the sentences: what is checked, and who could lie.
    """
    text = parse_note(entry.proof.checkpoint).text if entry.proof is not None else ""
    facts, lines, files = [("quorum", head.rule), ("tree", f"{head.size} leaves, {shown(head.log, 200)}")], [], []
    for place, one in enumerate(head.cosignatures, 1):
        signed, key, name = cosigned_bytes(text, one.found.time_s), one.found.signer, f"witness-{number}-{place}"
        signature = one.found.line.signature[8:]  # after the time
        facts.append((shown(one.name, 200), f"{shown(key.name, 200)} at {one.time}, {size_and_hex(signature)}"))
        files += [
            (f"{name}.pub", keys.encode_public_key_pem(key.key).encode("ascii")),
            (f"{name}.sig", signature),
            (f"{name}.txt", signed),
        ]
        lines += [
            shell.verify_message(key.key, pub=f"{name}.pub", signature=f"{name}.sig", message=f"{name}.txt"),
            f"tail -n +3 {name}.txt | cmp - checkpoint-{number}.txt",
        ]
    return Part("witnesses", *checks, tuple(facts), tuple(lines), tuple(files))
