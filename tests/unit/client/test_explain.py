# SPDX-License-Identifier: Apache-2.0
"""``--explain``: every shell line that it prints is executed, and fails when what it reads is changed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sigcore import keys
from sigcore.bundle import encode_bundle
from sigcore.trustroot import encode_trusted_root
from stack.cli import main
from tests.unit.client.minisig import ARTIFACT, ATTESTATIONS, EMAIL, ISSUER, digest_of

WHO = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", ISSUER)
KEY = keys.generate_p256()
MESSAGES = ("v1", "v2", "keyed")
CERTIFIED = ["certificate", "precertificate", "SCT", "identity"]
LOGGED = ["entry", "checkpoint", "leaf hash", "path", "signature"]


@pytest.fixture
def folder(sigstore, tmp_path, monkeypatch):
    """A signed file for each way of signing: ``NAME``, its bundle, the trusted root."""
    for name in ("SIGBOX_TRUST_CONFIG", "SIGBOX_TRUSTED_ROOT", "SIGBOX_SIGNING_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    Path("root.json").write_bytes(encode_trusted_root(sigstore.root))
    Path("key.pub").write_text(keys.encode_public_key_pem(KEY.public_key()))
    bundles = {"v1": sigstore.sign_v1(), "v2": sigstore.sign(scts=2), "keyed": sigstore.sign_v1(key=KEY)}
    bundles |= {kind: sigstore.attest(kind) for kind in ATTESTATIONS}
    for name, bundle in bundles.items():
        Path(name).write_bytes(ARTIFACT)
        Path(f"{name}.sigstore.json").write_bytes(encode_bundle(bundle))
    return tmp_path


def run(name: str, *more: str) -> int:
    command = "verify-blob" if name in MESSAGES else "verify-blob-attestation"
    who = ("--key", "key.pub") if name == "keyed" else WHO
    return main([command, name, *who, "--trusted-root", "root.json", *more])


def explained(capsys, name: str, *more: str, code: int = 0) -> dict:
    capsys.readouterr()
    assert run(name, "--explain=json", "--explain-dir", "shown", *more) == code
    (row,) = json.loads(capsys.readouterr().out)
    return row


def repeat(line: str, folder: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-e", "-c", line]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, errors="replace")


@pytest.mark.parametrize("name", [*MESSAGES, *ATTESTATIONS])
def test_each_line_repeats_its_check(folder, capsys, name):
    row = explained(capsys, name)
    assert row["verified"]
    steps = [step["name"] for step in row["steps"]]
    certified = [] if name == "keyed" else CERTIFIED
    if name == "v2":
        certified = [*CERTIFIED[:3], "SCT", "identity"]
    time = "timestamp" if name in ("v2", "hashedrekord 0.0.2", "dsse 0.0.2") else "promise"
    assert steps == ["digest", "key", time, *certified, *LOGGED]
    for step in row["steps"]:
        assert step["holds"]
        assert step["checked"]
        assert step["whoCouldLie"]
        assert step["lines"], step["name"]
        for line in step["lines"]:
            done = repeat(line, row["folder"])
            assert done.returncode == 0, (line, done.stdout, done.stderr)


@pytest.mark.parametrize("name", ["v1", "dsse 0.0.2"])
def test_no_line_is_content_with_another_file(folder, capsys, name):
    """Every file that is written is read by a line that fails when one byte of it is another."""
    row = explained(capsys, name)
    lines = [line for step in row["steps"] for line in step["lines"]]
    shown = Path(row["folder"])
    for file in sorted(shown.iterdir()):
        content = file.read_bytes()
        position = len(content) // 3
        changed = ord("A") if content[position] != ord("A") else ord("B")
        file.write_bytes(content[:position] + bytes([changed]) + content[position + 1 :])
        nearest = sorted(lines, key=lambda line: file.name not in line)
        assert any(repeat(line, row["folder"]).returncode for line in nearest), file.name
        file.write_bytes(content)
    for line in lines:
        assert repeat(line, row["folder"]).returncode == 0


def test_text_shows_the_same_steps(folder, capsys):
    assert run("v2", "--explain") == 0
    out, err = capsys.readouterr()
    assert err.startswith("Verified OK v2")
    names = re.findall(r"^ *\d+\. (.+): holds$", out, re.MULTILINE)
    assert names == ["digest", "key", "timestamp", *CERTIFIED[:3], "SCT", "identity", *LOGGED]
    place = re.search(r"^    \$ cd (\S+)$", out, re.MULTILINE)
    lines = re.findall(r"^    \$ (openssl .+|grep .+|cmp .+)$", out, re.MULTILINE)
    assert len(lines) > 12
    for line in lines:
        assert repeat(line, place[1]).returncode == 0, line


def test_text_fits_the_terminal_but_for_lines_that_are_copied_and_its_columns_are_straight(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run("v2", "--explain") == 0
    told = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("    $ ")]
    assert not [line for line in told if len(line) > 80 and not re.search(r"\S{50}", line)]
    rows = [re.match(r"    (?:checked|who could lie) +", line) for line in told]
    assert {row.end() for row in rows if row} == {18}


def test_text_beside_json_leaves_standard_output_to_the_document(folder, capsys):
    assert run("v1", "--explain", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)[0]["steps"][0]["name"] == "digest"
    assert " 1. digest: holds" in err


def with_entry(bundle, **changes):
    return replace(bundle, log_entries=(replace(bundle.log_entries[0], **changes),))


def failing(sigstore, step: str):
    """A bundle that is refused at ``step``, and what else is asked for."""
    good = sigstore.sign()
    (entry,) = good.log_entries
    other = sigstore.sign()
    proof, theirs = entry.proof, other.log_entries[0].proof
    flipped = (bytes(32), *proof.hashes[1:])
    return {
        "material": (replace(good, log_entries=()), ()),
        "timestamp": (replace(good, timestamps=other.timestamps), ()),
        "certificate": (
            sigstore.sign(not_after=sigstore.now.replace(year=2025), not_before=sigstore.now.replace(year=2024)),
            (),
        ),
        "SCT": (sigstore.sign(scts=0), ()),
        "identity": (sigstore.sign(issuer="https://else.example"), ()),
        "entry": (replace(good, log_entries=other.log_entries), ()),
        "checkpoint": (with_entry(good, proof=replace(proof, checkpoint=theirs.checkpoint)), ()),
        "path": (with_entry(good, proof=replace(proof, hashes=flipped)), ()),
    }[step]


@pytest.mark.parametrize(
    ("step", "before"),
    [
        ("material", ["digest", "key"]),
        ("timestamp", ["digest", "key"]),
        ("certificate", ["digest", "key", "timestamp"]),
        ("SCT", ["digest", "key", "timestamp", "certificate", "precertificate"]),
        ("identity", ["digest", "key", "timestamp", *CERTIFIED[:3]]),
        ("entry", ["digest", "key", "timestamp", *CERTIFIED]),
        ("checkpoint", ["digest", "key", "timestamp", *CERTIFIED, "entry"]),
        ("path", ["digest", "key", "timestamp", *CERTIFIED, "entry", "checkpoint", "leaf hash"]),
    ],
)
def test_a_refusal_is_explained_up_to_the_step_that_refuses(folder, sigstore, capsys, step, before):
    bundle, more = failing(sigstore, step)
    Path("v2.sigstore.json").write_bytes(encode_bundle(bundle))
    assert run("v2", *more) == 1
    row = explained(capsys, "v2", *more, code=1)
    names = [(one["name"], one["holds"]) for one in row["steps"]]
    assert names == [*((name, True) for name in before), (step, False)]
    assert row["steps"][-1]["found"] == row["error"]
    for one in row["steps"][:-1]:
        for line in one["lines"]:
            if one["name"] != "checkpoint":
                assert repeat(line, row["folder"]).returncode == 0, line
    if step == "path":
        assert repeat(row["steps"][-1]["lines"][0], row["folder"]).returncode != 0


def test_a_changed_file_and_a_bundle_that_is_none(folder, capsys):
    Path("v1").write_bytes(b"changed")
    row = explained(capsys, "v1", code=1)
    assert [(step["name"], step["holds"]) for step in row["steps"]] == [("digest", False)]
    Path("v2.sigstore.json").write_bytes(b"{}")
    capsys.readouterr()
    assert run("v2", "--explain") == 1
    assert " 1. bundle: REFUSED" in capsys.readouterr().out


def test_another_predicate_type_comes_last(folder, capsys):
    row = explained(capsys, "dsse 0.0.2", "--type", "spdx", code=1)
    assert [step["name"] for step in row["steps"]][-2:] == ["signature", "statement"]


def test_a_digest_has_no_file_to_hash(folder, capsys):
    digest = f"sha256:{digest_of(ARTIFACT).hex()}"
    given = ["--bundle", "v2.sigstore.json", *WHO, "--trusted-root", "root.json", "--explain=json"]
    assert main(["verify-blob", digest, *given]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["steps"][0]["lines"] == []


def test_the_folder_must_be_empty_and_asked_for(folder, capsys):
    Path("full").mkdir()
    Path("full/x").touch()
    assert run("v1", "--explain", "--explain-dir", "full") == 2
    assert "is not empty" in capsys.readouterr().err
    assert run("v1", "--explain-dir", "new") == 2
    Path("v1.sigstore.json").unlink()
    assert run("v1", "--explain", "--bundle", "v1.sigstore.json") == 2
    assert not list(folder.glob("sigbox-explain-*"))


def test_a_hostile_name_of_a_file_stays_a_word(folder, capsys):
    name = "a'; touch pwned; '"
    Path("v1").rename(name)
    Path("v1.sigstore.json").rename(f"{name}.sigstore.json")
    assert main(["verify-blob", name, *WHO, "--trusted-root", "root.json", "--explain=json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert repeat(row["steps"][0]["lines"][0], row["folder"]).returncode == 0
    assert not (Path(row["folder"]) / "pwned").exists()


def test_without_it_nothing_of_it_is_imported(folder):
    code = (
        "import sys; from stack.cli import main; code = main(sys.argv[1:])\n"
        "print(code, *[name for name in sys.modules if 'explain' in name])"
    )
    command = [sys.executable, "-c", code, "verify-blob", "v1", *WHO, "--trusted-root", "root.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "stack.cli.explain_options"]
