# SPDX-License-Identifier: Apache-2.0
"""Rotation of the authorities' and the TUF roles' keys: windows, names, and every place at which it may be interrupted."""

from __future__ import annotations

import gc
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from tuf.api.metadata import Metadata, Root

from sigcore import trustroot, x509
from sigcore.errors import Malformed, Refused
from stack import authorities, bootstrap, generations, serve
from stack.cli import main
from stack.config import Home, load_settings
from stack.generations import load_generations
from stack.start import Plan
from stack.succession import is_published
from stack.trust import documents, publish, repository, rotation, tuf_keys, versions
from stack.trust.repository import Repository, Target
from stack.trust.versions import ROLES, Versions
from tests.cutting import Durable
from tests.unit.stack.test_repository import refreshed

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
LATER = timedelta(days=1)
TARGETS = {"trusted_root.json": Target(b"{}")}


class PowerCut(Exception):
    """The process ends here."""


@contextmanager
def cut_at(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[None]:
    """The write with this number does not happen, nor anything after it."""
    left = [number]
    save = repository.save_file

    def cut(*arguments: object, **options: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise PowerCut
        save(*arguments, **options)

    with monkeypatch.context() as patch:
        for module in (repository, versions, authorities, generations, documents):
            patch.setattr(module, "save_file", cut)
        yield


def trusted(home: Home) -> trustroot.TrustedRoot:
    return trustroot.parse_trusted_root(home.trusted_root.read_bytes())


def instances(home: Home, role: str) -> tuple[trustroot.AuthorityInstance, ...]:
    root = trusted(home)
    return root.certificate_authorities if role == "ca" else root.timestamp_authorities


def rotate(home: Home, role: str, now: datetime) -> rotation.Rotated:
    done = rotation.rotate_authority(home, load_settings(home), role, now)
    publish.publish(home, now)
    return done


# --- authorities -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", ["ca", "tsa"])
def test_the_new_chain_counts_from_now_on_and_the_old_one_a_little_longer(home: Home, role: str):
    created, now = load_settings(home).created, datetime.now(UTC).replace(microsecond=0) + LATER
    (before,) = instances(home, role)
    done = rotate(home, role, now)
    new, old = instances(home, role)
    assert old == replace(before, validity=trustroot.Validity(created, now + rotation.OVERLAP))
    assert (new.validity.start, new.validity.end, new.uri) == (now, None, before.uri)
    assert done == rotation.Rotated(role, 2, now, now + rotation.OVERLAP)
    names = {one.common_name for one in (new, old)}
    assert len(names) == 2, "an issuer that is looked up by name must be one"
    load = bootstrap.load_ca if role == "ca" else bootstrap.load_tsa
    _, chain = load(home)
    assert tuple(one.der for one in chain) == new.chain
    assert oct((home.path / role / "2").stat().st_mode)[-3:] == "700"
    other = "tsa" if role == "ca" else "ca"
    assert len(instances(home, other)) == 1
    assert is_published(home)


def test_a_key_that_was_published_is_not_dropped_because_somebody_lost_the_list_of_generations(home: Home, capsys):
    rotate(home, "ca", datetime.now(UTC).replace(microsecond=0))
    published = home.trusted_root.read_bytes()
    kept = (home.public / "generations.json").read_bytes()
    (home.public / "generations.json").unlink()
    for command in (
        ["trust", "refresh"],
        ["trust", "rotate", "tsa"],
        ["trust", "rotate", "ca"],
        ["up", "--listen", "127.0.0.1:0"],
    ):
        assert main([*command, "--data", str(home.path)]) != 0
        assert "restore public/generations.json" in capsys.readouterr().err, command
        assert home.trusted_root.read_bytes() == published
        assert (home.path / "ca" / "2" / "intermediate.key").exists()
    (home.public / "generations.json").write_bytes(kept)
    assert main(["trust", "refresh", "--data", str(home.path)]) == 0
    assert len(instances(home, "ca")) == 2


def test_a_trusted_root_that_is_damaged_is_written_anew(home: Home):
    published = home.trusted_root.read_bytes()
    home.trusted_root.write_bytes(published[:100])
    assert main(["trust", "refresh", "--data", str(home.path)]) == 0
    assert home.trusted_root.read_bytes() == published


def test_each_rotation_adds_one_and_takes_nothing_away(home: Home):
    now = datetime.now(UTC).replace(microsecond=0)
    seen = set(instances(home, "ca"))
    for day in range(1, 4):
        rotate(home, "ca", now + day * LATER)
        assert {one.chain for one in seen} < {one.chain for one in instances(home, "ca")}
        seen = set(instances(home, "ca"))
    windows = [one.validity for one in instances(home, "ca")]
    assert [window.end is None for window in windows] == [True, False, False, False]
    assert all(old.end > new.start > old.start for new, old in pairwise(windows))


def test_both_generations_of_targets_name_the_former_authority(home: Home):
    before = (home.keys / "fulcio_v1.crt.pem").read_bytes()
    rotate(home, "ca", datetime.now(UTC) + LATER)
    targets = publish.load_targets(home, load_settings(home))
    assert targets["fulcio_v1_1.crt.pem"].data == before != targets["fulcio_v1.crt.pem"].data
    assert {targets[name].usage for name in ("fulcio_v1_1.crt.pem", "fulcio_intermediate_v1_1.crt.pem")} == {"Fulcio"}
    chain = x509.parse_certificates_pem((home.keys / "fulcio_chain.pem").read_text(), what="the chain")
    assert [one.der for one in chain] == [der for one in instances(home, "ca") for der in one.chain]
    rotate(home, "tsa", datetime.now(UTC) + LATER)
    leaves = [name for name, target in publish.load_targets(home, load_settings(home)).items() if "tsa_leaf" in name]
    assert leaves == ["tsa_leaf.crt.pem"], "readers of that generation refuse a second leaf"


def test_keys_of_a_stack_with_a_passphrase_are_encrypted_in_every_generation(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("correct horse\n")
    data = tmp_path / "data"
    assert main(["init", "--data", str(data), "--yes", "--passphrase-file", str(secret)]) == 0
    assert main(["trust", "rotate", "tsa", "--data", str(data), "--passphrase-file", str(secret)]) == 0
    assert main(["trust", "rotate", "tuf", "--data", str(data), "--passphrase-file", str(secret)]) == 0
    written = [*(data / "tsa" / "2").glob("*.key"), *(data / "tuf").glob("*.key")]
    assert len(written) == 7
    assert all(path.read_bytes().startswith(bootstrap.ENCRYPTED) for path in written)
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}


@pytest.mark.parametrize("moment", ["before the documents", "before the keys"])
def test_a_rotation_during_a_start_waits_for_it_and_is_not_written_over(home: Home, moment: str, monkeypatch):
    """The start has read the old keys, or what was rotated, when the rotation comes."""
    at, settings = datetime.now(UTC).replace(microsecond=0) + LATER, load_settings(home)
    rotating = threading.Thread(target=rotation.rotate_authority, args=(home, settings, "ca", at))
    outcome = []

    def far_enough(_files: object) -> NoReturn:
        raise Refused("far enough")

    def meanwhile(real: Callable[..., object]) -> Callable[..., object]:
        def called(*arguments: object, **options: object) -> object:
            found = real(*arguments, **options)
            monkeypatch.undo()
            monkeypatch.setattr(serve, "LiveIssuers", far_enough)
            rotating.start()
            rotating.join(0.3)  # without the lock it would be done
            outcome.append(rotating.is_alive())
            return found

        return called

    if moment == "before the keys":
        monkeypatch.setattr(serve.bootstrap, "load_material", meanwhile(bootstrap.load_material))
    else:
        monkeypatch.setattr(documents, "load_generations", meanwhile(load_generations))
    monkeypatch.setattr(gc, "disable", lambda: None)  # the start of a process would
    with pytest.raises(Refused, match="far enough"):
        serve.serve(Plan(home, "127.0.0.1", 0, None, False, None, None))
    rotating.join()
    assert outcome == [True], "it waited"
    assert len(instances(home, "ca")) == 2
    chain = x509.parse_certificates_pem((home.keys / "fulcio_chain.pem").read_text(), what="the chain")
    assert [one.der for one in chain] == [der for one in instances(home, "ca") for der in one.chain]


def cut_everywhere(
    home: Home,
    role: str,
    at: datetime,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Home, str, datetime], object],
    trusted: Callable[[Home, str], Sized],
) -> Iterator[Home]:
    """Cut ``change`` at its first write, its second and so on; each home afterwards, with the next start behind it.

    Up to one moment it is the old state, from then on the new one.
    """
    settings, outcomes = load_settings(home), []
    for number in range(60):
        copy, whole = Home(shutil.copytree(home.path, home.path.with_name(f"cut-{number}"))), False
        with cut_at(monkeypatch, number), suppress(PowerCut):
            change(copy, role, at)
            whole = True
        outcomes.append(role in load_generations(copy))
        rotation.resume(copy, settings)  # as the next start does, or `trust refresh`
        publish.publish(copy, at)
        assert is_published(copy)
        assert len(trusted(copy, role)) == (2 if outcomes[-1] else 1)
        yield copy
        if whole:
            break
    assert whole
    assert outcomes == sorted(outcomes), "there is one moment at which it happens"
    assert outcomes.count(True) > 1 < outcomes.count(False)


