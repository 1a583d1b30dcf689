# SPDX-License-Identifier: Apache-2.0
"""``sigbox log``: a stack's logs and static copies of them, read from outside; histories that do not fit are refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sigcore import checkpoint, keys, note
from tests.contract.test_fsck import post
from tests.faults import audit
from tests.stack_process import SIGBOX, RunningStack, environment, running_stack, sigbox

EMAIL = "monitor@example.com"
ENTRIES = 300
"""More than a tile holds."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[RunningStack]:
    """A stack whose v2 log has 300 entries; the first file that was signed is the entry 1 of each log."""
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder, "--data", folder / "data") as stack:
        for version in ("1", "2"):
            file = folder / f"file-{version}"
            file.write_text(version)
            done = sigbox(
                "sign-blob",
                file,
                *("--identity-token", stack.token(EMAIL), "--rekor-version", version),
                SIGBOX_TRUST_CONFIG=str(stack.trust_config),
            )
            assert done.returncode == 0, done.stderr
        for _ in range(ENTRIES - 2):
            assert post(stack) == 201
        yield stack


class Client:
    """Somebody who reads logs, with a state of his own."""

    def __init__(self, stack: RunningStack, folder: Path) -> None:
        self.state = folder / "state"
        self.variables = {"SIGBOX_TRUSTED_ROOT": str(stack.trusted_root), "SIGBOX_STATE": str(self.state)}

    def log(self, *arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = sigbox("log", *arguments, **self.variables)
        assert done.returncode == code, (done.stdout, done.stderr)
        return done

    def json(self, *arguments: str | Path) -> dict[str, object]:
        return json.loads(self.log(*arguments, "--json").stdout)


@pytest.fixture
def client(stack: RunningStack, tmp_path: Path) -> Client:
    return Client(stack, tmp_path)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def static(folder: Path) -> Iterator[str]:
    """``folder`` behind a file server that knows nothing of logs; its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def signed(stack: RunningStack, size: int, root: bytes) -> str:
    """A checkpoint that the log's own key signs, and the log never showed."""
    key = keys.parse_private_key((stack.data / "rekor" / "log.key").read_bytes())
    text = checkpoint.encode_checkpoint(checkpoint.Checkpoint("localhost", size, root))
    return note.encode_note(note.sign_note(text, "localhost", key))


# --- info --------------------------------------------------------------------------------------------
def test_info_says_what_the_log_has_signed_and_what_was_seen(stack: RunningStack, client: Client):
    first = client.json("info")
    assert (first["generation"], first["origin"], first["seenBefore"]) == (2, "localhost", None)
    now = audit.read_log(stack.url)[0]
    assert (first["size"], first["checkpoint"]) == (now.size, now.envelope)
    assert post(stack) == 201
    second = client.json("info")
    assert second["size"] == first["size"] + 1
    assert second["seenBefore"]["checkpoint"] == first["checkpoint"]
    assert "the beginning of this tree" in client.log("info").stdout


def test_info_of_v1_names_its_tree(client: Client):
    found = client.json("info", "--rekor-version", "1")
    assert found["generation"] == 1
    assert found["origin"].startswith("localhost - ")
    assert found["size"] == 2


def test_a_log_that_nobody_trusts_is_not_read(stack: RunningStack, client: Client):
    done = client.log("info", "--log-id", "00ff", code=2)
    assert "no log of any generation" in done.stderr
    assert "Rekor v1" in done.stderr
    done = sigbox("log", "info", "--rekor-url", stack.url, SIGBOX_TUF="/nonexistent", TUF_ROOT="/nonexistent")
    assert done.returncode == 2
    assert "nothing to trust" in done.stderr


# --- histories that do not fit ---------------------------------------------------------------------------
@pytest.mark.parametrize(("more", "message"), [(0, "two different trees"), (-3, "only grew"), (5, "went back")])
def test_a_fork_or_a_rollback_is_refused_and_both_checkpoints_are_shown(
    stack: RunningStack, client: Client, more: int, message: str
):
    client.log("info")
    (file,) = client.state.glob("logs/*.checkpoint")
    size = int(file.read_text().splitlines()[1]) + more
    forged = signed(stack, size, bytes(32))
    file.write_text(forged)
    for arguments in (("info",), ("entry", "1"), ("consistency", "1"), ("proof", "1")):
        done = client.log(*arguments, code=1)
        assert message in done.stderr
        assert forged in done.stderr
        assert done.stderr.count("localhost\n") == 2
        assert done.stdout == ""
    assert file.read_text() == forged


# --- entries -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("version", ["1", "2"])
def test_an_entry_is_decoded_with_its_identity_and_proved(client: Client, version: str):
    found = client.json("entry", "1", "--rekor-version", version)
    certificate = found["signers"][0]["certificate"]
    assert certificate["subjectAlternativeName"]["value"] == EMAIL
    assert certificate["fulcio"]["issuer"].endswith("/auth")
    assert found["verified"]
    text = client.log("entry", "1", "--rekor-version", version).stdout
    assert EMAIL in text
    assert ("Rekor v2 dates no entry" in text) == (version == "2")
    assert "verified: leaf 1 of the tree of" in text


def test_v1_finds_an_entry_by_its_uuid(stack: RunningStack, client: Client):
    found = client.json("entry", "1", "--rekor-version", "1")
    assert client.json("entry", found["leafHash"], "--rekor-version", "1")["index"] == 1
    assert "no entry" in client.log("entry", "00" * 32, "--rekor-version", "1", code=2).stderr


@pytest.mark.parametrize(
    ("entry", "message"), [("99999999", "has no entry"), ("zz", "an index or"), ("00" * 32, "by their index")]
)
def test_what_is_no_entry_is_a_usage_error(client: Client, entry: str, message: str):
    assert message in client.log("entry", entry, code=2).stderr


# --- proofs ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("version", ["1", "2"])
def test_each_line_of_an_explained_proof_repeats_its_check(client: Client, tmp_path: Path, version: str):
    folder = tmp_path / "explained"
    done = client.log("proof", "1", "--rekor-version", version, "--explain=json", "--explain-dir", folder)
    document = json.loads(done.stdout)
    lines = [line for step in document["explanation"]["steps"] for line in step["lines"]]
    assert len(lines) >= 5

    def failing() -> list[str]:
        place = document["explanation"]["folder"]
        runs = {line: subprocess.run(["sh", "-c", line], cwd=place, capture_output=True, check=False) for line in lines}
        return [line for line, run in runs.items() if run.returncode]

    assert failing() == []
    body = folder / "1" / "entry-0.json"
    body.write_bytes(body.read_bytes() + b" ")
    assert len(failing()) == 1
    assert document["entry"]["inclusionProof"]["logIndex"] == "1"


def test_a_proof_is_printed_that_a_stranger_can_fold(client: Client):
    lines = client.log("proof", "200").stdout.splitlines()
    assert lines[0].startswith("leaf 200 of ")
    size = int(lines[0].split()[-1])
    body = json.dumps(client.json("entry", "200")["body"], sort_keys=True, separators=(",", ":")).encode()
    path = [bytes.fromhex(line) for line in lines[2 : lines.index("")]]
    assert audit.fold_proof(audit.hash_leaf(body), 200, size, path).hex() == lines[1].split()[1]


@pytest.mark.parametrize(("old", "new"), [("1", "2"), ("5", "299"), ("256", None), ("300", "300")])
def test_trees_are_proved_consistent(stack: RunningStack, client: Client, old: str, new: str | None):
    found = client.json("consistency", old, *([new] if new else []))
    tree = audit.NaiveTree(audit.read_log(stack.url)[1])
    for name, size in (("old", old), ("new", new or found["head"]["size"])):
        assert found[name] == {"size": int(size), "rootHash": tree.root(int(size)).hex()}


def test_a_checkpoint_in_a_file_is_held_against_the_log(stack: RunningStack, client: Client, tmp_path: Path):
    kept = tmp_path / "kept"
    kept.write_text(client.json("info")["checkpoint"])
    assert post(stack) == 201
    assert client.log("consistency", kept).stdout.startswith("consistent: ")
    kept.write_text(signed(stack, 100, bytes(32)))
    assert "does not lead to the first root" in client.log("consistency", kept, code=1).stderr
    assert client.log("consistency", "1", "2", "--rekor-version", "1").stdout.startswith("consistent: ")
    assert "expected 1 <= OLD <= NEW" in client.log("consistency", "9", "5", code=2).stderr


# --- static copies -----------------------------------------------------------------------------------
def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_plain_file_server_over_an_export_carries_every_read(stack: RunningStack, client: Client, tmp_path: Path):
    www = tmp_path / "www"
    done = client.json("export", www)
    with static(www) as url:
        copy = ("--rekor-url", url)
        assert client.json("info", *copy)["size"] == done["size"]
        assert client.json("entry", "1", *copy)["signers"] == client.json("entry", "1")["signers"]
        assert client.json("proof", "299", *copy)["verified"]
        assert client.json("consistency", "256", *copy)["old"]["size"] == 256
    # A reader that shares no code with us.
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "v2").symlink_to(www)
    with static(tmp_path) as url:
        now, entries = audit.read_log(url)
        audit.audit(entries, now, [], [], audit.read_key(stack.trusted_root))
        assert now.size == done["size"]


