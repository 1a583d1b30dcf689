# SPDX-License-Identifier: Apache-2.0
"""The clients that sign images, as writers and readers of what is attached to one: the command lines that their manuals give."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from tests.interop.places import ALICE, MALLORY, PREDICATE, Done, Place
from tests.interop.tools import V2, V3, Cosign
from tests.stack_process import sigbox

KEYS = {"COSIGN_PASSWORD": "of no use to anybody"}
TYPE = "slsaprovenance1"


class Means(Enum):
    """Who signs, and which log keeps it."""

    KEYLESS_V1 = ("keyless v1", 1)
    KEYLESS_V2 = ("keyless v2 + TSA", 2)
    KEY = ("key", 1)

    def __init__(self, label: str, version: int) -> None:
        self.label = label
        self.version = version


@dataclass(frozen=True, slots=True)
class Row:
    """What is attached: a signature or an attestation, in which layout, by what means."""

    attestation: bool
    layout: str
    means: Means

    def __str__(self) -> str:
        return f"{'attest' if self.attestation else 'sign'}, {self.layout}, {self.means.label}"

    @property
    def slug(self) -> str:
        """As part of an image's name."""
        return f"{'attest' if self.attestation else 'sign'}-{self.layout}-{self.means.name.lower().replace('_', '-')}"

    def what(self, place: Place) -> tuple[str | Path, ...]:
        """The signing command, which is the same for all clients."""
        return ("attest", "--type", TYPE, "--predicate", predicate(place)) if self.attestation else ("sign",)

    def verb(self) -> tuple[str, ...]:
        """The verifying command, which is the same too."""
        return ("verify-attestation", "--type", TYPE) if self.attestation else ("verify",)

    def signer(self, place: Place) -> tuple[str | Path, ...]:
        """Who signs: Alice, or the key in the folder above."""
        if self.means is Means.KEY:
            return ("--key", place.folder.parent / "own.key")
        return ("--identity-token", place.stack.token(ALICE))

    def expected(self, place: Place, *, right: bool) -> tuple[str | Path, ...]:
        """Whom the reader expects: who did sign, or somebody else."""
        if self.means is Means.KEY:
            return ("--key", place.folder.parent / ("own.pub" if right else "other.pub"))
        who = ALICE if right else MALLORY
        return ("--certificate-identity", who, "--certificate-oidc-issuer", place.stack.oidc_issuer)


ROWS = tuple(
    Row(attestation, layout, means)
    for attestation in (False, True)
    for layout in ("tag", "referrers")
    for means in Means
)


def predicate(place: Place) -> Path:
    """SLSA provenance."""
    path = place.folder / "provenance.json"
    path.write_text(json.dumps(PREDICATE))
    return path


def make_keys(folder: Path) -> None:
    """Two key pairs, ``own`` and ``other``, that all clients of ``folder`` use."""
    for name in ("own", "other"):
        done = sigbox("generate-key-pair", "--output-key-prefix", folder / name, **KEYS)
        assert done.returncode == 0, done.stderr


class ImageTool(Protocol):
    """A client as writer and as reader of what is attached to images."""

    @property
    def name(self) -> str:
        """As the matrix prints it."""
        ...

    def require(self) -> None:
        """Raise ``Missing`` where it is not installed."""
        ...

    def write(self, place: Place, image: str, row: Row) -> Done:
        """Attach to ``image``."""
        ...

    def read(self, place: Place, image: str, row: Row, *, right: bool = True) -> Done:
        """End with 0 exactly if what is attached holds, for who did sign or for another one."""
        ...


@dataclass(frozen=True, slots=True)
class SigboxImages:
    """Our own client."""

    @property
    def name(self) -> str:
        return "sigbox"

    def require(self) -> None:
        """It is the checkout."""

    def write(self, place: Place, image: str, row: Row) -> Done:
        log = ("--rekor-version", row.means.version)
        options = (*row.signer(place), "--format", row.layout, *log, "--trust-config", place.stack.trust_config)
        return sigbox(*row.what(place), *map(str, options), image, cwd=place.folder, **KEYS)

    def read(self, place: Place, image: str, row: Row, *, right: bool = True) -> Done:
        options = (*row.expected(place, right=right), "--trust-config", place.stack.trust_config)
        return sigbox(*row.verb(), *options, image, cwd=place.folder)


@dataclass(frozen=True, slots=True)
class CosignImages:
    """cosign, v3 or v2.6; readers are told nothing of layouts: what they find on the image is all there is."""

    cosign: Cosign

    @property
    def name(self) -> str:
        return self.cosign.name

    def require(self) -> None:
        self.cosign.require()

    def write(self, place: Place, image: str, row: Row) -> Done:
        self.cosign.trust(place)
        where = self._where(place, row)
        return self.cosign.run(place, *row.what(place), "--yes", *where, *row.signer(place), image, **KEYS)

    def _where(self, place: Place, row: Row) -> tuple[str | Path, ...]:
        url = place.stack.url
        classic = ("--fulcio-url", url, "--rekor-url", url, "--oidc-issuer", place.stack.oidc_issuer)
        if self.cosign.is_v2:
            bundles = ("--new-bundle-format",) if row.layout == "referrers" else ()
            return (*bundles, *(("--use-signing-config",) if row.means.version == 2 else classic))
        if row.layout == "referrers":
            return ("--signing-config", place.signing_config(row.means.version))
        old = ("--new-bundle-format=false",)
        if row.means.version == 2:
            return (*old, "--signing-config", place.signing_config(2))
        return (*old, "--use-signing-config=false", *classic)

    def read(self, place: Place, image: str, row: Row, *, right: bool = True) -> Done:
        self.cosign.trust(place)
        return self.cosign.run(place, *row.verb(), *self._reading(place, row), *row.expected(place, right=right), image)

    def _reading(self, place: Place, row: Row) -> tuple[str, ...]:
        """v2.6 must be told that the time comes from the timestamp authority; the old layout, not to ask the public log."""
        stamps = ("--use-signed-timestamps",) if self.cosign.is_v2 and row.means.version == 2 else ()
        return (*stamps, "--rekor-url", place.stack.url) if row.layout == "tag" else stamps


IMAGE_V3, IMAGE_V2, IMAGE_SIGBOX = CosignImages(V3), CosignImages(V2), SigboxImages()
IMAGE_TOOLS: tuple[ImageTool, ...] = (IMAGE_V3, IMAGE_V2, IMAGE_SIGBOX)
