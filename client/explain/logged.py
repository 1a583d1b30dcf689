# SPDX-License-Identifier: Apache-2.0
"""The log entry: its body, the checkpoint, its leaf hash, the path to the root."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from client.explain import shell
from client.explain.part import Part, size_and_hex
from client.verify.signed import Signed
from sigcore import keys, merkle
from sigcore.errors import SigError
from sigcore.log_entry import InclusionProof, LogEntry
from sigcore.note import KEY_HASH_SIZE, parse_note
from sigcore.strict import encode_base64, shown
from sigcore.trustroot import LogInstance

_IN_BASE64: Final = (("hashedrekord", "0.0.2"), ("dsse", "0.0.2"))


def entry_parts(number: int, entry: LogEntry, signed: Signed, log: LogInstance | None) -> Iterator[Part]:
    """The parts of the bundle's log entry ``number``; ``log`` is None where the verifier did not come so far."""
    yield _entry(number, entry, signed)
    yield from proof_parts(number, entry, log)


def proof_parts(number: int, entry: LogEntry, log: LogInstance | None) -> Iterator[Part]:
    """The parts of its proof: the signed head, the leaf hash, the path between them; nothing where there is no proof."""
    proof = entry.proof
    if proof is None:
        return
    if proof.checkpoint:
        yield _checkpoint(number, entry, proof, log)
    yield _leaf(number, entry)
    yield _path(number, proof)


def _entry(number: int, entry: LogEntry, signed: Signed) -> Part:
    file = f"entry-{number}.json"
    text = encode_base64(signed.signature)
    if entry.kind == "intoto":  # in base64 twice
        text = encode_base64(text.encode("ascii"))
    facts = (
        ("kind", shown(f"{entry.kind} {entry.version}")),
        ("index", str(entry.index)),
        ("log id", entry.log_id.hex()),
        ("body", size_and_hex(entry.body)),
    )
    return Part(
        "entry",
        "The body of the log entry is, byte for byte, the one for this signature, this digest and this key.",
        "Whoever made the bundle could put in a genuine entry of something else. So the body is built anew and compared.",
        facts,
        (shell.contains(text, file), shell.contains(_hash_in_body(entry, signed), file)),
        ((file, entry.body),),
    )


def _hash_in_body(entry: LogEntry, signed: Signed) -> str:
    """How the entry spells the hash of what was signed: of the payload in entries about envelopes, in hexadecimal in v1."""
    hashed = signed.digest
    if entry.kind != "hashedrekord" and signed.envelope is not None:
        hashed = hashlib.sha256(signed.envelope.payload).digest()
    return encode_base64(hashed) if (entry.kind, entry.version) in _IN_BASE64 else hashed.hex()


def _checkpoint(number: int, entry: LogEntry, proof: InclusionProof, log: LogInstance | None) -> Part:
    note = f"checkpoint-{number}.note"
    files: tuple[tuple[str, bytes], ...] = ((note, proof.checkpoint.encode("utf-8", "replace")),)
    facts = [("tree", f"{proof.size} leaves, root {proof.root.hex()}")]
    lines: tuple[str, ...] = ()
    if log is not None:
        more, lines = _signed_head(number, entry, proof, log)
        files = (*files, *more)
        facts += [("log", shown(log.base_url, 200)), ("signature", size_and_hex(more[1][1]))]
    return Part(
        "checkpoint",
        "The log signed a head of its tree with the size and the root that the proof leads to.",
        "The log could show you one tree and others another. Witnesses, and whoever keeps checkpoints, find that out.",
        tuple(facts),
        lines,
        files,
    )


def _signed_head(
    number: int, entry: LogEntry, proof: InclusionProof, log: LogInstance
) -> tuple[tuple[tuple[str, bytes], ...], tuple[str, ...]]:
    text, signature, pub = (f"checkpoint-{number}.txt", f"checkpoint-{number}.sig", f"log-{number}.pub")
    try:
        note = parse_note(proof.checkpoint)
    except SigError:
        return ((text, b""), (signature, b"")), ()
    own = (line.signature for line in note.signatures if line.key_hash == entry.log_id[:KEY_HASH_SIZE])
    files = (
        (text, note.text.encode("utf-8")),
        (signature, next(own, b"")),
        (pub, keys.encode_public_key_pem(log.public_key()).encode("ascii")),
    )
    lines = (
        shell.verify_message(log.public_key(), pub=pub, signature=signature, message=text),
        f"head -c {len(note.text.encode('utf-8'))} checkpoint-{number}.note | cmp - {text}",
        f"sed -n 2p {text} | grep -x {proof.size}",
        f"sed -n 3p {text} | grep -Fx {encode_base64(proof.root)}",
    )
    return files, lines


def _leaf(number: int, entry: LogEntry) -> Part:
    leaf = merkle.hash_leaf(entry.body)
    line = f"(printf '\\000'; cat entry-{number}.json) | sha256sum | grep -F {leaf.hex()}"
    return Part(
        "leaf hash",
        "The entry's place in the tree is the hash of a zero byte and its body (RFC 6962 section 2.1).",
        "Nobody. The zero byte keeps a leaf from being passed off as an inner node.",
        (("leaf hash", leaf.hex()),),
        (line,),
        ((f"leaf-{number}.hash", leaf),),
    )


def _path(number: int, proof: InclusionProof) -> Part:
    """Each sibling is a file whose name says in which order and on which side it stands."""
    name = f"path-{number}"
    files: list[tuple[str, bytes]] = [(f"root-{number}.hash", proof.root)]
    facts = [("place", f"leaf {proof.index} of {proof.size}"), ("root", proof.root.hex())]
    line = f"cmp leaf-{number}.hash root-{number}.hash"
    if proof.hashes:
        sides = _sides(proof)
        for height, (left, sibling) in enumerate(zip(sides, proof.hashes, strict=False)):
            side = "left" if left else "right"
            files.append((f"{name}-{height:02}.{side}", sibling))
            facts.append((f"sibling {height} ({side})", sibling.hex()))
        line = (
            f"cp leaf-{number}.hash node; for f in {name}-*; do "
            'case $f in *.left) cat "$f" node;; *) cat node "$f";; esac > pair; '
            "(printf '\\001'; cat pair) | openssl dgst -sha256 -binary > node; done; "
            f"cmp node root-{number}.hash"
        )
    return Part(
        "path",
        "From the leaf hash, with one sibling for each level, the tree's root comes out.",
        "Nobody: to lead a forged leaf to the signed root, somebody would have to find a collision of SHA-256.",
        tuple(facts),
        (line,),
        tuple(files),
    )


def _sides(proof: InclusionProof) -> tuple[bool, ...]:
    try:
        return merkle.sides_of_proof(proof.index, proof.size)
    except SigError:
        return ()