def test_an_export_is_brought_up_to_date_and_what_is_complete_stays(
    stack: RunningStack, client: Client, tmp_path: Path
):
    www = tmp_path / "www"
    first = client.json("export", www)
    before = files(www)
    for _ in range(220):  # over the end of the second bundle
        assert post(stack) == 201
    second = client.json("export", www)
    assert second["before"]["size"] == first["size"]
    after = files(www)
    complete = {name for name in before if ".p/" not in name and name != "checkpoint"}
    assert {"tile/0/000", "tile/entries/000"} <= complete
    assert all(after[name] == before[name] for name in complete)
    assert {"tile/0/001", "tile/entries/001"} <= set(after)
    assert not any(name.startswith(("tile/0/001.p", "tile/entries/001.p")) for name in after)
    own = tmp_path / "own"
    done = sigbox("log", "export", own, "--data", stack.data, **client.variables | {"SIGBOX_TRUSTED_ROOT": ""})
    assert done.returncode == 0, done.stderr
    same = {name: data for name, (_, data) in files(own).items()}
    assert {name: data for name, (_, data) in after.items() if name in same} == same
    assert client.json("export", www)["files"] == 0


def test_an_export_is_no_place_for_another_history_or_other_files(stack: RunningStack, client: Client, tmp_path: Path):
    www = tmp_path / "www"
    client.log("export", www)
    kept = files(www)
    (www / "checkpoint").write_text(signed(stack, 100, bytes(32)))
    assert "another history" in client.log("export", www, code=1).stderr
    (www / "checkpoint").write_text(signed(stack, 10**6, bytes(32)))
    assert "went back" in client.log("export", www, code=1).stderr
    assert {name: data for name, data in files(www).items() if name != "checkpoint"} == {
        name: data for name, data in kept.items() if name != "checkpoint"
    }
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    assert "not empty" in client.log("export", tmp_path / "home", code=1).stderr
    assert "no tiles" in client.log("export", tmp_path / "v1", "--rekor-version", "1", code=2).stderr


