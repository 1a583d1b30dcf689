# SPDX-License-Identifier: Apache-2.0
"""U13 with a real process: the publisher is killed again and again, and a client that follows never sees a broken state."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from stack.config import Home
from stack.trust.state import load_state
from tests.stack_process import ROOT, environment, sigbox

pytestmark = [pytest.mark.faults, pytest.mark.slow]

KILLS = 20


class Mirror(FetcherInterface):
    """The published folder, as HTTP would give it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _fetch(self, url: str):
        path = self.folder / urlsplit(url).path.lstrip("/")
        if not path.exists():
            raise DownloadHTTPError("absent", 404)
        yield path.read_bytes()


class Follower:
    """A client with one cache for its whole life: it refuses any step back."""

    def __init__(self, home: Home, cache: Path) -> None:
        self.home, self.cache = home, cache
        for name in ("metadata", "targets"):
            (cache / name).mkdir(parents=True)

    def fetch(self, name: str) -> bytes:
        updater = Updater(
            str(self.cache / "metadata"),
            "http://mirror/",
            str(self.cache / "targets"),
            "http://mirror/targets/",
            fetcher=Mirror(self.home.tuf_repository),
            bootstrap=self.home.tuf_root.read_bytes(),
        )
        info = updater.get_targetinfo(name)
        assert info is not None
        return Path(updater.download_target(info)).read_bytes()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    done = sigbox("init", "--yes", "--data", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    return Home(tmp_path / "data")


def publisher(home: Home, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "stack.trust.publish", str(home.path), *options],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_u13_kill_9_at_any_moment_of_publishing(home, tmp_path):
    follower, moment = Follower(home, tmp_path / "cache"), random.Random(13)
    follower.fetch("trusted_root.json")
    seen: dict[str, bytes] = {}
    killed = 0
    begun = home.path / "anchor" / "tuf.json"
    for number in range(KILLS):
        document = json.loads(home.trusted_root.read_bytes())
        document["tlogs"][0]["operator"] = f"change {number}"
        home.trusted_root.write_text(json.dumps(document))
        before = begun.read_bytes()
        process = publisher(home, "--force")
        deadline = time.monotonic() + 60
        while begun.read_bytes() == before and process.poll() is None and time.monotonic() < deadline:
            pass  # until it has begun to write
        time.sleep(moment.random() * 0.02)  # where in its writing it ends, not a wait for anything
        process.kill()
        killed += process.wait() != 0
        follower.fetch("trusted_root.json")
        for path in home.tuf_repository.glob("[1-9]*.json"):
            digest = hashlib.sha256(path.read_bytes()).digest()
            assert seen.setdefault(path.name, digest) == digest, f"{path.name} has two contents"
    assert killed >= KILLS // 7, "the publisher was never hit while it wrote"
    assert publisher(home).wait(60) == 0
    assert follower.fetch("trusted_root.json") == home.trusted_root.read_bytes()


def test_several_publishers_at_once_wait_for_each_other(home, tmp_path):
    follower = Follower(home, tmp_path / "cache")
    processes = [publisher(home, "--force") for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert {role.role: role.version for role in load_state(home).roles} == {
        "root": 1,
        "targets": 4,
        "snapshot": 4,
        "timestamp": 4,
    }
    assert follower.fetch("trusted_root.json") == home.trusted_root.read_bytes()
