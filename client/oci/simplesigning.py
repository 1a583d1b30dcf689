# SPDX-License-Identifier: Apache-2.0
"""Simple signing: the payload that an image's signature in the layout of tags is over.

    {"critical": {"identity": {"docker-reference": REPOSITORY}, "image": {"docker-manifest-digest": "sha256:..."},
                  "type": "cosign container image signature"},
     "optional": {annotations of the signer} or null}

What is signed is these very bytes; nothing is read out of them before the signature over them holds.

Sources: containers/image ``containers-signature.5.md``; sigstore ``pkg/signature/payload``.
"""

from __future__ import annotations

import json
from typing import Final

from client.oci.digests import parse_digest
from client.oci.reference import Reference, parse_reference
from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import JSON, Fields, shown
from sigcore.values import dataclass

MEDIA_TYPE: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
TYPE: Final = "cosign container image signature"


@dataclass(frozen=True, slots=True)
class Payload:
    """``reference`` is whom the signer took the image for: a repository, or an image of one. ``digest`` is the image."""

    reference: str
    digest: str
    annotations: tuple[tuple[str, JSON], ...] = ()

    def repository(self) -> Reference:
        """The repository of ``reference``.

        Raises:
            Malformed: it is no name of an image.
        """
        return parse_reference(self.reference)


def parse_payload(data: bytes) -> Payload:
    """The payload in ``data``.

    Raises:
        Malformed: not such a document, or of another type.
    """
    fields = Fields.parse(data, what="the payload", limit=limits.OCI_PAYLOAD)
    fields.only("critical", "optional")
    critical = fields.object("critical")
    critical.only("identity", "image", "type")
    if (kind := critical.text("type")) != TYPE:
        raise Malformed(f"{critical.path}.type is {shown(kind)}, expected {TYPE}")
    identity, image = critical.object("identity"), critical.object("image")
    digest = parse_digest(image.text("docker-manifest-digest"), what=f"{image.path}.docker-manifest-digest")
    optional = fields.object("optional").raw() if fields.raw().get("optional") is not None else {}
    return Payload(identity.text("docker-reference"), digest, tuple(optional.items()))


def encode_payload(payload: Payload) -> bytes:
    """As cosign spells it; absent annotations are null."""
    return json.dumps(payload_json(payload), separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def payload_json(payload: Payload, kind: str = TYPE) -> dict[str, JSON]:
    """The document; ``kind`` is its type, which is another one where a statement is shown in this form."""
    critical: JSON = {
        "identity": {"docker-reference": payload.reference},
        "image": {"docker-manifest-digest": payload.digest},
        "type": kind,
    }
    return {"critical": critical, "optional": dict(sorted(payload.annotations)) or None}
