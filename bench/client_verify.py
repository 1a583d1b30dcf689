# SPDX-License-Identifier: Apache-2.0
"""The client's verification: cold (one process for one file) and many bundles in one process, beside sigstore-python.

Cold figures are of the third-party vectors (SIGBOX_VECTORS), which both clients read with the same trusted root. The bundles
of the batch are made here with our own services' code: certificate of a P-256 authority, v1 entry with promise and proof, or
v2 entry with a timestamp; each with a key, a leaf and a checkpoint of its own.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import truediv
from pathlib import Path
from typing import TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from bench.peer import per_second, sigstore_python
from bench.reference import Figure, pass_seconds, verifies, verifies_per_second
from bench.startup import PACKAGES, ROOT, environment
from client.verify import blob_steps
from client.verify.identity import IdentityPolicy
from client.verify.steps import Steps
from sigcore.bundle import Bundle, encode_bundle, parse_bundle
from sigcore.keys import generate_p256
from sigcore.trustroot import encode_trusted_root
from stack.cli.batch import Row, verify_many
from tests.interop.clients import COSIGN_V3, Missing
from tests.unit.client.minisig import ARTIFACT, EMAIL, ISSUER, MiniSigstore

BUNDLES = 200
"""In one process; on all cores five times as many, so that the start of the processes counts little."""
MILLION = 1_000_200
"""Entries of the larger log, as many as in the one that the goals were found with."""
VERIFICATIONS = 10_000
COLD = 3
"""Samples of a cold start in each round: they are short, and swing more."""
PUBLIC_ISSUER = "https://token.actions.githubusercontent.com"
PUBLIC_IDENTITY = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/"
    ".github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)
NewKey: TypeAlias = Callable[[], ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey]


# --- cold ------------------------------------------------------------------------------------------------------
def seconds(command: list[str | Path]) -> float:
    """Wall time of one process that must succeed."""
    start = time.perf_counter()
    done = subprocess.run(command, env=environment(), capture_output=True, check=False)
    elapsed = time.perf_counter() - start
    if done.returncode != 0:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr.decode()}")
    return elapsed


def cold(vectors: Path, rounds: int) -> list[Figure]:
    """One bundle, one process; ratios are medians of pairs."""
    suite, script = vectors / "sigstore-conformance", Path(sys.executable).with_name("sigbox")
    case, root = suite / "bundle-verify" / "happy-path-v0.3", suite / "production_trusted_root.json"
    bundle, file = case / "bundle.sigstore.json", suite / "a.txt"
    who = ["--certificate-identity", PUBLIC_IDENTITY, "--certificate-oidc-issuer", PUBLIC_ISSUER]
    ours: list[str | Path] = [script, "verify-blob", file, "--bundle", bundle, "--trusted-root", root, *who]
    theirs: list[str | Path] = [sys.executable, "-m", "sigstore", "verify", "identity", "--offline", "--bundle", bundle]
    theirs += ["--cert-identity", PUBLIC_IDENTITY, "--cert-oidc-issuer", PUBLIC_ISSUER, file]
    commands: dict[str, list[str | Path]] = {
        "help": [script, "--help"],
        "version": [script, "--version"],
        "ours": ours,
        "theirs": theirs,
    }
    try:
        go = COSIGN_V3.installed()
        commands["cosign"] = [go, "verify-blob", "--bundle", bundle, "--trusted-root", root, *who, file]
    except Missing as missing:
        print(missing, file=sys.stderr)
    for command in commands.values():
        seconds(command)
    samples: list[dict[str, float]] = []
    for number in range(rounds):
        print(f"cold {number + 1} of {rounds}", file=sys.stderr)
        samples.append({"pass": pass_seconds()} | {name: seconds(command) for name, command in commands.items()})

    def row(name: str, what: str, over: str, goal: float, *, at_least: bool = False) -> Figure:
        value = statistics.median(sample[what] for sample in samples) * 1000
        ratio = statistics.median(sample[what] / sample[over] for sample in samples)
        met = ratio >= goal if at_least else ratio <= goal
        unit = {"pass": "x pass", "ours": "x ours", "cosign": "x cosign"}[over]
        return Figure(name, f"{value:.0f} ms", ratio, unit, f"{'>=' if at_least else '<='} {goal:g}", met=met)

    beside = row("the same, beside cosign verify-blob (Go)", "ours", "cosign", 1.5) if "cosign" in commands else None
    return [
        row("sigbox --help", "help", "pass", 2.2),
        row("sigbox --version", "version", "pass", 2.2),
        row("sigbox verify-blob, one v0.3 bundle, cold", "ours", "pass", 6),
        row("sigstore verify --offline, the same bundle", "theirs", "ours", 6, at_least=True),
        beside or Figure("sigbox verify-blob beside cosign", "not measured: make clients"),
    ]


# --- many in one process -------------------------------------------------------------------------------------------
def together(work: Callable[[int], Steps[Row]], count: int, workers: int) -> tuple[float, float]:
    """As ``verify-blob`` does many files: pieces of work per second of our processor time, and by the wall.

    The start and the end of the workers are included; the processor time is ours alone, for one worker, which is this process.
    """
    wall, processor = time.perf_counter(), time.process_time()
    verify_many(count, work, workers)
    return count / (time.process_time() - processor), count / (time.perf_counter() - wall)


def bare(signers: tuple[NewKey, ...]) -> float:
    """Bundles per second of processor time that nobody exceeds: nothing but one verification by a key of each of ``signers``."""
    checks: list[Callable[[], object]] = []
    for signer in signers:
        key, message, algorithm = signer(), b"reference", ec.ECDSA(hashes.SHA256())
        if isinstance(key, ed25519.Ed25519PrivateKey):
            checks.append(partial(key.public_key().verify, key.sign(message), message))
        else:
            checks.append(partial(key.public_key().verify, key.sign(message, algorithm), message, algorithm))
    return per_second(lambda _bundle: [check() for check in checks], [b""] * BUNDLES)


def verification() -> Callable[[int], Steps[Row]]:
    """A piece of work without Python: what the machine's cores give to two processes at this moment."""
    key, message, algorithm = generate_p256(), b"reference", ec.ECDSA(hashes.SHA256())
    public, signature = key.public_key(), key.sign(message, algorithm)

    def verify(_number: int) -> Steps[Row]:
        public.verify(signature, message, algorithm)
        yield from ()
        return {}

    return verify


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of bundle, and its goals: over R in one process, over the official library in one process and in all.

    ``signers`` make keys like those of the signatures that no verifier can leave out: the certificate's, its SCT, the
    artifact's, the checkpoint, and the promise or the timestamp. What certifies an authority is the same for all bundles.
    """

    name: str
    sigstore: MiniSigstore
    make: Callable[[MiniSigstore], Bundle]
    over_r: float | None
    over_peer: float | None
    signers: tuple[NewKey, ...]
    over_peer_on_all_cores: float | None = None


def series() -> list[Series]:
    """Own services have P-256 keys. The timestamp authority of the public instance has P-384 ones, from root to leaf.

    A log of a million entries gives proofs of 20 hashes, as a real one does; the other has as many entries as bundles.
    """
    ours, grown = MiniSigstore(), MiniSigstore()
    grown.log_v1.before = MILLION
    p384 = partial(ec.generate_private_key, ec.SECP384R1())
    public = MiniSigstore(new_tsa_key=p384)
    v1, v2 = (generate_p256,) * 5, (*(generate_p256,) * 3, ed25519.Ed25519PrivateKey.generate)
    return [
        Series("v1", ours, MiniSigstore.sign_v1, 0.12, 1.8, v1, 3.2),
        Series("v1 in a million", grown, MiniSigstore.sign_v1, 0.12, 1.8, v1, 3.2),
        Series("v2 + TSA", ours, MiniSigstore.sign, None, None, (*v2, generate_p256)),
        Series("v2 + TSA of P-384", public, MiniSigstore.sign, None, None, (*v2, p384), 5.0),
    ]


def many(rounds: int) -> list[Figure]:
    """Bundles per second over R, and over the official library's in the same minute."""
    return [figure for kind in series() for figure in measure(kind, rounds)]


