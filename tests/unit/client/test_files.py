# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import os
import stat
import threading
import tracemalloc

import pytest

from client import files
from client.files import digest_file, digest_files, load_bundle, save_bundle
from client.trust import load_trust
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import Bundle, MessageSignature
from sigcore.errors import Malformed, NotFound, Refused
from sigcore.signing_config import SigningConfig, encode_signing_config, encode_trust_config
from sigcore.trustroot import TrustedRoot, encode_trusted_root

BUNDLE = Bundle(b"certificate", (), (), MessageSignature(HashAlgorithm.SHA2_256, b"d" * 32, b"s"))


def test_a_bundle_comes_back_from_disk(tmp_path):
    path = tmp_path / "b.sigstore.json"
    save_bundle(BUNDLE, path)
    assert load_bundle(path) == BUNDLE
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "fchmod"])
def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch, step):
    path = tmp_path / "b.sigstore.json"
    path.write_text("before")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, step, fail)
    with pytest.raises(Refused, match="cannot be written: No space left on device"):
        save_bundle(BUNDLE, path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_absent_is_named(tmp_path):
    with pytest.raises(Refused, match="cannot be written"):
        save_bundle(BUNDLE, tmp_path / "absent" / "b.json")


def test_a_file_that_is_absent_is_named(tmp_path):
    with pytest.raises(NotFound, match=r"the bundle .*absent cannot be read: No such file"):
        load_bundle(tmp_path / "absent")
    with pytest.raises(NotFound, match=r"the artifact .*absent cannot be read"):
        digest_file(tmp_path / "absent")


def test_a_file_that_is_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files.limits, "BUNDLE", 10)
    (tmp_path / "b").write_bytes(b"x" * 11)
    with pytest.raises(Malformed, match="longer than 10 bytes"):
        load_bundle(tmp_path / "b")


@pytest.mark.parametrize("algorithm", HashAlgorithm)
def test_digest_of_a_file(tmp_path, algorithm):
    data = os.urandom(300_000)
    (tmp_path / "a").write_bytes(data)
    assert digest_file(tmp_path / "a", algorithm) == hashlib.new(algorithm.hashlib_name, data).digest()


def test_a_large_file_is_digested_in_little_memory(tmp_path):
    size = 200 << 20
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(size)
    tracemalloc.start()
    try:
        found = digest_file(tmp_path / "sparse")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    expected = hashlib.sha256()
    for _ in range(200):
        expected.update(bytes(1 << 20))
    assert found == expected.digest()
    assert peak < 2 << 20


def test_what_says_it_is_empty_is_read_to_its_end(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    data = os.urandom(3_000_000)
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    assert digest_file(tmp_path / "pipe") == hashlib.sha256(data).digest()
    writer.join()


def test_files_are_digested_together_in_their_order(tmp_path):
    contents = [bytes([number]) * (number * 400_000) for number in (5, 0, 9, 1, 3, 7, 2)]
    paths = [tmp_path / str(number) for number in range(len(contents))]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data)
    assert list(digest_files(paths, HashAlgorithm.SHA2_512)) == [hashlib.sha512(data).digest() for data in contents]
    assert list(digest_files([], HashAlgorithm.SHA2_256)) == []


def test_a_file_that_is_absent_is_named_when_it_is_its_turn(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    digests = digest_files([tmp_path / "a", tmp_path / "absent", tmp_path / "a"], HashAlgorithm.SHA2_256)
    assert next(digests) == hashlib.sha256(b"a").digest()
    with pytest.raises(NotFound, match=r"the artifact .*absent cannot be read"):
        next(digests)


def test_who_asks_for_no_more_digests_does_not_wait_for_them(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    with (tmp_path / "endless").open("wb") as file:
        file.truncate(1 << 43)  # an hour of hashing
    digests = digest_files([tmp_path / "a", tmp_path / "endless"], HashAlgorithm.SHA2_256)
    assert next(digests) == hashlib.sha256(b"a").digest()
    digests.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("digest")]


def test_trust_from_two_files_or_from_one(tmp_path):
    (tmp_path / "root").write_bytes(encode_trusted_root(TrustedRoot()))
    (tmp_path / "config").write_bytes(encode_signing_config(SigningConfig()))
    (tmp_path / "both").write_bytes(encode_trust_config(TrustedRoot(), SigningConfig()))
    apart = load_trust(trusted_root=tmp_path / "root", signing_config=tmp_path / "config")
    assert apart == load_trust(trust_config=tmp_path / "both") == load_trust(trusted_root=tmp_path / "root")


def test_trust_is_never_guessed(tmp_path):
    with pytest.raises(NotFound, match="nothing to trust"):
        load_trust()
    with pytest.raises(NotFound, match="nothing to trust"):
        load_trust(signing_config=tmp_path / "config")
    with pytest.raises(Refused, match="given twice"):
        load_trust(trusted_root=tmp_path / "root", trust_config=tmp_path / "both")
