# SPDX-License-Identifier: Apache-2.0
"""A trust root carried as a file: taken by its fingerprint only, never older than what is there, and nothing in it is believed."""

from __future__ import annotations

import hashlib
import io
import json
import shlex
import shutil
import subprocess
import tarfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from client.tuf_cache import find_cache
from client.tuf_kit import Kit, encode_kit, install_kit, parse_kit
from sigcore.errors import Malformed, Refused
from stack.cli import main
from stack.config import Home, load_settings
from stack.trust.kit import collect_kit
from stack.trust.publish import publish


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    data = tmp_path_factory.mktemp("made") / "data"
    assert main(["init", "--data", str(data), "--yes", "--url", "https://sig.example"]) == 0
    return Home(data)


@pytest.fixture
def home(made: Home, tmp_path: Path) -> Home:
    return Home(shutil.copytree(made.path, tmp_path / "data"))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another machine's home; no stack is there."""
    folder = tmp_path / "machine"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in ("XDG_CACHE_HOME", "SIGBOX_TUF", "SIGBOX_DATA"):
        monkeypatch.delenv(name, raising=False)
    return folder


def fingerprint(home: Home) -> str:
    return hashlib.sha256(home.tuf_root.read_bytes()).hexdigest()


def exported(home: Home) -> Kit:
    return parse_kit(encode_kit(collect_kit(home, load_settings(home))))


def installed(home: Home, kit: Kit, machine: Path) -> bytes:
    """The trusted root that the machine then has."""
    install_kit(str(machine / "tuf"), kit, fingerprint(home))
    return (machine / "tuf" / "targets" / "trusted_root.json").read_bytes()


def test_a_kit_brings_the_trust_root_to_a_machine_without_a_network(home: Home, machine: Path, capsys):
    kit = machine / "kit.tar"
    assert main(["trust", "export", str(kit), "--data", str(home.path)]) == 0
    assert f"--fingerprint {fingerprint(home)}" in capsys.readouterr().out
    shutil.move(home.path, home.path.with_name("gone"))
    gone = Home(home.path.with_name("gone"))
    assert main(["trust", "import", str(kit), "--fingerprint", fingerprint(gone)]) == 0
    lines = capsys.readouterr().out
    cache = find_cache({"HOME": str(machine)})
    assert cache is not None
    assert cache.mirror == "https://sig.example/tuf"
    assert Path(cache.files()["trusted_root"]).read_bytes() == gone.trusted_root.read_bytes()
    for name in ("trusted_root.json", "signing_config.json", "trust_config.json"):
        path = Path(cache.folder) / name
        assert json.loads(path.read_bytes()) == json.loads((gone.public / name).read_bytes())
        assert str(path) in lines


def test_without_a_fingerprint_and_with_another_one_nothing_is_taken(home: Home, machine: Path, capsys):
    kit = machine / "kit.tar"
    assert main(["trust", "export", str(kit), "--data", str(home.path)]) == 0
    assert main(["trust", "import", str(kit)]) == 2
    assert main(["trust", "import", str(kit), "--fingerprint", "0" * 64]) == 1
    assert find_cache({"HOME": str(machine)}) is None


def test_an_older_kit_is_refused_by_whoever_has_a_newer_one(home: Home, machine: Path):
    older = exported(home)
    assert main(["trust", "rotate", "tuf", "--data", str(home.path)]) == 0
    newer = exported(home)
    now = installed(home, newer, machine)
    with pytest.raises(Refused, match="does not verify"):
        installed(home, older, machine)
    assert (machine / "tuf" / "targets" / "trusted_root.json").read_bytes() == now
    assert installed(home, newer, machine) == now
    assert installed(home, older, machine / "another")


def test_a_newer_kit_follows_a_rotation_of_every_key(home: Home, machine: Path):
    before = installed(home, exported(home), machine)
    publish(home, datetime.now(UTC) - timedelta(days=1))
    for role in ("tuf", "tsa", "tuf"):
        assert main(["trust", "rotate", role, "--data", str(home.path)]) == 0
    after = installed(home, exported(home), machine)
    assert len(json.loads(after)["timestampAuthorities"]) == 2 > len(json.loads(before)["timestampAuthorities"])


