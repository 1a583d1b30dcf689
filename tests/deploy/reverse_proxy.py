# SPDX-License-Identifier: Apache-2.0
"""Debian's nginx in front of a stack: the files of deploy/nginx with this machine's names in them, on a free loopback port.

The port is bound here and handed over in the way that nginx hands its sockets to a new binary, so nobody can take it between.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.missing import missing
from tests.stack_process import ROOT, RunningStack, running_stack

FILES = ROOT / "deploy" / "nginx"
NAME = "sigstore.corp.example"
PATIENCE_S = 20
MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


@dataclass(frozen=True, slots=True)
class Proxied:
    """A stack whose URL is that of the proxy; ``direct`` is where it listens itself, ``authority`` what its clients trust."""

    stack: RunningStack
    direct: str
    authority: Path | None
    folder: Path

    @property
    def environment(self) -> tuple[tuple[str, str], ...]:
        """What a client exports to trust the proxy's certificate."""
        return () if self.authority is None else (("SSL_CERT_FILE", str(self.authority)),)

    def get(self, url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """(status, body, headers with lower-case names), whatever the status."""
        context = None if self.authority is None else ssl.create_default_context(cafile=self.authority)
        request = urllib.request.Request(url, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S, context=context) as answer:
                return answer.status, answer.read(), {name.lower(): value for name, value in answer.headers.items()}
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), {name.lower(): value for name, value in error.headers.items()}


def require_nginx() -> None:
    """The test cannot run without it."""
    if shutil.which("nginx") is None or not MODULE.exists():
        missing("nginx is not installed; on Debian: apt-get install nginx libnginx-mod-stream")


def adapted(text: str, *changes: tuple[str, object]) -> str:
    """``text`` with each of ``changes`` made; a change that finds nothing is a mistake."""
    for found, wanted in changes:
        assert found in text, f"{found!r} is not in the configuration any more"
        text = text.replace(found, str(wanted))
    return text


def port_of(process: subprocess.Popen[bytes]) -> int:
    """Where the process listens (proc(5): the inodes of its sockets, and the table of all)."""
    inodes = set()
    for entry in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # the process closes files meanwhile
            inodes.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    (port,) = (int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in inodes)
    return port


@contextmanager
def running_nginx(folder: Path, listener: socket.socket, configuration: str) -> Iterator[None]:
    """nginx with this configuration, until the block ends. ``configuration`` must listen where ``listener`` is bound."""
    folder.mkdir(exist_ok=True)
    file, log = folder / "nginx.conf", folder / "error.log"
    user = "user root;\n" if os.geteuid() == 0 else ""
    file.write_text(f"{user}daemon off;\npid {folder}/nginx.pid;\nerror_log {log};\n{configuration}\nevents {{}}\n")
    descriptor = listener.fileno()
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            ["nginx", "-e", log, "-p", folder, "-c", file],
            env={**os.environ, "NGINX": f"{descriptor};"},
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(folder / "nginx.pid", process, log)
        yield
    except BaseException as error:
        error.add_note(f"nginx said:\n{log.read_text('utf-8', 'replace')[-4000:]}")
        raise
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _wait(pid: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not (pid.exists() and pid.read_text().strip()):
        assert process.poll() is None, f"nginx ended:\n{log.read_text('utf-8', 'replace')}"
        assert time.monotonic() < deadline, "nginx has not begun"
        time.sleep(0.01)


def site(
    folder: Path, listen: str, backend: int, *changes: tuple[str, object], tls: tuple[Path, Path] | None = None
) -> str:
    """deploy/nginx/sigbox.conf for this machine, in the http block of a distribution; without ``tls`` it speaks HTTP."""
    text = (FILES / "sigbox.conf").read_text("utf-8")
    if tls is None:
        certificates = [line for line in text.splitlines() if "ssl_certificate" in line]
        changes = (*changes, *((f"{line}\n", "") for line in certificates), ("listen 443 ssl;", f"listen {listen};"))
    else:
        files = (f"/etc/ssl/{NAME}.pem", f"/etc/ssl/private/{NAME}.key")
        changes = (*changes, *zip(files, tls, strict=True), ("listen 443 ssl;", f"listen {listen} ssl;"))
    text = adapted(
        text,
        *changes,
        ("server 127.0.0.1:7780;", f"server 127.0.0.1:{backend};"),
        ("/var/cache/nginx/sigbox", folder / "cache"),
        (f"server_name {NAME}", "server_name localhost"),
    )
    places = [f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
    return "\n".join(("http {", "access_log off;", *places, text, "}\n"))


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that vouches for itself, and its key."""
    certificate, key = folder / "tls.pem", folder / "tls.key"
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    uses = ("-addext", "keyUsage=critical,digitalSignature,keyCertSign")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1")
    command = ("openssl", "req", "-x509", *curve, "-keyout", key, "-out", certificate, *names, *uses)
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)
    return certificate, key


@contextmanager
def _listener() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        yield listener


@contextmanager
def terminated(folder: Path) -> Iterator[Proxied]:
    """TLS ends in nginx."""
    tls = make_certificate(folder)
    with _before(folder, tls) as proxied:
        yield proxied


@contextmanager
def plain(folder: Path) -> Iterator[Proxied]:
    """No TLS at all: for a network that has it elsewhere."""
    with _before(folder, None) as proxied:
        yield proxied


@contextmanager
def _before(folder: Path, tls: tuple[Path, Path] | None) -> Iterator[Proxied]:
    with ExitStack() as open_:
        listener = open_.enter_context(_listener())
        where = f"localhost:{listener.getsockname()[1]}"
        url = f"{'https' if tls else 'http'}://{where}"
        stack = open_.enter_context(running_stack(folder, "--data", folder / "data", "--url", url, "--behind-proxy"))
        backend, nginx = port_of(stack.process), folder / "nginx"
        configuration = site(nginx, where.replace("localhost", "127.0.0.1"), backend, tls=tls)
        open_.enter_context(running_nginx(nginx, listener, configuration))
        yield Proxied(stack, f"http://127.0.0.1:{backend}", tls[0] if tls else None, folder)


@contextmanager
def passed_through(folder: Path) -> Iterator[Proxied]:
    """TLS ends in the stack: deploy/nginx/pass-through.conf."""
    with ExitStack() as open_, _listener() as listener:
        port = listener.getsockname()[1]
        options = ("--data", folder / "data", "--url", f"https://localhost:{port}", "--tls", "auto")
        stack = open_.enter_context(running_stack(folder, *options))
        backend = port_of(stack.process)
        text = adapted(
            (FILES / "pass-through.conf").read_text("utf-8"),
            ("127.0.0.1:7780", f"127.0.0.1:{backend}"),
            ("listen 443", f"listen 127.0.0.1:{port}"),
        )
        open_.enter_context(running_nginx(folder / "nginx", listener, f"load_module {MODULE};\n{text}"))
        authority = stack.data / "public" / "tls_ca.pem"
        yield Proxied(stack, f"https://127.0.0.1:{backend}", authority, folder)


@contextmanager
def another_site(proxied: Proxied, *changes: tuple[str, object]) -> Iterator[str]:
    """A second nginx in front of the same stack, with ``changes`` to its site; its URL, without TLS."""
    backend = int(proxied.direct.rpartition(":")[2])
    with _listener() as listener:
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        folder = proxied.folder / f"nginx-{listener.getsockname()[1]}"
        with running_nginx(folder, listener, site(folder, where, backend, *changes)):
            yield f"http://{where}"


WAYS = {"TLS ends in nginx": terminated, "without TLS": plain, "TLS ends in the stack": passed_through}
