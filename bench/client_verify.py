# SPDX-License-Identifier: Apache-2.0
"""The client's verification: cold (one process for one file) and many bundles in one process, beside sigstore-python.

Cold figures are of the third-party vectors (SIGBOX_VECTORS), which both clients read with the same trusted root. The bundles
of the batch are made here with our own services' code: certificate of a P-256 authority, v1 entry with promise and proof, or
v2 entry with a timestamp; each with a key of its own.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from bench.reference import Figure, pass_seconds, verifies_per_second
from bench.startup import PACKAGES, ROOT, environment
from client.verify import verify_blob
from client.verify.identity import IdentityPolicy
from sigcore.bundle import encode_bundle, parse_bundle
from sigcore.trustroot import encode_trusted_root
from stack.cli.batch import verify_many
from tests.unit.client.minisig import ARTIFACT, EMAIL, ISSUER, MiniSigstore

BUNDLES = 200
PUBLIC_ISSUER = "https://token.actions.githubusercontent.com"
PUBLIC_IDENTITY = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/"
    ".github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)


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
    commands = {"help": [script, "--help"], "version": [script, "--version"], "ours": ours, "theirs": theirs}
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
        unit, sign = ("x pass", "<=") if over == "pass" else ("x ours", ">=")
        return Figure(name, f"{value:.0f} ms", ratio, unit, f"{sign} {goal:g}", met=met)

    return [
        row("sigbox --help", "help", "pass", 2.2),
        row("sigbox --version", "version", "pass", 2.2),
        row("sigbox verify-blob, one v0.3 bundle, cold", "ours", "pass", 6),
        row("sigstore verify --offline, the same bundle", "theirs", "ours", 6, at_least=True),
    ]


# --- many in one process -------------------------------------------------------------------------------------------
def per_second(verify: Callable[[bytes], object], bundles: list[bytes]) -> float:
    """Bundles per second, parsing included."""
    for bundle in bundles[:3]:
        verify(bundle)
    start = time.perf_counter()
    for bundle in bundles:
        verify(bundle)
    return len(bundles) / (time.perf_counter() - start)


def all_cores(verify: Callable[[bytes], object], bundles: list[bytes], workers: int) -> float:
    """Bundles per second of as many processes as there are cores, their start and end included."""

    def row(number: int) -> dict[str, object]:
        verify(bundles[number])
        return {"verified": True}

    start = time.perf_counter()
    verify_many(len(bundles), row, workers)
    return len(bundles) / (time.perf_counter() - start)


def sigstore_python(root: Path) -> Callable[[bytes], object]:
    """The official library's verification of one bundle."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its dependencies warn while they are imported
        from sigstore import models, verify  # noqa: PLC0415 - seconds, and only for this benchmark
    verifier = verify.Verifier(trusted_root=models.TrustedRoot.from_file(str(root)))
    policy = verify.policy.Identity(identity=EMAIL, issuer=ISSUER)
    return lambda data: verifier.verify_artifact(ARTIFACT, models.Bundle.from_json(data), policy)


def many(rounds: int) -> list[Figure]:
    """Bundles per second over R, and over the official library's in the same minute."""
    sigstore, digest = MiniSigstore(), hashlib.sha256(ARTIFACT).digest()
    root, identity = sigstore.root, IdentityPolicy(ISSUER, EMAIL)

    def ours(data: bytes) -> object:
        return verify_blob(parse_bundle(data), digest, root=root, identity=identity)

    cores = len(os.sched_getaffinity(0))
    figures = []
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as folder:
        path = Path(folder) / "trusted_root.json"
        path.write_bytes(encode_trusted_root(root))
        theirs = sigstore_python(path)
        for name, make, goal, times in (("v1", sigstore.sign_v1, 0.12, 1.8), ("v2 + TSA", sigstore.sign, None, 5.0)):
            samples = []
            for number in range(rounds):
                print(f"many {name}: {number + 1} of {rounds}", file=sys.stderr)
                bundles = [encode_bundle(make()) for _ in range(BUNDLES)]  # new ones: nothing of a leaf is known before
                measured = [per_second(ours, bundles), per_second(theirs, bundles[:50])]
                bundles += [encode_bundle(make()) for _ in range(3 * BUNDLES)]
                samples.append((verifies_per_second(), *measured, all_cores(ours, bundles, cores)))
            rate, ratio = statistics.median(s[1] for s in samples), statistics.median(s[1] / s[0] for s in samples)
            peer, spread = (statistics.median(s[n] / s[2] for s in samples) for n in (1, 3))
            spread_rate = statistics.median(s[3] for s in samples)
            both, wanted = (">= 3.2", spread >= 3.2) if goal else ("", None)
            goal_text, met = (f">= {goal}", ratio >= goal) if goal else ("", None)
            figures += [
                Figure(f"{name} bundles, one process", f"{rate:.0f} /s", ratio, "R", goal_text, met=met),
                Figure(f"{name} bundles, beside sigstore-python", "", peer, "x", f">= {times:g}", met=peer >= times),
                Figure(f"{name} bundles, {cores} processes", f"{spread_rate:.0f} /s", spread, "x", both, met=wanted),
            ]
    return figures


def run(rounds: int) -> list[Figure]:
    """All figures; the cold ones are left out, and said to be, where the vectors are absent."""
    folders = [str(ROOT / package) for package in PACKAGES]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *folders], env=environment(), check=True)
    vectors = Path(os.environ.get("SIGBOX_VECTORS", ROOT.parent / "shared" / "vectors"))
    if not vectors.is_dir():
        return [Figure("cold verification", "not measured: set SIGBOX_VECTORS"), *many(rounds)]
    return cold(vectors, rounds) + many(rounds)
