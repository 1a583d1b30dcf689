# SPDX-License-Identifier: Apache-2.0
"""Where trust comes from: files that the user names. Nothing is fetched and nothing is looked for elsewhere."""

from __future__ import annotations

from client.files import AnyPath
from client.root import load_trusted_root, read_trust_file
from sigcore.errors import NotFound, Refused
from sigcore.signing_config import SigningConfig, parse_signing_config, parse_trust_config
from sigcore.trustroot import TrustedRoot
from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class Trust:
    """What is trusted, and which services are asked. Verification needs ``root`` alone."""

    root: TrustedRoot
    config: SigningConfig


def load_trust(
    *, trusted_root: AnyPath | None = None, signing_config: AnyPath | None = None, trust_config: AnyPath | None = None
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
        return Trust(*parse_trust_config(read_trust_file(trust_config, "the trust config")))
    if trusted_root is None:
        raise NotFound("there is nothing to trust", "give --trusted-root FILE or --trust-config FILE")
    root = load_trusted_root(trusted_root)
    if signing_config is None:
        return Trust(root, SigningConfig())
    return Trust(root, parse_signing_config(read_trust_file(signing_config, "the signing config")))
