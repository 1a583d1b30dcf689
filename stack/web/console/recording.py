# SPDX-License-Identifier: Apache-2.0
"""A signing that was recorded: its steps, who takes each, the bytes, and all of it as one archive. Pure."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Final

from client.explain.part import Part
from client.explain.text import encode_text
from sigcore.bundle import Bundle, encode_bundle
from sigcore.trustroot import TrustedRoot, encode_trusted_root
from sigcore.values import dataclass

ARTIFACT: Final = "artifact.txt"
"""What the signed text is called in the archive and in the lines."""
YOU, PROVIDER, AUTHORITY, CERTIFICATES = (
    "You",
    "The OpenID provider",
    "The certificate authority",
    "The certificate log",
)
CLOCK, LOG = "The timestamp authority", "The signature log"
ACTORS: Final[Mapping[str, str]] = {
    "token": PROVIDER,
    "key": YOU,
    "proof of possession": YOU,
    "precertificate": AUTHORITY,
    "SCT": CERTIFICATES,
    "certificate": AUTHORITY,
    "identity": AUTHORITY,
    "digest": YOU,
    "signature": YOU,
    "timestamp": CLOCK,
    "promise": LOG,
    "entry": LOG,
    "leaf hash": LOG,
    "path": LOG,
    "checkpoint": LOG,
}
"""Step -> who takes it."""
_SHOWN: Final = 1024
"""Bytes of a file that a page shows; the archive has the rest."""
_ROW: Final = 32


@dataclass(frozen=True, slots=True)
class Recorded:
    """``data`` was signed as ``identity``."""

    data: bytes
    identity: str
    parts: tuple[Part, ...]
    bundle: Bundle
    root: TrustedRoot


def dump(data: bytes) -> str:
    """The bytes of a file for a page: text as it is, all else in hexadecimal; the beginning of what is long."""
    beginning = data[:_SHOWN]
    text = _plain(beginning)
    if text is None:
        text = "\n".join(beginning[place : place + _ROW].hex(" ", -4) for place in range(0, len(beginning), _ROW))
    return text if len(data) <= _SHOWN else f"{text}\n... {len(data)} bytes"


def _plain(data: bytes) -> str | None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if all(character.isprintable() or character == "\n" for character in text) else None


def encode_archive(recorded: Recorded) -> bytes:
    """A ZIP file with everything: text, bundle, trusted root, the files of each step, and ``check.sh``, which runs every line."""
    files = {
        ARTIFACT: recorded.data,
        f"{ARTIFACT}.sigstore.json": encode_bundle(recorded.bundle),
        "trusted_root.json": encode_trusted_root(recorded.root),
        "steps.txt": encode_text(recorded.parts).encode("utf-8"),
        "check.sh": _script(recorded.parts).encode("ascii"),
        **{name: data for part in recorded.parts for name, data in part.files},
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _script(parts: Sequence[Part]) -> str:
    rows = [
        "#!/bin/sh",
        "# Every line of the steps: openssl and coreutils alone. Run it in the folder of the files.",
        "",
    ]
    for part in parts:
        rows += [f"({line}) > /dev/null || exit 1" for line in part.lines]
        rows.append(f'echo "{part.name}: holds"')
    return "\n".join((*rows, ""))
