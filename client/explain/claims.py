# SPDX-License-Identifier: Apache-2.0
"""What the payload of an image's signature says, shown: the step that comes after those of every signature."""

from __future__ import annotations

from client.explain import shell
from client.explain.part import Part
from sigcore.errors import SigError
from sigcore.strict import shown

_PAYLOAD = "payload.json"


def claims_part(payload: bytes, reference: str, digest: str, error: SigError | None) -> Part:
    """That the signed payload is about the image.

    Args:
        payload: the bytes that were signed.
        reference: what it calls the image.
        digest: of the image.
        error: why the claims do not do, if they do not.
    """
    lines = (f"openssl dgst -sha256 -binary {_PAYLOAD} | cmp - artifact.digest", shell.contains(digest, _PAYLOAD))
    return Part(
        "claims",
        "What was signed names this image's digest, and a repository and annotations that you expect.",
        "Whoever may write to the registry: he can put any signature beside any image. The registry says where it is; only "
        "the signer says what it is of.",
        (
            ("image", digest),
            ("called", shown(reference, 300)),
            ("payload", shown(payload.decode("utf-8", "replace"), 600)),
        ),
        lines if error is None else (),
        ((_PAYLOAD, payload),),
        refusal=error.message if error is not None else "",
        hint=error.hint if error is not None else "",
    )
