# SPDX-License-Identifier: Apache-2.0
"""A root that people sign: who may propose, sign and accept what, and every refusal leaves the root in force."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tuf.api.metadata import Metadata, Root

from sigcore.errors import Refused
from sigcore.keys import encode_public_key_pem, generate_p256, parse_private_key
from stack.cli import main
from stack.config import Home
from stack.doctor.repository import check_signatures
from stack.trust import ceremony, proposal, publish, repository, tuf_keys, versions
from stack.trust.rehearsal import rehearse
from stack.trust.state import load_state
from stack.trust.versions import ROLES
from tests.unit.stack.test_repository import refreshed

PEOPLE = ("alice", "bob", "carol")
PASSPHRASE = "correct horse\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory, and beside it the key of each person and of a stranger."""
    folder = tmp_path_factory.mktemp("made")
    assert main(["init", "--data", str(folder / "data"), "--yes"]) == 0
    (folder / "passphrase").write_text(PASSPHRASE)
    for name in (*PEOPLE, "dave", "mallory"):
        scheme = "p256" if name == "bob" else "ed25519"
        words = ["trust", "root", "key", str(folder / f"{name}.key"), "--scheme", scheme]
        assert main([*words, "--passphrase-file", str(folder / "passphrase")]) == 0
    return folder


class Room:
    """Where the ceremony is held."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = Home(folder / "data")
        self.file = folder / "root.proposed.json"

    def propose(self, *options: str | Path) -> int:
        where = ("--data", self.home.path, "--out", self.file)
        return main(list(map(str, ("trust", "root", "propose", *options, *where))))

    def hand_over(self, *options: str | Path) -> int:
        """Two of three people, and the server's own key out."""
        added = (word for name in PEOPLE for word in ("--add", self.folder / f"{name}.pub"))
        return self.propose(*added, "--remove", "server", "--threshold", "2", *options)

    def sign(self, name: str, file: Path | None = None) -> int:
        words = ("trust", "root", "sign", file or self.file, "--key", self.folder / f"{name}.key", "--yes")
        return main(list(map(str, (*words, "--passphrase-file", self.folder / "passphrase"))))

    def accept(self, *files: Path) -> int:
        return main(list(map(str, ("trust", "root", "accept", *(files or (self.file,)), "--data", self.home.path))))

    def versions(self) -> list[str]:
        return sorted(path.name for path in self.home.tuf_repository.glob("*.root.json"))

    def held(self) -> None:
        """The first ceremony: from the server's key to two of three people."""
        assert self.hand_over() == 0
        assert self.sign("alice") == self.sign("bob") == self.accept() == 0

    def change(self, edit: Callable[[dict[str, Any]], object]) -> None:
        """Somebody edits the file that is carried around."""
        document = json.loads(self.file.read_bytes())
        edit(document)
        self.file.write_text(json.dumps(document))


@pytest.fixture
def room(template: Path, tmp_path: Path) -> Room:
    return Room(Path(shutil.copytree(template, tmp_path / "room")))


def walked(room: Room, cache: str = "fresh") -> int:
    """Which root python-tuf's client comes to, from the first one or from what it had in ``cache``."""
    return refreshed(room.home.tuf_repository, room.folder / cache)._trusted_set.root.version


# --- the whole ------------------------------------------------------------------------------------------------
def test_two_of_three_people_sign_the_root_and_every_client_walks_to_it(room: Room, capsys: pytest.CaptureFixture[str]):
    assert walked(room, "old") == 1
    room.held()
    assert "root.key is out: destroy it" in capsys.readouterr().err
    (room.home.path / "tuf" / "root.key").unlink()
    for cache in ("old", "fresh"):
        assert walked(room, cache) == 2
    root = Metadata[Root].from_file(str(room.home.tuf_repository / "2.root.json"))
    assert set(root.unrecognized_fields) == set()
    assert root.signed.roles["root"].threshold == 2
    assert len(root.signatures) == 3
    assert main(["trust", "refresh", "--data", str(room.home.path)]) == 0
    assert walked(room) == 2


def test_people_who_sign_copies_at_the_same_time_need_not_wait_for_each_other(room: Room):
    assert room.hand_over() == 0
    copies = [Path(shutil.copy(room.file, room.folder / f"{name}.json")) for name in ("alice", "carol")]
    assert [room.sign(path.stem, path) for path in copies] == [0, 0]
    assert room.accept(copies[0]) == 3
    assert room.accept(*copies) == 0
    assert walked(room) == 2


