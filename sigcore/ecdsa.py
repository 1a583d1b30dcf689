# SPDX-License-Identifier: Apache-2.0
"""ECDSA with a hash, as the library takes it, without its constructor.

That one imports the library's whole backend to ask whether signatures could be made repeatable, also where nobody wants that:
half a start of Python, before a verifier has read a byte. Repeatable signatures (RFC 6979) go on to be asked for by ``ec.ECDSA``.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils


class Ecdsa(ec.ECDSA):
    """What ``sign`` and ``verify`` of the library read: the hash (to be made, or made already), and how the nonce comes about."""

    __slots__ = ("algorithm",)

    algorithm: hashes.HashAlgorithm | utils.Prehashed
    deterministic_signing = False

    def __init__(
        self, algorithm: hashes.HashAlgorithm | utils.Prehashed
    ) -> None:  # the library's is not called: see above
        self.algorithm = algorithm
