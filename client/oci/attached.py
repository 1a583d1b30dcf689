# SPDX-License-Identifier: Apache-2.0
"""What is attached to an image, as a value; and the names under which it is found.

Two layouts are in use, and cosign reads both:

- tags: the signatures are layers of an image at the tag ``sha256-HEX.sig``, with their certificates and log entries as
  annotations; attestations at ``.att``. What everybody reads, and what only one writer at a time can add to.
- referrers (OCI 1.1): each bundle is a manifest of its own whose ``subject`` is the image.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from client.oci.reference import Reference
from client.oci.simplesigning import Payload
from sigcore import intoto
from sigcore.bundle import Bundle
from sigcore.dsse import Envelope
from sigcore.errors import SigError
from sigcore.intoto import Statement
from sigcore.values import dataclass

SIGN: Final = "https://sigstore.dev/cosign/sign/v1"
"""The predicate type of a statement that signs an image and says no more."""
BUNDLE: Final = "application/vnd.dev.sigstore.bundle"
"""What the media types of bundles begin with."""
DSSE: Final = "application/vnd.dsse.envelope.v1+json"
SIGNATURES, ATTESTATIONS, SBOMS = "sig", "att", "sbom"
"""What the tags of the layout of tags end with."""


class Layout(Enum):
    """Where something is attached."""

    TAG = "tag"
    REFERRERS = "referrers"


def named_layouts(text: str) -> tuple[Layout, ...]:
    """``--format``: both, or the one that is named."""
    return tuple(Layout) if text == "both" else (Layout(text),)


def attached_tag(digest: str, suffix: str) -> str:
    """The tag at which signatures (``sig``), attestations (``att``) or SBOMs (``sbom``) of the image are."""
    return f"{digest.replace(':', '-')}.{suffix}"


@dataclass(frozen=True, slots=True)
class Attached:
    """A signature or an attestation as it was found; nothing of it is verified.

    ``place`` is for people. ``text`` is what was signed in the layout of tags: the payload's bytes, or the envelope's;
    ``payload`` is there for a signature in that layout.
    """

    layout: Layout
    place: str
    bundle: Bundle
    text: bytes = b""
    payload: Payload | None = None
    stamped: bytes | None = None

    @property
    def envelope(self) -> Envelope | None:
        """The statement's envelope; None for a signature in the layout of tags."""
        return self.bundle.content if isinstance(self.bundle.content, Envelope) else None

    def statement(self) -> Statement | None:
        """The statement, unverified; None for a signature in the layout of tags.

        Raises:
            Malformed: the envelope holds none.
        """
        envelope = self.envelope
        return None if envelope is None else intoto.parse_statement(envelope.payload)


@dataclass(frozen=True, slots=True)
class Defect:
    """Something attached that cannot be read, or does not hold; the others may."""

    place: str
    error: SigError


@dataclass(frozen=True, slots=True)
class Home:
    """An image, and the repository that holds what is attached to it: its own, or another one (``COSIGN_REPOSITORY``)."""

    image: Reference
    repository: Reference

    @property
    def subject(self) -> Reference:
        """The image's digest in the repository of what is attached to it."""
        return self.repository.at_digest(self.image.digest)

    def tag(self, suffix: str) -> Reference:
        """The tag for ``suffix``."""
        return self.repository.at_tag(attached_tag(self.image.digest, suffix))


def home_of(image: Reference, repository: Reference | None = None) -> Home:
    """The home of what is attached to ``image``, which must be named by its digest."""
    return Home(image, repository or image)
