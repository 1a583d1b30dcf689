# SPDX-License-Identifier: Apache-2.0
"""From the value of ``--tls`` to a context that stays good while the process runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from sigcore.errors import NotFound
from stack import tls_authority
from stack.config import Home, Settings
from stack.start import ServerTls
from stack.tls import AUTO, TlsFiles, check_certificate, load_files, make_context

_log = logging.getLogger("sigbox")


def make_server_tls(wanted: str, home: Home, settings: Settings, now: datetime) -> ServerTls:
    """The TLS of a serving process.

    Args:
        wanted: ``auto``, or ``CERT,KEY``.
        home: where our own authority is kept.
        settings: for the host that the certificate must be for.
        now: the moment at which it must be valid.

    Raises:
        NotFound, Malformed, Refused: as :func:`stack.tls.make_context`.
    """
    files = tls_authority.prepare(home, settings, now) if wanted == AUTO else TlsFiles.given(wanted)
    make_anew = partial(tls_authority.prepare, home, settings) if wanted == AUTO else _leave
    return _serving(files, settings.host, now, make_anew, home.tls_ca if wanted == AUTO else None)


def make_role_tls(wanted: str, home: Home, role: str, host: str, now: datetime) -> ServerTls:
    """The same for the process of one role, which reads certificates and makes none: the authority's key is not in its folder.

    Raises:
        NotFound, Malformed, Refused: as above; ``auto`` where ``sigbox init`` has issued no certificate.
    """
    files = TlsFiles.of_role(home, role) if wanted == AUTO else TlsFiles.given(wanted)
    if wanted == AUTO and not files.certificate.exists():
        raise NotFound(
            f"there is no {files.certificate}: nobody has issued a certificate for this role",
            "sigbox init --tls auto does it, where the keys of all roles are; or give --tls CERT,KEY",
        )

    def look(at: datetime) -> None:
        if wanted == AUTO and (left := files.left(at)) < tls_authority.RENEW:
            _log.warning("the TLS certificate of %s ends in %d days; sigbox init issues another one", role, left.days)

    look(now)
    return _serving(files, host, now, look, home.tls_ca if wanted == AUTO else None)


def _leave(_at: datetime) -> None:
    """Files of the operator's are his to renew."""


def _serving(
    files: TlsFiles, host: str, now: datetime, before: Callable[[datetime], object], authority: Path | None
) -> ServerTls:
    context = make_context(files, host, now)

    def renew(at: datetime) -> None:
        before(at)
        reload(at)

    def reload(at: datetime) -> None:
        load_files(context, files, host, at)

    return ServerTls(context, renew, reload, partial(check_certificate, files.certificate, host), authority)
