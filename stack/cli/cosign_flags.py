# SPDX-License-Identifier: Apache-2.0
"""Flags of cosign that sigbox does not have, and why: so that a script that carries them over is told what to write instead.

Some say what is so anyway, and are passed over. Imported only when an argument is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_LOG_IN: Final = "log in with `sigbox login`, which has --flow and --client-id, or give --identity-token"
_HARDWARE: Final = "keys in hardware are not supported; give --key FILE, or sign with an identity"
_CHAIN: Final = (
    "the certificate comes from the certificate authority of the signing config, its chain from the trusted root"
)
_CLIENT_TLS: Final = (
    "the timestamp authority is asked without a certificate of the client; --ca-file says whom to trust for https"
)
_ALWAYS: Final = "nothing is verified without it"
_WORKFLOW: Final = 'a policy demands it of files: "claims" of its identities, see docs/policy.md'

REASONS: Final = {
    "--allow-certificate-chain": _CHAIN,
    "--certificate": _CHAIN,
    "--certificate-chain": _CHAIN,
    "--certificate-github-workflow-name": _WORKFLOW,
    "--certificate-github-workflow-ref": _WORKFLOW,
    "--certificate-github-workflow-repository": _WORKFLOW,
    "--certificate-github-workflow-sha": _WORKFLOW,
    "--certificate-github-workflow-trigger": _WORKFLOW,
    "--certificate-oidc-issuer-regexp": "an issuer is exact, or it could be anybody's: give --certificate-oidc-issuer",
    "--check-claims": "the claims are always checked; --signed-as says what a payload may call a copied image",
    "--digest": "give sha256:HEX in place of FILE",
    "--digestAlg": "give ALGORITHM:HEX in place of FILE",
    "--fulcio-auth-flow": _LOG_IN,
    "--hash": "give sha256:HEX in place of FILE",
    "--insecure-ignore-sct": f"{_ALWAYS}: a certificate that is not in a certificate log proves nothing",
    "--insecure-ignore-tlog": f"{_ALWAYS}: without a log entry nobody knows of the signature",
    "--k8s-keychain": "credentials are those of docker and podman: mount the secret as their config.json",
    "--kms": "keys in the cloud are not supported",
    "--oidc-client-id": _LOG_IN,
    "--oidc-client-secret-file": _LOG_IN,
    "--oidc-provider": _LOG_IN,
    "--oidc-redirect-url": _LOG_IN,
    "--password": "this logs in to the identity provider; registries' passwords: --registry-password, or docker login",
    "--password-stdin": "this logs in to the identity provider; registries' passwords: --registry-password, or docker login",
    "--registry-referrers-mode": "the referrers API and the fallback tag are both read; --format says what is written",
    "--show-descriptions": "`sigbox env CLIENT` prints the lines for a client; docs/configuration.md lists the variables",
    "--show-sensitive-values": "`sigbox env CLIENT` prints the lines for a client",
    "--signing-algorithm": "identities sign with ECDSA P-256; a key signs with its own algorithm",
    "--sk": _HARDWARE,
    "--slot": _HARDWARE,
    "--staging": "give --mirror and --root of the instance that is meant",
    "--timestamp-client-cacert": _CLIENT_TLS,
    "--timestamp-client-cert": _CLIENT_TLS,
    "--timestamp-client-key": _CLIENT_TLS,
    "--timestamp-server-name": _CLIENT_TLS,
    "--username": "this logs in to the identity provider; registries' passwords: --registry-password, or docker login",
}
SO_ANYWAY: Final = frozenset(
    {
        "--check-claims",
        "--check-claims=true",
        "--insecure-ignore-sct=false",
        "--insecure-ignore-tlog=false",
        "--sk=false",
        "--use-signed-timestamps",
        "--use-signed-timestamps=true",
        "--use-signing-config",
        "--use-signing-config=true",
    }
)


def refused(unknown: Sequence[str]) -> str | None:
    """Why the command line is no good; None where every unknown argument says what is so anyway."""
    left = [argument for argument in unknown if argument not in SO_ANYWAY]
    if not left:
        return None
    for argument in left:
        flag = argument.partition("=")[0]
        if flag in REASONS:
            return f"{flag} of cosign is not taken here: {REASONS[flag]}"
    return f"unrecognized arguments: {' '.join(left)}"
