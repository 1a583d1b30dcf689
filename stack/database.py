# SPDX-License-Identifier: Apache-2.0
"""Logs in PostgreSQL, for whoever has a database in the settings; nothing else imports this, or needs what it needs."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from socket import gethostname
from typing import Final
from urllib.parse import parse_qsl, unquote

from sigcore.errors import Unavailable
from stack.config import Home, Settings, is_loopback
from tlog.host_file import HostFile

try:
    from tlog.storage.postgres import PostgresStore
    from tlog.storage.postgres_session import look_at, says_no_tables
    from tlog.storage.postgres_shared import SharedStore
except ModuleNotFoundError as missing:
    raise Unavailable(
        f"logs in PostgreSQL need {missing.name}, which is not installed",
        "pip install 'sigbox[postgres]', or from a checkout: pip install --require-hashes -r requirements/postgres.txt",
    ) from missing

PROVEN: Final = ("verify-ca", "verify-full")
"""Values of ``sslmode`` with which a server has to show a certificate (PostgreSQL 15, section 34.19)."""
ASK_FOR_PROOF: Final = "add sslmode=verify-full to its URL, and sslrootcert=FILE where ~/.postgresql/root.crt is not it"

_log = logging.getLogger("sigbox")

__all__ = ["ASK_FOR_PROOF", "look_at", "says_no_tables", "shared_store", "store_to_read", "unproven"]


def shared_store(home: Home, settings: Settings, role: str, anchor: Path) -> SharedStore:
    """The log ``role`` as the host with this data directory serves it; its identity lies beside its ``anchor``."""
    if found := unproven(settings.database):
        _log.warning("the log %s: %s; %s", role, found, ASK_FOR_PROOF)
    host = HostFile(anchor.with_suffix(".host"), f"{gethostname()}:{home.path}")
    return SharedStore(settings.database, role, host=host)


def store_to_read(settings: Settings, role: str) -> PostgresStore:
    """The log ``role``, open for reading beside whoever serves it; nothing is written."""
    store = PostgresStore(settings.database, role)
    store.open_for_reading()
    return store


def unproven(url: str) -> str:
    """What is wrong with a URL whose servers are on other machines and need not prove who they are; empty where all is well.

    Without ``sslmode`` the driver takes no TLS at all when it is offered none, and with ``require`` anybody's certificate.
    """
    before, _, query = url.partition("://")[2].partition("?")
    fields = dict(parse_qsl(query, keep_blank_values=True))
    mode = fields.get("sslmode") or os.environ.get("PGSSLMODE", "")
    if mode in PROVEN:
        return ""
    named = before.partition("/")[0].rpartition("@")[2] or fields.get("host") or os.environ.get("PGHOST", "")
    hosts = [_name(unquote(one)) for one in named.split(",")]
    far = [host for host in hosts if host and not host.startswith("/") and not is_loopback(host)]
    if not far:
        return ""
    said = f"sslmode={mode}" if mode else "no sslmode"
    return f"the database on {', '.join(far)} is reached with {said}: anybody on the way can answer in its place"


def _name(host: str) -> str:
    """Without its port and brackets; a folder of sockets as it is."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.startswith("/") else host.partition(":")[0]
