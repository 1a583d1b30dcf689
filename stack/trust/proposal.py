# SPDX-License-Identifier: Apache-2.0
"""A root that is on its way from hand to hand: one file, which people sign where their keys are.

The file is TUF metadata as any program for TUF reads it. Two things are added where the specification lets anybody add: beside
``signed`` the root that it follows, so that who signs sees what changes without anything else at hand; in a key the name of its owner.

Source: The Update Framework specification 1.0.31, sections 4.2 and 4.3 (file formats: unknown fields are kept), 5.3 (the next root).
Imports python-tuf, so only the commands of the ceremony import it.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from securesystemslib.signer import CryptoSigner, Key, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, RootVerificationResult
from tuf.api.serialization.json import JSONSerializer

from sigcore import keys
from sigcore.errors import Malformed, Refused, SigError
from stack.files import load_file, save_file
from stack.trust.state import NAME
from stack.trust.versions import ROLES

BEFORE: Final = "x-sigbox-before"
AGAIN: Final = "propose it anew: sigbox trust root propose"
SignerKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
SERVER: Final = "server"
"""What a key without a name is called: nobody else is."""
_KEY_ID: Final = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
SCHEMES: Final = ("ed25519", "ecdsa-sha2-nistp256")


@dataclass(frozen=True, slots=True)
class Proposal:
    """The root that is in force, and the one that shall follow it, with the signatures that it has so far."""

    before: Metadata[Root]
    after: Metadata[Root]

    @property
    def digest(self) -> str:
        """SHA-256 of what is signed, in hex: the same on every machine, whoever has signed already."""
        return hashlib.sha256(self.after.signed_bytes).hexdigest()

    def standing(self) -> RootVerificationResult:
        """Who has signed, of the keys of either root.

        Raises:
            Refused: the versions do not follow each other.
        """
        before, after = self.before.signed, self.after.signed
        if after.version != before.version + 1:
            raise Refused(f"root version {after.version} is proposed, and version {before.version} is in force", AGAIN)
        return after.get_root_verification_result(before, self.after.signed_bytes, self.after.signatures)


def load_proposal(path: Path) -> Proposal:
    """The file of a ceremony.

    Raises:
        NotFound: no such file. Malformed: it is not one.
    """
    after = load_root(path)
    carried = after.unrecognized_fields.pop(BEFORE, None)
    if not isinstance(carried, dict):
        hint = "take the file that `sigbox trust root propose` wrote"
        raise Malformed(f"{path} does not carry the root that it follows", hint)
    return Proposal(_root(json.dumps(carried).encode(), f"the root that {path} follows"), after)


def load_root(path: Path) -> Metadata[Root]:
    """A root with its signatures. Errors: as :func:`load_proposal`."""
    return _root(load_file(path, what="the TUF root"), str(path))


def _root(data: bytes, what: str) -> Metadata[Root]:
    hint = "take the file as it was handed out"
    try:
        metadata: Metadata[Root] = Metadata.from_bytes(data)
    except RepositoryError as error:
        raise Malformed(f"{what} is not TUF metadata: {error}", hint) from error
    if not isinstance(metadata.signed, Root):
        raise Malformed(f"{what} holds {metadata.signed.type}, expected root", hint)
    _check_names(metadata, what)
    return metadata


def _check_names(metadata: Metadata[Root], what: str) -> None:
    """That what is shown of it later are ids and kinds of keys, and nothing else that somebody wrote there."""
    root = metadata.signed
    hint = "take the file as it was handed out"
    if strange := [one for one in (*root.keys, *metadata.signatures) if not _KEY_ID.match(one)]:
        raise Malformed(f"{what} has the key id {strange[0][:16]!a}, expected a SHA-256 in hex", hint)
    for name, role in root.roles.items():
        if unknown := set(role.keyids).difference(root.keys):
            raise Malformed(f"{what} names a key for {name} that it does not have: {min(unknown)[:16]!a}", hint)
    for identifier in root.roles[Root.type].keyids:
        if (scheme := root.keys[identifier].scheme) not in SCHEMES:
            raise Malformed(f"{what} has a key of the kind {scheme[:32]!a}, expected one of {', '.join(SCHEMES)}", hint)


def save_proposal(proposal: Proposal, path: Path) -> None:
    """Write the file with a line for each field: people may look into it."""
    carrier = Metadata(proposal.after.signed, dict(proposal.after.signatures))
    carrier.unrecognized_fields[BEFORE] = proposal.before.to_dict()
    save_file(path, carrier.to_bytes(JSONSerializer(compact=False)))


def sign_proposal(proposal: Proposal, key: SignerKey) -> None:
    """Add the signature of ``key``.

    Raises:
        Refused: neither root names that key, or the file was changed after others had signed it.
    """
    check_signatures(proposal)
    signer, standing = CryptoSigner(key), proposal.standing()
    if (identifier := signer.public_key.keyid) not in standing.signed.keys() | standing.unsigned.keys():
        raise Refused(
            f"the key {identifier[:16]} is of neither root: its signature would count for nothing",
            "take the key whose public file was handed in",
        )
    proposal.after.sign(signer, append=True)


def merge(proposals: tuple[Proposal, ...]) -> Proposal:
    """Copies of one proposal, which people have signed each for themselves, as one.

    Raises:
        Refused: they are copies of different proposals.
    """
    first = proposals[0]
    for other in proposals:
        if other.digest != first.digest:
            raise Refused(f"the files propose different roots: {first.digest[:16]} and {other.digest[:16]}", AGAIN)
        check_signatures(other)
        first.after.signatures.update(other.after.signatures)
    return first


def check_before(proposal: Proposal) -> None:
    """That what the file says it follows was signed by whom it names; else what is said of changes means nothing.

    Raises:
        Refused: it was not.
    """
    before = proposal.before
    if not before.signed.get_verification_result(Root.type, before.signed_bytes, before.signatures):
        hint = "take the file as it was handed out"
        raise Refused("the root that the file says it follows is not signed by its own keys", hint)


def check_signatures(proposal: Proposal) -> None:
    """That each signature is by a key of one of the two roots, and fits.

    Raises:
        Refused: one is not, with the key that it claims.
    """
    standing = proposal.standing()
    for identifier in proposal.after.signatures:
        if identifier in standing.signed:
            continue
        if (key := standing.unsigned.get(identifier)) is None:
            raise Refused(f"a stranger has signed: neither root names the key {identifier[:16]}", AGAIN)
        raise Refused(
            f"the signature of {named(key)} does not fit: the file was changed after it was signed",
            "take the copies as they were signed, or propose and sign anew",
        )


def check_root(before: Root, after: Root, now: datetime) -> None:
    """That ``after`` can follow ``before``, and be followed itself, leaving the signatures aside.

    Raises:
        Refused: it cannot.
    """
    role = after.roles[Root.type]
    if len({_material(after.keys[identifier]) for identifier in role.keyids}) != len(role.keyids):
        raise Refused("the proposed root counts one key twice", AGAIN)
    names = [name for identifier in role.keyids if (name := name_of(after.keys[identifier]))]
    if len(set(names)) != len(names):
        hint = "--remove the key that a person had before, or name the file of the new one otherwise"
        raise Refused("the proposed root has two keys of one owner", hint)
    if role.threshold > len(role.keyids):
        said = f"the proposed root wants {role.threshold} signatures, and names {len(role.keyids)} keys for them"
        raise Refused(
            f"{said}: nobody could ever sign the next one", "propose a smaller --threshold, or --add more keys"
        )
    online = {identifier for name in ROLES if name != Root.type for identifier in after.roles[name].keyids}
    if shared := online.intersection(role.keyids):
        raise Refused(f"the key {min(shared)[:16]} of the proposed root is that of a server's role too", AGAIN)
    if after.expires <= now:
        raise Refused(f"the proposed root has expired, {after.expires:%Y-%m-%d}: clients would refuse it", AGAIN)
    if after.consistent_snapshot != before.consistent_snapshot:
        raise Refused("the proposed root looks for its files under other names than they have", AGAIN)


def key_of(pem: bytes, name: str, *, what: str) -> Key:
    """The public key of a person, as a root names it.

    Raises:
        Malformed: not a public key in PEM. Refused: of a kind that not every client can verify.
    """
    public = keys.parse_public_key_pem(pem, what=what)
    key: Key | None = None
    if isinstance(public, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
        key = SSlibKey.from_crypto(public)
    if key is None or key.scheme not in SCHEMES:
        raise Refused(f"{what} is neither Ed25519 nor ECDSA P-256", "make one: sigbox trust root key FILE")
    if name == SERVER:
        raise Refused(
            f"{what} would be a key of {SERVER}, as the server's own is called", "name the file after its owner"
        )
    key.unrecognized_fields[NAME] = name
    return key


def name_of(key: Key) -> str:
    """Whose key it is; empty for those of a server. Whoever wrote the root has chosen it, so it is shown in plain characters."""
    name = key.unrecognized_fields.get(NAME)
    return ascii(name)[1:-1] if isinstance(name, str) else ""


def named(key: Key) -> str:
    """Name and id of a key."""
    return f"{name_of(key) or SERVER} ({key.keyid[:16]})"


def _material(key: Key) -> bytes:
    """The key itself: the same one may be written in two forms, which have two ids."""
    public = str(key.keyval.get("public", ""))
    if key.keytype == "ed25519":
        return public.lower().encode("utf-8")
    try:
        return keys.encode_public_key(keys.parse_public_key_pem(public, what=f"the key {key.keyid[:16]}"))
    except SigError as error:
        raise Refused(f"the proposed root names what is no key: {error.message}", AGAIN) from error
