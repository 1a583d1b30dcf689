# SPDX-License-Identifier: Apache-2.0
"""From the value of ``--tls`` to a context that stays good while the process runs."""

from __future__ import annotations

from datetime import datetime

from stack import tls_authority
from stack.config import Home, Settings
from stack.start import ServerTls
from stack.tls import AUTO, TlsFiles, check_certificate, load_files, make_context


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
    context = make_context(files, settings.host, now)

    def renew(at: datetime) -> None:
        if wanted == AUTO:
            tls_authority.prepare(home, settings, at)
        reload(at)

    def reload(at: datetime) -> None:
        load_files(context, files, settings.host, at)

    def check(at: datetime) -> None:
        check_certificate(files.certificate, settings.host, at)

    return ServerTls(context, renew, reload, check, home.tls_ca if wanted == AUTO else None)
