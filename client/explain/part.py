# SPDX-License-Identifier: Apache-2.0
"""One step of an explanation, as a value."""

from __future__ import annotations

from sigcore import x509
from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """One step of the flow, shown.

    Args:
        name: what the step is about, as :class:`client.verify.steps.Step` names it where the verifier takes it.
        checks: what is checked, one sentence.
        liar: who could lie here, and what stands against it.
        facts: (name, value) pairs, the values safe to print.
        lines: shell lines that repeat the check, run in the folder with ``files``; each ends with 0 when the check holds.
        files: (name, content) of what the lines read.
        refusal: why the step did not hold, or empty.
        hint: what to do about it.
    """

    name: str
    checks: str
    liar: str
    facts: tuple[tuple[str, str], ...] = ()
    lines: tuple[str, ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    refusal: str = ""
    hint: str = ""


def pem(der: bytes) -> bytes:
    """A certificate as the file that openssl reads."""
    return x509.encode_certificate_pem(der).encode("ascii")


def size_and_hex(data: bytes, shown: int = 16) -> str:
    """``data`` for people: its size, and its beginning in hexadecimal."""
    return f"{len(data)} bytes, {data[:shown].hex()}{'...' if len(data) > shown else ''}"
