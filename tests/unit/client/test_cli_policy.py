# SPDX-License-Identifier: Apache-2.0
"""Verifying under a policy as it is typed: no identity on the command line, and the exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sigcore import fulcio, general_name, keys
from sigcore.bundle import encode_bundle
from sigcore.trustroot import encode_trusted_root
from stack.cli import main
from tests.unit.client.minisig import ARTIFACT, EMAIL, ISSUER, MiniSigstore, statement_about
from tests.unit.client.policies import CI, JOB, KEY, PREDICATE, digest_of, document

WHO = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", ISSUER)
OPEN = {"expires": "2099-12-31"}
STATEMENT = statement_about(
    ARTIFACT,
    subject=[{"name": "it", "digest": {"sha256": digest_of(ARTIFACT).hex()}}],
    predicate={"build": {"type": "https://b/1"}},
)


@pytest.fixture
def folder(sigstore, tmp_path, monkeypatch):
    """Files with bundles of several signers, a policy that stays good, and nothing of it where it is found by itself."""
    for name in ("SIGBOX_TRUST_CONFIG", "SIGBOX_TRUSTED_ROOT", "SIGBOX_SIGNING_CONFIG", "SIGBOX_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "root.json").write_bytes(encode_trusted_root(sigstore.root))
    claims = fulcio.encode_extensions(fulcio.FulcioExtensions(CI, source_repository_owner_uri="https://ci.example/web"))
    bundles = {
        "notes.txt": sigstore.sign(),
        "bob": sigstore.sign(san=general_name.Email("bob@example.com")),
        "job": sigstore.sign(san=general_name.Uri(JOB), issuer=claims),
        "keyed": sigstore.sign_v1(key=KEY),
        "it": sigstore.attest("hashedrekord 0.0.2", STATEMENT),
    }
    for name, bundle in bundles.items():
        (tmp_path / name).write_bytes(ARTIFACT)
        (tmp_path / f"{name}.sigstore.json").write_bytes(encode_bundle(bundle))
    write(tmp_path / "policy.json", **OPEN)
    return tmp_path


def write(path, **changes):
    path.write_text(json.dumps(document(**changes)))


def run(*arguments: str) -> int:
    return main([*arguments, "--trusted-root", "trust/root.json"])


def under(*arguments: str, policy: str = "policy.json") -> int:
    return run("verify-blob", *arguments, "--policy", policy)


def test_a_policy_stands_for_the_identity(folder, capsys):
    assert under("notes.txt") == 0
    assert f"Verified OK notes.txt: {EMAIL} signed it" in capsys.readouterr().err
    assert under("bob", "--as", "notes.txt") == 1
    assert "allows alice; alice: the signer is 'bob@example.com'" in capsys.readouterr().err
    (folder / "notes.txt").write_bytes(b"changed")
    assert under("notes.txt") == 1
    assert "another artifact" in capsys.readouterr().err


def test_a_name_that_the_user_gives(folder, capsys):
    assert under("job", "--as", "dist/a/b") == 0
    assert under("keyed", "--as", "dist/keyed") == 0
    assert under("job", "--as", "dist/../b") == 1
    assert under("job", "--as", "nothing") == 1
    assert "no rule of the policy is about the file 'nothing'" in capsys.readouterr().err
    digest = f"sha256:{digest_of(ARTIFACT).hex()}"
    assert under(digest, "--bundle", "job.sigstore.json", "--as", "dist/a") == 0
    assert under(digest, "--bundle", "job.sigstore.json") == 2
    assert under("job", "bob", "--as", "dist/a") == 2
    assert under("job", "--as", "") == 1


def test_a_key_that_the_policy_does_not_know(folder, sigstore, capsys):
    (folder / "keyed.sigstore.json").write_bytes(encode_bundle(sigstore.sign_v1(key=keys.generate_p256())))
    assert under("keyed", "--as", "dist/keyed") == 1
    assert "none of the policy's keys" in capsys.readouterr().err


def test_a_threshold_takes_more_bundles(folder, capsys):
    assert under("bob", "--as", "installer-1.msi") == 1
    assert under("bob", "--as", "installer-1.msi", "--and-bundle", "notes.txt.sigstore.json") == 0
    assert under("bob", "--as", "installer-1.msi", "--and-bundle", "bob.sigstore.json") == 1
    assert "found 1 that are distinct" in capsys.readouterr().err


def test_whoever_is_named_in_the_verdict_is_one_whom_the_rule_allows(folder, capsys):
    assert under("bob", "--as", "notes.txt", "--and-bundle", "notes.txt.sigstore.json") == 0
    assert f"{EMAIL} signed it" in capsys.readouterr().err
    assert under("bob", "--as", "it", "--and-bundle", "it.sigstore.json") == 0
    assert f"{EMAIL} attested {PREDICATE}" in capsys.readouterr().err


def test_a_file_that_is_renamed_gets_no_other_rule(folder, capsys):
    for suffix in ("", ".sigstore.json"):
        (folder / f"job{suffix}").rename(folder / f"installer-2.msi{suffix}")
    assert under("installer-2.msi") == 1
    assert "whoever made the file chose it" in capsys.readouterr().err


def test_a_rule_with_another_trusted_root(folder, capsys):
    assert under("job", "--as", "oci:r.example/web/x") == 2
    assert "--policy-root public=FILE" in capsys.readouterr().err
    assert under("job", "--as", "oci:r.example/web/x", "--policy-root", "public=trust/root.json") == 0
    (folder / "other.json").write_bytes(encode_trusted_root(MiniSigstore("other").root))
    assert under("job", "--as", "oci:r.example/web/x", "--policy-root", "public=other.json") == 1
    assert under("job", "--as", "oci:r.example/web/x", "--policy-root", "public") == 2


def test_an_attestation_under_a_policy(folder, capsys):
    def attested(*arguments):
        return run("verify-blob-attestation", *arguments, "--policy", "policy.json")

    assert attested("it") == 0
    assert attested("it", "--type", PREDICATE) == 0
    assert attested("it", "--type", "spdx") == 1
    assert attested("notes.txt") == 1
    assert under("it") == 0
    for suffix in ("", ".sigstore.json"):
        (folder / f"it{suffix}").rename(folder / f"that{suffix}")
    assert attested("that", "--as", "it") == 0
    assert attested("that") == 1


def test_v15_a_policy_that_is_absent_or_expired_ends_with_5(folder, capsys, monkeypatch):
    assert under("notes.txt", policy="none.json") == 5
    assert under("notes.txt", policy="") == 2  # no name at all is a mistake in the command line
    write(folder / "old.json", expires="2026-03-02")
    assert under("notes.txt", policy="old.json") == 5
    assert "the policy expired at 2026-03-03T00:00:00Z" in capsys.readouterr().err
    assert run("verify-blob-attestation", "it", "--policy", "old.json") == 5
    monkeypatch.setenv("SIGBOX_POLICY", "none.json")
    assert run("verify-blob", "notes.txt") == 5


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json", '{"apiVersion":"policy/v1"}', "apiVersion: policy/v1\n"])
def test_v15_a_policy_that_is_none_is_a_usage_error_and_no_verdict(folder, capsys, text):
    (folder / "bad.json").write_text(text)
    assert under("notes.txt", policy="bad.json") == 2
    assert "the policy bad.json" in capsys.readouterr().err


def test_an_explanation_ends_with_what_the_policy_said(folder, capsys):
    assert under("notes.txt", "--explain=json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    accepted = row["steps"][-1]
    assert (accepted["name"], accepted["holds"]) == ("policy", True)
    facts = [(fact["name"], fact["value"]) for fact in accepted["facts"]]
    assert ("decision", "allowed") in facts
    assert any(name == "candidate" and value.startswith("alice") and value.endswith(": yes") for name, value in facts)
    (folder / "notes.txt").rename(folder / "other.md")
    (folder / "notes.txt.sigstore.json").rename(folder / "other.md.sigstore.json")
    assert under("other.md", "--explain=json") == 1
    (row,) = json.loads(capsys.readouterr().out)
    refused = row["steps"][-1]
    assert (refused["name"], refused["holds"]) == ("policy", False)
    assert any(fact["name"] == "decision" and "REFUSED" in fact["value"] for fact in refused["facts"])


def test_a_policy_is_found_beside_the_trusted_root(folder, monkeypatch, capsys):
    assert run("verify-blob", "notes.txt") == 2
    (folder / "policy.json").rename(folder / "trust" / "policy.json")
    assert run("verify-blob", "notes.txt") == 0
    assert run("verify-blob", "bob", "--as", "notes.txt") == 1
    capsys.readouterr()
    assert run("verify-blob", "notes.txt", *WHO) == 2
    assert "--no-policy lets the command line decide" in capsys.readouterr().err
    assert run("verify-blob", "notes.txt", *WHO, "--no-policy") == 0
    assert run("verify-blob", "notes.txt", "--no-policy") == 2


def test_a_link_to_a_policy_that_is_not_there_is_no_leave_to_judge_without_one(folder):
    (folder / "trust" / "policy.json").symlink_to("a disk that is not mounted")
    assert run("verify-blob", "notes.txt", *WHO) == 2
    assert run("verify-blob", "notes.txt") == 5
    assert run("verify-blob", "notes.txt", *WHO, "--no-policy") == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--policy", "policy.json", *WHO),
        ("--policy", "policy.json", "--key", "x.pub"),
        ("--policy", "policy.json", "--no-policy"),
        ("--as", "x", *WHO),
        ("--as", "", *WHO),
        ("--and-bundle", "x", *WHO),
        ("--policy", "policy.json", "--certificate-identity", "", "--certificate-oidc-issuer", ""),  # variables not set
    ],
)
def test_v15_options_beside_a_policy_are_never_dropped(folder, arguments):
    assert run("verify-blob", "notes.txt", *arguments) == 2


def test_a_name_without_a_rule_may_be_let_through_with_a_warning(folder, capsys):
    write(folder / "policy.json", **OPEN, defaults={"onNoMatch": "warn"})
    assert under("bob") == 0
    assert "warning: no rule of the policy" in capsys.readouterr().err
    (folder / "bob").write_bytes(b"changed")
    assert under("bob") == 1


def test_the_policy_is_imported_only_where_there_is_one(folder):
    code = (
        "import sys; from stack.cli import main; code = main(sys.argv[1:])\n"
        "print(*(name for name in sys.modules if name.startswith(('client.policy', 'yaml'))))\n"
        "sys.exit(code)"
    )
    for extra, imported in ((WHO, False), (("--policy", "policy.json"), True)):
        command = [sys.executable, "-c", code, "verify-blob", "notes.txt", "--trusted-root", "trust/root.json", *extra]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert bool(done.stdout.strip()) is imported
        assert "yaml" not in done.stdout  # a policy in JSON, as it is delivered, needs no PyYAML


# --- sigbox policy -----------------------------------------------------------------------------------
def test_explain_shows_the_rule_and_every_candidate(folder, capsys):
    where = ("--policy", "policy.json")
    assert run("policy", "explain", "bob", "--as", "installer-1.msi", *where) == 1
    text = capsys.readouterr().out
    assert (
        "rule       the policy policy.json.artifacts[0]: file 'installer-*.msi', purl 'pkg:generic/installer@*'" in text
    )
    assert "candidate  alice, signature 1: the signer is 'bob@example.com'" in text
    assert "candidate  bob, signature 1: yes" in text
    assert "decision   REFUSED: " in text
    assert run("policy", "explain", "notes.txt", *where, "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["allowed"] is True
    assert made["candidates"] == [{"identity": "alice", "bundle": 0, "failing": ""}]
    assert run("policy", "explain", "it", *where) == 0
    assert f"demanded   {PREDICATE}, bundle 1: yes" in capsys.readouterr().out
    assert run("policy", "explain", "bob", *where) == 1
    assert "rule       none is about it" in capsys.readouterr().out
    assert run("policy", "explain", "bob") == 5


def test_what_learn_drafts_lets_through_what_it_saw_and_nothing_else(folder, capsys):
    assert run("policy", "learn", "notes.txt", "job", "keyed", "it") == 0
    draft = json.loads(capsys.readouterr().out)
    assert {"issuer": ISSUER, "email": EMAIL} in draft["identities"].values()
    (folder / "draft.json").write_text(json.dumps(draft))
    for name in ("notes.txt", "job", "keyed", "it"):
        assert under(name, policy="draft.json") == 0, capsys.readouterr().err
    assert under("bob", policy="draft.json") == 1
    assert under("bob", "--as", "notes.txt", policy="draft.json") == 1
    assert run("verify-blob-attestation", "it", "--policy", "draft.json") == 0
    (folder / "bob").write_bytes(b"changed")
    assert run("policy", "learn", "bob") == 1


def test_learn_refuses_a_name_that_a_policy_would_take_for_a_pattern(folder, sigstore, capsys):
    (folder / "star").write_bytes(ARTIFACT)
    bundle = sigstore.sign(san=general_name.Uri("https://ci.example/*"))
    (folder / "star.sigstore.json").write_bytes(encode_bundle(bundle))
    assert run("policy", "learn", "star") == 1
    assert "it would be read as a pattern" in capsys.readouterr().err


def test_cases_are_decided_and_compared(folder, capsys):
    cases = [
        {"artifact": "notes.txt", "expect": "allow"},
        {"artifact": "bob", "as": "notes.txt", "expect": "refuse", "because": "expected the address"},
        {"artifact": "bob", "as": "installer-1.msi", "bundles": ["bob.sigstore.json", "notes.txt.sigstore.json"], "expect": "allow"},
    ]  # fmt: skip

    def tested(*given, options=()) -> int:
        (folder / "cases").mkdir(exist_ok=True)
        moved = [
            case | {"artifact": f"../{case['artifact']}"} | ({"bundles": [f"../{one}" for one in case["bundles"]]} if "bundles" in case else {})
            for case in given
        ]  # fmt: skip
        (folder / "cases" / "c.json").write_text(json.dumps({"cases": moved}))
        return run("policy", "test", "cases/c.json", "--policy", "policy.json", *options)

    assert tested(*cases) == 0
    assert "3 cases, 0 not as expected" in capsys.readouterr().out
    assert tested(*cases[:2], options=["--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows["failed"] == 0
    assert [(row["as"], row["expected"], row["verdict"]) for row in rows["cases"]] == [
        (None, "allow", "allow"),
        ("notes.txt", "refuse", "refuse"),
    ]
    assert tested(cases[0] | {"expect": "refuse"}, options=["--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert (rows["failed"], rows["cases"][0]["asExpected"], rows["cases"][0]["refusal"]) == (1, False, "")
    assert tested(cases[0] | {"expect": "refuse"}) == 1
    assert tested(cases[1] | {"because": "another reason"}) == 1
    assert tested(cases[1] | {"expect": "allow"}) == 1
    assert tested(cases[0] | {"artifact": "none", "expect": "refuse"}) == 2
    capsys.readouterr()
    assert tested() == 2
    assert "cases/c.json has no cases: nothing was tried" in capsys.readouterr().err
    assert tested(cases[0] | {"expect": "maybe"}) == 2
    assert "expect is 'maybe', expected allow or refuse\n  hint: for example" in capsys.readouterr().err


def test_lint_and_export_as_they_are_typed(folder, capsys):
    assert main(["policy", "lint", "policy.json"]) == 0
    assert "doubt  the policy policy.json.artifacts[1]: anyName with a wildcard" in capsys.readouterr().out
    write(folder / "wide.json", **OPEN, identities={"x": {"issuer": CI, "san": "https://**"}}, groups=None, artifacts=[{"match": {"file": "a"}, "allow": ["x"]}])  # fmt: skip
    assert main(["policy", "lint", "wide.json", "--json"]) == 1
    assert [one["grave"] for one in json.loads(capsys.readouterr().out)] == [True]
    assert main(["policy", "lint", "none.json"]) == 5
    assert main(["policy", "export", "wide.json", "--to", "cosign-flags"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("# file 'a': one of\n--certificate-identity-regexp '^https://.*$'")
    assert "not said in the export" in err
    assert main(["policy", "export", "policy.json", "--to", "podman"]) == 1
