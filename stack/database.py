# SPDX-License-Identifier: Apache-2.0
"""Logs in PostgreSQL, for whoever has a database in the settings; nothing else imports this, or needs what it needs."""

from __future__ import annotations

from pathlib import Path
from socket import gethostname

from sigcore.errors import Unavailable
from stack.config import Home, Settings
from tlog.host_file import HostFile

try:
    from tlog.storage.postgres import PostgresStore
    from tlog.storage.postgres_shared import SharedStore
except ModuleNotFoundError as missing:
    raise Unavailable(
        f"logs in PostgreSQL need {missing.name}, which is not installed",
        "pip install 'sigbox[postgres]', or from a checkout: pip install --require-hashes -r requirements/postgres.txt",
    ) from missing


def shared_store(home: Home, settings: Settings, role: str, anchor: Path) -> SharedStore:
    """The log ``role`` as the host with this data directory serves it; its identity lies beside its ``anchor``."""
    host = HostFile(anchor.with_suffix(".host"), f"{gethostname()}:{home.path}")
    return SharedStore(settings.database, role, host=host)


def store_to_read(settings: Settings, role: str) -> PostgresStore:
    """The log ``role``, open for reading beside whoever serves it; nothing is written."""
    store = PostgresStore(settings.database, role)
    store.open_for_reading()
    return store
