# SPDX-License-Identifier: Apache-2.0
"""sigstore-python's library beside ours, in a process of its own: with it imported, a process is five times as large, and whatever
is forked from it pays for that.

The process (``python -m bench.peer ROOT ARTIFACT IDENTITY ISSUER``, the first two of them files) verifies the bundles of the file
that a line of its standard input names, one bundle to a line, and answers how many it verified per second.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from tests.stack_process import ROOT, environment

Rate: TypeAlias = Callable[[list[bytes]], float]
"""Of bundles: how many of them are verified in a second of processor time."""


def per_second(verify: Callable[[bytes], object], bundles: list[bytes]) -> float:
    """Bundles per second of processor time, one after the other; parsing included."""
    for bundle in bundles[:3]:
        verify(bundle)
    start = time.process_time()
    for bundle in bundles:
        verify(bundle)
    return len(bundles) / (time.process_time() - start)


@contextmanager
def sigstore_python(root: bytes, artifact: bytes, identity: str, issuer: str) -> Iterator[Rate]:
    """The official library's rate, with a trusted root of the standard form. It refuses nothing, or the benchmark ends."""
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as temporary:
        folder = Path(temporary)
        trusted, signed, bundles_file = folder / "trusted_root.json", folder / "artifact", folder / "bundles"
        trusted.write_bytes(root)
        signed.write_bytes(artifact)
        command: list[str | Path] = [sys.executable, "-m", "bench.peer", trusted, signed, identity, issuer]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=pipe, stdout=pipe, text=True) as peer:
            asked, told = peer.stdin, peer.stdout
            assert asked is not None and told is not None  # noqa: PT018 - they are pipes

            def rate(bundles: list[bytes]) -> float:
                bundles_file.write_bytes(b"\n".join(bundles))
                print(bundles_file, file=asked, flush=True)
                answer = told.readline()
                if not answer:
                    raise RuntimeError("sigstore-python did not verify our bundles")
                return float(answer)

            yield rate


def _verification(root: Path, artifact: bytes, identity: str, issuer: str) -> Callable[[bytes], object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its dependencies warn while they are imported
        from sigstore import models, verify  # noqa: PLC0415 - seconds, and only in this process
    verifier = verify.Verifier(trusted_root=models.TrustedRoot.from_file(str(root)))
    policy = verify.policy.Identity(identity=identity, issuer=issuer)
    return lambda data: verifier.verify_artifact(artifact, models.Bundle.from_json(data), policy)


if __name__ == "__main__":
    root_, artifact_, identity_, issuer_ = sys.argv[1:]
    verify_ = _verification(Path(root_), Path(artifact_).read_bytes(), identity_, issuer_)
    for line_ in sys.stdin:
        print(per_second(verify_, Path(line_.rstrip("\n")).read_bytes().split(b"\n")), flush=True)
