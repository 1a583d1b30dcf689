# SPDX-License-Identifier: Apache-2.0
"""Where trust comes from: files that the user names. Nothing is fetched and nothing is looked for elsewhere."""

from __future__ import annotations

from pathlib import Path

from client.files import read_file
from sigcore import limits
from sigcore.errors import NotFound, Refused
from sigcore.signing_config import SigningConfig, parse_signing_config, parse_trust_config
from sigcore.trustroot import TrustedRoot, parse_trusted_root
from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class Trust:
    """What is trusted, and which services are asked. Verification needs ``root`` alone."""

    root: TrustedRoot
    config: SigningConfig


def load_trust(
    *, trusted_root: Path | None = None, signing_config: Path | None = None, trust_config: Path | None = None
) -> Trust:
    """Trust from ``trusted_root`` (with ``signing_config`` for signing) or from ``trust_config``, which holds both.

    Without a signing config the answer names no service: it verifies and cannot sign.

    Raises:
        NotFound: no file was named, or one cannot be read. Refused: both ways at once. Malformed: a file is not what it
            should be.
    """
    if trust_config is not None:
        if trusted_root is not None or signing_config is not None:
            raise Refused("trust is given twice", "give --trust-config, or --trusted-root with --signing-config")
        return Trust(*parse_trust_config(_read(trust_config, "the trust config")))
    if trusted_root is None:
        raise NotFound("there is nothing to trust", "give --trusted-root FILE or --trust-config FILE")
    root = parse_trusted_root(_read(trusted_root, "the trusted root"))
    if signing_config is None:
        return Trust(root, SigningConfig())
    return Trust(root, parse_signing_config(_read(signing_config, "the signing config")))


def load_root(
    *, trusted_root: Path | None = None, signing_config: Path | None = None, trust_config: Path | None = None
) -> TrustedRoot:
    """As :func:`load_trust`, for verifying: where ``trusted_root`` is a file of its own, the signing config is not read."""
    if trusted_root is None or trust_config is not None:
        return load_trust(trusted_root=trusted_root, signing_config=signing_config, trust_config=trust_config).root
    return parse_trusted_root(_read(trusted_root, "the trusted root"))


def _read(path: Path, what: str) -> bytes:
    return read_file(path, what=what, limit=limits.TRUSTED_ROOT)