def test_a_rotation_that_is_cut_off_anywhere_leaves_the_old_state_or_the_new_one(home: Home, monkeypatch):
    at = datetime.now(UTC).replace(microsecond=0) + LATER
    for copy in cut_everywhere(home, "ca", at, monkeypatch, rotate, instances):
        assert tuple(one.der for one in bootstrap.load_ca(copy)[1]) == instances(copy, "ca")[0].chain


def test_the_next_rotation_finishes_one_that_was_interrupted_before_it_was_published(home: Home):
    now = datetime.now(UTC).replace(microsecond=0)
    first = rotation.rotate_authority(home, load_settings(home), "ca", now + LATER)
    assert not is_published(home)
    again = rotation.rotate_authority(home, load_settings(home), "ca", now + 2 * LATER)
    assert again == replace(first, resumed=True)


def test_a_rotation_is_done_also_where_that_of_another_role_was_interrupted(home: Home):
    """Who has to get rid of a key must not be told that it is done because another one was."""
    now = datetime.now(UTC).replace(microsecond=0)
    rotate(home, "tsa", now + LATER)
    rotation.rotate_authority(home, load_settings(home), "ca", now + 2 * LATER)
    assert not is_published(home)
    done = rotate(home, "tsa", now + 3 * LATER)
    assert (done.number, done.since, done.resumed) == (3, now + 3 * LATER, False)
    assert is_published(home)
    assert [len(instances(home, role)) for role in ("ca", "tsa")] == [2, 3]


