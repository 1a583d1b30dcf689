# SPDX-License-Identifier: Apache-2.0
"""``sigbox initialize`` and the refresh of its cache against mirrors that lie: one test for each code of docs/advisories.md."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata

from client.tuf_cache import TufCache
from client.tuf_fetching import PACE, Fetcher, Pace, TooSlow, Watch
from client.tuf_mirror import initialize, refresh
from sigcore.errors import Refused, SigError, Unavailable
from sigcore.trustroot import encode_trusted_root
from tests.advisories.tuf_repository import TufRepository, mirror_of
from tests.alarm import within
from tests.unit.client.minisig import MiniSigstore

OLD, NEW = (encode_trusted_root(MiniSigstore(name).root) for name in ("old", "new"))


@dataclass
class Scene:
    """A repository, its mirror, and a client's cache of it."""

    repository: TufRepository
    mirror: str
    cache: TufCache
    asked: list[str]

    @property
    def root(self) -> bytes:
        return (Path(self.cache.folder) / "targets" / "trusted_root.json").read_bytes()

    def kept(self, role: str) -> int:
        return int(
            json.loads((Path(self.cache.folder) / "metadata" / f"{role}.json").read_bytes())["signed"]["version"]
        )

    def refused(self, message: str) -> None:
        with pytest.raises(Refused, match=message):
            refresh(self.cache)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    repository, asked = TufRepository({"trusted_root.json": OLD}), list[str]()
    with mirror_of(repository, asked) as mirror:
        cache = initialize(str(tmp_path / "home" / "tuf"), mirror, repository.files["1.root.json"], None)
        yield Scene(repository, mirror, cache, asked)


def test_control_what_is_new_and_right_is_taken(scene):
    scene.repository.next_root()
    scene.repository.publish_root()
    scene.repository.publish({"trusted_root.json": NEW})
    refresh(scene.cache)
    assert scene.root == NEW
    assert (scene.kept("root"), scene.kept("timestamp"), scene.kept("targets")) == (2, 2, 2)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_u01_no_role_goes_back(scene, role):
    """Signed by the right keys, and older than what this client has seen; what it has stays."""
    repository = scene.repository
    repository.publish({"trusted_root.json": NEW}, version=7)
    refresh(scene.cache)
    if role == "timestamp":
        repository.publish({"trusted_root.json": OLD}, version=5)
    elif role == "snapshot":
        repository.publish({"trusted_root.json": OLD}, version=5)
        repository.publish_timestamp(8, snapshot=5)
    else:
        repository.publish({"trusted_root.json": OLD}, version=5)
        older = repository.files["5.targets.json"]
        repository.publish({"trusted_root.json": OLD}, version=8)
        snapshot = json.loads(repository.files["8.snapshot.json"])
        snapshot["signed"]["meta"]["targets.json"]["version"] = 5
        repository.files["5.targets.json"] = older
        repository.files["8.snapshot.json"] = resigned(repository, snapshot, "snapshot")
    scene.refused("does not verify")
    assert scene.root == NEW


@pytest.mark.parametrize("version", [1, 2])
def test_u01_to_initialize_again_does_not_go_back(scene, version):
    """From the first root or from a later one: it is the same repository, whatever its mirror is called now."""
    repository = scene.repository
    repository.next_root()
    repository.publish_root()
    repository.publish({"trusted_root.json": NEW}, version=7)
    refresh(scene.cache)
    root = repository.files[f"{version}.root.json"]
    repository.publish({"trusted_root.json": OLD}, version=5)
    with mirror_of(repository, []) as other:
        for mirror in (scene.mirror, other):
            with pytest.raises(Refused, match="does not verify"):
                initialize(scene.cache.folder, mirror, root, None)
            assert scene.root == NEW
        repository.publish({"trusted_root.json": OLD}, version=8)
        initialize(scene.cache.folder, other, root, None)
    assert scene.root == OLD


def test_control_to_initialize_again_mends_a_damaged_cache(scene):
    folder, root = Path(scene.cache.folder), scene.repository.files["1.root.json"]
    for path in (*(folder / "metadata").glob("*.json"), folder / "cache.json", *(folder / "targets").iterdir()):
        path.write_bytes(b"{")
        initialize(scene.cache.folder, scene.mirror, root, None)
        assert scene.root == OLD, path


def resigned(repository: TufRepository, document: dict, role: str) -> bytes:
    return repository.sign(Metadata.from_dict(document).signed, role)


def test_u05_two_signatures_of_one_key_are_one(scene):
    """The second one stands under another id that is said to be of the same key."""
    root = scene.repository.next_root()
    (signer,) = scene.repository.keys["timestamp"]
    root.roles["timestamp"].threshold = 2
    scene.repository.publish_root()
    scene.repository.publish({"trusted_root.json": NEW})
    document = json.loads(scene.repository.files["timestamp.json"])
    document["signatures"] *= 2
    for second in (signer.public_key.keyid, "0" * 64):
        document["signatures"][1] = document["signatures"][0] | {"keyid": second}
        scene.repository.files["timestamp.json"] = json.dumps(document).encode()
        scene.refused("does not verify")
    assert scene.root == OLD