def measure(kind: Series, rounds: int) -> list[Figure]:
    """One process by processor time, all cores by the wall: there neighbours count, so the machine's own share is told too."""
    root, identity, digest = kind.sigstore.root, IdentityPolicy(ISSUER, EMAIL), hashlib.sha256(ARTIFACT).digest()

    def ours(bundles: list[bytes], number: int) -> Steps[Row]:
        bundle = parse_bundle(bundles[number])
        yield
        yield from blob_steps(bundle, digest, root=root, identity=identity)
        return {"verified": True}

    cores = len(os.sched_getaffinity(0))
    over_r, over_peer, gains, machine, rates, bounds, peers = [], [], [], [], [], [], []
    with sigstore_python(encode_trusted_root(root), ARTIFACT, EMAIL, ISSUER) as theirs:
        for number in range(rounds):
            print(f"many {kind.name}: {number + 1} of {rounds}", file=sys.stderr)
            # New ones each time: nothing of a leaf is known before.
            counts = (3, BUNDLES, 5 * BUNDLES)
            warm, bundles, more = ([encode_bundle(kind.make(kind.sigstore)) for _ in range(count)] for count in counts)
            _, before = verifies(0.3)
            together(partial(ours, warm), len(warm), 1)
            rate, by_wall = together(partial(ours, bundles), len(bundles), 1)
            peer = theirs(bundles)
            _, after = verifies(0.3)
            over_r.append(rate / ((before + after) / 2))
            over_peer.append(rate / peer)
            rates.append(rate)
            peers.append(peer)
            bounds.append(bare(kind.signers))
            gains.append(together(partial(ours, more), len(more), cores)[1] / by_wall)
            machine.append(together(verification(), VERIFICATIONS, cores)[1] / verifies_per_second())
    bound, beside = statistics.median(bounds), statistics.median(map(truediv, bounds, peers))
    what = f"{kind.name} bundles, at most: {len(kind.signers)} bare verifications"
    figures = rows(kind, cores, *map(statistics.median, (rates, over_r, over_peer, gains, machine)))
    return [*figures, Figure(what, f"{bound:.0f} /s", beside, "x")]


