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
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from stack import logs
from stack.compose import compose
from stack.edge import Edge
from stack.ending import came_before, ending_signals
from stack.figures import Figures
from stack.files import save_file
from stack.gate import Gate
from stack.health import Check
from stack.logs import RequestLog
from stack.plain_port import PlainPort
from stack.service import working
from stack.start import Plan, Prepared, ServerTls
from stack.tls_port import TlsPort, taken
from stack.traffic import Traffic
from stack.trust.documents import timestamp_url
from stack.trust.serving import fingerprint
from stack.upkeep import REFRESH_S, attempt, refresh
from tlog.log import Log

if TYPE_CHECKING:
    from stack.renewal import Renewal

_log = logging.getLogger("sigbox")
BACKLOG: Final = 1024
GC_OBJECTS: Final = 20_000
"""New objects between two looks for cycles: what 64 requests in flight hold is not looked through ten times each."""
DRAIN_S: Final = 8
"""Requests in flight get this long after SIGTERM."""
AUDIT_S: Final = 86_400
"""Between two audits."""
CANCEL_S: Final = 0.5
"""And their handlers this long after that, without anybody to answer to."""


def utc_now() -> datetime:
    """The one clock of the process."""
    return datetime.now(UTC)


def run(prepared: Prepared, plan: Plan) -> int:
    """Serve until SIGTERM or SIGINT; the answer is the exit code."""
    serve = partial(_serve, prepared, plan)
    run_loop(plan.log_format, plan.ready_file, serve, behind_proxy=plan.behind_proxy, quota=plan.quota)
    return 0


def run_loop(
    log_format: str | None,
    ready_file: Path | None,
    serve: Callable[[Edge], Coroutine[Any, Any, None]],
    *,
    behind_proxy: bool = False,
    quota: int | None = None,
    share: int = 1,
) -> None:
    """``serve`` in an event loop of its own; the ready file goes with it. ``quota``, ``share``: :class:`stack.quota.Quota`."""
    counted = None
    if quota is not None:
        from stack.quota import Quota  # noqa: PLC0415 - few stacks have one

        counted = Quota(quota, share)
    edge = Edge(Traffic(), RequestLog(logs.set_up(log_format)), behind_proxy=behind_proxy, quota=counted)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(edge))
    finally:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)


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

    def clean_up() -> None:
        if plan.ready_file is not None:
            plan.ready_file.unlink(missing_ok=True)
        if prepared.settings.ephemeral:
            shutil.rmtree(prepared.home.path, ignore_errors=True)

    stop_on_signals(stopping, clean_up)
    oidc_key = await asyncio.wrap_future(prepared.oidc_key)
    renewal = _renewal_of(prepared, plan, oidc_key, edge)
    serving = composed(prepared, plan, oidc_key, edge, {}) if renewal is None else renewal

    def now_ready() -> None:
        prepared.publication.finish()
        if renewal is not None:
            renewal.remember()
        announce(prepared, plan.ready_file)

    work: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = (partial(keep_up, prepared), prepared.issuers.watch)
    async with serving as (app, figures):
        await answer(app, figures, edge, prepared.listener, prepared.tls, now_ready, work, stopping, renewal=renewal)


def _renewal_of(prepared: Prepared, plan: Plan, oidc_key: rsa.RSAPrivateKey, edge: Edge) -> Renewal | None:
    """What makes a stack for tests anew; several processes are not."""
    if not plan.control:
        return None
    from stack.renewal import Renewal  # noqa: PLC0415 - few stacks are reset

    return Renewal(prepared.home, edge, lambda renew: composed(prepared, plan, oidc_key, edge, {}, renew))


def composed(
    prepared: Prepared,
    plan: Plan,
    oidc_key: rsa.RSAPrivateKey,
    edge: Edge,
    checks: Mapping[str, Check],
    renew: Callable[[], Awaitable[None]] | None = None,
) -> AbstractAsyncContextManager[tuple[web.Application, Figures]]:
    """All roles of what was prepared; readiness asks ``checks``, too."""
    tls: dict[str, Check] = {} if prepared.tls is None else {"tls": _in_real_time(prepared.tls.check)}
    parts = (prepared.home, prepared.settings, prepared.material, oidc_key, prepared.issuers, _clock_of(prepared, plan))
    return compose(
        *parts,
        control_api=plan.control,
        edge=edge,
        checks={**tls, **checks},
        logins=prepared.logins,
        elsewhere=prepared.elsewhere,
        console=prepared.console,
        workers=plan.workers is not None,
        renew=renew,
    )


def _in_real_time(check: Check) -> Check:
    """Clients compare the certificate of a connection with their own clock, wherever that of the stack stands."""
    return lambda _now: check(utc_now())


def _clock_of(prepared: Prepared, plan: Plan) -> Callable[[], datetime]:
    """The time of day; of a stack for tests a clock that may be turned, unless several processes would have to."""
    if plan.workers is not None or not (plan.control or plan.clock):
        return utc_now
    from stack.turned_clock import TurnedClock  # noqa: PLC0415 - few stacks have another time than everybody

    return TurnedClock(prepared.home)


