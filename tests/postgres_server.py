# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL servers for tests: in a folder of their own below the temporary one, on loopback, with fsync as in earnest."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.missing import missing
from tests.ports import free_port

USER = "postgres"
ROLE = "sigbox"
WAIT_S = 60
_SETTINGS = """
listen_addresses = '127.0.0.1'
shared_buffers = 32MB
max_connections = 100
max_wal_senders = 4
wal_level = replica
hot_standby = on
"""


def bindir() -> Path | None:
    """Where the newest installed server is; Debian keeps it off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    return Path(there).resolve().parent if there else None


def _owner() -> str | None:
    """PostgreSQL does not run as root."""
    return USER if os.geteuid() == 0 else None


@dataclass
class Server:
    """One server; ``folder`` has its data, its socket and its log."""

    folder: Path
    port: int

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        """For a role that may make schemas and nothing else, without a password."""
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        return f"postgresql://{ROLE}@127.0.0.1:{port}/postgres"

    def start(self) -> None:
        options = f"-c unix_socket_directories={self.folder} -c port={self.port}"
        self._run("pg_ctl", "start", "-w", "-D", self.data, "-l", self.folder / "log", "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """``immediate`` is as a crash: no checkpoint is written, the next start recovers."""
        self._run("pg_ctl", "stop", "-w", "-D", self.data, "-m", mode)

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "-w", "-D", self.data)

    def sql(self, *statements: str, database: str = USER) -> str:
        """What psql prints."""
        commands = [word for statement in statements for word in ("-c", statement)]
        return self._run("psql", "-XAtq", *self._where(database), *commands)

    def pg_dump(self, *options: str, database: str) -> None:
        """Into a file that :meth:`pg_restore` reads."""
        self._run("pg_dump", *options, *self._where(database), "-f", self.folder / "dump")

    def pg_restore(self, *, database: str) -> None:
        self._run("pg_restore", *self._where(database), self.folder / "dump")

    def _where(self, database: str) -> tuple[str, ...]:
        return ("-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database)

    def _run(self, program: str, *arguments: str | Path) -> str:
        where = bindir()
        assert where is not None
        # The server inherits these descriptors: a pipe would never end.
        with tempfile.TemporaryFile("w+") as output:
            command = [str(where / program), *map(str, arguments)]
            done = subprocess.run(
                command, cwd="/", stdout=output, stderr=output, user=_owner(), timeout=WAIT_S, check=False
            )
            output.seek(0)
            text = output.read()
        assert done.returncode == 0, f"{program} ended with {done.returncode}: {text}"
        return text.strip()


@contextmanager
def _folder() -> Iterator[Path]:
    """Readable by whoever the server runs as, which pytest's own folders are not."""
    folder = Path(tempfile.mkdtemp(prefix="sigbox-pg-"))
    try:
        if owner := _owner():
            shutil.chown(folder, owner, pwd.getpwnam(owner).pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_server(settings: str = "") -> Iterator[Server]:
    """A new server for the length of a block; the test that asks is skipped where there can be none."""
    if bindir() is None:
        missing("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    with _folder() as folder:
        server = Server(folder, free_port())
        server._run("initdb", "-D", server.data, "-U", USER, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        with (server.data / "postgresql.conf").open("a") as file:
            file.write(_SETTINGS + settings)
        server.start()
        try:
            server.sql(f"CREATE ROLE {ROLE} LOGIN", f"GRANT CREATE ON DATABASE postgres TO {ROLE}")
            yield server
        finally:
            _end(server)


@contextmanager
def running_standby(primary: Server) -> Iterator[Server]:
    """A replica that follows ``primary`` by streaming."""
    with _folder() as folder:
        standby = Server(folder, free_port())
        source = f"host=127.0.0.1 port={primary.port} user={USER}"
        standby._run("pg_basebackup", "-D", standby.data, "-d", source, "-R", "-X", "stream", "-c", "fast")
        standby.start()
        try:
            yield standby
        finally:
            _end(standby)


def _end(server: Server) -> None:
    if (server.data / "postmaster.pid").exists():
        server.stop("immediate")