def rows(
    kind: Series, cores: int, rate: float, over_r: float, over_peer: float, speedup: float, machine: float
) -> list[Figure]:
    def figure(what: str, value: str, ratio: float, unit: str, goal: float | None) -> Figure:
        text, met = (f">= {goal:g}", ratio >= goal) if goal is not None else ("", None)
        return Figure(f"{kind.name} bundles, {what}", value, ratio, unit, text, met=met)

    shared = f"{speedup:.2f} x one (bare verifications: {machine:.2f} x)"
    return [
        figure("one process", f"{rate:.0f} /s", over_r, "R", kind.over_r),
        figure("beside sigstore-python", "", over_peer, "x", kind.over_peer),
        figure(f"{cores} processes", shared, over_peer * speedup, "x", kind.over_peer_on_all_cores),
    ]


def run(rounds: int) -> list[Figure]:
    """All figures; the cold ones are left out, and said to be, where the vectors are absent."""
    folders = [str(ROOT / package) for package in PACKAGES]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *folders], env=environment(), check=True)
    vectors = Path(os.environ.get("SIGBOX_VECTORS", ROOT.parent / "shared" / "vectors"))
    if not vectors.is_dir():
        return [Figure("cold verification", "not measured: set SIGBOX_VECTORS"), *many(rounds)]
    return cold(vectors, COLD * rounds) + many(rounds)
