# SPDX-License-Identifier: Apache-2.0
"""Certificates per second, each logged durably before it exists: token ES256, proof of possession, over loopback HTTP.

After them the bound: what the libraries alone take for the same work, :mod:`bench.certificate_parts`.

The clients are a process of their own (``python -m bench.signing_cert URL PID FOLDER CLIENTS SECONDS``), in a closed loop.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import tempfile
from pathlib import Path

from bench import certificate_parts, windows
from bench.certificate_parts import Sample
from bench.cores import apart
from bench.keyless import configure, prepare
from bench.load import Line, encode
from bench.reference import Figure
from bench.windows import Goals, Target, measure, named
from tests.stack_process import running_stack

GOAL = 0.11
"""Certificates per second with 64 clients, divided by R."""
CLIENTS = (1, 64)
MOST_PER_SECOND = 2500
_COMMITTED = re.compile(rb'^sigbox_log_(batches|entries)_total\{log="ct"\} ([0-9.e+]+)$', re.MULTILINE)


def run(rounds: int, seconds: float = 1.5) -> list[Figure]:
    """The figures of ``rounds`` processes for each number of clients, against one durable stack."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as temporary:
        folder = Path(temporary)
        with (
            running_stack(folder, "--data", folder / "data", "--config", configure(folder)) as stack,
            apart(stack.process.pid),
        ):
            target, before = Target(stack.url, stack.process.pid), _committed(stack.url)
            for clients in CLIENTS:
                name, before = named("signingCert ES256 with SCT", clients), _committed(stack.url)
                found = measure("bench.signing_cert", target, folder, clients, seconds, rounds=rounds, what=name)
                figures += windows.figures(name, found, Goals(GOAL if clients == max(CLIENTS) else None))
            sample = _sample(stack.url, folder, before)
        whole = next(figure.ratio or 0 for figure in reversed(figures) if figure.unit == "verifies")
        figures += certificate_parts.figures(folder, sample, whole, rounds)
    return figures


def _committed(url: str) -> dict[bytes, float]:
    """Batches and entries that the certificate log has committed."""
    return {name: float(count) for name, count in _COMMITTED.findall(_get(url, "/metrics"))}


def _sample(url: str, folder: Path, before: dict[bytes, float]) -> Sample:
    """The sizes of one certificate more, and how many shared a commit since ``before``."""
    entries, batches = (_committed(url)[name] - before[name] for name in (b"entries", b"batches"))
    (request,) = prepare(folder, 1)
    line = Line(url)
    answer, _ = line.ask(encode("/api/v2/signingCert", request.headers, request.body))
    line.close()
    last = json.loads(_get(url, "/ct/v1/get-sth"))["tree_size"] - 1
    (entry,) = json.loads(_get(url, f"/ct/v1/get-entries?start={last}&end={last}"))["entries"]
    leaf, extra = (len(base64.b64decode(entry[name])) for name in ("leaf_input", "extra_data"))
    return Sample(len(answer), leaf, extra, entries / batches)


def _get(url: str, path: str) -> bytes:
    line = Line(url)
    answer, _ = line.ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    line.close()
    return answer


if __name__ == "__main__":
    url_, pid_, folder_, clients_, seconds_ = sys.argv[1:]
    prepared = prepare(Path(folder_), windows.enough(float(seconds_), MOST_PER_SECOND))
    requests_ = [encode("/api/v2/signingCert", request.headers, request.body) for request in prepared]
    target_ = Target(url_, int(pid_))
    print(windows.clients_process(target_, requests_, int(clients_), float(seconds_), status=200))
