# SPDX-License-Identifier: Apache-2.0
"""The digest, the key and the signature."""

from __future__ import annotations

import shlex

from client.explain import shell
from client.explain.part import Part, pem, size_and_hex
from client.verify.signed import Signed
from sigcore import keys
from sigcore.algorithms import HashAlgorithm

_DIGEST = "artifact.digest"


def digest_part(signed: Signed, digest: bytes, artifact: str) -> Part:
    """That the signature is about this artifact. ``artifact`` is its absolute path, or empty where a digest was given."""
    hashing = _hash_of_artifact(signed)
    lines: tuple[str, ...] = ()
    if artifact and shell.printable(artifact):
        lines = (f"openssl dgst -{hashing.hashlib_name} -binary {shlex.quote(artifact)} | cmp - {_DIGEST}",)
    files: tuple[tuple[str, bytes], ...] = ((_DIGEST, digest),)
    checks = "The digest that the bundle names is the artifact's."
    facts = [(hashing.hashlib_name, digest.hex())]
    if signed.envelope is not None and signed.statement is not None:
        checks = "A subject of the in-toto statement has the artifact's digest."
        files = (*files, ("statement.json", signed.envelope.payload))
        lines = (*lines, shell.contains(digest.hex(), "statement.json"))
        facts.append(("statement", size_and_hex(signed.envelope.payload)))
        facts.append(("predicate type", ascii(signed.statement.predicate_type)))
    liar = "Whoever gave you the file. Any change of it changes the digest, and then nothing below is about your file."
    return Part("digest", checks, liar, tuple(facts), lines, files)


def _hash_of_artifact(signed: Signed) -> HashAlgorithm:
    return signed.statement.algorithm() if signed.statement is not None else signed.algorithm


def key_part(signed: Signed) -> Part:
    """Which key signed."""
    pub = keys.encode_public_key_pem(signed.key).encode("ascii")
    files: tuple[tuple[str, bytes], ...] = (("signer.pub", pub),)
    spki = keys.encode_public_key(signed.key)
    facts = (("kind", signed.verifier.details.name), ("SPKI", size_and_hex(spki)))
    if signed.leaf is None:
        return Part(
            "key",
            "The key is the one that you named.",
            "Whoever gave you the key: nobody vouches for it but you.",
            facts,
            (shell.key_hash("signer.pub", keys.key_id(spki)),),
            files,
        )
    return Part(
        "key",
        "The key is taken out of the signing certificate.",
        "Nobody yet: it is only a key. Whose it is, the certificate must say.",
        facts,
        ("openssl x509 -in leaf.pem -noout -pubkey | cmp - signer.pub",),
        (*files, ("leaf.pem", pem(signed.leaf.der))),
    )


def signature_part(signed: Signed) -> Part:
    """That the key signed the digest, or the envelope."""
    files: tuple[tuple[str, bytes], ...] = (("sig.der", signed.signature),)
    facts = (("signature", size_and_hex(signed.signature)),)
    liar = "Nobody without the private key. A keyless signer's lived for one signing and is gone."
    if signed.envelope is None:
        lines = shell.verify_digest(
            signed.key, pub="signer.pub", signature="sig.der", digest=_DIGEST, hashing=signed.algorithm
        )
        return Part("signature", "The key signed the artifact's digest.", liar, facts, lines, files)
    pae = signed.envelope.signed_bytes()
    lines = (
        shell.verify_message(signed.key, pub="signer.pub", signature="sig.der", message="pae.bin"),
        f"tail -c {len(signed.envelope.payload)} pae.bin | cmp - statement.json",
    )
    checks = "The key signed the envelope: its type and its payload, each with its length before it (DSSE's PAE)."
    return Part("signature", checks, liar, (*facts, ("PAE", size_and_hex(pae))), lines, (*files, ("pae.bin", pae)))