def test_a_copy_that_was_edited_or_lags_behind_is_refused(stack: RunningStack, client: Client, tmp_path: Path):
    www = tmp_path / "www"
    client.log("export", www)
    edited = tmp_path / "edited"
    shutil.copytree(www, edited)
    bundle = edited / "tile" / "entries" / "000"
    bundle.write_bytes(bundle.read_bytes().replace(b"SHA2_256", b"SHA2_512", 1))
    with static(edited) as url:
        assert "leads to the root" in client.log("entry", "0", "--rekor-url", url, code=1).stderr
        assert "hash to" in client.log("export", tmp_path / "again", "--rekor-url", url, code=1).stderr
    assert not (tmp_path / "again" / "tile").exists()
    assert post(stack) == 201
    client.log("info")
    with static(www) as url:
        done = client.log("info", "--rekor-url", url, code=1)
        assert "went back" in done.stderr
        assert "lags behind" in done.stderr


def test_what_is_no_log_and_what_is_not_there_have_their_exit_codes(client: Client, tmp_path: Path):
    with static(tmp_path) as url:
        assert "404" in client.log("info", "--rekor-url", url, code=3).stderr
    assert "cannot be reached" in client.log("info", "--rekor-url", url, code=4).stderr


# --- watching ----------------------------------------------------------------------------------------
def sign(stack: RunningStack, folder: Path, email: str, version: str) -> Path:
    file = folder / f"{email}-{version}"
    file.write_text(f"{email} {version} {stack.url}")
    done = sigbox(
        "sign-blob",
        file,
        *("--identity-token", stack.token(email), "--rekor-version", version),
        SIGBOX_TRUST_CONFIG=str(stack.trust_config),
    )
    assert done.returncode == 0, done.stderr
    return file


class _Hook(SimpleHTTPRequestHandler):
    """Takes what is posted; the first time it is busy."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append(json.loads(body))
        self.send_response(503 if len(self.server.told) == 1 else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def hook() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """A webhook's URL, and what it was told."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hook) as server:
        server.told = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/secret", server.told
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_watcher_says_each_match_once_and_tells_a_webhook(
    stack: RunningStack, client: Client, tmp_path: Path, version: str
):
    who = ("--rekor-version", version, "--identity", "watched-*@example.com", "--once", "--json")
    assert client.log("watch", *who).stdout == ""  # from now on
    sign(stack, tmp_path, f"watched-{version}@example.com", version)
    sign(stack, tmp_path, f"other-{version}@example.com", version)
    with hook() as (url, told):
        (tmp_path / "hook").write_text(url)
        done = client.log("watch", *who, "--webhook", f"@{tmp_path / 'hook'}")
    (line,) = done.stdout.splitlines()
    match = json.loads(line)
    assert match["signers"][0]["identities"] == [f"watched-{version}@example.com"]
    assert "2 new entries, the history holds" in done.stderr
    assert [message["event"] for message in told] == ["match", "match"]  # the first try found it busy
    assert told[1]["entries"] == [match]
    assert told[1]["head"]["size"] >= 2
    assert client.log("watch", *who).stdout == ""
    assert match == json.loads(client.log("watch", *who, "--from", "0", "--name", "second").stdout.splitlines()[-1])


