# SPDX-License-Identifier: Apache-2.0
"""Entries per second into a durable log: hashedrekord requests, signed before the clock starts, over loopback HTTP.

The clients are a process of their own (``python -m bench.rekor_add URL PID LOG CLIENTS SECONDS``), in a closed loop: each sends
the next entry when the last one was acknowledged, which means that it is on the disk.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench import windows
from bench.cores import apart
from bench.load import post
from bench.reference import Figure
from bench.windows import Goals, Target, measure, named
from tests.stack_process import running_stack

GOALS = {("v2", 64): Goals(rate=0.24), ("v2", 1): Goals(p50=20)}
CLIENTS = {"v2": (1, 64), "v2 with certificates": (64,), "v1": (1, 64)}
"""Logs, and how many clients each is measured with."""
CERTIFICATES = 200
"""Keys and certificates that take turns; a signer without keys of his own has new ones each time."""
MOST_PER_SECOND = 12000
"""More than one core can verify: the clients never run out of prepared requests."""
MOST_ALONE = 3000
"""The same for one client, who waits for the disk."""


# --- the clients' process ----------------------------------------------------------------------------
def prepare(log: str, count: int) -> Iterator[bytes]:
    """Requests with distinct digests and valid signatures; with certificates there are many keys, otherwise one."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(CERTIFICATES if "certificates" in log else 1)]
    make = _proposal if log == "v1" else _request
    verifiers = [certificate(key) if "certificates" in log else public_key(key) for key in keys]
    for number in range(count):
        message, turn = number.to_bytes(8, "big"), number % len(keys)
        signature = keys[turn].sign(message, ec.ECDSA(hashes.SHA256()))
        yield json.dumps(make(hashlib.sha256(message).digest(), signature, verifiers[turn])).encode()


Verifier: TypeAlias = tuple[str, bytes]
"""Member name and DER."""


def public_key(key: ec.EllipticCurvePrivateKey) -> Verifier:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return "publicKey", key.public_key().public_bytes(serialization.Encoding.DER, form)


def certificate(key: ec.EllipticCurvePrivateKey) -> Verifier:
    """About as long as one of the stack's own."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmark")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(minutes=10))
    filler = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8"), bytes(420))
    signed = builder.add_extension(filler, critical=False).sign(key, hashes.SHA256())
    return "x509Certificate", signed.public_bytes(serialization.Encoding.DER)


def _request(digest: bytes, signature: bytes, verifier: Verifier) -> dict[str, object]:
    member, der = verifier
    named = {member: {"rawBytes": encode(der)}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    signed = {"content": encode(signature), "verifier": named}
    return {"hashedRekordRequestV002": {"digest": encode(digest), "signature": signed}}


def _proposal(digest: bytes, signature: bytes, verifier: Verifier) -> dict[str, object]:
    pem = b"-----BEGIN PUBLIC KEY-----\n%b-----END PUBLIC KEY-----\n" % base64.encodebytes(verifier[1])
    signed = {"content": encode(signature), "publicKey": {"content": encode(pem)}}
    hashed = {"hash": {"algorithm": "sha256", "value": digest.hex()}}
    return {"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {"data": hashed, "signature": signed}}


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


# --- the benchmark -------------------------------------------------------------------------------------
def run(rounds: int, seconds: float = 1.5) -> list[Figure]:
    """The figures of ``rounds`` processes for each log and number of clients, into growing logs. Goals are set for v2 with keys."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as temporary:
        folder = Path(temporary)
        # The threads that write stay where the kernel puts them.
        with running_stack(folder, "--data", folder / "data") as stack, apart(stack.process.pid):
            target = Target(stack.url, stack.process.pid)
            for log, numbers in CLIENTS.items():
                for clients in numbers:
                    name = named(f"Rekor {log}, add", clients)
                    found = measure("bench.rekor_add", target, log, clients, seconds, rounds=rounds, what=name)
                    figures += windows.figures(name, found, GOALS.get((log, clients), Goals()))
    return figures


if __name__ == "__main__":
    url_, pid_, log_, clients_, seconds_ = sys.argv[1:]
    bodies_ = prepare(log_, windows.enough(float(seconds_), MOST_PER_SECOND if int(clients_) > 1 else MOST_ALONE))
    requests_, target_ = list(post(f"/api/{log_[:2]}/log/entries", bodies_)), Target(url_, int(pid_))
    print(windows.clients_process(target_, requests_, int(clients_), float(seconds_), status=201))
