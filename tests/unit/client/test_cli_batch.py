# SPDX-License-Identifier: Apache-2.0
"""``verify-blob`` with many files: several processes say what one would say, and none of them can fail silently."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from sigcore.bundle import encode_bundle
from sigcore.errors import NotFound, Refused
from sigcore.trustroot import encode_trusted_root
from stack.cli import batch, main, verifying
from stack.cli.batch import CHUNK, verify_many
from stack.cli.usage import Usage
from tests.unit.client.minisig import ARTIFACT, EMAIL, ISSUER
from tests.until import wait_until

WHO = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", ISSUER)
FILES = 70
"""More than the number from which on all cores are used."""


@pytest.fixture(scope="module")
def dist(tmp_path_factory, sigstore):
    """A folder of signed files, one of them changed since, and the trusted root beside it."""
    folder = tmp_path_factory.mktemp("batch")
    (folder / "root.json").write_bytes(encode_trusted_root(sigstore.root))
    (folder / "dist").mkdir()
    for number in range(FILES):
        path = folder / "dist" / f"f{number:02}"
        path.write_bytes(ARTIFACT if number != 40 else b"changed")
        path.with_name(f"{path.name}.sigstore.json").write_bytes(encode_bundle(sigstore.sign_v1()))
    return folder


def run(folder, capsys, *more: str):
    code = main(["verify-blob", str(folder / "dist"), *WHO, "--trusted-root", str(folder / "root.json"), *more])
    return code, *capsys.readouterr()


def test_several_processes_say_what_one_says(dist, capsys):
    alone = run(dist, capsys, "--json", "--max-workers", "1")
    assert alone[0] == 1
    assert [row["verified"] for row in json.loads(alone[1])].count(False) == 1
    assert alone[2].splitlines()[40].startswith(f"[41/{FILES}] REFUSED")
    for more in (("--max-workers", "2"), ("--max-workers", "3"), ()):
        assert run(dist, capsys, "--json", *more) == alone


def test_few_large_files_are_shared_among_the_cores_too(dist, capsys, monkeypatch):
    crews = []

    def verify(count, row, workers):
        crews.append(workers)
        return verify_many(count, row, workers)

    monkeypatch.setattr(batch, "verify_many", verify)
    monkeypatch.setattr(verifying.os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    files = [str(dist / "dist" / f"f{number:02}") for number in range(4)]
    more = ["--trusted-root", str(dist / "root.json")]
    assert main(["verify-blob", *files, *WHO, *more]) == 0
    assert crews == []
    monkeypatch.setattr(verifying, "_MUCH", 3 * len(ARTIFACT))
    assert main(["verify-blob", *files, *WHO, *more]) == 0
    assert main(["verify-blob", files[0], *WHO, *more]) == 0
    assert main(["verify-blob", *files[:3], *WHO, *more]) == 0
    assert crews == [3]


def test_a_file_without_a_bundle_is_refused_and_a_missing_one_is_told_by_its_process(dist, capsys):
    bundle = dist / "dist" / "f69.sigstore.json"
    files = [str(dist / "dist" / f"f{number:02}") for number in range(41, FILES)]
    root = ("--trusted-root", str(dist / "root.json"), "--max-workers", "2")
    bundle.rename(dist / "away")
    try:
        assert main(["verify-blob", *files, *WHO, *root]) == 1
    finally:
        (dist / "away").rename(bundle)
    err = capsys.readouterr().err
    assert (
        f"REFUSED {files[-1]}: the bundle {bundle} cannot be read: No such file or directory\n  check: bundle\n" in err
    )
    assert main(["verify-blob", *files, str(dist / "none"), *WHO, *root]) == 2
    assert f"MISSING {dist / 'none'}: the artifact {dist / 'none'} cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_missing_one_of_several_takes_no_verdict_from_the_others(dist, capsys, workers: str):
    files = [str(dist / "dist" / f"f{number:02}") for number in (38, 40, 41)]
    files[1:1] = [str(dist / "nothing\x1b[31m"), str(dist / "root.json")]
    more = ("--trusted-root", str(dist / "root.json"), "--max-workers", workers, "--json")
    assert main(["verify-blob", *files[:2], *WHO, *more]) == 2
    capsys.readouterr()
    assert main(["verify-blob", *files, *WHO, *more]) == 1, "one of them is refused"
    told = capsys.readouterr()
    rows = [(row["verified"], row.get("missing", False)) for row in json.loads(told.out)]
    assert rows == [(True, False), (False, True), (False, False), (False, False), (True, False)]
    assert "[2/5] MISSING" in told.err
    assert f"[3/5] REFUSED {dist / 'root.json'}: the bundle" in told.err
    assert f"the artifact {dist / 'nothing'}\\x1b[31m cannot be read" in told.err, "no escape reaches a terminal"


@pytest.mark.parametrize("number", ["0", "-1", "257"])
def test_a_number_of_workers_out_of_range(dist, capsys, number):
    code, _, err = run(dist, capsys, "--max-workers", number)
    assert code == 2
    assert f"--max-workers is {number}, expected 1 to 256" in err


def count_and(number: int, do, at: int = 100):
    yield
    if number == at:
        do()
    yield
    return {"verified": True, "number": number}


def test_rows_come_in_order():
    rows = verify_many(5 * CHUNK + 3, lambda number: count_and(number, lambda: None), 3)
    assert [row["number"] for row in rows] == list(range(5 * CHUNK + 3))


@pytest.mark.parametrize("count", [2, 3, 9, 2 * CHUNK + 1, 400, 1000])
def test_who_is_done_early_takes_from_who_is_late(count, tmp_path):
    """One worker waits at the first file until another has verified the last one, and so all that lie between."""

    def verify(number: int):
        yield
        if number == count - 1:
            (tmp_path / "last").touch()
        if number == 0:
            wait_until((tmp_path / "last").exists)
        return {"verified": True, "worker": os.getpid()}

    workers = Counter(row["worker"] for row in verify_many(count, verify, 2))
    late, early = sorted(workers.values())
    assert late + early == count
    assert late <= CHUNK


@pytest.mark.parametrize("workers", [1, 2])
def test_files_take_turns_and_their_lines_do_not(workers, capsys):
    """Steps of many files, the first of which takes the most; a large number of files is cut into more chunks than one pipe holds."""

    def verify(number: int):
        sys.stderr.write(f"{number} begins\n")
        for _ in range(3 - number % 3):
            yield
        sys.stderr.write(f"{number} ends\n")
        return {"verified": True, "number": number}

    count = batch._CHUNKS * CHUNK + 5
    assert [row["number"] for row in verify_many(count, verify, workers)] == list(range(count))
    assert capsys.readouterr().err == "".join(f"{number} begins\n{number} ends\n" for number in range(count))


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_found_before_an_error_is_said(workers, capsys):
    def verify(number: int):
        yield
        if number == 2 * CHUNK + 3:
            sys.stderr.write("about to fail\n")
            raise NotFound("gone")
        yield
        sys.stderr.write(f"{number}\n")
        return {"verified": True}

    with pytest.raises(NotFound, match="gone"):
        verify_many(4 * CHUNK, verify, workers)
    said = "".join(f"{number}\n" for number in range(2 * CHUNK + 3))
    assert capsys.readouterr().err == f"{said}about to fail\n"


@pytest.mark.parametrize(
    ("do", "error", "message"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), Refused, "ended before it had verified its files"),
        (lambda: os._exit(0), Refused, "ended before it had verified its files"),
        (lambda: 1 // 0, Refused, "internal error: ZeroDivisionError"),
        (lambda: sys.exit(0), Refused, "ended before it had verified its files"),
        (lambda: raise_(NotFound("gone")), NotFound, "gone"),
        (lambda: raise_(Usage("no")), Usage, "no"),
    ],
)
def test_a_worker_that_fails_is_an_error(do, error, message):
    before = children_of(os.getpid())  # other tests may have some that go on
    with pytest.raises(error, match=message):
        verify_many(200, lambda number: count_and(number, do), 2)
    assert children_of(os.getpid()) <= before, "a worker is left behind"


def children_of(process: int) -> set[str]:
    return {child for task in Path(f"/proc/{process}/task").iterdir() for child in read(task / "children").split()}


def raise_(error):
    raise error


SLOW = """
import sys, time
from stack.cli import main, verifying
verify = verifying._verify_file
def slow(*arguments, **more):
    time.sleep(0.05)
    return verify(*arguments, **more)
