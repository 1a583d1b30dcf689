# SPDX-License-Identifier: Apache-2.0
"""From a command line to a running process: bind, prepare the data directory, publish the trust root, serve.

The order is chosen for a fast start: the socket is bound first (its port may be part of the URL), the TUF repository is
signed by a child process on another core, and aiohttp, half of the start, is imported meanwhile.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sigcore.errors import Unavailable
from stack import bootstrap
from stack.config import Home
from stack.issuers import load_issuers
from stack.lock import held
from stack.quick_import import import_server
from stack.start import Plan, Prepared
from stack.trust.documents import save_documents
from stack.trust.publisher import start_publisher


def serve(plan: Plan) -> int:
    """Serve until a signal; the answer is the exit code.

    Raises:
        Unavailable: the address is taken. Refused: another process serves this data directory.
    """
    with _listener(plan.host, plan.port) as listener, _home(plan.home) as home, held(home.path):
        port = listener.getsockname()[1]
        url = plan.url or f"http://localhost:{port}"
        now = datetime.now(UTC)
        settings = bootstrap.prepare(home, url=plan.url, default_url=url, ephemeral=plan.home is None, now=now)
        oidc_key = ThreadPoolExecutor(1, "oidc-key").submit(bootstrap.oidc_key, home, settings)
        material = bootstrap.load_material(home)
        save_documents(home, material, settings)
        issuers = tuple(issuer for file in (home.settings_file, plan.config) if file for issuer in load_issuers(file))
        prepared = Prepared(home, settings, material, listener, oidc_key, start_publisher(home), issuers)
        import_server()
        # Deferred: everything that imports aiohttp comes after that.
        from stack.running import run  # noqa: PLC0415 - see the line above

        return run(prepared, control=plan.control, ready_file=plan.ready_file)


@contextmanager
def _listener(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            hint = "another program listens there; --listen 127.0.0.1:0 picks a free port"
            raise Unavailable(f"cannot listen on {host}:{port}: {error.strerror}", hint) from error
        yield listener


@contextmanager
def _home(home: Home | None) -> Iterator[Home]:
    """The given directory, or a temporary one that ends with the process."""
    if home is not None:
        yield home
        return
    folder = Path(tempfile.mkdtemp(prefix="sigbox-ephemeral-"))
    try:
        yield Home(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