def test_a_clock_that_was_set_back_rotates_nothing(home: Home):
    with pytest.raises(Refused, match="clock"):
        rotate(home, "ca", load_settings(home).created - timedelta(seconds=1))
    assert not load_generations(home)


@pytest.mark.parametrize(
    "damage",
    [
        {"ca": []},
        {"ca": [{"since": "2026-01-01T00:00:00Z", "public": ["AA=="]}]},
        {"dns": []},
        {"ca": [{"since": "2026-01-01T00:00:00Z", "public": ["AA=="]}] * 2},
        {"ca": [{"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z", "public": []}]},
    ],
)
def test_generations_that_no_rotation_leaves_are_refused(home: Home, damage: dict[str, object]):
    generations.path_of(home).write_text(json.dumps(damage))
    with pytest.raises(Malformed):
        load_generations(home)


def test_the_role_of_two_logs_is_not_rotated_and_the_message_says_what_to_do(home: Home, capsys):
    assert main(["trust", "rotate", "log", "--data", str(home.path)]) == 3
    assert "sigbox trust rotate rekor-v1, sigbox trust rotate rekor-v2" in capsys.readouterr().err
    assert not load_generations(home)


# --- TUF roles ------------------------------------------------------------------------------------------------
def made(folder: Path) -> Repository:
    keys = {role: ed25519.Ed25519PrivateKey.generate() for role in ROLES}
    return Repository(folder / "tuf", keys, Versions(folder / "versions.json", durable=False), durable=False)


def coming(before: Repository) -> Repository:
    return replace(before, coming={role: ed25519.Ed25519PrivateKey.generate() for role in ROLES})


def test_the_roots_chain_from_old_keys_to_new_ones_and_clients_of_either_refresh(tmp_path: Path):
    now, first = datetime.now(UTC), made(tmp_path)
    first.publish(TARGETS, now)
    refreshed(first.folder, tmp_path / "old")
    second = coming(first)
    assert second.rotate(TARGETS, now) == ("root", "targets", "snapshot", "timestamp")
    for cache in ("old", "fresh"):
        updater = refreshed(first.folder, tmp_path / cache)
        assert updater._trusted_set.root.version == 2
    after = Metadata[Root].from_file(str(first.folder / "2.root.json")).signed
    before = Metadata[Root].from_file(str(first.folder / "1.root.json")).signed
    assert not set(after.keys) & set(before.keys)
    assert {role: one.threshold for role, one in after.roles.items()} == dict.fromkeys(ROLES, 1)
    third = replace(second, keys=second.coming, coming={})
    assert third.publish(TARGETS, now, force=True)
    refreshed(first.folder, tmp_path / "old")


def test_the_old_keys_publish_nothing_after_a_rotation(tmp_path: Path):
    now, first = datetime.now(UTC), made(tmp_path)
    first.publish(TARGETS, now)
    coming(first).rotate(TARGETS, now)
    with pytest.raises(Refused, match="is not the one that the root names"):
        first.publish(TARGETS, now, force=True)


def test_a_threshold_that_the_keys_here_do_not_reach_is_kept(tmp_path: Path):
    now, first = datetime.now(UTC), made(tmp_path)
    first.publish(TARGETS, now)
    path = first.folder / "1.root.json"
    metadata = Metadata[Root].from_file(str(path))
    metadata.signed.add_key(tuf_keys.CryptoSigner(ed25519.Ed25519PrivateKey.generate()).public_key, "root")
    metadata.signed.roles["root"].threshold = 2
    metadata.to_file(str(path))
    with pytest.raises(Refused, match="root needs 2 signatures"):
        coming(first).rotate(TARGETS, now)
    assert not (first.folder / "2.root.json").exists()


