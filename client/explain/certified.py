# SPDX-License-Identifier: Apache-2.0
"""The certificate: its chain, the precertificate that was published, the SCTs, the identity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from client.explain import shell
from client.explain.part import Part, pem, size_and_hex
from client.verify.identity import Signer
from client.verify.scts import VerifiedSct
from sigcore import keys, precertificate, sct, x509
from sigcore.strict import encode_time, shown
from sigcore.x509 import Certificate

_TBS_AT = 48
"""Where the TBS begins in an SCT's signed bytes, counted from 1: versions 2, time 8, type 2, key hash 32, length 3."""


def certificate_part(chain: Sequence[Certificate], moments: Sequence[datetime]) -> Part:
    """That a trusted authority issued it, and that it was valid when it was used."""
    leaf, *between, root = chain
    files = [("leaf.pem", pem(leaf.der)), ("leaf.tbs", leaf.tbs), ("root.pem", pem(root.der))]
    untrusted = ""
    if between:
        files.append(("chain.pem", b"".join(pem(one.der) for one in between)))
        untrusted = " -untrusted chain.pem"
    times = sorted({int(moment.timestamp()) for moment in moments})
    verify = tuple(
        f"openssl verify -partial_chain -attime {time} -CAfile root.pem{untrusted} leaf.pem" for time in times
    )
    begin, size = leaf.der.index(leaf.tbs) + 1, len(leaf.tbs)
    inside = f"openssl x509 -in leaf.pem -outform DER | tail -c +{begin} | head -c {size} | cmp - leaf.tbs"
    facts = (
        ("valid", f"{encode_time(leaf.not_before)} to {encode_time(leaf.not_after)}"),
        ("serial", f"{leaf.serial:x}"),
        ("issuer", shown(x509.common_name(leaf.issuer), 200)),
        ("root", shown(x509.common_name(root.subject), 200)),
        ("certificate", size_and_hex(leaf.der)),
        ("to be signed", size_and_hex(leaf.tbs)),
    )
    return Part(
        "certificate",
        "It chains to a certificate authority of the trusted root, at each time that the steps before have verified.",
        "The certificate authority could issue it to somebody else. That is why certificates must be published: next steps.",
        facts,
        (*verify, inside, "openssl x509 -in leaf.pem -noout -text"),
        tuple(files),
    )


def precertificate_part(chain: Sequence[Certificate]) -> Part:
    """What the certificate log saw."""
    entry = precertificate.precert_entry(chain[0], chain[1].spki)
    pub = keys.encode_public_key_pem(chain[1].public_key()).encode("ascii")
    facts = (
        ("precertificate", f"{size_and_hex(entry.tbs)}, the certificate without its SCT list"),
        ("issuer's key", f"sha256 {entry.issuer_key_hash.hex()}"),
    )
    issuer = "chain.pem" if len(chain) > 2 else "root.pem"  # openssl reads the first certificate of a file
    lines = (
        "openssl asn1parse -inform DER -in precertificate.tbs",
        shell.key_hash("issuer.pub", entry.issuer_key_hash),
        f"openssl x509 -in {issuer} -noout -pubkey | cmp - issuer.pub",
    )
    files = (("precertificate.tbs", entry.tbs), ("issuer.pub", pub))
    checks = "What the log was shown is rebuilt: the certificate's content without the SCTs, bound to the issuer's key."
    liar = "Nobody: it follows from the certificate byte for byte (RFC 6962 section 3.2)."
    return Part("precertificate", checks, liar, facts, lines, files)


def sct_parts(chain: Sequence[Certificate], scts: Sequence[VerifiedSct]) -> Iterator[Part]:
    """The certificate log's promises."""
    entry = precertificate.precert_entry(chain[0], chain[1].spki)
    for number, found in enumerate(scts, 1):
        one, log = found.sct, found.source.public_key()
        signed = sct.signed_data(entry, one.timestamp_ms, one.extensions)
        pub, data, signature = f"ctlog-{number}.pub", f"sct-{number}.signed", f"sct-{number}.sig"
        files = (
            (pub, keys.encode_public_key_pem(log).encode("ascii")),
            (data, signed),
            (signature, one.signature),
            ("precertificate.tbs", entry.tbs),
        )
        facts = (
            ("time", f"{one.timestamp_ms} ms, {encode_time(found.time)}"),
            ("log", f"{shown(found.log, 200)}, id {one.log_id.hex()}"),
            ("signed bytes", size_and_hex(signed)),
            ("signature", size_and_hex(one.signature)),
        )
        lines = (
            shell.verify_message(log, pub=pub, signature=signature, message=data),
            f"tail -c +{_TBS_AT} {data} | head -c {len(entry.tbs)} | cmp - precertificate.tbs",
            shell.key_hash(pub, one.log_id),
        )
        checks = "A certificate log of the trusted root promised to publish the certificate (its SCT)."
        liar = "The certificate log could promise and not publish; whoever reads the log and watches it finds that out."
        yield Part("SCT", checks, liar, facts, lines, files)


def identity_part(signer: Signer) -> Part:
    """Who signed, as the certificate says."""
    facts = (
        ("identity", shown(signer.identity, 300)),
        ("form of the name", signer.kind),
        ("issuer", shown(signer.issuer, 300)),
    )
    lines = tuple(
        f"openssl x509 -in leaf.pem -outform DER | {shell.contains(text, '-')}"
        for text in (signer.identity, signer.issuer)
        if shell.printable(text) and signer.kind != "OtherName"
    )
    return Part(
        "identity",
        "The certificate's one name, and the OpenID provider that vouched for it: what you, or your policy, demand.",
        "The OpenID provider could vouch for anybody, and so could who reads the signer's mail. You chose to trust this one.",
        facts,
        lines,
    )
