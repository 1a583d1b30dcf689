# SPDX-License-Identifier: Apache-2.0
"""Flags of cosign that sigbox does not have, and why: so that a script that carries them over is told what to write instead.

Some say what is so anyway, and are passed over. Imported only when an argument is not known.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

_LOG_IN: Final = "log in with `sigbox login`, which has --flow and --oidc-client-id, or give --identity-token"
_HARDWARE: Final = "keys in hardware are not supported; give --key FILE, or sign with an identity"
_CHAIN: Final = (
    "the certificate comes from the certificate authority of the signing config, its chain from the trusted root"
)
_CLIENT_TLS: Final = (
    "the timestamp authority is asked without a certificate of the client; --ca-file says whom to trust for https"
)
_ALWAYS: Final = "nothing is verified without it"

_SERVICES: Final = (
    "the commands that sign take it; elsewhere the services are those of --signing-config or --trust-config"
)
_ROOTS: Final = "what is trusted is the trusted root: give --trusted-root FILE; `sigbox trusted-root create` makes one of such files"
_LAYOUT: Final = "--format says which layout is meant"

REASONS: Final = {
    "--allow-certificate-chain": _CHAIN,
    "--attachment": "name what is meant by its digest: sigbox triangulate prints the tag",
    "--b64": "the signature's file holds base64: `base64 -d FILE` makes bytes of it",
    "--ca-intermediates": _ROOTS,
    "--ca-roots": _ROOTS,
    "--certificate": _CHAIN,
    "--certificate-chain": _CHAIN,
    "--check-claims": "the claims are always checked; --signed-as says what a payload may call a copied image",
    "--digest": "give sha256:HEX in place of FILE",
    "--digestAlg": "give ALGORITHM:HEX in place of FILE",
    "--experimental-oci11": _LAYOUT,
    "--fulcio-auth-flow": _LOG_IN,
    "--fulcio-url": _SERVICES,
    "--hash": "give sha256:HEX in place of FILE",
    "--insecure-ignore-sct": f"{_ALWAYS}: a certificate that is not in a certificate log proves nothing",
    "--insecure-ignore-tlog": f"{_ALWAYS}: without a log entry nobody knows of the signature",
    "--insecure-skip-verify": f"{_ALWAYS}: what the services hand out is checked",
    "--issue-certificate": "a key signs without a certificate; leave --key out to sign with an identity",
    "--k8s-keychain": "credentials are those of docker and podman: mount the secret as their config.json",
    "--kms": "generate-key-pair takes it; elsewhere a key in a KMS is --key NAME://KEY",
    "--new-bundle-format": "bundles are of the new format; verifying reads the old ones too",
    "--offline": "verifying is offline unless you say --online",
    "--oidc-client-id": _LOG_IN,
    "--oidc-client-secret-file": _LOG_IN,
    "--oidc-issuer": _SERVICES,
    "--oidc-provider": _LOG_IN,
    "--oidc-redirect-url": _LOG_IN,
    "--output": "--output-signature OUT writes the signature",
    "--output-attestation": "the bundle holds it: --bundle OUT",
    "--output-file": "redirect standard output: > FILE",
    "--password": "this logs in to the identity provider; registries' passwords: --registry-password, or docker login",
    "--password-stdin": "this logs in to the identity provider; registries' passwords: --registry-password, or docker login",
    "--payload": "`sigbox bundle create` makes a bundle of such parts",
    "--private-infrastructure": f"{_ALWAYS}: a log of your own is a log too",
    "--registry-referrers-mode": "the referrers API and the fallback tag are both read; --format says what is written",
    "--rekor-entry-type": "attestations are logged as the log's version does it",
    "--rekor-url": _SERVICES,
    "--rfc3161-timestamp": "timestamps are in the bundle",
    "--rfc3161-timestamp-bundle": "timestamps are in the bundle",
    "--sct": _CHAIN,
    "--show-descriptions": "`sigbox env CLIENT` prints the lines for a client; docs/configuration.md lists the variables",
    "--show-sensitive-values": "`sigbox env CLIENT` prints the lines for a client",
    "--signature": "`sigbox bundle create` makes a bundle of such parts",
    "--signature-digest-algorithm": "the bundle says by which hash the file was signed",
    "--signing-algorithm": "identities sign with ECDSA P-256; a key signs with its own algorithm",
    "--sk": _HARDWARE,
    "--slot": _HARDWARE,
    "--staging": "give --mirror and --root of the instance that is meant",
    "--timeout": "each request has 30 seconds; timeout(1) ends a command earlier",
    "--timestamp-certificate-chain": _ROOTS,
    "--timestamp-client-cacert": _CLIENT_TLS,
    "--timestamp-client-cert": _CLIENT_TLS,
    "--timestamp-client-key": _CLIENT_TLS,
    "--timestamp-server-name": _CLIENT_TLS,
    "--timestamp-server-url": _SERVICES,
    "--tlog-upload": f"{_ALWAYS}: every signature is logged",
    "--use-signed-timestamps": "timestamps are checked wherever a bundle has them",
    "--use-signing-config": "--fulcio-url, --rekor-url and --timestamp-server-url name other services than a signing config",
    "--username": "this logs in to the identity provider; registries' passwords: --registry-password, or docker login",
    "--verbose": "--explain shows each step",
    "-t": "each request has 30 seconds; timeout(1) ends a command earlier",
}
SO_ANYWAY: Final = frozenset(
    {
        "--allow-certificate-chain=false",
        "--b64",
        "--b64=true",
        "--check-claims",
        "--check-claims=true",
        "--experimental-oci11=false",
        "--insecure-ignore-sct=false",
        "--insecure-ignore-tlog=false",
        "--insecure-skip-verify=false",
        "--issue-certificate=false",
        "--new-bundle-format",
        "--new-bundle-format=true",
        "--offline",
        "--offline=true",
        "--private-infrastructure=false",
        "--sk=false",
        "--staging=false",
        "--tlog-upload",
        "--tlog-upload=true",
        "--use-signed-timestamps",
        "--use-signed-timestamps=true",
        "--use-signing-config",
        "--use-signing-config=true",
        "--verbose",
        "--verbose=false",
        "--verbose=true",
        "-d",
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


def plain_switches(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> list[str]:
    """``arguments`` with ``--switch=true`` as ``--switch``, and without ``--switch=false``: cosign takes both."""
    known = _switches(parser)
    plain: list[str] = []
    for number, argument in enumerate(arguments):
        if argument == "--":
            return [*plain, *arguments[number:]]
        flag, _, value = argument.partition("=")
        if flag not in known or value not in ("true", "false"):
            plain.append(argument)
        elif value == "true":
            plain.append(flag)
    return plain


def _switches(parser: argparse.ArgumentParser) -> set[str]:
    """The options of ``parser``, and of its actions, that take no value and are off unless they are given."""
    found: set[str] = set()
    for action in parser._actions:  # noqa: SLF001 - argparse has no other list of them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - the same
            found.update(*map(_switches, action.choices.values()))
        elif isinstance(action, argparse._StoreTrueAction) and action.default is False:  # noqa: SLF001 - the same
            found.update(action.option_strings)
    return found
