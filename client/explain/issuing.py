# SPDX-License-Identifier: Apache-2.0
"""The signer's side of a certificate: the token, and the proof that the signer holds the key."""

from __future__ import annotations

from client.explain import shell
from client.explain.part import Part, size_and_hex
from client.fulcio import Issued
from client.identity import IdentityToken
from sigcore import keys
from sigcore.strict import parse_base64url, shown


def token_part(token: IdentityToken) -> Part:
    """What the OpenID provider said. Its signature is left out of the file: with it the token is a credential."""
    unsigned, _, _ = token.text.rpartition(".")
    header, _, payload = unsigned.partition(".")
    claims = parse_base64url(payload, what="the payload of the identity token")
    padding = "=" * (-len(payload) % 4)
    facts = [("issuer", shown(token.issuer, 200)), ("subject", shown(token.subject, 200))]
    if token.email:
        facts.append(("email", shown(token.email, 200)))
    facts += [
        ("header", shown(parse_base64url(header, what="the header of the identity token").decode("latin-1"), 200)),
        ("claims", shown(claims.decode("utf-8", "replace"), 600)),
    ]
    line = f"(cut -d. -f2 token.unsigned | tr '_-' '/+' | tr -d '\\n'; printf '{padding}') | openssl base64 -d -A | cmp - claims.json"
    return Part(
        "token",
        "The OpenID provider states who you are. Only the certificate authority checks its signature.",
        "The provider, and whoever gets hold of the token while it is good: it is not shown whole, and not written down.",
        tuple(facts),
        (line,),
        (("token.unsigned", unsigned.encode("ascii", "replace") + b"\n"), ("claims.json", claims)),
    )


def possession_part(issued: Issued) -> Part:
    """The proof of possession: the new key signs the token's subject."""
    message = issued.token.possession_subject.encode("utf-8")
    key = keys.encode_public_key_pem(issued.chain[0].public_key()).encode("ascii")
    files = (("signer.pub", key), ("possession.txt", message), ("possession.sig", issued.possession))
    line = shell.verify_message(
        issued.chain[0].public_key(), pub="signer.pub", signature="possession.sig", message="possession.txt"
    )
    return Part(
        "proof of possession",
        "The new key signed the name that the token gives you, so that nobody gets a certificate for somebody else's key.",
        "Nobody without the private key.",
        (("signed", shown(issued.token.possession_subject, 200)), ("signature", size_and_hex(issued.possession))),
        (line,),
        files,
    )
