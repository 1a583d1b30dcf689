# SPDX-License-Identifier: Apache-2.0
"""The options that say what is trusted, the same for every command that signs or verifies."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime

from client.root import load_trusted_root as load_root_file
from sigcore.errors import Malformed, NotFound
from sigcore.strict import shown
from sigcore.trustroot import TrustedRoot
from stack.cli.usage import not_empty

_VARIABLES = {
    "trust_config": "SIGBOX_TRUST_CONFIG",
    "trusted_root": "SIGBOX_TRUSTED_ROOT",
    "signing_config": "SIGBOX_SIGNING_CONFIG",
}
_PARTS = (
    "SIGSTORE_ROOT_FILE",
    "SIGSTORE_REKOR_PUBLIC_KEY",
    "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE",
    "SIGSTORE_TSA_CERTIFICATE_FILE",
)
"""cosign's, each for one part of a trusted root."""


def add_root_options(parser: argparse.ArgumentParser) -> None:
    """``--trust-config``, ``--trusted-root``, ``--signing-config``: the last is read over where nothing is signed."""
    group = parser.add_argument_group("trust", "options win over variables; nothing is trusted on first use")
    group.add_argument(
        "--trust-config", metavar="FILE", type=not_empty, help="ClientTrustConfig: both in one ($SIGBOX_TRUST_CONFIG)"
    )
    group.add_argument(
        "--trusted-root", metavar="FILE", type=not_empty, help="trusted_root.json ($SIGBOX_TRUSTED_ROOT)"
    )
    group.add_argument(
        "--signing-config", metavar="FILE", type=not_empty, help="signing config v0.2 ($SIGBOX_SIGNING_CONFIG)"
    )


def add_trust_options(parser: argparse.ArgumentParser) -> None:
    """The same, and ``--ca-file`` for the services that are asked."""
    add_root_options(parser)
    parser.add_argument(
        "--ca-file",
        metavar="PEM",
        help="certificate authorities to trust for https, instead of the system's and $SSL_CERT_FILE",
    )


def load_trusted_root(options: argparse.Namespace) -> TrustedRoot:
    """The trusted root, for verifying. Errors as :func:`client.trust.load_trust`."""
    try:
        return _load_trusted_root(options)
    except Malformed as error:
        error.hint = (
            error.hint
            or "get it again from whoever runs the services, over a way that you trust; or: sigbox initialize"
        )
        error.step = error.step or "trust"
        raise


def _load_trusted_root(options: argparse.Namespace) -> TrustedRoot:
    files = given_trust(options)
    if set(files) <= {"trusted_root", "signing_config"} and "trusted_root" in files:
        return load_root_file(files["trusted_root"])
    if set(files) <= {"signing_config"}:
        # Deferred: hardly anybody names the parts one by one.
        from client.named_parts import load_named_parts  # noqa: PLC0415 - see the line above

        return load_named_parts(os.environ)
    # Deferred: a trust config holds a signing config too, whose code costs time that verifying seldom needs.
    from client.trust import load_trust  # noqa: PLC0415 - see the line above

    return load_trust(**files).root


def given_trust(options: argparse.Namespace) -> dict[str, str]:
    """The files that say what is trusted, and which services are asked.

    1. What is trusted: what the options name, else the variables, else the TUF cache of ours, else the parts that cosign's
       variables name, else the cache of cosign. Where both are named, a trusted root comes before a trust config. For the parts
       the answer names no root: they are enough to verify, and a command that signs says that nothing is to be trusted.
    2. The services: those of the same place, unless a signing config is named there or in a place before it. It says nothing
       about trust, so it stands beside any root.

    Raises:
        NotFound: there is none. Refused, Unavailable: the cache has expired, and cannot be fetched anew.
    """
    named: dict[str, str | None] = {name: getattr(options, name) for name in _VARIABLES}
    services: dict[str, str] = {}
    for given in named, {name: os.environ.get(variable) for name, variable in _VARIABLES.items()}:
        if given["signing_config"] and not services:  # 2
            services = {"signing_config": given["signing_config"]}
        for name in ("trusted_root", "trust_config"):  # 1
            if path := given[name]:
                return {name: path, **services}
    options.trust_is_kept = True
    return _cached_trust(options) | services


def _cached_trust(options: argparse.Namespace) -> dict[str, str]:
    """What ``sigbox initialize`` has kept, or cosign; ours is fetched again when it has expired, and only then.

    Empty where parts are named, which come before what cosign keeps.
    """
    # Deferred: not needed where files are named.
    from client.tuf_cache import check_fresh, find_cache  # noqa: PLC0415 - see the line above

    cache, now = find_cache(os.environ), datetime.now(UTC)
    if (cache is None or not cache.ours) and any(map(os.environ.get, _PARTS)):
        options.trust_is_kept = False
        return {}
    if cache is None and (mirror := os.environ.get("TUF_MIRROR")):
        raise NotFound(
            f"TUF_MIRROR names {shown(mirror, 200)}, of which nothing is kept here, and nothing else says what to trust",
            "pin it: sigbox initialize --root FILE (or TUF_ROOT_JSON), which takes the mirror from TUF_MIRROR",
        )
    if cache is None:
        raise NotFound(
            "there is nothing to trust",
            "give --trust-config FILE, set SIGBOX_TRUST_CONFIG (`sigbox env sigbox` prints the line for your stack), "
            "or pin a TUF mirror: sigbox initialize --mirror URL --root FILE",
        )
    if cache.ours and now >= cache.expires:
        # Deferred: python-tuf costs more than a whole verification.
        from client.tuf_mirror import refresh, trust_for  # noqa: PLC0415 - see the line above

        cache = refresh(cache, trust_for(getattr(options, "ca_file", None)))
    return check_fresh(cache, now)
