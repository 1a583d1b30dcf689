# SPDX-License-Identifier: Apache-2.0
"""Logs are rotated under people who sign: nothing fails meanwhile, everything verifies, and the old tree is frozen for good.

Every signature is made twice, for a log of Rekor v2 and for that of v1.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from client.files import load_bundle
from sigcore import keys, sct
from sigcore.der import Reader
from sigcore.x509 import parse_certificate
from stack.config import Home
from stack.generations import load_generations
from tests.contract import test_rotation
from tests.contract.test_rotation import ALICE, SIGNERS, signing, wait
from tests.split_stack import split_stack
from tests.stack_process import RunningStack, running_stack, sigbox, spawn

pytestmark = [pytest.mark.slow, pytest.mark.at_once("rotations", threads=3)]

LOGS = ("ct", "rekor-v1", "rekor-v2")
NAMES = {"ct", "ct-2", "rekor", "rekor-2", "rekor-v1", "rekor-v1-2"}


def ask(url: str, body: bytes | None = None) -> tuple[int, bytes]:
    request = Request(url, data=body, headers={"Content-Type": "application/json"})
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=20) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


def rotate(data: Path, *options: str) -> None:
    for log in LOGS:
        done = sigbox("trust", "rotate", log, *options, "--data", data)
        assert done.returncode == 0, done.stderr


def sign(stack: RunningStack, artifact: Path) -> Path:
    """The bundle for Rekor v2; that for v1 is :func:`twin`."""
    test_rotation.sign(stack, twin(artifact), "--rekor-version", "1")
    return test_rotation.sign(stack, artifact, "--rekor-version", "2")


def twin(path: Path) -> Path:
    return path.with_name(f"v1-{path.name}")


def logged_by(bundle: Path) -> tuple[bytes, bytes, bytes]:
    """The ids of the logs of its certificate and of its entries."""
    found, in_v1 = load_bundle(str(bundle)), load_bundle(str(twin(bundle)))
    assert found.certificate is not None
    extension = parse_certificate(found.certificate).extension(sct.SCT_LIST_OID)
    assert extension is not None
    (stamp,) = sct.parse_sct_list(Reader(extension.value, "the SCT list").octet_string())
    (entry,), (entry_v1,) = found.log_entries, in_v1.log_entries
    return stamp.log_id, entry.log_id, entry_v1.log_id


def check(stack: RunningStack, bundles: list[Path], issuer: str = "") -> None:
    who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", issuer or stack.oidc_issuer)
    files = [
        path.with_name(path.name.removesuffix(".sigstore.json"))
        for bundle in bundles
        for path in (bundle, twin(bundle))
    ]
    done = sigbox("verify-blob", *files, *who, "--trust-config", stack.trust_config)
    assert done.returncode == 0, done.stderr


def rotate_under_signers(stack: RunningStack, data: Path, folder: Path) -> list[Path]:
    """Everything that was signed before, meanwhile and after holds; before and after are other logs."""
    with signing(stack, folder, sign) as bundles:
        wait(lambda: len(bundles) >= SIGNERS)
        before = logged_by(bundles[0])
        rotate(data)
        wait(lambda: all(old != new for old, new in zip(before, logged_by(bundles[-1]), strict=True)))
        after = len(bundles)
        wait(lambda: len(bundles) >= after + SIGNERS)
    check(stack, bundles)
    assert [len(set(ids)) for ids in zip(*map(logged_by, bundles), strict=True)] == [2, 2, 2]
    return bundles


@contextmanager
def rotated(folder: Path, *options: str) -> Iterator[tuple[RunningStack, list[Path]]]:
    with running_stack(folder, "--data", folder / "data", *options) as stack:
        yield stack, rotate_under_signers(stack, stack.data, folder)


def found_in(console: str, identity: str) -> set[str]:
    status, found = ask(f"{console}/search.json?q={identity}&limit=1000")
    return {entry["log"] for entry in json.loads(found)["entries"]} if status == HTTPStatus.OK else set()


def test_nobody_who_signs_notices_that_both_logs_are_rotated(tmp_path: Path):
    with rotated(tmp_path) as (stack, bundles):
        status, ready = ask(f"{stack.url}/readyz")
        assert (status, set(json.loads(ready)["roles"]) >= NAMES) == (HTTPStatus.OK, True)
        for page in ("/", "/logs", "/operator", "/flow/live"):
            status, shown = ask(f"{stack.url}{page}")
            assert (status, b"rekor-2" in shown or b"tree 2" in shown) == (HTTPStatus.OK, True), page
            assert b"rekor-v1-2" in shown or b"Rekor v1), tree 2" in shown, page
        for name in sorted(NAMES):
            assert ask(f"{stack.url}/logs/{name}")[0] == HTTPStatus.OK
            status, entry = ask(f"{stack.url}/entries/{name}/1.json")
            assert (status, json.loads(entry)["log"]) == (HTTPStatus.OK, name)
        assert found_in(stack.url, ALICE) == NAMES
        for name in sorted(NAMES):
            assert f'sigbox_log_size{{log="{name}"}}'.encode() in ask(f"{stack.url}/metrics")[1]
        check_learned(stack, bundles, tmp_path / "state")
        done = sigbox("doctor", "--data", stack.data)
        assert done.returncode == 0, done.stdout
        issuer = stack.oidc_issuer
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        again = sign(stack, tmp_path / "again")
        assert logged_by(again) == logged_by(bundles[-1]), "a start goes on with the newest trees"
        check(stack, bundles, issuer)
        check(stack, [again])
        assert found_in(stack.url, ALICE) == NAMES


def check_learned(stack: RunningStack, bundles: list[Path], state: Path) -> None:
    """A policy is learned from every tree, or from the one that is named."""
    learn = ("policy", "learn", "--log", "--json", "--trust-config", stack.trust_config, "--state", state)
    report = json.loads(sigbox(*learn).stdout)
    assert [tree["generation"] for tree in report["read"]] == [1, 1, 2, 2]
    assert len({tree["rootHash"] for tree in report["read"]}) == 4
    assert [one["signatures"] for one in report["signers"]] == [2 * len(bundles)]
    _, first, _ = logged_by(bundles[0])
    report = json.loads(sigbox(*learn, "--log-id", first.hex()).stdout)
    assert [tree["generation"] for tree in report["read"]] == [2]


def test_nobody_who_signs_through_a_process_per_role_notices_that_both_logs_are_rotated(tmp_path: Path):
    with split_stack(tmp_path) as split:
        rotate_under_signers(split.as_stack(), split.view("init"), tmp_path)
        console = split.url("console")
        wait(lambda: found_in(console, ALICE) == NAMES)


def test_a_frozen_tree_takes_nothing_and_says_what_it_always_said(tmp_path: Path):
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        before = sign(stack, tmp_path / "before")
        rotate(stack.data, "--now")
        until = max(rows[-2].validity.end for rows in load_generations(Home(stack.data)).values())
        assert until is not None
        wait(lambda: time.time() > until.timestamp() + 1)
        (ended,) = json.loads(ask(f"{stack.url}/api/v1/log")[1])["inactiveShards"]
        assert ended["treeSize"] == 2
        of_v1 = (f"publicKey?treeID={ended['treeID']}", f"proof?lastSize=2&treeID={ended['treeID']}")
        paths = (
            *("/checkpoint", "/tile/entries/000.p/2", "/ct/v1/get-sth"),
            *(f"/api/v1/log/{path}" for path in of_v1),
        )
        said = {path: ask(f"{stack.url}{path}") for path in paths}
        assert {status for status, _ in said.values()} == {HTTPStatus.OK}
        entry = json.loads((tmp_path / "before.sigstore.json").read_bytes())["verificationMaterial"]["tlogEntries"][0]
        assert entry["inclusionProof"]["checkpoint"]["envelope"].encode() == said["/checkpoint"][1], (
            "its last head stays"
        )
        (entry_v1,) = json.loads(twin(before).read_bytes())["verificationMaterial"]["tlogEntries"]
        assert entry_v1["inclusionProof"]["checkpoint"]["envelope"] == ended["signedTreeHead"]
        request = rekor_request(before)
        assert ask(f"{stack.url}/api/v2/log/entries", request)[0] == HTTPStatus.METHOD_NOT_ALLOWED
        assert ask(f"{stack.url}/log/2/api/v2/log/entries", request)[0] == HTTPStatus.CREATED
        root = json.loads(ask(f"{stack.url}/ct/v1/get-roots")[1])["certificates"][:1]
        chain = json.dumps({"chain": root}).encode()
        assert ask(f"{stack.url}/ct/v1/add-chain", chain)[0] == HTTPStatus.FORBIDDEN
        assert ask(f"{stack.url}/ct/2/ct/v1/add-chain", chain)[0] == HTTPStatus.OK
        after = sign(stack, tmp_path / "after")
        check(stack, [before, after])
        assert all(old != new for old, new in zip(logged_by(before), logged_by(after), strict=True))
        assert json.loads(ask(f"{stack.url}/api/v1/log")[1])["inactiveShards"] == [ended]
        (entry_v1,) = json.loads(twin(after).read_bytes())["verificationMaterial"]["tlogEntries"]
        assert (entry_v1["logIndex"], entry_v1["inclusionProof"]["logIndex"]) == ("3", "1"), "global, and in its tree"
        for path, answer in said.items():
            assert ask(f"{stack.url}{path}") == answer
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        assert ask(f"{stack.url}/api/v2/log/entries", request)[0] == HTTPStatus.METHOD_NOT_ALLOWED
        assert ask(f"{stack.url}/ct/v1/add-chain", chain)[0] == HTTPStatus.FORBIDDEN
        assert ask(f"{stack.url}/checkpoint") == said["/checkpoint"]


def rekor_request(bundle: Path) -> bytes:
    """The entry of a bundle, as it is brought to a log."""
    content = json.loads(bundle.read_bytes())
    message, certificate = content["messageSignature"], content["verificationMaterial"]["certificate"]["rawBytes"]
    verifier = {"x509Certificate": {"rawBytes": certificate}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    signature = {"content": message["signature"], "verifier": verifier}
    entry = {"digest": message["messageDigest"]["digest"], "signature": signature}
    return json.dumps({"hashedRekordRequestV002": entry}).encode()


def test_fsck_export_backup_and_restore_have_every_tree(tmp_path: Path):
    data, archive, copy = tmp_path / "data", tmp_path / "backup.tar", tmp_path / "copy"
    early = tmp_path / "early.tar"
    with running_stack(tmp_path, "--data", data) as stack:
        for which in WATCHED:
            assert watch(stack, tmp_path / "seen", *which) == [], "from now on"
        staying = spawn(
            *("log", "watch", "--interval", "1", "--name", "staying", "--certificate-identity", ALICE),
            *("--rekor-version", "2", "--json", "--trusted-root", stack.trusted_root, "--state", tmp_path / "seen"),
            folder=tmp_path,
            log=tmp_path / "staying.log",
        )
        wait(lambda: any((tmp_path / "seen").glob("**/*.staying.watched")))
        before = sign(stack, tmp_path / "before")
        assert sigbox("backup", early, "--data", data).returncode == 0
        rotate(data, "--now")
        newest = load_generations(Home(data))["rekor"][-1].validity.start.timestamp()
        wait(lambda: time.time() > newest + 8)
        after = sign(stack, tmp_path / "after")
        report = json.loads(sigbox("fsck", "--data", data, "--json").stdout)
        assert report["intact"]
        assert set(report["logs"]) == NAMES
        done = sigbox("backup", archive, "--data", data)
        assert done.returncode == 0, done.stderr
        old = [*("--rekor-url", stack.url), *("--trusted-root", stack.trusted_root), *("--state", tmp_path / "seen")]
        for place, options in (("new", []), ("old", ["--rekor-url", stack.url])):
            done = sigbox("log", "export", tmp_path / place, "--data", data, *options)
            assert done.returncode == 0, done.stderr
            assert (tmp_path / place / "checkpoint").read_bytes() == ask(
                f"{stack.url}{'/log/2' if place == 'new' else ''}/checkpoint"
            )[1]
        assert sigbox("log", "info", *old, "--rekor-version", "2").returncode == 0
        trust = ("--rekor-version", "2", "--json", "--trusted-root", stack.trusted_root, "--state", tmp_path / "seen")
        for place in ((), ("--rekor-url", stack.url)):
            done = sigbox("log", "search", "--email", ALICE, *trust, *place)
            assert [entry["index"] for entry in json.loads(done.stdout)["entries"]] == [1], done.stderr
        for which, told in WATCHED.items():
            assert watch(stack, tmp_path / "seen", *which) == told, (
                "what the old tree got since then, and all of the new one"
            )
            assert watch(stack, tmp_path / "seen", *which) == [], "each once"
        wait(lambda: (tmp_path / "staying.log").read_text().count('"index"') == 2)
        staying.kill()
        staying.wait(20)
        read_v1(stack, data, tmp_path / "seen")
        old_size, new_size = (json.loads(show(stack, *option)) for option in (("--rekor-url", stack.url), ()))
        assert (old_size["size"], new_size["size"]) == (2, 2)
    done = sigbox("restore", archive, "--data", copy)
    assert done.returncode == 0, done.stderr
    refused = sigbox("restore", early, "--data", tmp_path / "earlier", "--anchors", data / "anchor")
    assert refused.returncode in {1, 3}
    assert "ct-2 has 0 entries in the archive" in refused.stderr
    with running_stack(tmp_path, "--data", copy, "--url", stack.url) as restored:
        check(restored, [before, after])
    (data / "rekor" / "2" / "log.db").write_bytes(b"no database")
    assert sigbox("fsck", "--data", data).returncode == 1


WATCHED = {("--rekor-version", "1"): [1, 3], ("--rekor-version", "2"): [1, 1], ("--ct",): [1, 2, 1, 2]}
"""How a log is named to a watcher, and the indexes of what is in its trees: those of Rekor v1 are counted on."""


def watch(stack: RunningStack, state: Path, *options: str) -> list[int]:
    """The indexes of what a watcher says now."""
    where = ("--json", "--trusted-root", stack.trusted_root, "--state", state)
    done = sigbox("log", "watch", "--once", "--certificate-identity", ALICE, *where, *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["index"] for line in done.stdout.splitlines()]


def read_v1(stack: RunningStack, data: Path, state: Path) -> None:
    """Both trees of Rekor v1, whose indexes go on: 0 and 1 in the old one, 2 and 3 in the new one."""
    options = ("--rekor-version", "1", "--json", "--trusted-root", stack.trusted_root, "--state", state)

    def log(action: str, *given: str) -> dict[str, Any]:
        done = sigbox("log", action, *given, *options)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    old, new = (one.public[0] for one in load_generations(Home(data))["rekor-v1"])
    in_new, in_old = log("info"), log("info", "--log-id", keys.key_id(old).hex())
    assert (in_new["size"], in_new["logId"]) == (2, keys.key_id(new).hex())
    assert (in_old["size"], in_old["logId"]) == (2, keys.key_id(old).hex())
    for index in range(4):
        assert log("entry", str(index))["index"] == index
        proof = log("proof", str(index))
        assert proof["entry"]["inclusionProof"]["logIndex"] == str(index % 2)
    for sought in (("--email", ALICE), (f"identity:{ALICE}",)):
        found = log("search", *sought)
        assert [entry["index"] for entry in found["entries"]] == [3, 1], sought
    assert watch(stack, state, "--rekor-version", "1", "--from", "0", "--name", "everything") == [1, 3]


def show(stack: RunningStack, *options: str) -> str:
    done = sigbox("log", "info", "--rekor-version", "2", "--json", "--trusted-root", stack.trusted_root, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_workers_serve_what_was_rotated_while_they_did_not_run(tmp_path: Path):
    data = ("--data", tmp_path / "data", "--workers", "2")
    with running_stack(tmp_path, *data) as stack:
        before = sign(stack, tmp_path / "before")
        for log in LOGS:
            done = sigbox("trust", "rotate", log, "--data", stack.data)
            assert done.returncode == 3
            assert "served with --workers" in done.stderr
        assert not load_generations(Home(stack.data))
        issuer = stack.oidc_issuer
    rotate(stack.data)
    with running_stack(tmp_path, *data) as stack:
        after = sign(stack, tmp_path / "after")
        check(stack, [before], issuer)
        check(stack, [after])
        assert all(old != new for old, new in zip(logged_by(before), logged_by(after), strict=True))
        assert ask(f"{stack.url}/checkpoint")[0] == ask(f"{stack.url}/log/2/checkpoint")[0] == HTTPStatus.OK


def test_an_ephemeral_stack_rotates_its_logs_in_memory(tmp_path: Path):
    with running_stack(tmp_path, "--ephemeral") as stack:
        rotate_under_signers(stack, stack.data, tmp_path)