def test_a_person_leaves_and_another_one_comes(room: Room):
    room.held()
    assert room.propose("--remove", "alice", "--add", room.folder / "dave.pub", "--expires-in", "400") == 0
    assert room.sign("carol") == room.sign("bob") == room.accept() == 0
    state = load_state(room.home).roles[0]
    assert sorted(state.names) == ["bob", "carol", "dave"]
    assert timedelta(days=399) < state.left(datetime.now(UTC)) < timedelta(days=401)
    assert walked(room) == 3


def test_the_keys_of_the_server_are_changed_by_people_who_sign_the_root(room: Room):
    room.held()
    assert walked(room, "old") == 2
    before = {role: key.private_bytes_raw() for role, key in tuf_keys.load_keys(room.home).items() if role != "root"}
    assert room.propose("--new-online-keys") == 0
    publish.publish(room.home, datetime.now(UTC), force=True)  # the stack goes on meanwhile, with the old ones
    assert room.sign("alice") == room.sign("carol") == room.accept() == 0
    after = {role: key.private_bytes_raw() for role, key in tuf_keys.load_keys(room.home).items() if role != "root"}
    assert not set(before.values()) & set(after.values())
    assert sorted(path.name for path in (room.home.path / "tuf").iterdir() if path.is_dir()) == []
    for cache in ("old", "fresh"):
        assert walked(room, cache) == 3
    assert publish.publish(room.home, datetime.now(UTC), force=True)
    assert walked(room) == 3


def test_what_changes_is_said_in_words_before_it_is_signed(room: Room, capsys: pytest.CaptureFixture[str]):
    room.held()
    assert (
        room.propose("--remove", "bob", "--add", room.folder / "dave.pub", "--threshold", "3", "--expires-in", "90")
        == 0
    )
    assert "when one is lost, no root can follow" in capsys.readouterr().err
    key = json.loads(room.file.read_bytes())["signed"]["roles"]["root"]["keyids"]
    assert room.sign("alice") == 0
    said = capsys.readouterr().err
    for words in ("version 2 -> 3", "adds    dave (", "removes bob (", "2 of 3 -> 3 of 3", "in 89 days"):
        assert words in said
    assert all(identifier[:16] in said for identifier in key)


def test_nobody_signs_without_having_been_asked(room: Room, capsys: pytest.CaptureFixture[str]):
    assert room.hand_over() == 0
    before = room.file.read_bytes()
    words = ["trust", "root", "sign", str(room.file), "--key", str(room.folder / "alice.key")]
    assert main([*words, "--passphrase-file", str(room.folder / "passphrase")]) == 2
    assert "--yes signs without asking" in capsys.readouterr().err
    assert room.file.read_bytes() == before


