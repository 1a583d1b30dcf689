# SPDX-License-Identifier: Apache-2.0
"""Damage to each kind of file of a data directory: ``sigbox fsck`` or ``sigbox doctor`` finds it, names it, and says what to do."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from stack.cli import main
from tests.contract.test_fsck import post
from tests.stack_process import running_stack, sigbox
from tests.until import wait_until

ABSENT = {
    "ca/root.key": "it may be kept elsewhere",
    "tuf/root.key": "it may be kept elsewhere",
    "ca/issuers.yaml": "a stack without one accepts its own provider alone",
    "oidc/signing.key": "the next start makes another one; tokens live ten minutes",
    "oidc/next.key": "it is made anew",
    "oidc/published.json": "it is made anew",
    "oidc/accounts.db": "a stack without one has no accounts",
    "console/catalog.db": "it is made anew",
    "rekor-v1/search.db": "it is made anew",
    "anchor/tsa.time": "it is made anew, and the clock is right or is looked at",
}
"""What may not be there, and why that is no damage."""
KEYS = (
    "audit/log.key",
    "ca/2/intermediate.key",
    "ca/root.key",
    "ct/2/log.key",
    "oidc/next.key",
    "oidc/signing.key",
    "rekor-v1/log.key",
    "rekor/log.key",
    "tsa/leaf.key",
    "tuf/root.key",
    "tuf/timestamp.key",
)
TEXTS = (
    "anchor/tsa.time",
    "anchor/tuf.json",
    "audit/log.pub",
    "ca/2/intermediate.pem",
    "ca/issuers.yaml",
    "ca/root.pem",
    "oidc/published.json",
    "public/generations.json",
    "public/keys/ctfe.pub",
    "public/keys/fulcio_chain.pem",
    "public/keys/tsa_leaf.crt.pem",
    "public/signing_config.json",
    "public/trust_config.json",
    "public/trusted_root.json",
    "public/tuf/1.root.json",
    "public/tuf/*.snapshot.json",
    "public/tuf/*.targets.json",
    "public/tuf/targets/*.trusted_root.json",
    "public/tuf/timestamp.json",
    "sigbox.toml",
)
DATABASES = ("audit/log.db", "ct/2/log.db", "oidc/accounts.db", "rekor-v1/log.db", "rekor/log.db", "rekor-v1/search.db")
ANCHORS = ("anchor/audit.checkpoint", "anchor/ct-2.checkpoint", "anchor/rekor.checkpoint")
SWAPS = (
    ("ca/root.key", "ca/intermediate.key"),
    ("ca/root.pem", "ca/2/root.pem"),
    ("ct/log.key", "ct/2/log.key"),
    ("ct/log.db", "ct/2/log.db"),
    ("rekor-v1/log.db", "ct/log.db"),
    ("anchor/rekor.checkpoint", "anchor/audit.checkpoint"),
    ("oidc/signing.key", "oidc/next.key"),
    ("tuf/root.key", "tuf/timestamp.key"),
    ("public/keys/rekor.pub", "public/keys/ctfe.pub"),
    ("public/signing_config.json", "public/signing_config_v1.json"),
    ("public/tuf/1.targets.json", "public/tuf/[2-9].targets.json"),
)


def damaged(data: bytes, place: int) -> bytes:
    return data[:place] + bytes((data[place] ^ 0x80,)) + data[place + 1 :]


def flip(path: Path) -> None:
    """One bit, where it counts: SQLite has pages that nobody uses, an anchor an older record and zeros."""
    data = path.read_bytes()
    if path.name == "log.db":
        place = max(data.rfind(b'"apiVersion"'), data.rfind(b'"action"'), data.rfind(b"sigbox certificate authority"))
        place = place if place > 0 else 100
    elif path.suffix == ".db":
        place = 100
    else:
        place = len(data) // 2
    path.write_bytes(damaged(data, place))


def rot(path: Path) -> None:
    """Both slots of an anchor."""
    data = path.read_bytes()
    path.write_bytes(damaged(damaged(data, 30), 4096 + 30))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "flipped": flip,
    "gone": Path.unlink,
}
RIGHTS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: os.truncate(path, 0),
    "written by all": lambda path: path.chmod(0o666),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}
if os.geteuid() == 0:
    RIGHTS["of another user"] = lambda path: os.chown(path, 1234, 1234)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    """The data directory of a small stack that has a bit of everything, and has ended."""
    folder = tmp_path_factory.mktemp("whole")
    data, password = folder / "data", folder / "password"
    password.write_text("correct horse battery staple\n")
    with running_stack(folder, "--data", data) as stack:
        for command in (
            ("user", "add", "--email", "a@example.com", "--password-file", password),
            ("issuer", "add", "https://i.example", "--kind", "email"),
            ("trust", "rotate", "ca"),
            ("trust", "rotate", "ct"),
        ):
            done = sigbox(*command, "--data", data)
            assert done.returncode == 0, done.stderr
        for _ in range(2):
            assert post(stack) == 201
    with running_stack(folder, "--data", data) as stack:  # its start waits for the new tree
        done = sigbox("doctor", "--data", data)
        assert done.returncode == 0, done.stdout
        coming = (data / "oidc" / "next.key", data / "oidc" / "published.json")
        wait_until(lambda: all(path.exists() for path in coming))  # made by the running stack, in its own time
    for path in data.rglob("*.db-*"):
        path.unlink()
    return data


def run(*arguments: object) -> tuple[int, str, str]:
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        code = main(list(map(str, arguments)))
    return code, output.getvalue(), errors.getvalue()


def said(data: Path) -> list[tuple[str, str]]:
    """What is wrong with the files, and the remedy of each, by fsck and by the local half of the doctor."""
    found = []
    code, output, errors = run("fsck", "--data", data, "--json")
    document = json.loads(output)
    if "logs" in document:
        found += [
            (f"{log}: {one['problem']}", one["hint"]) for log, one in document["logs"].items() if not one["intact"]
        ]
    else:
        found.append((document["error"], document["hint"] or errors))
    assert (code != 0) is bool(found)
    _, output, more = run("doctor", "--data", data, "--json", "--no-sign")
    document = json.loads(output)
    if "checks" in document:
        local = ("files", "certificates", "contents")
        found += [
            (one["found"], one["fix"])
            for one in document["checks"]
            if one["name"] in local and one["state"] == "failed"
        ]
    else:
        found.append((document["error"], document["hint"]))
    assert "internal error" not in errors + more, errors + more
    return found


def check_said(data: Path, *names: str) -> None:
    """One of them names the place, or the log that it is of, and all say what is to be done."""
    found = said(data)
    text = "\n".join(message for message, _ in found)
    assert found, f"nobody finds {names}"
    wanted = {part for name in names for part in (name, Path(name).name, name.split("/")[0])}
    wanted |= {Path(name).stem for name in names if name.startswith("anchor/")}
    assert any(part in text for part in wanted), text
    assert all(hint for _, hint in found), found


def copied(stopped: Path, folder: Path) -> Path:
    return Path(shutil.copytree(stopped, folder / "data"))


def test_control_a_whole_directory_has_nothing_wrong(stopped: Path):
    assert said(stopped) == []


def current(data: Path, name: str) -> Path:
    """The file; of several versions the one that clients get."""
    found = sorted(data.glob(name))
    root = (data / "public" / "trusted_root.json").read_bytes()
    return next((path for path in found if "targets/" in name and path.read_bytes() == root), found[-1])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *(
            (name, damage)
            for name in (*KEYS, *TEXTS, *DATABASES, *ANCHORS)
            for damage in DAMAGES
            if damage != "gone" or name not in ABSENT
        ),
        *((name, damage) for name in (KEYS[0], TEXTS[4], TEXTS[7], *DATABASES[2:4], ANCHORS[1]) for damage in RIGHTS),
    ],
)
def test_damage_to_a_file_is_found_named_and_explained(stopped: Path, tmp_path: Path, name: str, damage: str):
    data, do = copied(stopped, tmp_path), (DAMAGES | RIGHTS)[damage]
    path = current(data, name)
    if damage == "flipped" and name in ANCHORS:
        do = rot  # one damaged slot is what a power cut leaves, and harmless
    do(path)
    check_said(data, name, path.name)


@pytest.mark.parametrize(("one", "other"), SWAPS)
def test_two_files_that_were_swapped_are_found(stopped: Path, tmp_path: Path, one: str, other: str):
    data = copied(stopped, tmp_path)
    second = current(data, other)
    (data / one).rename(data / "swapping")
    second.rename(data / one)
    (data / "swapping").rename(second)
    check_said(data, one, other)


@pytest.mark.parametrize(
    "name", ["audit/log.db", "ca/2/root.pem", "public/generations.json", "sigbox.toml", "tuf/root.key"]
)
def test_a_backup_of_what_is_damaged_is_refused_or_restored_as_it_is_and_never_a_traceback(
    stopped: Path, tmp_path: Path, name: str
):
    data = copied(stopped, tmp_path)
    flip(data / name)
    code, _, errors = run("backup", tmp_path / "backup.tar", "--data", data)
    assert "internal error" not in errors
    if code == 0:
        code, _, errors = run("restore", tmp_path / "backup.tar", "--data", tmp_path / "home")
        assert "internal error" not in errors
        assert code == 0 or errors.startswith("sigbox restore: ")
