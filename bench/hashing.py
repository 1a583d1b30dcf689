# SPDX-License-Identifier: Apache-2.0
"""Digests of large files: beside hashlib on the same amount of memory, two files at once, and the memory that it takes.

The files are in the page cache, so that it is our reading that is measured and not the disk. What two threads that hash memory
gain at the same moment is told beside what two files gain: on a busy machine that is little. A sparse file of 4 GiB is verified
by the command itself, and so is a small one; the difference of their peaks is what the size costs.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bench.reference import Figure
from bench.startup import environment
from client.files import digest_file, digest_files
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import encode_bundle
from sigcore.keys import generate_p256
from sigcore.trustroot import encode_trusted_root
from tests.unit.client.minisig import EMAIL, ISSUER, MiniSigstore

MIB = 1 << 20
FILE_MIB = 256
SPARSE_MIB = 4096
GROWTH_MIB = 4
"""How much more memory the large file may take: a block, and what the allocator rounds to."""
_PEAK = "import resource,subprocess,sys;subprocess.run(sys.argv[1:],check=True);print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"


def seconds(clock: Callable[[], float], work: Callable[[], object]) -> float:
    start = clock()
    work()
    return clock() - start


def twice(work: Callable[[], object]) -> None:
    """In two threads."""
    other = threading.Thread(target=work)
    other.start()
    work()
    other.join()


def throughput(folder: Path, rounds: int) -> list[Figure]:
    """One file by processor time, two at once by the wall, where neighbours count."""
    data = os.urandom(MIB)
    files = [folder / "one", folder / "two"]
    for path in files:
        path.write_bytes(data * FILE_MIB)

    def in_memory() -> None:
        hashing = hashlib.sha256()
        for _ in range(FILE_MIB):
            hashing.update(data)

    def together() -> None:
        list(digest_files(files, HashAlgorithm.SHA2_256))

    together()
    alone, pairs, machine, rates = [], [], [], []
    for number in range(rounds):
        print(f"hashing {number + 1} of {rounds}", file=sys.stderr)
        before = seconds(time.process_time, in_memory)
        own = seconds(time.process_time, lambda: digest_file(files[0]))
        after = seconds(time.process_time, in_memory)
        one, both = seconds(time.perf_counter, lambda: digest_file(files[0])), seconds(time.perf_counter, together)
        machine.append(2 * seconds(time.perf_counter, in_memory) / seconds(time.perf_counter, lambda: twice(in_memory)))
        alone.append((before + after) / 2 / own)
        pairs.append(2 * one / both)
        rates.append(FILE_MIB * MIB / own / 1e9)
    ratio, gain = statistics.median(alone), statistics.median(pairs)
    bare = f"(bare hashing: {statistics.median(machine):.2f} x)"
    return [
        Figure(
            "SHA-256 of a file, beside hashlib in memory",
            f"{statistics.median(rates):.2f} GB/s",
            ratio,
            "x",
            ">= 0.85",
            met=ratio >= 0.85,
        ),
        Figure("SHA-256 of two files at once", bare, gain, "x one", ">= 1.8", met=gain >= 1.8),
    ]


def memory(folder: Path) -> Figure:
    """Peak resident memory of ``verify-blob`` for a sparse file, less that for a small one."""
    sigstore = MiniSigstore()
    root = folder / "root.json"
    root.write_bytes(encode_trusted_root(sigstore.root))
    script = Path(sys.executable).with_name("sigbox")
    who = ["--certificate-identity", EMAIL, "--certificate-oidc-issuer", ISSUER, "--trusted-root", str(root)]
    peaks = []
    for name, size in (("small", MIB), ("sparse", SPARSE_MIB * MIB)):
        print(f"memory: a file of {size // MIB} MiB", file=sys.stderr)
        path = folder / name
        with path.open("wb") as file:
            file.truncate(size)
        key = generate_p256()
        bundle = sigstore.bundle_of(digest_file(path), key, sigstore.certify(key.public_key()))
        path.with_name(f"{name}.sigstore.json").write_bytes(encode_bundle(bundle))
        command: list[str | Path] = [sys.executable, "-c", _PEAK, script, "verify-blob", path, *who]
        done = subprocess.run(command, env=environment(), check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        peaks.append(int(done.stdout.split()[-1]) / 1024)
    growth = peaks[1] - peaks[0]
    what = f"memory for {SPARSE_MIB // 1024} GiB, beside 1 MiB"
    return Figure(what, f"{growth:+.1f} MiB", goal=f"<= {GROWTH_MIB} MiB", met=growth <= GROWTH_MIB)


def run(rounds: int) -> list[Figure]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as folder:
        return [*throughput(Path(folder), rounds), memory(Path(folder))]
