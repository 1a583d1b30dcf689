# SPDX-License-Identifier: Apache-2.0
"""Where ``[keys]`` of the settings says that keys of roles are: ``pkcs11:...`` in a token, ``kms:NAME://KEY`` in a KMS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric import ec

KMS: Final = "kms:"


class Source(Protocol):
    """The keys of one role, kept outside of files."""

    def signing_key(self, name: str, number: int = 1) -> ec.EllipticCurvePrivateKey:
        """The key, made where there is none, and proved. NotFound, Refused, Unavailable: what is wrong, and what to do."""
        ...

    def load(self, folder: Path, name: str) -> ec.EllipticCurvePrivateKey:
        """The key whose public half is in ``folder``. NotFound, Malformed: that is missing or damaged. Nothing else is asked."""
        ...

    @property
    def place(self) -> str:
        """As people are told of it."""
        ...


def source_of(role: str, text: str) -> Source:
    """Where the keys of ``role`` are, by its row of ``[keys]``.

    Raises:
        Malformed, Refused: the row says no such thing, or holds a PIN.
    """
    # Deferred, like the next: most stacks have neither, and the others one of them.
    if text.startswith(KMS):
        from stack.kms.making import KmsSource  # noqa: PLC0415 - see the line above

        return KmsSource(role, text.removeprefix(KMS))
    from stack.pkcs11.making import TokenSource  # noqa: PLC0415 - the same

    return TokenSource(role, text)


def by_place(rows: Mapping[str, str]) -> dict[str, list[str]]:
    """The roles of ``[keys]`` below "in tokens" and "in a KMS", which are backed up each in its own way; what has none is left out."""
    found: dict[str, list[str]] = {"in tokens": [], "in a KMS": []}
    for role, text in rows.items():
        found["in a KMS" if text.startswith(KMS) else "in tokens"].append(role)
    return {place: roles for place, roles in found.items() if roles}


def check_distinct(rows: Mapping[str, str]) -> None:
    """Raises Refused where two roles would sign with one key: clients tell logs apart by their keys. Others as :func:`source_of`."""
    in_kms = {role: text.removeprefix(KMS) for role, text in rows.items() if text.startswith(KMS)}
    if in_kms:
        from stack.kms.making import check_references  # noqa: PLC0415 - as in source_of

        check_references(in_kms)
    if len(in_kms) < len(rows):
        from stack.pkcs11.making import check_uris  # noqa: PLC0415 - as in source_of

        check_uris({role: text for role, text in rows.items() if role not in in_kms})
