# SPDX-License-Identifier: Apache-2.0
"""The bare key that signed, where a policy names it by its hash alone: the log entry of the bundle holds the key itself.

What is found is a candidate and no more. It counts only when its hash stands in the policy, and the verification that follows
takes it as the key that the user names.
"""

from __future__ import annotations

from collections.abc import Iterator

from client.policy.rules import BareKey, Policy
from client.verify.signed import ManagedKey
from sigcore import keys, limits
from sigcore.bundle import Bundle
from sigcore.errors import Refused, SigError
from sigcore.strict import JSON, parse_base64, parse_json

_HOLDERS = ("publicKey", "verifier")
_CONTENTS = ("content", "rawBytes")


def find_key(policy: Policy, bundle: Bundle) -> ManagedKey | None:
    """The key of the policy that signed ``bundle``; None where a certificate did.

    Raises:
        Refused: a bare key signed, and it is none of the policy's.
    """
    if bundle.certificate is not None:
        return None
    known = {identity.sha256 for _, identity in policy.identities if isinstance(identity, BareKey)}
    for key in _logged(bundle):
        if keys.key_id(keys.encode_public_key(key)).hex() in known:
            return ManagedKey(key)
    raise Refused("a bare key signed, and it is none of the policy's keys", "its entry names it: publicKey: sha256:HEX")


def find_any_key(bundle: Bundle) -> ManagedKey | None:
    """The first key of the log entry, whoever's it is: for a draft of a policy, never for a verdict. None as above."""
    key = None if bundle.certificate is not None else next(_logged(bundle), None)
    return ManagedKey(key) if key is not None else None


def _logged(bundle: Bundle) -> Iterator[keys.PublicKey]:
    for entry in bundle.log_entries:
        yield from (key for text in _texts(entry.body) if (key := _parse_key(text)) is not None)


def _texts(body: bytes) -> Iterator[str]:
    """What stands in an entry of any kind where a key may stand."""
    try:
        value = parse_json(body, what="the body of the log entry", limit=limits.ENTRY)
    except SigError:
        return
    yield from _held(value, held=False)


def _held(value: JSON, *, held: bool) -> Iterator[str]:
    if isinstance(value, str) and held:
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _held(member, held=name in _HOLDERS or (held and name in _CONTENTS))
    elif isinstance(value, list):
        for member in value:
            yield from _held(member, held=False)


def _parse_key(text: str) -> keys.PublicKey | None:
    """A key in base64 of DER or of PEM."""
    try:
        data = parse_base64(text, what="the key")
        if data.startswith(b"-----"):
            return keys.parse_public_key_pem(data, what="the key")
        return keys.parse_public_key(data)
    except SigError:
        return None
