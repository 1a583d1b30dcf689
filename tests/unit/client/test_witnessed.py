# SPDX-License-Identifier: Apache-2.0
"""A verification with a witness policy: what the witnesses of a log must have cosigned, and what its refusals say."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from client.verify import verify_attestation, verify_blob
from client.verify.identity import IdentityPolicy
from client.verify.report import list_checks
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import Bundle, encode_bundle
from sigcore.cosignature import cosign, cosigner_key, encode_log_verifier, encode_witness_verifier
from sigcore.errors import Refused
from sigcore.note import encode_note, note_key, parse_note
from sigcore.tlog_policy import parse_tlog_policy
from sigcore.trustroot import encode_trusted_root
from stack.cli import main
from tests.unit.client.minisig import ARTIFACT, ATTESTATIONS, EMAIL, ISSUER, MiniSigstore
from tests.unit.client.policies import document

TIME = 1_772_366_400
KEYS = {
    name: ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number] * 32)) for number, name in enumerate("abc", 1)
}
DIGEST = HashAlgorithm.SHA2_256.digest(ARTIFACT)
WHO = IdentityPolicy(ISSUER, EMAIL)
OPTIONS = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", ISSUER, "--trusted-root", "root.json")


def lines(*names: str) -> str:
    """The witnesses of these names, in a policy."""
    vkeys = {name: encode_witness_verifier(cosigner_key(f"{name}.example", KEYS[name].public_key())) for name in names}
    return "".join(f"witness {name} {vkey}\n" for name, vkey in vkeys.items())


def policy_of(quorum: str, *names: str, log: str = "") -> str:
    return f"{log}{lines(*names)}group g {quorum} {' '.join(names)}\nquorum g\n"


def cosigned(bundle: Bundle, *names: str, number: int = 0, time_s: int = TIME) -> Bundle:
    """``bundle`` with these witnesses in the checkpoint of one entry."""
    entry = bundle.log_entries[number]
    note = parse_note(entry.proof.checkpoint)
    added = tuple(cosign(note.text, f"{name}.example", KEYS[name], time_s).line for name in names)
    envelope = encode_note(replace(note, signatures=(*note.signatures, *added)))
    changed = replace(entry, proof=replace(entry.proof, checkpoint=envelope))
    entries = tuple(changed if one is entry else one for one in bundle.log_entries)
    return replace(bundle, log_entries=entries)


def verified(sigstore: MiniSigstore, bundle: Bundle, policy: str | None):
    witnesses = parse_tlog_policy(policy.encode()) if policy is not None else None
    return verify_blob(bundle, DIGEST, root=sigstore.root, identity=WHO, witnesses=witnesses)


def refusal(sigstore: MiniSigstore, bundle: Bundle, policy: str) -> Refused:
    with pytest.raises(Refused) as caught:
        verified(sigstore, bundle, policy)
    assert caught.value.step == "witnesses"
    return caught.value


def test_who_has_cosigned_is_reported(sigstore):
    bundle = cosigned(sigstore.sign(), "a", "b")
    found = verified(sigstore, bundle, policy_of("2", "a", "b", "c"))
    (head,) = found.witnessed
    assert [(one.name, one.found.time_s) for one in head.cosignatures] == [("a", TIME), ("b", TIME)]
    (check,) = [check for check in list_checks(found) if check.name == "witnesses"]
    assert "2 of (a, b, c)" in check.what
    assert check.value == "'a' at 2026-03-01T12:00:00Z, 'b' at 2026-03-01T12:00:00Z"


def test_without_a_policy_nobody_is_demanded_and_nothing_is_reported(sigstore):
    for bundle in (sigstore.sign(), cosigned(sigstore.sign(), "a")):
        found = verified(sigstore, bundle, None)
        assert found.witnessed == ()
        assert "witnesses" not in [check.name for check in list_checks(found)]


def test_too_few_are_refused(sigstore):
    bundle = cosigned(sigstore.sign(), "a")
    error = refusal(sigstore, bundle, policy_of("all", "a", "b"))
    assert "cosigned by a of the witness policy, expected all of (a, b)" in error.message
    assert verified(sigstore, bundle, policy_of("any", "a", "b"))
    assert refusal(sigstore, sigstore.sign(), policy_of("any", "a", "b"))


def test_the_log_of_the_root_must_be_one_of_the_policy(sigstore):
    bundle = cosigned(sigstore.sign(), "a")
    own = encode_log_verifier(note_key(sigstore.log.origin, sigstore.log.key.public_key()))
    other = encode_log_verifier(note_key(sigstore.log.origin, KEYS["c"].public_key()))
    assert verified(sigstore, bundle, policy_of("any", "a", log=f"log {own}\n"))
    assert "not signed by a log of" in refusal(sigstore, bundle, policy_of("any", "a", log=f"log {other}\n")).message


def test_rekor_v1_is_told_apart(sigstore):
    """With a proof nobody has cosigned it; with a promise alone there is nothing that anybody could have."""
    bundle = sigstore.sign_v1()
    error = refusal(sigstore, bundle, policy_of("any", "a"))
    assert "cosigned by none of" in error.message
    assert "Rekor v1 asks no witnesses" in error.hint
    (entry,) = bundle.log_entries
    promised = replace(bundle, log_entries=(replace(entry, proof=None),))
    assert verified(sigstore, promised, None)
    for policy in (policy_of("any", "a"), "quorum none\n"):
        error = refusal(sigstore, promised, policy)
        assert "the log entry has no checkpoint, only a promise" in error.message
        assert "Rekor v1 asks no witnesses" in error.hint


def test_every_entry_must_be_witnessed(sigstore):
    one = sigstore.attest("dsse 0.0.2")
    second = ATTESTATIONS["hashedrekord 0.0.2"](sigstore, one.content, b"", one.certificate)
    bundle = replace(one, log_entries=(*one.log_entries, second))
    policy = parse_tlog_policy(policy_of("any", "a").encode())
    both = cosigned(cosigned(bundle, "a"), "a", number=1)
    assert len(verify_attestation(both, DIGEST, root=sigstore.root, identity=WHO, witnesses=policy).witnessed) == 2
    for number in (0, 1):
        half = cosigned(bundle, "a", number=number)
        assert verify_attestation(half, DIGEST, root=sigstore.root, identity=WHO)
        with pytest.raises(Refused, match="cosigned by none of"):
            verify_attestation(half, DIGEST, root=sigstore.root, identity=WHO, witnesses=policy)


def test_a_time_without_a_moment_is_shown_as_it_is(sigstore):
    found = verified(sigstore, cosigned(sigstore.sign(), "a", time_s=2**63 - 1), policy_of("any", "a"))
    assert found.witnessed[0].cosignatures[0].time == f"{2**63 - 1} s, no moment of the calendar"


# --- the command -----------------------------------------------------------------------------------------
@pytest.fixture
def folder(sigstore, tmp_path, monkeypatch):
    for name in ("SIGBOX_TRUST_CONFIG", "SIGBOX_TRUSTED_ROOT", "SIGBOX_SIGNING_CONFIG", "SIGBOX_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    Path("root.json").write_bytes(encode_trusted_root(sigstore.root))
    Path("file").write_bytes(ARTIFACT)
    Path("file.sigstore.json").write_bytes(encode_bundle(cosigned(sigstore.sign(), "a")))
    Path("any").write_text(policy_of("any", "a", "b"))
    Path("all").write_text(policy_of("all", "a", "b"))
    return tmp_path


def run(*more: str) -> int:
    return main(["verify-blob", "file", *OPTIONS, *more])


def test_the_report_has_the_step(folder, capsys):
    assert run("--witness-policy", "any", "--json") == 0
    captured = capsys.readouterr()
    assert "cosigned by 1 of your witnesses" in captured.err
    (row,) = json.loads(captured.out)
    assert "witnesses" in [check["check"] for check in row["checks"]]
    assert run("--witness-policy", "all", "--json") == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["verified"], row["step"]) == (False, "witnesses")
    assert "expected all of (a, b)" in row["error"]
    assert "sign again" in row["hint"]


def test_each_cosignature_is_repeated_by_openssl(folder, capsys):
    assert run("--witness-policy", "any", "--explain=json", "--explain-dir", "shown") == 0
    (row,) = json.loads(capsys.readouterr().out)
    names = [step["name"] for step in row["steps"]]
    assert names[-2:] == ["witnesses", "signature"]
    step = row["steps"][-2]
    assert len(step["lines"]) == 2
    for line in step["lines"]:
        assert repeated(line, row["folder"]) == 0, line
    for path in Path(row["folder"]).glob("witness-*.txt"):
        path.write_bytes(path.read_bytes() + b"\n")
    for line in step["lines"]:
        assert repeated(line, row["folder"]) != 0, line


def repeated(line: str, folder: str) -> int:
    return subprocess.run(["sh", "-e", "-c", line], cwd=folder, capture_output=True, check=False).returncode


def test_a_refusal_is_explained_after_all_that_holds(folder, capsys):
    assert run("--witness-policy", "all", "--explain=json") == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert [(step["name"], step["holds"]) for step in row["steps"]][-2:] == [("path", True), ("witnesses", False)]
    assert row["steps"][-1]["found"] == row["error"]


def test_a_policy_that_is_none_and_one_that_is_absent(folder, capsys):
    Path("bad").write_text("quorum nobody\n")
    assert run("--witness-policy", "bad") == 2
    assert "bad: line 1 of the witness policy: 'nobody' is no witness" in capsys.readouterr().err
    assert run("--witness-policy", "absent") == 5
    assert "sigbox witness policy" in capsys.readouterr().err


def test_a_policy_about_signers_does_not_replace_it(folder, capsys):
    rules = [{"match": {"file": "file"}, "allow": ["alice"], "anyName": True}]
    Path("policy.json").write_text(json.dumps(document(artifacts=rules, expires="2100-01-01")))
    options = ("verify-blob", "file", "--trusted-root", "root.json", "--policy", "policy.json")
    assert main([*options, "--witness-policy", "any"]) == 0, capsys.readouterr().err
    assert main([*options, "--witness-policy", "all"]) == 1
    assert "expected all of (a, b)" in capsys.readouterr().err


def test_without_the_option_nothing_of_it_is_imported(folder):
    code = "import sys; from stack.cli import main; code = main(sys.argv[1:]); print(code, *sys.modules)"
    for more, there in (((), False), (("--witness-policy", "any"), True)):
        words = (sys.executable, "-c", code, "verify-blob", "file", *OPTIONS, *more)
        run = subprocess.run(words, capture_output=True, text=True, check=True)
        ended, *loaded = run.stdout.split()
        assert ended == "0"
        found = {"sigcore.tlog_policy", "sigcore.cosignature", "client.verify.witnessed"} & set(loaded)
        assert bool(found) == there, found


def test_many_files_by_several_processes(folder, sigstore):
    for number, names in enumerate(("ab", "a")):
        Path(f"many{number}").write_bytes(ARTIFACT)
        Path(f"many{number}.sigstore.json").write_bytes(encode_bundle(cosigned(sigstore.sign(), *names)))
    words = ("verify-blob", "many0", "many1", *OPTIONS, "--max-workers", "2", "--json", "--witness-policy")
    for policy, verdicts in (("any", [True, True]), ("all", [True, False])):
        done = subprocess.run([sys.executable, "-m", "stack.cli", *words, policy], capture_output=True, check=False)
        assert [row["verified"] for row in json.loads(done.stdout)] == verdicts, done.stderr
