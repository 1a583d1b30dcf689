# SPDX-License-Identifier: Apache-2.0
"""Who may write into the logs: ``[log.writers]`` and ``issuers`` of ``[ct]`` in the settings file. Pure.

Members of ``[log.writers]``, both of which must be there, because one door says nothing while the other is open: whoever may not
bring a key can put it into a certificate that he signs himself, and the reverse.

    certificates: "any", or "own": those of this stack's certificate authority.
    keys: of signatures without a certificate: "any", "none", or a list of files (PEM; from the data directory) and of
        ``sha256:HEX``, the SHA-256 of a key's SubjectPublicKeyInfo.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from sigcore.errors import Malformed
from sigcore.patterns import pattern
from sigcore.strict import shown
from sigcore.values import dataclass

MOST_KEYS: Final = 1000
FINGERPRINT: Final = pattern(r"sha256:([0-9a-f]{64})\Z", re.ASCII)
_MEMBERS: Final = ("certificates", "keys")
_EXAMPLE: Final = 'for example keys = ["release.pub", "sha256:..."]'


@dataclass(frozen=True, slots=True)
class WriterRules:
    """Whose entries the signature logs take. ``keys`` are files and fingerprints, () for none, None for any."""

    certificates: Literal["any", "own"]
    keys: tuple[str, ...] | None

    def __str__(self) -> str:
        by = "of this stack's authority" if self.certificates == "own" else "of anybody"
        keys = "any" if self.keys is None else f"{len(self.keys)} named" if self.keys else "none"
        return f"entries signed with certificates {by}; with bare keys: {keys}"


def parse_writers(value: object) -> dict[str, Any]:
    """``[log.writers]``. Malformed: no such table, or one that says the half."""
    if not isinstance(value, dict) or set(value) != set(_MEMBERS):
        raise Malformed(
            f"[log.writers] is {shown(value)}, expected the members {' and '.join(_MEMBERS)}",
            "say both: a key without a certificate can be put into one that signs itself",
        )
    certificates = value["certificates"]
    if certificates not in ("any", "own"):
        raise Malformed(f"certificates of [log.writers] is {shown(certificates)}, expected any or own")
    return {"writers": WriterRules(certificates, _keys(value["keys"]))}


def _keys(value: object) -> tuple[str, ...] | None:
    if value == "any":
        return None
    if value == "none":
        return ()
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_KEYS:
        raise Malformed(
            f"keys of [log.writers] is {shown(value)}, expected any, none or a list of 1 to {MOST_KEYS}", _EXAMPLE
        )
    for row in value:
        if not isinstance(row, str) or not row.isprintable() or not row:
            raise Malformed(f"keys of [log.writers] names {shown(row)}, expected a file or a fingerprint", _EXAMPLE)
        if row.startswith("sha256:") and not FINGERPRINT.match(row):
            hint = "sha256: and 64 lower-case hexadecimal digits, of the key in DER"
            raise Malformed(f"keys of [log.writers] names {shown(row)}, which is no fingerprint", hint)
    return tuple(value)


def parse_issuers(value: object) -> dict[str, Any]:
    """``issuers`` of ``[ct]``. Malformed: neither own nor any."""
    if value not in ("own", "any"):
        raise Malformed(f"issuers of [ct] is {shown(value)}, expected own or any")
    return {"ct_issuers": value}
