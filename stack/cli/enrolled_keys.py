# SPDX-License-Identifier: Apache-2.0
"""A trusted root as PEM files, for clients that are told keys one by one: gitsign, podman, kyverno."""

from __future__ import annotations

from collections.abc import Iterable

from sigcore.errors import Malformed
from sigcore.keys import encode_public_key_pem, key_id, parse_public_key
from sigcore.trustroot import LogInstance, TrustedRoot
from sigcore.x509 import encode_certificate_pem


def key_files(root: TrustedRoot) -> dict[str, bytes]:
    """The same names as in ``public/keys`` of a stack: name -> PEM.

    1. ``fulcio_v1.crt.pem``: the root of the first authority, which is the one that signs.
    2. ``fulcio_chain.pem``: every certificate of every authority.
    3. ``ctfe.pub``: the key of the first certificate log. ``rekor.pub``: that of the first log of Rekor v1; only there the log id is the
       hash of the key, and these clients know no other log.

    Raises:
        Malformed: the trusted root has no authority, no certificate log or no log of Rekor v1.
    """
    authorities = root.certificate_authorities
    if not authorities:
        raise Malformed("the trusted root names no certificate authority")
    return {
        "fulcio_v1.crt.pem": _pem(authorities[0].chain[-1:]),
        "fulcio_chain.pem": _pem(der for authority in authorities for der in authority.chain),
        "ctfe.pub": _key(root.ct_logs, "certificate log"),
        "rekor.pub": _key((log for log in root.logs if log.log_id == key_id(log.key)), "log of Rekor v1"),
    }


def _pem(certificates: Iterable[bytes]) -> bytes:
    return "".join(map(encode_certificate_pem, certificates)).encode("ascii")


def _key(logs: Iterable[LogInstance], what: str) -> bytes:
    for log in logs:
        return encode_public_key_pem(parse_public_key(log.key)).encode("ascii")
    raise Malformed(f"the trusted root names no {what}")