@pytest.mark.parametrize("threshold", [0, -1, 2])
def test_u05_a_threshold_that_is_none_is_refused(scene, threshold):
    scene.repository.next_root()
    document = json.loads(scene.repository.sign(scene.repository.root, "root"))
    document["signed"]["roles"]["timestamp"]["threshold"] = threshold
    scene.repository.files["2.root.json"] = json.dumps(document).encode()
    scene.refused("does not verify")
    assert scene.kept("root") == 1


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "a/../../evil", "..\\evil", "nul", "x" * 300, "\u2024\u2024/evil"]
)
def test_u06_names_in_the_metadata_lead_nowhere(scene, tmp_path, name):
    """Nobody asks for what the metadata lists beside the three names of ours, and nothing lies outside of the cache."""
    scene.repository.publish({"trusted_root.json": NEW, name: b"evil"})
    before = set(tmp_path.rglob("*")) - set(Path(scene.cache.folder).rglob("*"))
    refresh(scene.cache)
    assert set(tmp_path.rglob("*")) - set(Path(scene.cache.folder).rglob("*")) == before
    assert scene.root == NEW
    assert not [path for path in scene.asked if "evil" in path]
    assert sorted(path.name for path in (Path(scene.cache.folder) / "targets").iterdir()) == ["trusted_root.json"]


@pytest.mark.parametrize("role", ["timestamp.json", "2.snapshot.json", "2.targets.json", "2.root.json"])
@pytest.mark.parametrize(
    "data", [b"", b"{}", b"null", b"[]", b"1", b"\xff", b'{"signed":null,"signatures":[]}', b"[" * 5000]
)
def test_u07_what_is_no_metadata_is_refused_in_our_words(scene, role, data):
    scene.repository.next_root()
    scene.repository.publish_root()
    scene.repository.publish({"trusted_root.json": NEW})
    scene.repository.files[role] = data
    with pytest.raises(SigError):
        refresh(scene.cache)
    assert scene.root == OLD


def test_u08_a_root_that_does_not_verify_is_not_kept(scene):
    """The next version is good, the one after is not, or jumps: what is trusted afterwards is the good one."""
    good = scene.repository.next_root()
    scene.repository.publish_root()
    foreign = TufRepository({"trusted_root.json": NEW})
    foreign.root.version = 3
    scene.repository.files["3.root.json"] = foreign.sign(foreign.root, "root")
    scene.refused("does not verify")
    assert scene.kept("root") == good.version == 2
    jumping = scene.repository.next_root()
    jumping.version = 5
    scene.repository.files["3.root.json"] = scene.repository.sign(jumping, "root")
    scene.refused("does not verify")
    assert scene.kept("root") == 2


def test_u08_a_timestamp_that_was_refused_is_not_in_the_cache(scene):
    good = scene.repository.files["timestamp.json"]
    scene.repository.keys["timestamp"] = TufRepository({"trusted_root.json": NEW}).keys["timestamp"]
    scene.repository.publish_timestamp(9, 1)
    scene.refused("does not verify")
    assert scene.kept("timestamp") == 1
    scene.repository.files["timestamp.json"] = good
    refresh(scene.cache)


HEAD = 40
"""Bytes, about: what comes before a file."""


def stalling(after: int, pause: float) -> Callable[[bytes], Iterator[bytes]]:
    """Sends so many bytes at once, and then one at a time."""

    def slow(answer: bytes) -> Iterator[bytes]:
        yield answer[:after]
        for number in answer[after:]:
            time.sleep(pause)
            yield bytes((number,))

    return slow


@pytest.mark.parametrize("after", [0, 12, HEAD + 100], ids=["from the first line", "in the head", "in the file"])
@pytest.mark.parametrize(
    "pace",
    [Pace(window_s=0.5, window_bytes=4096, file_s=600), Pace(window_s=600, window_bytes=4096, file_s=0.5)],
    ids=["in a window", "in all"],
)
def test_u10_a_mirror_that_sends_a_byte_now_and_then_is_given_up(scene, tmp_path, pace, after):
    """Each byte came within the time of a read, and all of them never."""
    root = scene.repository.files["1.root.json"]
    with mirror_of(scene.repository, [], stalling(after, 0.05)) as mirror, within(60):
        with (
            pytest.raises(Unavailable, match="is too slow: less than 4096 bytes in"),
            closing(Fetcher(None, pace)) as fetcher,
        ):
            initialize(str(tmp_path / "new"), mirror, root, None, fetcher=fetcher)
        with pytest.raises(Unavailable, match="is too slow"), closing(Fetcher(None, pace)) as fetcher:
            initialize(scene.cache.folder, mirror, root, None, fetcher=fetcher)
    assert not (tmp_path / "new").exists()
    assert scene.root == OLD


@pytest.mark.parametrize(
    ("at_once", "each_second", "ends"), [(0, 1024, 300), (0, 1023, 30), (10**6, 1, 60), (10**6, 1024, 300)]
)
def test_u10_the_pace_is_1_kib_a_second_over_30_s_and_five_minutes_for_a_file(at_once, each_second, ends):
    """What came early earns no rest later than in the next window."""
    now = 0.0
    watch = Watch(PACE, lambda: now)
    watch.came(at_once)
    for second in range(ends):
        now = float(second)
        assert 0 < watch.left() <= 60
        watch.came(each_second)
    now = float(ends)
    with pytest.raises(TooSlow):
        watch.left()


def test_u10_very_many_signatures_cost_little(scene):
    scene.repository.publish({"trusted_root.json": NEW})
    document = json.loads(scene.repository.files["timestamp.json"])
    document["signatures"] += [{"keyid": f"{number:064x}", "sig": "00" * 64} for number in range(100_000)]
    scene.repository.files["timestamp.json"] = json.dumps(document).encode()
    began = time.process_time()
    with pytest.raises(SigError):
        refresh(scene.cache)
    assert time.process_time() - began < 1
    assert scene.root == OLD
