# SPDX-License-Identifier: Apache-2.0
"""compose.yaml in network namespaces: its commands as they stand there, each in a network, a root and with rights of its own.

    namespace of the clients   localhost:7780 ... 7786, as published; no way to any other machine
      bridge 10.78.0.1
        namespace of a service   10.78.0.N; knows the others by their names; 0.0.0.0:7780
          /        that of the machine, read-only, with an empty /tmp
          /data    its volumes, read-only where the file says so
          no capability, no new privilege

Run as ``unshare --net --mount python -m tests.network_stack FOLDER``: all of it ends with the process. Only root may do this.
"""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.interop.clients import COSIGN_V3
from tests.interop.places import ALICE, CONTENT, MALLORY, Kind, Place, Tool, make_signed, refuse, succeed
from tests.interop.tools import PYTHON, SIGBOX, Cosign
from tests.split_stack import INSIDE, ROLES, SplitStack
from tests.stack_process import READY_S, STOP_S

NETWORK: Final = "10.78.0."
NEEDED: Final = ("unshare", "nsenter", "ip", "mount", "chroot", "setpriv")
WRITABLE: Final = ("dev", "proc", "sys", "tmp")
"""Of the machine's root; what a container has of its own."""
UNPRIVILEGED: Final = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")


def obstacle() -> str:
    """Why this machine cannot do it; empty where it can."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} missing: on Debian, apt-get install iproute2 util-linux"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "ip", "link", "set", "lo", "up"], capture_output=True, check=False
    )
    return f"network namespaces need root: {tried.stderr.decode().strip()}" if tried.returncode else ""


def run(*words: str | int) -> None:
    """A command of the machine, which must succeed."""
    subprocess.run([*map(str, words)], check=True)


class NetworkStack(SplitStack):
    """The services, each with its address; ``ports`` are those that compose.yaml publishes."""

    def address(self, service: str) -> str:
        """In the network of the services."""
        return f"{NETWORK}{10 + ROLES.index(service)}" if service in ROLES else ""

    def command(self, service: str) -> list[str]:
        """Exactly that of the file, after the program's name."""
        return [*SIGBOX_PROGRAM, *self.document["services"][service]["command"]]

    def view(self, service: str) -> Path:
        """Its ``/data``, as its process sees it."""
        return Path(f"/proc/{self.processes[service].pid}/root/data")

    def init(self) -> None:
        """The one service that runs to its end, and needs no network."""
        process = self._spawn("init", linked=False)
        assert process.wait(60) == 0, self.log("init").read_text("utf-8")

    def start(self, *services: str) -> None:
        """Start them, and wait until each is ready."""
        for service in services:
            self.processes[service] = self._spawn(service, linked=True)
        for service in services:
            self.wait_ready(service)

    def _spawn(self, service: str, *, linked: bool) -> subprocess.Popen[bytes]:
        with self.log(service).open("ab") as output:
            process = subprocess.Popen(
                ["unshare", "--net", "--mount", "sh", "-euc", self._script(service)],
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if linked:
            self._link(process, service)
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.close()
        return process

    def _link(self, process: subprocess.Popen[bytes], service: str) -> None:
        deadline, ours = time.monotonic() + READY_S, Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{process.pid}/ns/net").readlink() == ours:
            assert time.monotonic() < deadline, "no namespace"
            time.sleep(0.01)
        inside = ("nsenter", "-t", process.pid, "-n", "ip")
        run("ip", "link", "add", "name", f"to-{service}", "type", "veth", "peer", "name", "eth0", "netns", process.pid)
        run("ip", "link", "set", f"to-{service}", "master", "services", "up")
        run(*inside, "addr", "add", f"{self.address(service)}/24", "dev", "eth0")
        run(*inside, "link", "set", "eth0", "up")
        run(*inside, "link", "set", "lo", "up")

    def _script(self, service: str) -> str:
        """The root of one service, and its command in it."""
        root, hosts = self.folder / "roots" / service, self.folder / "hosts"
        root.mkdir(parents=True, exist_ok=True)
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{self.address(role)} {role}\n" for role in ROLES))
        lines = [f"mount -t tmpfs root {root}", f"mkdir {root}/data {root / 'tmp'}"]
        for place in sorted(Path("/").iterdir()):
            lines += _part(place, root)
        lines += [f"mount --bind {hosts} {root}/etc/hosts", *self._volumes(service, root)]
        lines += [f"mount -t tmpfs tmp {root / 'tmp'}", f"mount -o remount,ro {root}", "read go"]
        words = shlex.join(["chroot", str(root), *UNPRIVILEGED, *self.command(service)])
        return "\n".join([*lines, f"exec {words} </dev/null"])

    def _volumes(self, service: str, root: Path) -> Iterator[str]:
        mounts = [mount.split(":") for mount in self.document["services"][service]["volumes"]]
        for volume, place, *_ in mounts:
            source = self.folder / "volumes" / volume
            source.mkdir(parents=True, exist_ok=True)
            yield f"mkdir -p {root}{place}"
            yield f"mount --bind {source} {root}{place}"
        for _, place, *options in mounts:
            if options == ["ro"]:
                yield f"mount -o remount,bind,ro {root}{place}"


SIGBOX_PROGRAM: Final = (sys.executable, "-P", "-m", "stack.cli")


def _part(place: Path, root: Path) -> list[str]:
    if place.is_symlink():
        return [f"ln -s {place.readlink()} {root}/{place.name}"]
    if not place.is_dir() or place.name in ("data", "tmp"):
        return []
    bound = [f"mkdir {root}/{place.name}", f"mount --rbind {place} {root}/{place.name}"]
    return bound if place.name in WRITABLE else [*bound, f"mount -o remount,bind,ro {root}/{place.name}"]


@contextmanager
def published(stack: NetworkStack) -> Iterator[None]:
    """The ports of the file on loopback, each led to its service."""
    listeners = {role: socket.create_server(("127.0.0.1", stack.ports[role])) for role in ROLES}
    for role, listener in listeners.items():
        threading.Thread(target=_accept, args=(listener, stack.address(role)), daemon=True).start()
    try:
        yield
    finally:
        for listener in listeners.values():
            listener.close()


def _accept(listener: socket.socket, address: str) -> None:
    with suppress(OSError):
        while True:
            near, _ = listener.accept()
            try:
                far = socket.create_connection((address, int(INSIDE)), 10)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            for pair in ((near, far), (far, near)):
                threading.Thread(target=_copy, args=pair, daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def network_stack(folder: Path) -> Iterator[NetworkStack]:
    """All services for the length of a block, in the namespace that this process was started in."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "name", "services", "type", "bridge")
    run("ip", "addr", "add", f"{NETWORK}1/24", "dev", "services")
    run("ip", "link", "set", "services", "up")
    services = NetworkStack(folder, {}).document["services"]
    stack = NetworkStack(folder, {role: int(services[role]["ports"][0].split(":")[1]) for role in ROLES})
    try:
        stack.init()
        with published(stack):
            stack.start(*ROLES)
            yield stack
            stack.stop()
    finally:
        for process in stack.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait(STOP_S)


def main(folder: Path) -> None:
    """Sign with each client, verify with every one, refuse what is to be refused; what was done is printed."""
    cosign = Cosign(COSIGN_V3)
    tools: tuple[Tool, ...] = (cosign, PYTHON, SIGBOX)
    with network_stack(folder) as split:
        stack = split.as_stack()
        for number, signer in enumerate(tools):
            place = Place(stack, folder / f"client-{number}")
            place.folder.mkdir()
            cosign.trust(place)
            signed = make_signed(signer, place, Kind.MESSAGE_V2)
            for reader in tools:
                succeed(reader.verify(signed, ALICE, stack.oidc_issuer))
                refuse(reader.verify(signed, MALLORY, stack.oidc_issuer))
            signed.artifact.write_bytes(CONTENT + b".")
            for reader in tools:
                refuse(reader.verify(signed, ALICE, stack.oidc_issuer))
            print(f"signed by {signer.name}, verified by {len(tools)}")
        check_shut_in(split)


def check_shut_in(split: NetworkStack) -> None:
    """Each process has the rights that its container would have: none, on files of its own."""
    services = split.document["services"]
    for role, process in split.processes.items():
        status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
        assert "CapEff:\t0000000000000000" in status, role
        assert "CapBnd:\t0000000000000000" in status, role
        assert "NoNewPrivs:\t1" in status, role
        root = Path(f"/proc/{process.pid}/root")
        mounted = {mount.split(":")[1] for mount in services[role]["volumes"]} - {"/data"}
        assert {f"/data/{path.name}" for path in (root / "data").iterdir() if any(path.rglob("*"))} <= {
            "/".join(place.split("/")[:3]) for place in mounted
        } | {"/data/sigbox.toml"}, role
        for place in ("/data/refused", "/usr/refused", "/refused"):
            try:
                (root / place[1:]).write_text("x")
            except OSError:
                continue
            raise AssertionError(f"{role} could write {place}")
    print(f"{len(split.processes)} services shut in")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