def test_it_is_shown_whose_keys_the_root_names_and_who_has_signed(room: Room, capsys: pytest.CaptureFixture[str]):
    words = ["trust", "root", "show", "--data", str(room.home.path)]
    assert main([*words, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["version"], first["threshold"], [key["name"] for key in first["keys"]]) == (1, 1, [None])
    room.held()
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {key["name"]: (key["scheme"], key["signed"]) for key in shown["keys"]} == {
        "alice": ("ed25519", True),
        "bob": ("ecdsa-sha2-nistp256", True),
        "carol": ("ed25519", False),
    }
    assert [key["name"] for key in shown["signedBy"]].count(None) == 1
    assert "2 of " in shown["next"]
    assert main(words) == 0
    assert "server          signed, and is out" in capsys.readouterr().out


def test_a_persons_key_is_encrypted_and_its_public_half_lies_beside_it(room: Room):
    pem = (room.folder / "alice.key").read_bytes()
    assert pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    key = parse_private_key(pem, PASSPHRASE.strip().encode())
    assert encode_public_key_pem(key.public_key()).encode() == (room.folder / "alice.pub").read_bytes()
    assert (room.folder / "alice.key").stat().st_mode & 0o777 == 0o600
    words = [
        "trust",
        "root",
        "key",
        str(room.folder / "alice.key"),
        "--passphrase-file",
        str(room.folder / "passphrase"),
    ]
    assert main(words) == 2
    assert (room.folder / "alice.key").read_bytes() == pem


# --- what the rest of the stack says --------------------------------------------------------------------------
def test_rotating_tuf_says_which_file_goes_to_whom_and_changes_nothing(room: Room, capsys: pytest.CaptureFixture[str]):
    room.held()
    capsys.readouterr()
    for role in ("tuf", "all"):
        assert main(["trust", "rotate", role, "--now", "--data", str(room.home.path)]) == 3
        said = capsys.readouterr()
        assert said.out == ""
        for words in (
            "root propose --new-online-keys",
            "2 of ",
            *PEOPLE,
            "root sign root.proposed.json",
            "root accept",
        ):
            assert words in said.err
    assert room.versions() == ["1.root.json", "2.root.json"]


def test_the_countdown_of_the_root_names_the_people(room: Room, capsys: pytest.CaptureFixture[str]):
    assert room.hand_over("--expires-in", "60") == room.sign("alice") == room.sign("bob") == room.accept() == 0
    (end,) = [one for one in rehearse(room.home) if "TUF root" in one.what]
    assert "sigbox trust root propose; 2 of " in end.prevent
    assert all(name in end.prevent for name in PEOPLE)
    capsys.readouterr()
    assert main(["trust", "show", "--data", str(room.home.path)]) == 0
    shown = capsys.readouterr().out
    assert "DUE: sign the next one soon: sigbox trust root propose" in shown
    assert "the root is signed by 2 of " in shown


def test_the_server_whose_key_still_counts_rotates_by_itself(room: Room):
    assert room.propose("--add", room.folder / "alice.pub") == room.accept() == 0
    assert main(["trust", "rotate", "tuf", "--data", str(room.home.path)]) == 0
    state = load_state(room.home).roles[0]
    assert (state.version, state.threshold, sorted(state.names)) == (3, 1, ["", "alice"])
    assert walked(room) == 3


# --- refusals -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--threshold", "2"), "wants 2 signatures, and names 1 keys"),
        (("--remove", "server"), "wants 1 signatures, and names 0 keys"),
        (("--remove", "0123456789"), "no key of the root is '0123456789'"),
        (("--remove", "nobody"), "no key of the root is 'nobody'"),
        (("--add", "alice.pub", "--add", "alice.pub"), "already"),
        (("--add", "alice.pub", "--add", "again/alice.pub"), "has two keys of one owner"),
        (("--add", "server.pub"), "would be a key of server"),
        (("--add", "p384.pub"), "neither Ed25519 nor ECDSA P-256"),
        (("--add", "alice.key"), "alice.key"),
        (("--add", "o'hara.pub"), "is no name for the owner"),
        (("--expires-in", "0"), "no number of days"),
        (("--threshold", "0"), "no number of people"),
    ],
)
def test_a_root_that_nobody_could_follow_is_not_proposed(
    room: Room, options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
):
    (room.folder / "again").mkdir()
    for name, source in {"again/alice": "bob", "server": "bob", "o'hara": "bob"}.items():
        shutil.copy(room.folder / f"{source}.pub", room.folder / f"{name}.pub")
    pem = encode_public_key_pem(ec.generate_private_key(ec.SECP384R1()).public_key())
    (room.folder / "p384.pub").write_text(pem)
    placed = [room.folder / word if word.endswith((".pub", ".key")) else word for word in options]
    assert room.propose(*placed) != 0
    assert said in capsys.readouterr().err
    assert not room.file.exists()


def test_fewer_than_the_threshold_change_nothing(room: Room, capsys: pytest.CaptureFixture[str]):
    assert room.hand_over() == room.sign("alice") == 0
    assert room.accept() == 3
    assert "the root proposed needs 1 more of " in capsys.readouterr().err
    assert room.versions() == ["1.root.json"]


def test_the_old_threshold_counts_as_well_as_the_new_one(room: Room, capsys: pytest.CaptureFixture[str]):
    room.held()
    assert room.propose("--remove", "bob", "--remove", "carol", "--threshold", "1") == room.sign("alice") == 0
    assert room.accept() == 3
    assert "the root in force needs 1 more of bob" in capsys.readouterr().err
    assert room.versions() == ["1.root.json", "2.root.json"]


def test_a_stranger_can_neither_sign_nor_slip_a_signature_in(room: Room, capsys: pytest.CaptureFixture[str]):
    assert room.hand_over() == room.sign("alice") == 0
    assert room.sign("mallory") == 3
    assert "is of neither root" in capsys.readouterr().err
    room.change(lambda document: document["signatures"].append({"keyid": "ab" * 32, "sig": "00" * 64}))
    assert room.accept() == 3
    assert "a stranger has signed" in capsys.readouterr().err
    assert room.sign("bob") == 3
    assert room.versions() == ["1.root.json"]


