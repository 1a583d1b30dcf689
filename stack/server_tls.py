# SPDX-License-Identifier: Apache-2.0
"""From the value of ``--tls`` to a context that stays good while the process runs."""

from __future__ import annotations

from datetime import datetime

from stack import tls_authority
from stack.config import Home, Settings
from stack.start import ServerTls
from stack.tls import AUTO, TlsFiles, load_files, make_context


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
    if wanted != AUTO:
        given = TlsFiles.given(wanted)
        context = make_context(given, settings.host, now)
        return ServerTls(context, lambda at: load_files(context, given, settings.host, at), None)

    own = make_context(tls_authority.prepare(home, settings, now), settings.host, now)

    def renew(at: datetime) -> None:
        load_files(own, tls_authority.prepare(home, settings, at), settings.host, at)

    return ServerTls(own, renew, home.tls_ca)