async def answer(
    app: web.Application,
    figures: Figures,
    edge: Edge,
    listener: socket.socket,
    tls: ServerTls | None,
    now_ready: Callable[[], None],
    work: Iterable[Callable[[], Coroutine[Any, Any, None]]],
    stopping: asyncio.Event,
    *,
    renewal: Renewal | None = None,
) -> None:
    """Answer on ``listener``, call ``now_ready``, do ``work`` beside it; when it is time to stop, finish what is under way."""
    site = _site(app)
    await site.setup()
    assert site.server is not None  # noqa: S101 - setup made it
    figures.gate = gate = Gate(site.server)
    try:
        server = await _listen(gate, listener, tls)
        now_ready()
        gc.freeze()  # what a start makes stays: no collection needs to look at it
        gc.set_threshold(GC_OBJECTS)
        gc.enable()
        background = [asyncio.create_task(one()) for one in work]
        if renewal is None:
            background.append(asyncio.create_task(audit_daily(figures.logs)))
            await stopping.wait()
        else:
            site = await renewal.until(stopping, gate, site, _site, audit_daily)
        for task in background:
            task.cancel()
        edge.draining = True
        waiting = taken(listener)
        server.close()
        await _greet(waiting, server, gate)
        await gate.drain(DRAIN_S)
    finally:
        gate.close()
        await site.cleanup()
        edge.requests.flush()


def _site(app: web.Application) -> web.AppRunner:
    return web.AppRunner(app, handle_signals=False, shutdown_timeout=CANCEL_S)


async def _listen(gate: Gate, listener: socket.socket, tls: ServerTls | None) -> asyncio.Server | PlainPort | TlsPort:
    if tls is not None:
        return TlsPort(listener, gate, tls.context, BACKLOG)
    if listener.family == socket.AF_UNIX:
        return await asyncio.get_running_loop().create_unix_server(gate, sock=listener, backlog=BACKLOG)
    port = PlainPort(listener, gate, BACKLOG)
    await port.open()
    return port


async def _greet(waiting: Iterable[socket.socket], server: asyncio.Server | PlainPort | TlsPort, gate: Gate) -> None:
    loop = asyncio.get_running_loop()
    for connection in waiting:
        if isinstance(server, TlsPort):
            server.greet(connection)
        else:
            await loop.connect_accepted_socket(gate, connection)


def stop_on_signals(stopping: asyncio.Event, clean_up: Callable[[], None]) -> None:
    """The first SIGTERM, SIGINT or SIGHUP drains, the second one cleans up and ends the process where it stands."""
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        if not stopping.is_set():
            _log.info("%s: finishing what is under way; a second signal ends it at once", number.name)
            stopping.set()
            return
        _log.warning("%s again: ended at once", number.name)
        clean_up()
        os._exit(128 + number)

    before = [signal.getsignal(number) for number in ending_signals()]
    for number in ending_signals():
        loop.add_signal_handler(number, stop, number)
    if (came := came_before(before)) is not None:
        stop(came)


async def keep_up(prepared: Prepared) -> None:
    """Once an hour: re-sign what has less than half of its life left. A failure is said and tried again.

    Before that, now that everything answers: import what the first token will need, and say what ends soon.
    """
    await asyncio.to_thread(_import_jwt)
    async with working(partial(_tell_endings, prepared)):
        while True:
            await asyncio.sleep(REFRESH_S)
            await refresh(prepared.home)
            if prepared.tls is not None:
                await attempt("the TLS certificate was not renewed", partial(prepared.tls.renew, utc_now()))


async def _tell_endings(prepared: Prepared) -> None:
    if not prepared.settings.ephemeral:  # which ends with its process, and was made for it
        await asyncio.to_thread(_import_endings)
        from stack.endings import tell_endings  # noqa: PLC0415 - imported already, on another thread

        await tell_endings(prepared.home, prepared.tls, utc_now)


async def audit_daily(logs: Mapping[str, Log]) -> None:
    """:func:`audit_all`, a day after it has ended again: what a disk has forgotten is found before an entry is asked for."""
    while True:
        await audit_all(logs)
        await asyncio.sleep(AUDIT_S)


async def audit_all(logs: Mapping[str, Log]) -> None:
    """Every byte that the logs hold, one after the other: the start has looked at a sample only. Logs may be added meanwhile."""
    done = set[str]()
    while ahead := [name for name in logs if name not in done]:
        log = logs[ahead[0]]
        done.add(ahead[0])
        try:
            await log.audit_in_background()
        except Exception:  # noqa: BLE001 - logged; the other logs are audited all the same
            _log.exception("the audit of the log %s failed", log.publisher.origin)


def _import_endings() -> None:
    import stack.endings  # noqa: F401, PLC0415 - so that no request waits for it


def _import_jwt() -> None:
    import jwt  # noqa: F401, PLC0415 - so that the first token does not wait for it


def announce(prepared: Prepared, ready_file: Path | None) -> None:
    """Say that every role answers: to people on standard output, to programs in the ready file."""
    if ready_file is not None:
        save_file(ready_file, json.dumps(ready(prepared), indent=2).encode() + b"\n", durable=False)
    # Deferred: programs need not wait for lines that are for people.
    from stack.clients.table import FIRST, guide  # noqa: PLC0415 - see the line above

    home, settings = prepared.home, prepared.settings
    lines = [f"sigbox serves {settings.url}", f"root fingerprint sha256:{fingerprint(home)}", f"data in {home.path}"]
    if settings.ephemeral:
        lines.append("UNTRUSTED: this stack is ephemeral, it ends with this process")
    for client in FIRST:
        lines += ["", *guide(client, home, settings).lines(everything=False)]
    lines += ["", "# other clients, and other ways: sigbox env CLIENT"]
    sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.flush()


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
        "tuf_mirror": f"{settings.at('trust')}/tuf",
        "oidc_issuer": settings.issuer,
        "timestamp_url": timestamp_url(settings),
    }
    if prepared.tls is not None and prepared.tls.authority is not None:
        content["tls_ca"] = str(prepared.tls.authority)
    return content
