# SPDX-License-Identifier: Apache-2.0
"""Timestamps per second from a durable stack over loopback HTTP, in the two forms that clients ask in.

DER is what cosign and sigstore-python send (with nonce and certificates as the latter), JSON what sigstore-js sends. The
clients are a process of their own (``python -m bench.timestamps URL PID FORM CLIENTS SECONDS``), in a closed loop.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import windows
from bench.cores import apart
from bench.load import encode, post
from bench.reference import Figure
from bench.windows import Goals, Target, measure, named
from sigcore.algorithms import HashAlgorithm
from sigcore.timestamp import TimestampRequest, encode_request
from tests.stack_process import running_stack

GOAL = 0.33
"""Timestamps per second with 64 clients, divided by R."""
CLIENTS = (1, 64)
FORMS = ("DER", "JSON")
PATH = "/api/v1/timestamp"
MOST_PER_SECOND = 12000


# --- the clients' process ----------------------------------------------------------------------------
def prepare(form: str, count: int) -> Iterator[bytes]:
    """Whole HTTP requests, each for another digest."""
    digests = (hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(count))
    if form == "JSON":
        members = ({"artifactHash": base64.b64encode(one).decode(), "hashAlgorithm": "sha256"} for one in digests)
        yield from post(PATH, (json.dumps(one).encode() for one in members))
        return
    headers = {"Content-Type": "application/timestamp-query"}
    for number, digest in enumerate(digests, 2**62):
        body = encode_request(TimestampRequest(HashAlgorithm.SHA2_256, digest, nonce=number, certificates=True))
        yield encode(PATH, headers, body)


# --- the benchmark -------------------------------------------------------------------------------------
def run(rounds: int, seconds: float = 1) -> list[Figure]:
    """The figures of ``rounds`` processes for each form and number of clients, against one durable stack."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as temporary:
        folder = Path(temporary)
        with running_stack(folder, "--data", folder / "data") as stack, apart(stack.process.pid):
            for form in FORMS:
                for clients in CLIENTS:
                    target, name = Target(stack.url, stack.process.pid), named(f"timestamps, {form}", clients)
                    found = measure("bench.timestamps", target, form, clients, seconds, rounds=rounds, what=name)
                    figures += windows.figures(name, found, Goals(GOAL if clients == max(CLIENTS) else None))
    return figures


if __name__ == "__main__":
    url_, pid_, form_, clients_, seconds_ = sys.argv[1:]
    requests_ = list(prepare(form_, windows.enough(float(seconds_), MOST_PER_SECOND)))
    target_ = Target(url_, int(pid_))
    print(windows.clients_process(target_, requests_, int(clients_), float(seconds_), status=200))
