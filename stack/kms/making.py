# SPDX-License-Identifier: Apache-2.0
"""The keys of a role in a KMS: made there, or found; and what a service signs with."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from sigcore.errors import Refused, SigError, Unavailable
from sigcore.kms import Reference, parse_reference
from stack.kms.key import KmsEcdsaKey, created, shown_by
from stack.kms.program import Program, find_program
from stack.line import Line
from stack.role_keys import check_curve, is_derived, load_public_half, suffix_of
from stack.waiting_key import PATIENCE_S, WaitingKey

_PROBE: Final = ec.ECDSA(hashes.SHA256())
MAKING_S: Final = 60.0
"""What a program may take to make a key, or to show one, while nobody else waits."""


class KmsServiceKey(WaitingKey, KmsEcdsaKey):
    """A key that a service signs with; a :class:`sigcore.device_key.DeviceKey` too. A process for each signature."""

    def __init__(self, program: Program, public_key: ec.EllipticCurvePublicKey) -> None:
        super().__init__(replace(program, patience_s=PATIENCE_S, alone=True), public_key)
        self._line = Line(str(program.reference))

    @property
    def line(self) -> Line:
        """A thread for this key alone."""
        return self._line

    @property
    def place(self) -> str:
        """The program."""
        return self.program.name

    def probe(self) -> None:
        """As of every :class:`WaitingKey`."""
        self.sign(secrets.token_bytes(32), _PROBE)

    def sign(self, data: bytes, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:  # type: ignore[override]  # ours take bytes
        """As of a key in memory. Unavailable: the program does not sign."""
        return self.remembered(lambda: KmsEcdsaKey.sign(self, data, signature_algorithm), _explained)

    def prove(self) -> None:
        """Sign once, with the errors of the program. Nothing is left open."""
        KmsEcdsaKey.sign(self, secrets.token_bytes(32), _PROBE)


class KmsSource:
    """Where the keys of ``role`` are, as :class:`stack.seed.KeySource` for keys in memory.

    Args:
        role: a folder of the data directory.
        text: the reference, ``NAME://KEY``.
    """

    def __init__(self, role: str, text: str) -> None:
        self._role = role
        self._reference = parse_reference(text)

    @property
    def place(self) -> str:
        """As people are told of it."""
        return f"the KMS of {self._reference.program}"

    def signing_key(self, name: str, number: int = 1) -> KmsServiceKey:
        """The key, made where the program shows none.

        Raises:
            NotFound, Refused, Malformed, Unavailable: as :func:`stack.kms.key.make_kms_key`, or it is of another kind.
        """
        program = replace(self._program(suffix_of(self._role, name, number)), patience_s=MAKING_S)
        try:
            public = shown_by(program)
        except Refused:  # which is all that a program can say of a key that is not there
            public = created(program)
        key = KmsServiceKey(program, check_curve(self._role, public, f"the key {program.reference}"))
        key.prove()
        return key

    def load(self, folder: Path, name: str) -> KmsServiceKey:
        """The key whose public half is in ``folder``. NotFound, Malformed: that is missing or damaged, or the program is. It is not asked."""
        public, number = load_public_half(folder, name)
        return KmsServiceKey(self._program(suffix_of(self._role, name, number)), public)

    def _program(self, suffix: str) -> Program:
        reference = Reference(self._reference.name, self._reference.resource + suffix)
        return replace(find_program(reference, os.environ), alone=True)


def check_references(rows: Mapping[str, str]) -> None:
    """Raises Refused where two roles would sign with one key; Malformed: no reference."""
    found = {role: parse_reference(text) for role, text in rows.items()}
    for (role, reference), (other, theirs) in permutations(found.items(), 2):
        if reference.name == theirs.name and is_derived(reference.resource, theirs.resource):
            hint = "give each role a key that is not another's with -root, -intermediate or a number behind it"
            raise Refused(f"{role} and {other} would have one key, {theirs}", hint)


def _explained(error: Exception) -> SigError:
    if isinstance(error, SigError):
        return error
    return Unavailable(f"the program that holds a key failed: {type(error).__name__}")
