# SPDX-License-Identifier: Apache-2.0
"""cosign's options for the URL of one service, each in the place of those of its kind in the signing config.

As with cosign, they do not go with ``--signing-config``: two answers to one question. What a service of such a URL hands out is
verified as ever: it must be of the trusted root.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from sigcore.signing_config import Selector, Service, SigningConfig
from sigcore.strict import shown
from sigcore.trustroot import Validity
from stack.cli.usage import Usage, not_empty

_ABOUT = {
    "fulcio_url": "the certificate authority",
    "rekor_url": "the log, of Rekor v1 unless --rekor-version says 2",
    "oidc_issuer": "the OpenID provider whose login is taken",
    "timestamp_server_url": "the timestamp authority, with the path",
}
_ALWAYS = Validity(datetime(1970, 1, 1, tzinfo=UTC))


def add_service_options(parser: argparse.ArgumentParser) -> None:
    """``--fulcio-url``, ``--rekor-url``, ``--oidc-issuer``, ``--timestamp-server-url``."""
    group = parser.add_argument_group("services", "instead of those of the signing config; https, or http on loopback")
    for name, about in _ABOUT.items():
        group.add_argument(f"--{name.replace('_', '-')}", metavar="URL", type=not_empty, help=about)
    parser.set_defaults(takes_services=True)


def with_named_services(options: argparse.Namespace, config: SigningConfig) -> SigningConfig:
    """``config`` with the services that are named instead of its own.

    Raises:
        Usage: a URL that is none or would send secrets in the clear; one beside ``--signing-config``.
    """
    if not getattr(options, "takes_services", False):
        return config  # repair-image has another --rekor-url
    given = {name: url for name in _ABOUT if (url := getattr(options, name))}
    for name, url in given.items():
        option = f"--{name.replace('_', '-')}"
        if options.signing_config:
            raise Usage(f"{option} and --signing-config are given", "leave one of them out: both say whom to ask")
        _check(option, url)

    def of(name: str, kept: tuple[Service, ...], version: int = 1) -> tuple[Service, ...]:
        return (Service(given[name], version, _ALWAYS),) if name in given else kept

    return replace(
        config,
        ca=of("fulcio_url", config.ca),
        oidc=of("oidc_issuer", config.oidc),
        rekor=of("rekor_url", config.rekor, options.rekor_version or 1),
        tsa=of("timestamp_server_url", config.tsa),
        rekor_selector=Selector() if "rekor_url" in given else config.rekor_selector,
        tsa_selector=Selector() if "timestamp_server_url" in given else config.tsa_selector,
    )


def _check(option: str, url: str) -> None:
    # Deferred: most sign without it.
    from stack.config import is_loopback  # noqa: PLC0415 - see the line above

    try:
        parts = urlsplit(url)
        scheme, host, secret = parts.scheme, parts.hostname or "", parts.username or parts.password
    except ValueError:
        scheme, host, secret = "", "", None
    if not host or secret or not (scheme == "https" or (scheme == "http" and is_loopback(host))):
        raise Usage(
            f"{option} is {shown(url, 200)}, expected an https URL, or http on this machine", "the token travels there"
        )
