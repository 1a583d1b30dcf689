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

    Beside a trust config, ``signing_config`` names other services than the one in it. Without any the answer names no service:
    it verifies and cannot sign.

    Raises:
        NotFound: no file was named, or one cannot be read. Refused: two roots at once. Malformed: a file is not what it
            should be.
    """
    if trust_config is not None:
        if trusted_root is not None:
            raise Refused("trust is given twice", "give --trust-config, or --trusted-root with --signing-config")
        root, config = parse_trust_config(read_trust_file(trust_config, "the trust config"))
    elif trusted_root is None:
        raise NotFound("there is nothing to trust", "give --trusted-root FILE or --trust-config FILE")
    else:
        root, config = load_trusted_root(trusted_root), SigningConfig()
    if signing_config is None:
        return Trust(root, config)
    return Trust(root, parse_signing_config(read_trust_file(signing_config, "the signing config")))