def test_a_change_after_the_first_signature_is_noticed_by_whoever_is_next(
    room: Room, capsys: pytest.CaptureFixture[str]
):
    assert room.hand_over() == room.sign("alice") == 0
    room.change(lambda document: document["signed"]["roles"]["root"].update(threshold=1))
    for step in (lambda: room.sign("bob"), room.accept):
        assert step() == 3
        assert "does not fit: the file was changed after it was signed" in capsys.readouterr().err
    assert room.versions() == ["1.root.json"]


def test_a_root_is_accepted_once_and_not_after_another_one(room: Room, capsys: pytest.CaptureFixture[str]):
    room.held()
    assert room.accept() == 3
    assert "root version 2 is proposed, and version 2 is in force" in capsys.readouterr().err


def test_copies_of_different_proposals_are_not_added_up(room: Room, capsys: pytest.CaptureFixture[str]):
    assert room.hand_over() == room.sign("alice") == 0
    other = Path(shutil.copy(room.file, room.folder / "other.json"))
    assert room.hand_over("--expires-in", "100") == room.sign("bob") == 0
    assert room.accept(room.file, other) == 3
    assert "the files propose different roots" in capsys.readouterr().err


def test_what_the_file_says_it_follows_must_be_signed_too(room: Room, capsys: pytest.CaptureFixture[str]):
    """Else the words about what changes could be anything."""
    assert room.hand_over() == 0
    room.change(lambda document: document["x-sigbox-before"]["signed"].update(expires="2040-01-01T00:00:00Z"))
    assert room.sign("alice") == 3
    assert "not signed by its own keys" in capsys.readouterr().err


def test_one_key_under_two_names_does_not_count_twice(room: Room, capsys: pytest.CaptureFixture[str]):
    assert room.hand_over() == 0

    def doubled(document: dict[str, Any]) -> None:
        root = document["signed"]
        bob = next(key for key in root["keys"].values() if key.get("x-sigbox-name") == "bob")
        again = json.loads(json.dumps(bob))
        again["keyval"]["public"] += "\n"
        root["keys"]["cd" * 32] = again
        root["roles"]["root"]["keyids"].append("cd" * 32)
        document["signatures"].clear()

    room.change(doubled)
    assert room.sign("alice") == 3
    assert "counts one key twice" in capsys.readouterr().err


def test_keys_for_the_servers_roles_that_the_server_does_not_have_are_refused(
    room: Room, capsys: pytest.CaptureFixture[str]
):
    room.held()
    assert room.propose("--new-online-keys") == room.sign("alice") == room.sign("bob") == 0
    shutil.rmtree(room.home.path / "tuf" / "proposed")
    assert room.accept() == 3
    assert "names a key for targets that is not here" in capsys.readouterr().err
    assert walked(room) == 2


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '{"signed": {"_type": "root"}}',
        "[" * 100000,
        '{"signatures": [], "signed": {"_type": "timestamp"}}',
    ],
    ids=["empty", "object", "array", "root", "deep", "timestamp"],
)
def test_what_is_no_proposal_is_refused_in_words(room: Room, content: str, capsys: pytest.CaptureFixture[str]):
    room.file.write_text(content)
    for step in (lambda: room.sign("alice"), room.accept):
        assert step() == 2
        assert "is not TUF metadata" in capsys.readouterr().err


def test_a_published_root_alone_is_no_proposal(room: Room, capsys: pytest.CaptureFixture[str]):
    shutil.copy(room.home.tuf_repository / "1.root.json", room.file)
    assert room.sign("alice") == 2
    assert "does not carry the root that it follows" in capsys.readouterr().err
    assert room.accept() == 2


def test_a_root_that_names_a_key_it_does_not_have_is_refused(room: Room, capsys: pytest.CaptureFixture[str]):
    assert room.hand_over() == 0
    room.change(lambda document: document["signed"]["roles"]["root"]["keyids"].append("ef" * 32))
    assert room.sign("alice") == 2
    assert "names a key for root that it does not have" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["name", "id"])
def test_nothing_that_is_written_in_the_file_reaches_the_terminal_raw(
    room: Room, part: str, capsys: pytest.CaptureFixture[str]
):
    assert room.hand_over() == 0
    room.change(lambda document: document["signatures"].clear())
    written = room.file.read_text()
    keys = json.loads(written)["signed"]["keys"]
    alice = next(identifier for identifier, key in keys.items() if key.get("x-sigbox-name") == "alice")
    old = "alice" if part == "name" else alice
    room.file.write_text(written.replace(f'"{old}"', r'"\u001b[2J"'))
    capsys.readouterr()
    assert room.sign("carol") == (0 if part == "name" else 2)
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert r"\x1b[2J" in said.err