def test_a_kit_that_has_expired_is_refused(home: Home, machine: Path):
    publish(home, datetime.now(UTC) - timedelta(days=31), force=True)
    shutil.rmtree(home.tuf_repository)
    (home.path / "anchor" / "tuf.json").unlink()
    publish(home, datetime.now(UTC) - timedelta(days=31))
    with pytest.raises(Refused, match="expired"):
        installed(home, exported(home), machine)


@pytest.mark.parametrize(
    "name", ["tuf/timestamp.json", "tuf/1.targets.json", "tuf/1.snapshot.json", "trusted_root.json", "target", "1.root"]
)
def test_a_changed_byte_anywhere_is_found(home: Home, machine: Path, name: str):
    kit = exported(home)
    if name == "target":
        name = next(known for known in kit.files if known.endswith(".trusted_root.json") and "targets/" in known)
    if name == "1.root":
        name = "tuf/1.root.json"
    data = bytearray(kit.files[name])
    data[len(data) // 2] ^= 1
    with pytest.raises((Refused, Malformed)):
        installed(home, replace(kit, files={**kit.files, name: bytes(data)}), machine)
    assert not (machine / "tuf").exists()


def test_a_kit_without_one_of_its_files_is_refused(home: Home, machine: Path):
    kit = exported(home)
    for missing in ("tuf/timestamp.json", "tuf/1.targets.json", "trusted_root.json"):
        files = {name: data for name, data in kit.files.items() if name != missing}
        with pytest.raises((Refused, Malformed), match=r"not whole|not the one"):
            installed(home, replace(kit, files=files), machine)


def test_a_policy_travels_with_it(home: Home, machine: Path, tmp_path: Path, capsys):
    policy = tmp_path / "policy.json"
    policy.write_text(
        json.dumps(
            {
                "apiVersion": "policy/v1",
                "expires": "2099-12-31",
                "identities": {"a": {"issuer": "https://i.example", "email": "a@example.com"}},
                "artifacts": [{"match": {"file": "*"}, "allow": ["a"], "anyName": True}],
            }
        )
    )
    assert main(["trust", "policy", str(policy), "--data", str(home.path)]) == 0
    installed(home, exported(home), machine)
    assert (machine / "tuf" / "targets" / "policy.json").read_bytes() == home.policy.read_bytes()
    kit = tmp_path / "kit.tar"
    assert main(["trust", "export", str(kit), "--data", str(home.path)]) == 0
    capsys.readouterr()
    assert main(["trust", "import", str(kit), "--fingerprint", fingerprint(home)]) == 0
    assert "sigbox verify-blob FILE" in capsys.readouterr().out.splitlines()


# --- the archive ------------------------------------------------------------------------------------------------
def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for member, data in members:
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = kind
    return info, b""


@pytest.mark.parametrize(
    "strange",
    [
        member("../evil"),
        member("/etc/passwd"),
        member("tuf/../../evil"),
        member("tuf/1.root.json", tarfile.SYMTYPE),
        member("tuf/1.root.json", tarfile.LNKTYPE),
        member("tuf/timestamp.json", tarfile.FIFOTYPE),
        member("tuf", tarfile.DIRTYPE),
        member("tuf/01.root.json"),
        member("tuf/targets/short.trusted_root.json"),
        member("kit.json\n"),
        member("notes.txt"),
    ],
    ids=lambda strange: f"{strange[0].name!a} {strange[0].type!a}",
)
def test_an_archive_with_anything_else_in_it_is_no_kit(strange: tuple[tarfile.TarInfo, bytes]):
    with pytest.raises(Malformed, match="the kit holds"):
        parse_kit(archive(strange))


def test_a_file_that_stands_there_twice_is_refused():
    with pytest.raises(Malformed, match="the kit holds"):
        parse_kit(archive(member("kit.json"), member("tuf/1.root.json"), member("kit.json")))


def test_a_file_with_holes_is_not_filled():
    """A sparse member of a terabyte takes 1 KiB in the archive."""
    info = tarfile.TarInfo("tuf/timestamp.json")
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.map": "0,0",
        "GNU.sparse.size": str(2**40),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as file:
        file.addfile(info, io.BytesIO(b""))
    with pytest.raises(Malformed):
        parse_kit(buffer.getvalue())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 10240,
        b"no archive",
        b"\x1f\x8b\x08\0",
        archive(member("kit.json")),
        archive(member("tuf/1.root.json")),
    ],
)
def test_what_is_no_archive_of_ours_is_said_to_be_none(data: bytes):
    with pytest.raises(Malformed, match="kit"):
        parse_kit(data)