def test_a_webhook_that_does_not_take_it_is_told_again_in_the_next_round(
    stack: RunningStack, client: Client, tmp_path: Path
):
    who = ("--certificate-identity", "again@example.com", "--once")
    client.log("watch", *who)
    sign(stack, tmp_path, "again@example.com", "2")
    with static(tmp_path) as gone:
        pass
    done = client.log("watch", *who, "--webhook", f"{gone}/secret", code=4)
    assert "secret" not in done.stderr
    assert "again@example.com" in client.log("watch", *who).stdout


def test_a_fork_ends_a_watch_and_is_told(stack: RunningStack, client: Client):
    client.log("watch", "--once")
    (file,) = client.state.glob("logs/*.checkpoint")
    file.write_text(signed(stack, int(file.read_text().splitlines()[1]), bytes(32)))
    with hook() as (url, told):
        done = client.log("watch", "--interval", "1", "--webhook", url, code=1)
    assert "two different trees" in done.stderr
    assert told[-1]["event"] == "fork"
    assert file.read_text() in told[-1]["evidence"]


def test_a_watch_goes_on_until_it_is_stopped(stack: RunningStack, client: Client, tmp_path: Path):
    who = ("--certificate-identity", "live@example.com", "--interval", "1", "--everybody", "--from", "0")
    command = [*SIGBOX, "log", "watch", *who]
    with (
        (tmp_path / "out").open("wb") as out,
        subprocess.Popen(command, env=environment(**client.variables), stdout=out, stderr=subprocess.PIPE) as watch,
    ):
        try:
            poll(lambda: (tmp_path / "out").read_text().count("\n") >= ENTRIES)
            sign(stack, tmp_path, "live@example.com", "2")
            poll(lambda: "live@example.com" in (tmp_path / "out").read_text())
        finally:
            watch.terminate()
    lines = (tmp_path / "out").read_text().splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(len(lines)))


def poll(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    "options",
    [
        ("--interval", "0"),
        ("--from", "-1"),
        ("--name", "../x"),
        ("--identity", "[a-z]"),
        ("--certificate-identity-regexp", "("),
        ("--fingerprint", "zz"),
        ("--extension", "colour=red"),
        ("--webhook", "nowhere"),
    ],
)
def test_what_cannot_be_watched_for_is_a_usage_error(client: Client, options: tuple[str, str]):
    assert client.log("watch", "--once", *options, code=2).stderr


# --- searching ---------------------------------------------------------------------------------------
def test_v1_is_searched_by_its_index_and_v2_by_the_console(stack: RunningStack, client: Client, tmp_path: Path):
    for version in ("1", "2"):
        file = sign(stack, tmp_path, f"sought-{version}@example.com", version)
        which = ("--rekor-version", version)
        by_email = client.json("search", "--email", f"sought-{version}@example.com", *which)
        (entry,) = by_email["entries"]
        assert entry["signers"][0]["identities"] == [f"sought-{version}@example.com"]
        assert client.json("search", "--artifact", file, *which)["entries"] == [entry]
        assert client.json("search", "--sha", f"sha256:{entry['digests'][0]}", *which)["entries"] == [entry]
        assert client.json("search", "--entry", entry["leafHash"], *which)["entries"] == [entry]
        assert client.json("search", f"sought-{version}@*", *which)["entries"] == [entry]
        assert f"sought-{version}@example.com" in client.log("search", f"sought-{version}@*", *which).stdout
        assert client.json("search", "--email", "nobody@example.com", *which) == {"entries": [], "more": False}
    assert "proves nothing" in client.log("search", "--email", "nobody@example.com").stdout


def test_where_a_log_offers_no_search_that_is_said(client: Client, tmp_path: Path):
    www = tmp_path / "www"
    client.log("export", www)
    with static(www) as url:
        done = client.log("search", "--email", EMAIL, "--rekor-url", url, code=2)
    assert "offers no search" in done.stderr
    assert "sigbox log watch" in done.stderr
    assert "nothing is sought" in client.log("search", code=2).stderr
    assert client.log("search", "--sha", "zz", code=2).stderr
    assert client.log("search", "--email", EMAIL, "--limit", "0", code=2).stderr