def test_a_key_of_a_kind_that_some_clients_cannot_verify_is_not_signed_for(
    room: Room, capsys: pytest.CaptureFixture[str]
):
    assert room.hand_over() == 0
    room.file.write_text(room.file.read_text().replace("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"))
    assert room.sign("carol") == 2
    assert "has a key of the kind 'ecdsa-sha2-nistp384'" in capsys.readouterr().err


def test_a_key_that_gets_another_name_is_a_change_that_is_said(room: Room, capsys: pytest.CaptureFixture[str]):
    room.held()
    assert room.propose() == 0

    def rename(document: dict[str, Any]) -> None:
        next(key for key in document["signed"]["keys"].values() if key.get("x-sigbox-name") == "alice")[
            "x-sigbox-name"
        ] = "erin"

    room.change(rename)
    assert room.sign("carol") == 0
    said = capsys.readouterr().err
    assert re.search(r"calls   alice \([0-9a-f]{16}\) erin from now on", said)


# --- interruptions --------------------------------------------------------------------------------------------
class PowerCut(BaseException):
    """The process ends here."""


@contextmanager
def cut_at(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[None]:
    left, save = [number], repository.save_file

    def cut(*arguments: object, **options: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise PowerCut
        save(*arguments, **options)

    with monkeypatch.context() as patch:
        for module in (repository, versions, tuf_keys):
            patch.setattr(module, "save_file", cut)
        yield


def test_an_acceptance_that_is_cut_off_anywhere_leaves_the_old_root_or_the_new_one(
    room: Room, monkeypatch: pytest.MonkeyPatch
):
    """With other keys for the server's roles, which is the longest way."""
    room.held()
    assert room.propose("--new-online-keys") == room.sign("bob") == room.sign("carol") == 0
    whole, cuts, copies, found = shutil.copytree(room.home.path, room.folder / "whole"), 0, proposal.load_proposal, []
    done = False
    while not done:
        shutil.rmtree(room.home.path)
        shutil.copytree(whole, room.home.path)
        with cut_at(monkeypatch, cuts), suppress(PowerCut):
            ceremony.accept(room.home, (copies(room.file),), datetime.now(UTC))
            done = True
        cuts += 1
        publish.publish(room.home, datetime.now(UTC), force=True)  # the next start, with whichever keys
        found.append(walked(room, f"fresh-{cuts}"))
        if found[-1] == 2:
            ceremony.accept(room.home, (copies(room.file),), datetime.now(UTC))
            assert walked(room, f"fresh-{cuts}") == 3
        assert set(tuf_keys.load_keys(room.home)) == set(ROLES)
    assert found == sorted(found)
    assert found.count(2) > 5
    assert found.count(3) > 1


def test_a_key_that_was_made_elsewhere_signs_too(room: Room):
    key = generate_p256()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (room.folder / "erin.key").write_bytes(pem)
    (room.folder / "erin.key").chmod(0o600)
    (room.folder / "erin.pub").write_text(encode_public_key_pem(key.public_key()))
    assert (
        room.propose("--add", room.folder / "erin.pub", "--threshold", "2") == room.sign("erin") == room.accept() == 0
    )
    assert walked(room) == 2


def test_a_stack_whose_keys_are_encrypted_needs_its_passphrase_to_propose_and_to_accept(
    room: Room, capsys: pytest.CaptureFixture[str]
):
    locked, own = room.folder / "locked", ("--passphrase-file", str(room.folder / "server"))
    (room.folder / "server").write_text("of the server\n")
    assert main(["init", "--data", str(locked), "--yes", *own]) == 0
    room.home = Home(locked)
    assert room.hand_over("--new-online-keys") != 0
    assert "is encrypted" in capsys.readouterr().err
    assert room.hand_over("--new-online-keys", *own) == room.sign("alice") == room.sign("bob") == 0
    for path in (locked / "tuf" / "proposed").iterdir():
        assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert room.accept() != 0
    assert main(["trust", "root", "accept", str(room.file), "--data", str(locked), *own]) == 0
    assert walked(room) == 2
    for path in (locked / "tuf").glob("*.key"):
        assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")


def test_the_doctor_fails_while_a_root_key_lies_there_that_is_out(room: Room):
    room.held()
    home = room.home
    with pytest.raises(Refused, match=r"root\.key is out, people sign the root .*destroy it"):
        check_signatures(home)
    (home.path / "tuf" / "root.key").unlink()
    check_signatures(home)