def test_the_lines_for_an_unpacked_kit_do_what_they_say(
    home: Home, machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    place = tmp_path / "a usb stick's"
    place.mkdir()
    kit = place / "kit.tar"
    kit.write_bytes(encode_kit(exported(home)))
    assert main(["trust", "import", str(kit), "--fingerprint", fingerprint(home)]) == 0
    lines = capsys.readouterr().out.splitlines()
    [unpack] = [line for line in lines if line.startswith("tar ")]
    [pin] = [line for line in lines if line.startswith("sigbox initialize --mirror file:///")]
    assert not [line for line in lines if line.startswith("cosign initialize")], (
        "it takes no trusted root from a folder"
    )
    subprocess.run(["bash", "-c", unpack], check=True)
    monkeypatch.setenv("SIGBOX_TUF", str(tmp_path / "another account"))
    assert main(shlex.split(pin)[1:]) == 0
    got = tmp_path / "another account" / "tuf" / "targets" / "trusted_root.json"
    assert got.read_bytes() == (machine / ".cache/sigbox/tuf/targets/trusted_root.json").read_bytes()


def pinned(place: Path, root: Path, *more: str) -> int:
    return main(["initialize", "--mirror", place.as_uri(), "--root", str(root), *more])


def test_a_folder_is_a_mirror_that_is_believed_no_more_than_one(
    home: Home, machine: Path, capsys: pytest.CaptureFixture[str]
):
    tuf, root = home.public / "tuf", machine / "root.json"
    shutil.copy(home.tuf_root, root)
    assert main(["initialize", "--mirror", tuf.as_uri()]) == 2, "no first use"
    assert main(["initialize", "--mirror", tuf.as_uri(), "--root-checksum", "0" * 64]) == 1
    assert pinned(tuf, root) == 0
    cache = machine / ".cache/sigbox/tuf"
    assert (cache / "targets/trusted_root.json").read_bytes() == home.trusted_root.read_bytes()
    assert main(["initialize"]) == 0, "the folder is read again"
    timestamp = tuf / "timestamp.json"
    old = timestamp.read_bytes()
    publish(home, datetime.now(UTC), force=True)
    assert pinned(tuf, root) == 0
    timestamp.write_bytes(old)
    assert pinned(tuf, root) == 1, "rolled back"
    timestamp.write_bytes(old.replace(b'"version":', b'"version": 1', 1))
    assert pinned(tuf, root) == 1, "changed"
    capsys.readouterr()
    timestamp.unlink()
    timestamp.symlink_to(machine / "elsewhere.json")
    (machine / "elsewhere.json").write_bytes(old)
    assert pinned(tuf, root) == 4, "nothing outside the folder is read"
    assert "is not there: there is no file 'timestamp.json' in it" in capsys.readouterr().err
    assert pinned(machine / "none", root) == 4
    assert f"{machine / 'none'} is no folder" in capsys.readouterr().err
    for mirror in ("file://host/x", "file:relative", "file://", "file:///", "/srv/tuf"):
        assert main(["initialize", "--mirror", mirror, "--root", str(root)]) == 2, mirror
    assert "or file:///path of a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "head",
    [
        {"format": "sigbox-kit/2", "mirror": "https://x/tuf"},
        {"format": "sigbox-kit/1", "mirror": "file:///x"},
        {"mirror": "https://x"},
    ],
)
def test_another_format_or_no_mirror_is_refused(made: Home, head: dict[str, str]):
    data = json.dumps(head).encode()
    with pytest.raises(Malformed):
        parse_kit(archive((tarfile.TarInfo("kit.json"), data), (tarfile.TarInfo("tuf/1.root.json"), b"{}")))


def test_the_same_state_makes_the_same_kit_byte_for_byte(made: Home):
    settings = load_settings(made)
    assert encode_kit(collect_kit(made, settings)) == encode_kit(collect_kit(made, settings))
