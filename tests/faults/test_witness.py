# SPDX-License-Identifier: Apache-2.0
"""A witness that is killed: before it has stored a checkpoint nobody has its cosignature; after that no other history gets one."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack_process import ROOT, environment
from tests.unit.tlog.test_witness import FORK, ORIGIN, TREE, Given
from tlog.storage.witness_sqlite import SqliteWitnessStore
from tlog.witness import Conflict

CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
import tlog.witness
from tests.unit.tlog.test_witness import TREE, Given
from tlog.storage import witness_sqlite
from tlog.storage.witness_sqlite import SqliteWitnessStore

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

place, path = sys.argv[1:]
if place == "before":
    witness_sqlite._swap = killed
elif place == "between":
    tlog.witness.cosign = killed

async def main():
    given = Given(SqliteWitnessStore(Path(path)))
    await given.witness.add(TREE.request(5, 9))
    os.write(1, b"cosigned")
    killed()

asyncio.run(main())
"""


async def cosigned(path: Path, old: int, size: int, tree=TREE) -> str:
    given = Given(SqliteWitnessStore(path))
    try:
        return await given.witness.add(tree.request(old, size))
    finally:
        await given.store.close()


def size_of(path: Path) -> int:
    store = SqliteWitnessStore(path)

    async def read() -> int:
        try:
            seen = await store.read(ORIGIN)
            return seen.size if seen else 0
        finally:
            await store.close()

    return asyncio.run(read())


@pytest.mark.parametrize(
    ("place", "size", "said"), [("before", 5, b""), ("between", 9, b""), ("after", 9, b"cosigned")]
)
def test_f19_a_witness_that_is_killed_remembers_what_it_may_have_cosigned(tmp_path, place, size, said):
    path = tmp_path / "witness.db"
    asyncio.run(cosigned(path, 0, 5))
    child = subprocess.run(
        [sys.executable, "-c", CHILD, place, str(path)], cwd=ROOT, env=environment(), capture_output=True, check=False
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert child.stdout == said
    assert size_of(path) == size
    if size == 9:
        with pytest.raises(Conflict) as refused:  # whoever lost the answer asks again, and is told where it is
            asyncio.run(cosigned(path, 5, 9))
        assert refused.value.size == 9
        with pytest.raises(Conflict, match="the log is forked"):
            asyncio.run(cosigned(path, 9, 9, FORK))
    assert asyncio.run(cosigned(path, size, 9)).startswith("— witness.example ")
    assert size_of(path) == 9
