# SPDX-License-Identifier: Apache-2.0
"""From a command line to a running process: bind, prepare the data directory, publish the trust root, serve.

The order is chosen for a fast start: the child process that signs the TUF repository, on another core, is forked first, then the
socket is bound (its port may be part of the URL), and aiohttp, half of the start, is imported while the child signs.
"""

from __future__ import annotations

import errno
import gc
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

from sigcore.errors import Malformed, Unavailable
from stack import bootstrap
from stack.config import ROLES, Home, Settings
from stack.config_file import ISSUERS_ONLY
from stack.console_rules import load_console_rules
from stack.core_dumps import forbid_attaching, forbid_core_dumps
from stack.elsewhere import load_elsewhere
from stack.ending import Ending, came_before, ending_signals
from stack.generations import load_generations, wait_begun
from stack.live_issuers import LiveIssuers, issuer_files
from stack.lock import LOCK, held, serving
from stack.login_rules import load_login_rules
from stack.quick_import import import_server
from stack.start import Plan, Prepared, ServerTls
from stack.trust.documents import save_documents, unrotated
from stack.trust.first_publication import first_publication
from stack.trust.windows import unpublished


def serve(plan: Plan) -> int:
    """Serve until a signal; the answer is the exit code.

    A first start that fails leaves the data directory as it was: not there, or empty.

    Raises:
        Unavailable: the address is taken. Refused: another process serves this data directory. OSError: the disk refuses.
    """
    gc.disable()  # until everything answers: stack.running
    forbid_core_dumps()
    forbid_attaching()
    with (
        ended_by_sigterm(),
        _home(plan.home) as home,
        first_publication(home) as publication,  # before there is anything that its process must not have
        listening(plan.host, plan.port) as listener,
        _claimed(home.path, plan.ready_file) as undo,
        ExitStack() as locks,
    ):
        undo.callback(publication.end)  # before what it writes is taken away
        now = datetime.now(UTC)
        url = plan.url or f"{'https' if plan.tls else 'http'}://{_reached_at(plan.host)}:{listener.getsockname()[1]}"
        alone = plan.home is None  # nobody knows of an ephemeral stack's directory
        fresh = not home.settings_file.exists()
        thread = ThreadPoolExecutor(1, "oidc-key")
        undo.callback(thread.shutdown)  # before the rest is taken away: it writes a key
        making = (
            thread.submit(bootstrap.make_oidc_key, plan.seed) if fresh else None
        )  # takes longer than all else that is made
        if not alone and not fresh:
            locks.enter_context(serving(home.path, *ROLES))
        made = now if plan.clock is None else min(now, plan.clock)
        settings = bootstrap.prepare(home, url=plan.url, default_url=url, ephemeral=alone, now=made, seed=plan.seed)
        if plan.clock is not None:
            _set_clock(home, settings, plan.clock, stopped=plan.clock_stopped)
        if plan.database:
            settings = replace(settings, database=plan.database)
        settings = replace(settings, accept_clock=plan.accept_clock)
        if not alone and fresh:  # not before: the directory may turn out to be somebody else's
            locks.enter_context(serving(home.path, *ROLES))
        tls = tls_of(plan.tls, home, settings, now)
        oidc_key = thread.submit(bootstrap.oidc_key, home, settings, making)
        wait_begun(load_generations(home))
        with unrotated(home, settings):
            material = bootstrap.load_material(home)
            bootstrap.prove(*material.secrets)
            save_documents(home, material.public, settings)
        publication.begin()
        if unpublished(home):  # the next key is the one that this process signs with
            publication.finish()
        issuers = LiveIssuers(issuer_files(home, plan.config))
        files = [file for file in (home.settings_file, plan.config) if file and file.suffix not in ISSUERS_ONLY]
        logins, elsewhere, console = load_login_rules(files), load_elsewhere(files), load_console_rules(files)
        parts = (home, settings, material, listener, oidc_key, tls, publication)
        prepared = Prepared(*parts, issuers, logins, elsewhere, console)
        import_server()
        # Deferred: everything that imports aiohttp comes after that.
        from stack.running import run  # noqa: PLC0415 - see the line above

        undo.pop_all()
        if plan.workers is None:
            return run(prepared, plan)
        # Deferred: nothing of it is needed by one process.
        from stack.workers.supervisor import supervise  # noqa: PLC0415 - see the line above
        from stack.workers.whole_stack import crew_of  # noqa: PLC0415 - the same

        return supervise(crew_of(prepared, plan), prepared.listener)


def _reached_at(host: str) -> str:
    """The host of a URL that nobody has given: this machine, or the one address that is listened on and that ``localhost`` is not.

    An IPv6 address is none that clients take (:func:`stack.config.parse_url`).
    """
    try:
        address = IPv4Address(host)
    except ValueError:
        return "localhost"
    return "localhost" if address.is_unspecified or str(address) == "127.0.0.1" else str(address)


def _set_clock(home: Home, settings: Settings, wanted: datetime, *, stopped: bool) -> None:
    from stack.turned_clock import set_first  # noqa: PLC0415 - few stacks have another time than everybody

    set_first(home, settings, wanted, stopped=stopped)


def tls_of(wanted: str | None, home: Home, settings: Settings, now: datetime) -> ServerTls | None:
    """What ``--tls`` asks for; None without it.

    Raises:
        Malformed: the URL is not one of HTTPS. Others as :func:`stack.server_tls.make_server_tls`.
    """
    if wanted is None:
        return None
    check_https(settings.url)
    from stack.server_tls import make_server_tls  # noqa: PLC0415 - nothing of it is needed without --tls

    return make_server_tls(wanted, home, settings, now)


def check_https(url: str) -> None:
    """Raises Malformed for a URL that clients reach without TLS."""
    if not url.startswith("https:"):
        raise Malformed(f"--tls serves HTTPS, but the URL is {url}", "give an https URL with --url")


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM and SIGHUP before the event loop has them: end in order, with 0, as later."""
    end = Ending()
    before = {number: signal.signal(number, end) for number in ending_signals() if number != signal.SIGINT}
    try:
        if came_before(before.values()):
            sys.exit(0)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket on the address.

    Raises:
        Unavailable: it is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                hint = "that is no address of this machine; 127.0.0.1 is for programs on it, 0.0.0.0 for everybody"
            elif error.errno == errno.EACCES:
                hint = "ports below 1024 are for root: give another one"
            else:
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


@contextmanager
def _claimed(folder: Path, ready_file: Path | None) -> Iterator[ExitStack]:
    """Hold ``folder``. Unless it is called off, what is given takes away all that a first start has made in it.

    Whether it is a first start is judged under the lock: else one that is refused could take away what another one makes.
    """
    there = folder.exists()
    bootstrap.refuse_foreign(Home(folder))  # before anything is written there
    with held(folder), ExitStack() as undo:
        if all(path.name == LOCK for path in folder.iterdir()):
            undo.callback(_take_away, folder, itself=not there)
        if ready_file is not None:  # of a process that was killed: who waits for the file would take that for us
            ready_file.unlink(missing_ok=True)
        yield undo


def _take_away(folder: Path, *, itself: bool) -> None:
    for made in folder.iterdir():
        shutil.rmtree(made, ignore_errors=True) if made.is_dir() else made.unlink()
    if itself:
        folder.rmdir()
