# SPDX-License-Identifier: Apache-2.0
"""compose.yaml as processes on loopback: the commands as they stand there, and for each the folders that it would see mounted.

What a container would see is a folder of links: a role whose volume is not mounted is not there. What the file says of addresses
(``0.0.0.0:7780``, ``http://ct:7780``, published ports) becomes a loopback port for each service.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

import yaml

from tests.ports import free_ports
from tests.stack_process import READY_S, ROOT, SIGBOX, STOP_S, Process, RunningStack, environment, spawn

ROLES = ("trust", "oidc", "ct", "ca", "log", "tsa", "console")
"""In the order in which the tests start them; they need no order. ``console@2`` is a further process of the console."""
INSIDE = "7780"
"""The port that every container listens on."""


@dataclass
class SplitStack:
    """The services of compose.yaml, below ``folder``.

    Attributes:
        ports: where each service listens.
        public: the ports at which clients are told to find a service; its own where nothing else is said.
        links: for a service, the ports at which it is told to find others, in the same way.
    """

    folder: Path
    ports: dict[str, int]
    public: Mapping[str, int] = field(default_factory=dict)
    links: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tls: bool = False
    """Everybody speaks HTTPS, with the stack's own authority."""
    processes: dict[str, Process] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        """compose.yaml, its merge keys resolved and its variables as a user would set them."""
        text = (ROOT / "compose.yaml").read_text("utf-8")
        urls = {f"SIGBOX_{role.upper()}_URL": self.url(role) for role in ROLES} | {"SIGBOX_URL": self.url("trust")}
        filled = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: urls.get(found[1], found[2]), text)
        document: dict[str, Any] = yaml.safe_load(filled)
        return document

    def url(self, service: str) -> str:
        """Where clients are told to find it."""
        return f"{self.scheme}://localhost:{self.public.get(service, self.ports.get(service, 0))}"

    def _described(self, service: str) -> dict[str, Any]:
        """What compose.yaml says of it; of a further process of a service, what it says of the service."""
        described: dict[str, Any] = self.document["services"][service.partition("@")[0]]
        return described

    def view(self, service: str) -> Path:
        """What stands for ``/data`` in its container: made of its volumes, and of nothing else."""
        root = self.folder / "views" / service
        root.mkdir(parents=True, exist_ok=True)
        for mount in self._described(service)["volumes"]:
            volume, _, rest = mount.partition(":")
            place = rest.partition(":")[0].removeprefix("/data").strip("/")
            source = self._source(volume, service)
            if not place:
                self._show(source, root)
            elif not (link := root / place).is_symlink():
                link.symlink_to(source)
        return root

    def _source(self, volume: str, service: str) -> Path:
        """The folder of a volume; a further process of a service has a copy of what only one process may have."""
        source = self.folder / "volumes" / volume
        source.mkdir(parents=True, exist_ok=True)
        if volume != service and volume == service.partition("@")[0]:
            source, origin = source.with_name(service), source
            if not source.exists():
                shutil.copytree(origin, source, ignore=shutil.ignore_patterns("*.lock"))
        return source

    def _show(self, volume: Path, root: Path) -> None:
        """A volume at the root of a view, seen by those who only read it: its files."""
        for file in volume.iterdir():
            if file.is_file() and not (root / file.name).exists():
                (root / file.name).symlink_to(file)

    def words(self, service: str) -> list[str]:
        """Its command of ``sigbox``, with loopback for the network of the containers."""
        words = []
        for word in (*self._described(service)["command"], *self.extra.get(service, ())):
            text = re.sub(r"^--data=/data$", f"--data={self.view(service)}", word)
            text = text.replace(f"0.0.0.0:{INSIDE}", f"127.0.0.1:{self.ports.get(service)}")
            for other, port in (self.ports | dict(self.links.get(service, {}))).items():
                text = text.replace(f"http://{other}:{INSIDE}", f"{self.scheme}://127.0.0.1:{port}")
            words.append(text)
        return [*words, *(["--tls=auto"] if self.tls else [])]

    def command(self, service: str) -> list[str]:
        """The same of a process of its own."""
        return [*SIGBOX, *self.words(service)]

    def init(self) -> None:
        """The one service that runs to its end."""
        done = subprocess.run(
            self.command("init"),
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        made = self.view("init")
        for file in [*made.iterdir()]:
            if file.is_file() and not file.is_symlink():
                file.rename(self.folder / "volumes" / "config" / file.name)

    def start(self, *services: str) -> None:
        """Start them, and wait until each is ready."""
        for service in services:
            words, log = self.words(service), self.log(service)
            self.processes[service] = spawn(*words, folder=self.folder, log=log, env=self._environment())
        for service in services:
            self.wait_ready(service)

    def _environment(self) -> dict[str, str]:
        return {name: text for name, text in environment().items() if not name.startswith("SIGBOX_")}

    def log(self, service: str) -> Path:
        """What it printed."""
        return self.folder / f"{service}.log"

    @property
    def scheme(self) -> str:
        """Of every URL."""
        return "https" if self.tls else "http"

    @property
    def tls_ca(self) -> Path:
        """What clients must trust, with ``tls``."""
        return self.folder / "volumes" / "public" / "tls_ca.pem"

    def ask(self, service: str, path: str) -> tuple[int, bytes]:
        """GET, straight from the service."""
        trusting = ssl.create_default_context(cafile=self.tls_ca) if self.tls else None
        opener = build_opener(ProxyHandler({}), HTTPSHandler(context=trusting))
        try:
            with opener.open(f"{self.scheme}://127.0.0.1:{self.ports[service]}{path}", timeout=60) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            return error.code, error.read()

    def wait_ready(self, service: str, seconds: float = READY_S) -> None:
        """As the health check of compose.yaml asks."""
        deadline, found = time.monotonic() + seconds, b""
        while time.monotonic() < deadline:
            assert self.processes[service].poll() is None, self.log(service).read_text("utf-8")[-4000:]
            try:
                status, found = self.ask(service, "/readyz")
            except OSError:
                status = 0
            if status == 200:
                return
            time.sleep(0.02)
        raise AssertionError(f"{service} is not ready: {found!r}\n{self.log(service).read_text('utf-8')[-4000:]}")

    def faults(self, service: str) -> list[str]:
        """What its readiness says."""
        faults: list[str] = json.loads(self.ask(service, "/readyz")[1])["faults"]
        return faults

    def count(self, service: str, metric: str) -> float:
        """A figure of its /metrics."""
        found = re.search(rf"^{re.escape(metric)} (\S+)$", self.ask(service, "/metrics")[1].decode(), re.MULTILINE)
        assert found, metric
        return float(found[1])

    def kill(self, service: str) -> None:
        """SIGKILL."""
        self.processes[service].kill()
        self.processes[service].wait(STOP_S)

    def stop(self) -> None:
        """SIGTERM to all; each ends with 0."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        codes = {service: process.wait(STOP_S) for service, process in self.processes.items()}
        assert set(codes.values()) <= {0, -signal.SIGKILL}, codes

    def as_stack(self) -> RunningStack:
        """The same for those who know one process: its public files, and the provider's folder to mint tokens from."""
        public = self.view("trust") / "public"
        return RunningStack(
            process=self.processes["trust"],
            url=self.url("trust"),
            data=self.view("oidc"),
            trusted_root=public / "trusted_root.json",
            signing_config=public / "signing_config.json",
            trust_config=public / "trust_config.json",
            tuf_root=public / "tuf" / "1.root.json",
            tuf_mirror=f"{self.url('trust')}/tuf",
            oidc_issuer=f"{self.url('oidc')}/auth",
            log=self.log("trust"),
        )


@contextmanager
def split_stack(folder: Path, **places: Any) -> Iterator[SplitStack]:
    """All services for the length of a block; they must end in order."""
    places.setdefault("ports", dict(zip(ROLES, free_ports(len(ROLES)), strict=True)))
    stack = SplitStack(folder, **places)
    try:
        stack.init()
        stack.start(*ROLES)
        yield stack
    except BaseException as error:
        for service, process in stack.processes.items():
            process.kill()
            process.wait(STOP_S)
            error.add_note(f"{service} printed:\n{stack.log(service).read_text('utf-8', 'replace')[-3000:]}")
        raise
    stack.stop()
