# SPDX-License-Identifier: Apache-2.0
"""The serving process: the event loop, readiness, the hourly look at the TUF repository, and an orderly end."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import web

from stack import logs
from stack.clients.table import FIRST, guide
from stack.compose import compose
from stack.config import Home
from stack.edge import Edge
from stack.files import save_file
from stack.gate import Gate
from stack.health import Check
from stack.logs import RequestLog
from stack.start import Plan, Prepared
from stack.tls_port import TlsPort
from stack.traffic import Traffic
from stack.trust.documents import timestamp_url
from stack.trust.publisher import finish_publisher, start_publisher
from stack.trust.serving import fingerprint
from tlog.log import Log

_log = logging.getLogger("sigbox")
REFRESH_S: Final = 3600
BACKLOG: Final = 1024
GC_OBJECTS: Final = 20_000
"""New objects between two looks for cycles: what 64 requests in flight hold is not looked through ten times each."""
DRAIN_S: Final = 8
"""Requests in flight get this long after SIGTERM."""
CANCEL_S: Final = 0.5
"""And their handlers this long after that, without anybody to answer to."""


def utc_now() -> datetime:
    """The one clock of the process."""
    return datetime.now(UTC)


def run(prepared: Prepared, plan: Plan) -> int:
    """Serve until SIGTERM or SIGINT; the answer is the exit code."""
    edge = Edge(Traffic(), RequestLog(logs.set_up(plan.log_format)))
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(prepared, plan, edge))
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not there on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(prepared: Prepared, plan: Plan, edge: Edge) -> None:
    """Start order: signals, keys, logs, routes, socket, TUF, ready.

    The end: no new connections, what is under way finishes, the logs commit what waits and close, the lock is let go.
    """
    stopping = asyncio.Event()
    _stop_on_signals(stopping, prepared, plan)
    oidc_key = await asyncio.wrap_future(prepared.oidc_key)
    home, settings = prepared.home, prepared.settings
    checks: dict[str, Check] = {} if prepared.tls is None else {"tls": prepared.tls.check}
    parts = (home, settings, prepared.material, oidc_key, prepared.issuers, utc_now)
    serving = compose(
        *parts,
        control_api=plan.control,
        edge=edge,
        checks=checks,
        logins=prepared.logins,
        elsewhere=prepared.elsewhere,
    )
    async with serving as (app, figures):
        site = web.AppRunner(app, handle_signals=False, shutdown_timeout=CANCEL_S)
        await site.setup()
        assert site.server is not None  # noqa: S101 - setup made it
        figures.gate = gate = Gate(site.server)
        try:
            server = await _listen(gate, prepared)
            finish_publisher(prepared.publisher)
            announce(prepared, plan.ready_file)
            gc.freeze()  # what a start makes stays: no collection needs to look at it
            gc.set_threshold(GC_OBJECTS)
            gc.enable()
            work = (_keep_up(prepared), _audit(figures.logs.values()), prepared.issuers.watch())
            background = [asyncio.create_task(one) for one in work]
            await stopping.wait()
            for task in background:
                task.cancel()
            server.close()
            edge.draining = True
            await gate.drain(DRAIN_S)
        finally:
            gate.close()
            await site.cleanup()
            edge.requests.flush()
            if plan.ready_file is not None:
                await asyncio.to_thread(plan.ready_file.unlink, missing_ok=True)


async def _listen(gate: Gate, prepared: Prepared) -> asyncio.Server | TlsPort:
    if prepared.tls is not None:
        return TlsPort(prepared.listener, gate, prepared.tls.context, BACKLOG)
    return await asyncio.get_running_loop().create_server(gate, sock=prepared.listener, backlog=BACKLOG)


def _stop_on_signals(stopping: asyncio.Event, prepared: Prepared, plan: Plan) -> None:
    """The first SIGTERM or SIGINT drains, the second one ends the process where it stands."""
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        if not stopping.is_set():
            _log.info("%s: finishing what is under way; a second signal ends it at once", number.name)
            stopping.set()
            return
        _log.warning("%s again: ended at once", number.name)
        if plan.ready_file is not None:
            plan.ready_file.unlink(missing_ok=True)
        if prepared.settings.ephemeral:
            shutil.rmtree(prepared.home.path, ignore_errors=True)
        os._exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)


async def _keep_up(prepared: Prepared) -> None:
    """Once an hour: re-sign what has less than half of its life left. A failure is said and tried again.

    Before that, now that everything answers: import what the first token will need.
    """
    await asyncio.to_thread(_import_jwt)
    while True:
        await asyncio.sleep(REFRESH_S)
        await _try("the TUF repository was not refreshed", partial(_refresh_tuf, prepared.home))
        if prepared.tls is not None:
            await _try("the TLS certificate was not renewed", partial(prepared.tls.renew, utc_now()))


async def _try(failure: str, work: Callable[[], None]) -> None:
    try:
        await asyncio.to_thread(work)
    except Exception:  # noqa: BLE001 - logged; what is in place stays good until it expires
        _log.exception("%s; next try in an hour", failure)


def _refresh_tuf(home: Home) -> None:
    signed = finish_publisher(start_publisher(home))
    if signed:
        _log.info("TUF roles signed anew: %s", signed)


async def _audit(logs: Iterable[Log]) -> None:
    """Every byte that the logs hold, one after the other: the start has looked at a sample only."""
    for log in logs:
        await log.audit_in_background()


def _import_jwt() -> None:
    import jwt  # noqa: F401, PLC0415 - so that the first token does not wait for it


def announce(prepared: Prepared, ready_file: Path | None) -> None:
    """Say that every role answers: to people on standard output, to programs in the ready file."""
    home, settings = prepared.home, prepared.settings
    lines = [f"sigbox serves {settings.url}", f"root fingerprint sha256:{fingerprint(home)}", f"data in {home.path}"]
    if settings.ephemeral:
        lines.append("UNTRUSTED: this stack is ephemeral, it ends with this process")
    for client in FIRST:
        lines += ["", *guide(client, home, settings).lines(everything=False)]
    lines += ["", "# other clients, and other ways: sigbox env CLIENT"]
    sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.flush()
    if ready_file is not None:
        save_file(ready_file, json.dumps(ready(prepared), indent=2).encode() + b"\n", durable=False)


def ready(prepared: Prepared) -> dict[str, str | int]:
    """The content of the ready file; paths are absolute."""
    home, settings = prepared.home, prepared.settings
    content: dict[str, str | int] = {
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
    if prepared.tls is not None and prepared.tls.authority is not None:
        content["tls_ca"] = str(prepared.tls.authority)
    return content
