# SPDX-License-Identifier: Apache-2.0
"""F18: what a version has written is opened by this one, with everything in it; and a change of any form is noticed.

Who changes a form gives it a new number and a migration, and leaves the old archive where it is (``golden_data.py``).
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.test_login import Session, run
from tests.faults.audit import Acknowledged, audit, read_key, read_log
from tests.faults.golden_data import EMAIL, ENTRIES, GOLDEN, PASSWORD, sign
from tests.stack_process import RunningStack, running_stack, sigbox
from tlog.anchor import Anchored
from tlog.anchor_file import FileAnchor, load_anchored

pytestmark = [pytest.mark.faults, pytest.mark.slow]

ARCHIVES = sorted(GOLDEN.glob("*.tar.xz"))
NEWEST = ARCHIVES[-1]
VERDICT = ("--certificate-identity", EMAIL)


def unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as found:
        found.extractall(folder, filter="data")
    for path in (folder / "data").rglob("*"):  # the filter takes rights away, and git keeps none
        path.chmod(0o700 if path.is_dir() else 0o600)
    (folder / "data").chmod(0o700)
    return folder / "data"


def verify(stack: RunningStack, artifact: Path, bundle: Path, issuer: str) -> None:
    options = (*VERDICT, "--certificate-oidc-issuer", issuer, "--trusted-root", stack.trusted_root)
    done = sigbox("verify-blob", artifact, "--bundle", bundle, *options)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: path.name)
def test_what_an_earlier_version_has_written_is_opened_and_goes_on_f18(archive: Path, tmp_path: Path):
    data = unpack(archive, tmp_path)
    lines = map(json.loads, (tmp_path / "acknowledged.jsonl").read_text().splitlines())
    told = [Acknowledged(**{**line, "proof": tuple(line["proof"])}) for line in lines]
    assert len(told) == ENTRIES
    artifact, bundle = tmp_path / "artifact", tmp_path / "artifact.sigstore.json"
    anchored = load_anchored(data / "anchor" / "rekor.checkpoint")
    assert anchored is not None
    with running_stack(tmp_path, "--data", data) as stack:
        now, entries = read_log(stack.url)
        audit(entries, now, told, [], read_key(stack.trusted_root))
        assert now.size == anchored.size
        verify(stack, artifact, bundle, (tmp_path / "issuer").read_text())
        assert Session(stack).log_in(EMAIL, PASSWORD)[0] == 303
        machines = run("client", "list", "--data", data, "--json")
        assert [one["name"] for one in json.loads(machines.stdout)["clients"]] == ["release"]
        new = shutil.copy(artifact, tmp_path / "new")
        sign(stack, Path(new), tmp_path / "new.json")
        verify(stack, Path(new), tmp_path / "new.json", stack.oidc_issuer)
    looked = sigbox("fsck", "--data", data)
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert sigbox("audit", "verify", "--data", data).returncode == 0


def form(data: Path) -> dict[str, object]:
    """Of each database its number and its tables."""
    found: dict[str, object] = {}
    for path in sorted(data.rglob("*.db")):
        with closing(sqlite3.connect(path)) as connection:
            (number,) = connection.execute("PRAGMA user_version").fetchone()
            tables = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        found[str(path.relative_to(data))] = number, tables
    return found


def test_a_database_of_today_has_the_form_of_the_newest_golden_data_f18(tmp_path: Path):
    """Where it has another one: give it a new number, write the migration, and make golden data of the next version."""
    golden = unpack(NEWEST, tmp_path)
    with running_stack(tmp_path, "--data", tmp_path / "new") as stack:
        assert (
            run("user", "add", "--data", stack.data, "--email", EMAIL, "--password-stdin", given=PASSWORD).returncode
            == 0
        )
    today = form(tmp_path / "new")
    assert {name: made for name, made in form(golden).items() if name in today} == today
    assert {"rekor/log.db", "rekor-v1/log.db", "ct/log.db", "oidc/accounts.db"} <= set(today)


async def test_an_anchor_is_written_in_the_bytes_of_golden_data_f18(tmp_path: Path):
    golden = unpack(NEWEST, tmp_path) / "anchor" / "rekor.checkpoint"
    found = load_anchored(golden)
    assert found is not None
    anchor = FileAnchor(tmp_path / "anchor")
    await anchor.open()
    previous = None
    for size in range(1, found.size):
        current = Anchored(size, bytes(32), "earlier")
        await anchor.advance(previous, current)
        previous = current
    await anchor.advance(previous, found)
    await anchor.close()

    def slots(path: Path) -> set[bytes]:
        content = path.read_bytes()
        return {content[:4096], content[4096:]}

    newest = next(slot for slot in slots(golden) if found.checkpoint.encode() in slot)
    ours = next(slot for slot in slots(tmp_path / "anchor") if found.checkpoint.encode() in slot)
    # the number of the record counts commits, of which the golden log may have had another number; the sum covers it
    assert (newest[:8], newest[16:-32]) == (ours[:8], ours[16:-32])
