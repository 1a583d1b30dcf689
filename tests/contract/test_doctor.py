# SPDX-License-Identifier: Apache-2.0
"""sigbox doctor: all is well on a fresh stack; each thing that is broken is found by its check, with the fix."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from stack import kernel_clock
from stack.config import Home
from tests.stack_process import running_stack, sigbox

LOCAL = ("program", "files", "disk", "time", "tokens", "database", "certificates", "contents", "writers")
REMOTE = (
    "name",
    "connection",
    "roles",
    "issuers",
    "authority",
    "log keys",
    "clock",
    "metadata",
    "signature",
    "witnesses",
    "ambient",
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor")
    with running_stack(folder, "--data", folder / "data") as stack:
        yield stack


def examine(*options) -> tuple[int, dict[str, dict[str, str]]]:
    done = sigbox("doctor", "--json", *options)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report["healthy"] is (done.returncode == 0)
    return done.returncode, {check["name"]: check for check in report["checks"]}


def failed(checks) -> set[str]:
    return {name for name, check in checks.items() if check["state"] == "failed"}


def test_a_fresh_stack_is_well_and_one_signature_was_made(stack):
    code, checks = examine("--data", stack.data)
    assert code == 0
    assert tuple(checks) == LOCAL + REMOTE
    apart = ("disk", "time", "tokens", "database", "witnesses", "ambient")
    assert {check["state"] for name, check in checks.items() if name not in apart} == {"ok"}
    assert (checks["tokens"]["state"], checks["tokens"]["found"]) == ("skipped", "no key is in a token or a KMS")
    assert checks["database"]["state"] == checks["witnesses"]["state"] == "skipped"
    assert checks["time"]["state"] == ("warning" if kernel_clock.fault() else "ok")
    assert "signed as 'doctor@localhost'" in checks["signature"]["found"]


def test_from_elsewhere_with_what_is_trusted_there(stack):
    token = sigbox("token", "--data", stack.data, "--email", "a@example.com").stdout.strip()
    code, checks = examine("--url", stack.url, "--trust-config", stack.trust_config, "--identity-token", token)
    assert code == 0
    assert tuple(checks) == LOCAL + REMOTE
    assert "a@example.com" in checks["signature"]["found"]
    for name in LOCAL[1:]:
        assert checks[name]["state"] == "skipped"
        assert "--url was given: looked at on its own machine" in checks[name]["found"]


def test_without_anybody_to_sign_as_the_signature_is_left_out_and_said(stack):
    code, checks = examine("--url", stack.url, "--trust-config", stack.trust_config)
    assert code == 0
    assert checks["signature"]["state"] == "skipped"
    assert "--identity-token" in checks["signature"]["fix"]
    left_out = examine("--data", stack.data, "--no-sign")[1]["signature"]
    assert (left_out["state"], left_out["found"]) == ("skipped", "not asked for")


NOTHING = dict.fromkeys(
    (
        "SIGSTORE_ID_TOKEN",
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "BUILDKITE_AGENT_ACCESS_TOKEN",
        "CIRCLECI",
        "SIGBOX_SPIFFE_JWT_FILE",
        "GCE_METADATA_HOST",
        "GITHUB_ACTIONS",
        "GITLAB_CI",
    ),
    "",
)


def test_whose_token_would_be_taken_is_said_and_no_token_is_shown(stack, tmp_path):
    nobody = NOTHING | {"XDG_RUNTIME_DIR": str(tmp_path)}
    token = stack.token("alice@example.com")
    github = {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:1/?x", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "a secret"}

    def look(**around) -> tuple[str, str, str]:
        done = sigbox("doctor", "--json", "--data", stack.data, "--no-sign", **(nobody | around))
        assert done.returncode == 0, done.stderr
        assert token not in done.stdout
        assert "a secret" not in done.stdout
        [check] = [one for one in json.loads(done.stdout)["checks"] if one["name"] == "ambient"]
        return check["state"], check["found"], check["fix"]

    assert look()[0] == "skipped"
    assert look(**github)[:2] == ("ok", "GitHub Actions; its token is asked for when something is signed")
    assert look(GITHUB_ACTIONS="true", **github)[0] == "ok"
    state, found, fix = look(GITHUB_ACTIONS="true")
    assert (state, "no right to an identity token" in found, "id-token: write" in fix) == ("warning", True, True)
    assert "id_tokens" in look(GITLAB_CI="true")[2]
    state, found, _fix = look(SIGSTORE_ID_TOKEN=token, **github)
    assert (state, found.startswith("the variable SIGSTORE_ID_TOKEN: 'alice@example.com' of ")) == ("ok", True)
    assert look(SIGSTORE_ID_TOKEN="no.token.")[0] == "warning"
    kept = tmp_path / "sigbox" / "identity-token"
    kept.parent.mkdir()
    kept.write_text(token)
    assert look()[1].startswith("the login as 'alice@example.com' of ")
    kept.write_text("x.y.z")
    assert look()[0] == "warning"


def test_people_read_a_line_for_each_check(stack):
    done = sigbox("doctor", "--data", stack.data, "--no-sign")
    assert done.returncode == 0, done.stderr
    for name in LOCAL + REMOTE:
        assert re.search(rf"^(?:ok|-|warning) +{name} ", done.stdout, re.MULTILINE), name
    assert done.stdout.endswith("all is well\n")
    assert "\033" not in done.stdout


def test_the_trust_of_another_stack_is_found_by_each_check_that_meets_it(stack, tmp_path):
    assert sigbox("init", "--data", tmp_path / "other", "--url", stack.url).returncode == 0
    other = Home(tmp_path / "other")
    code, checks = examine("--url", stack.url, "--trust-config", other.trust_config)
    assert code == 3
    assert failed(checks) == {"authority", "log keys", "clock"}
    assert checks["signature"]["state"] == "skipped"
    assert all("sigbox initialize" in checks[name]["fix"] for name in ("authority", "log keys"))


def test_a_stack_that_does_not_run_and_a_name_that_is_none(stack, tmp_path):
    assert sigbox("init", "--data", tmp_path / "data", "--url", "http://localhost:9").returncode == 0
    code, checks = examine("--data", tmp_path / "data")
    assert code == 4
    assert failed(checks) == {"connection"}
    assert {checks[name]["state"] for name in REMOTE[2:]} == {"skipped"}
    code, checks = examine("--url", "http://no.such.host.invalid", "--trust-config", stack.trust_config)
    assert code == 4
    assert failed(checks) == {"name"}
    assert "DNS" in checks["name"]["fix"]


def test_a_directory_that_is_not_there_is_a_usage_error_and_no_other_stack_is_looked_at_instead(stack, tmp_path):
    done = sigbox("doctor", "--data", tmp_path / "none", SIGBOX_TRUST_CONFIG=str(stack.trust_config))
    assert (done.returncode, "is no directory" in done.stderr) == (2, True), (done.stdout, done.stderr)


def test_files_that_others_may_read_and_a_key_that_is_not_that_of_its_certificate(tmp_path):
    home = Home(tmp_path / "data")
    assert sigbox("init", "--data", home.path).returncode == 0
    key = home.path / "ca" / "intermediate.key"
    key.chmod(0o644)
    _, checks = examine("--data", home.path)
    assert "files" in failed(checks)
    assert "chmod" in checks["files"]["fix"]
    assert checks["certificates"]["state"] == "skipped"
    key.chmod(0o600)
    shutil.copy(home.path / "tsa" / "leaf.key", key)
    _, checks = examine("--data", home.path)
    assert "certificates" in failed(checks)


def part_of(stack, folder, *names):
    """A copy of the data directory with these folders of it."""
    for name in names:
        shutil.copytree(stack.data / name, folder / name)
    shutil.copy(stack.data / "sigbox.toml", folder)
    folder.chmod(0o700)
    return folder


def test_in_the_folder_of_one_role_what_is_not_there_is_skipped_and_said(stack, tmp_path):
    code, checks = examine("--data", part_of(stack, tmp_path, "tsa", "public"))
    assert code == 0
    assert "not here: the keys of ca, ct, rekor, rekor-v1, oidc, tuf" in checks["files"]["found"]
    assert "the chains of tsa fit their keys" in checks["certificates"]["found"]
    assert "ca/ is not here" in checks["certificates"]["found"]
    assert checks["signature"]["state"] == "skipped"
    assert "the key of the OpenID provider is not in" in checks["signature"]["found"]
    assert {checks[name]["state"] for name in REMOTE if name not in ("signature", "witnesses", "ambient")} == {"ok"}


def test_without_the_public_files_it_says_that_they_are_what_is_missing(stack, tmp_path):
    code, checks = examine("--data", part_of(stack, tmp_path, "ct"))
    assert code == 0
    assert "neither ca/ nor tsa/ is in" in checks["certificates"]["found"]
    for name in REMOTE:
        assert checks[name]["state"] == "skipped"
        assert "trust_config.json is not here" in checks[name]["found"]
        assert "public/" in checks[name]["fix"]


def test_the_public_files_alone_are_enough_to_look_from_elsewhere(stack, tmp_path):
    shutil.copytree(stack.data / "public", tmp_path / "public")
    code, checks = examine("--data", tmp_path)
    assert code == 0
    assert {checks[name]["state"] for name in REMOTE if name not in ("signature", "witnesses", "ambient")} == {"ok"}
    for name in LOCAL[1:]:
        assert "there is no stack in" in checks[name]["found"]