def test_a_rotation_of_tuf_keys_that_is_cut_off_anywhere_leaves_a_repository_that_verifies(tmp_path: Path, monkeypatch):
    now = datetime.now(UTC)
    rooted = []
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        first = made(folder)
        first.publish(TARGETS, now)
        refreshed(first.folder, folder / "old")
        second, whole = coming(first), False
        with cut_at(monkeypatch, number), suppress(PowerCut):
            second.rotate(TARGETS, now)
            whole = True
        rooted.append((first.folder / "2.root.json").exists())
        for cache in ("old", "fresh"):
            refreshed(first.folder, folder / cache)
        keys = second.coming if rooted[-1] else first.keys
        replace(first, keys=keys).publish(TARGETS, now)
        for cache in ("old", "fresh"):
            refreshed(first.folder, folder / cache)
        if whole:
            break
    assert whole
    assert rooted == sorted(rooted)
    assert rooted.count(False) > 3
    assert rooted.count(True) > 1


def test_keys_that_are_coming_take_their_place_exactly_if_the_root_names_them(home: Home):
    settings = load_settings(home)
    before = {role: key.private_bytes_raw() for role, key in tuf_keys.load_keys(home).items()}
    tuf_keys.make_coming(home, settings)  # and then the power is cut
    tuf_keys.settle(home)
    assert {role: key.private_bytes_raw() for role, key in tuf_keys.load_keys(home).items()} == before
    publish.publish(home, datetime.now(UTC), rotate=True)
    after = {role: key.private_bytes_raw() for role, key in tuf_keys.load_keys(home).items()}
    assert not set(after.values()) & set(before.values())
    assert not (home.path / "tuf" / "coming").exists()

    tuf_keys.make_coming(home, settings)  # two of four are in place when the power is cut
    for role in ("targets", "timestamp"):
        new = home.path / "tuf" / "coming" / f"{role}.key"
        shutil.copy(home.path / "tuf" / f"{role}.key", new)
    tuf_keys.settle(home)
    assert {role: key.private_bytes_raw() for role, key in tuf_keys.load_keys(home).items()} == after
    assert publish.publish(home, datetime.now(UTC), force=True)


def test_keys_that_take_their_place_are_there_on_the_disk_before_the_coming_ones_are_forgotten_f03(
    home: Home, monkeypatch
):
    coming, remove = home.path / "tuf" / "coming", shutil.rmtree
    disk, looked = Durable(monkeypatch, "none"), []

    def removing(folder: Path, **options: bool) -> None:
        if folder == coming and not options:
            looked.append(disk.in_memory(home.path / "tuf"))
        remove(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", removing)
    publish.publish(home, datetime.now(UTC), rotate=True)
    assert looked == [set()]
    assert disk.missing == []


def test_the_key_of_the_root_may_be_kept_elsewhere_until_the_next_root(home: Home, tmp_path: Path, capsys):
    key, safe, data = home.path / "tuf" / "root.key", tmp_path / "root.key", ("--data", str(home.path))
    shutil.move(key, safe)
    assert main(["trust", "refresh", *data]) == 0
    assert main(["trust", "rotate", "tsa", *data]) == 0
    assert main(["trust", "rotate", "tuf", *data]) != 0
    assert "put root.key back" in capsys.readouterr().err
    assert not (home.tuf_repository / "2.root.json").exists()
    shutil.copy(safe, key)
    assert main(["trust", "rotate", "tuf", *data]) == 0
    assert key.read_bytes() != safe.read_bytes(), "the next one lies there now, to be taken away"
    refreshed(home.tuf_repository, tmp_path / "cache")


def test_a_root_that_was_published_and_is_gone_is_missed(tmp_path: Path):
    now, first = datetime.now(UTC), made(tmp_path)
    first.publish(TARGETS, now)
    second = coming(first)
    second.rotate(TARGETS, now)
    (first.folder / "2.root.json").unlink()
    with pytest.raises(Refused, match="version 2 was published"):
        first.publish(TARGETS, now)


def test_the_command_reports_what_it_did(home: Home, capsys):
    time.sleep(max(0.0, 1.1 - (datetime.now(UTC) - load_settings(home).created).total_seconds()))
    assert main(["trust", "rotate", "all", "--now", "--json", "--data", str(home.path)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["role"] for row in rows] == ["oidc", "ca", "tsa", "tuf"]
    assert rows[-1]["rootVersion"] == 2
    assert main(["trust", "show", "--data", str(home.path)]) == 0
    assert "until" in capsys.readouterr().out
