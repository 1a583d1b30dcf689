# SPDX-License-Identifier: Apache-2.0
"""The serving process: the event loop, readiness, the hourly look at the TUF repository, and an orderly end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aiohttp import web

from stack.clients.table import FIRST, guide
from stack.compose import compose
from stack.config import Home, Settings
from stack.files import save_file
from stack.start import Prepared
from stack.trust.documents import timestamp_url
from stack.trust.publisher import finish_publisher, start_publisher
from stack.trust.serving import fingerprint

_log = logging.getLogger("sigbox")
REFRESH_S: Final = 3600
DRAIN_S: Final = 8
"""Requests in flight get this long after SIGTERM."""


def utc_now() -> datetime:
    """The one clock of the process."""
    return datetime.now(UTC)


def run(prepared: Prepared, *, control: bool, ready_file: Path | None) -> int:
    """Serve until SIGTERM or SIGINT; the answer is the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(prepared, control=control, ready_file=ready_file))
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not there on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(prepared: Prepared, *, control: bool, ready_file: Path | None) -> None:
    """Start order: signals, keys, logs, routes, TUF, ready. The end runs it backwards."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    home, settings = prepared.home, prepared.settings
    oidc_key = await asyncio.wrap_future(prepared.oidc_key)
    parts = (home, settings, prepared.material, oidc_key, prepared.issuers, utc_now)
    async with compose(*parts, control_api=control) as app:
        site = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=DRAIN_S)
        await site.setup()
        try:
            await web.SockSite(site, prepared.listener, backlog=1024).start()
            finish_publisher(prepared.publisher)
            announce(home, settings, ready_file)
            refresher = asyncio.create_task(_refresh(home))
            await stopping.wait()
            refresher.cancel()
        finally:
            await site.cleanup()
            if ready_file is not None:
                await asyncio.to_thread(ready_file.unlink, missing_ok=True)


async def _refresh(home: Home) -> None:
    """Once an hour: re-sign what has less than half of its life left. A failure is said and tried again.

    Before that, now that everything answers: import what the first token will need.
    """
    await asyncio.to_thread(_import_jwt)
    while True:
        await asyncio.sleep(REFRESH_S)
        try:
            signed = await asyncio.to_thread(lambda: finish_publisher(start_publisher(home)))
        except Exception:  # noqa: BLE001 - logged; the repository in place stays good until it expires
            _log.exception("the TUF repository was not refreshed; next try in an hour")
        else:
            if signed:
                _log.info("TUF roles signed anew: %s", signed)


def _import_jwt() -> None:
    import jwt  # noqa: F401, PLC0415 - so that the first token does not wait for it


def announce(home: Home, settings: Settings, ready_file: Path | None) -> None:
    """Say that every role answers: to people on standard output, to programs in the ready file."""
    lines = [f"sigbox serves {settings.url}", f"root fingerprint sha256:{fingerprint(home)}", f"data in {home.path}"]
    if settings.ephemeral:
        lines.append("UNTRUSTED: this stack is ephemeral, it ends with this process")
    for client in FIRST:
        lines += ["", *guide(client, home, settings).lines(everything=False)]
    lines += ["", "# other clients, and other ways: sigbox env CLIENT"]
    sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.flush()
    if ready_file is not None:
        save_file(ready_file, json.dumps(ready(home, settings), indent=2).encode() + b"\n", durable=False)


def ready(home: Home, settings: Settings) -> dict[str, str | int]:
    """The content of the ready file; paths are absolute."""
    return {
        "url": settings.url,
        "pid": os.getpid(),
        "data": str(home.path),
        "trusted_root": str(home.trusted_root),
        "signing_config": str(home.signing_config),
        "trust_config": str(home.trust_config),
        "tuf_root": str(home.tuf_root),
        "tuf_mirror": f"{settings.url}/tuf",
        "oidc_issuer": settings.issuer,
        "timestamp_url": timestamp_url(settings),
    }