verifying._verify_file = slow
sys.exit(main(sys.argv[1:]))
"""


def test_an_interrupt_ends_all_processes_and_is_no_success(dist):
    who = (*WHO, "--trusted-root", str(dist / "root.json"), "--max-workers", "2")
    command = [sys.executable, "-c", SLOW, "verify-blob", str(dist / "dist"), *who]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while len(workers := children_of(process.pid)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    deadline = time.monotonic() + 60  # whoever inherits them must have waited for them too
    while any(os.path.exists(f"/proc/{worker}") for worker in workers):  # noqa: PTH110 - a list of numbers
        assert time.monotonic() < deadline
        time.sleep(0.01)


def read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except FileNotFoundError:  # a thread that has ended meanwhile has no children
        return ""


def test_a_name_that_is_no_text_goes_through(dist, capsys):
    odd = os.fsencode(dist / "dist") + b"/\xff"
    for suffix in (b"", b".sigstore.json"):
        os.link(os.fsencode(dist / "dist" / "f00") + suffix, odd + suffix)
    try:
        code, out, _ = run(dist, capsys, "--json", "--max-workers", "2")
    finally:
        for suffix in (b"", b".sigstore.json"):
            os.unlink(odd + suffix)  # noqa: PTH108 - bytes
    assert code == 1
    assert json.loads(out)[-1]["file"] == os.fsdecode(odd)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_is_for_terminals_only(monkeypatch, capsys):
    verify_many(2 * CHUNK, lambda number: count_and(number, lambda: None), 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys, "stderr", Terminal())
    verify_many(2 * CHUNK, lambda number: count_and(number, lambda: None), 2)
    assert f"[{'#' * 16}{' ' * 16}] {CHUNK}/{2 * CHUNK}\r" in sys.stderr.getvalue()
    assert sys.stderr.getvalue().endswith("\x1b[K")
