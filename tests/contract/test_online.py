# SPDX-License-Identifier: Apache-2.0
"""``sigbox verify-blob --online``: the log is asked too; and detached signatures, whose entry only the log has."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack_process import SIGBOX, RunningStack, environment, running_stack, sigbox

EMAIL = "alice@example.com"
NOBODY = "http://127.0.0.1:1"
SEED = ("--ephemeral", "--seed", "7")
"""Two stacks of one seed have the same keys: the second is the first one, having forgotten everything."""


class Signed:
    """A file that is signed in each log, with detached parts beside it."""

    def __init__(self, stack: RunningStack, folder: Path) -> None:
        self.stack = stack
        self.trust = {"SIGBOX_TRUST_CONFIG": str(stack.trust_config), "COSIGN_PASSWORD": ""}
        self.files = {version: folder / f"file-{version}" for version in ("1", "2")}
        for version, file in self.files.items():
            file.write_text(version)
            self.sign(file, version, "--identity-token", stack.token(EMAIL), "--output-certificate", f"{file}.pem")

    def sign(self, file: Path, version: str, *who: str) -> None:
        given = (*who, "--rekor-version", version, "--output-signature", f"{file}.sig")
        done = sigbox("sign-blob", file, *given, **self.trust)
        assert done.returncode == 0, done.stderr

    def verify(self, version: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        who = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", self.stack.oidc_issuer)
        return sigbox("verify-blob", self.files[version], *who, *arguments, **self.trust)

    def detached(self, version: str) -> tuple[str, ...]:
        file = self.files[version]
        return ("--signature", f"{file}.sig", "--certificate", f"{file}.pem")


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signed]:
    folder = tmp_path_factory.mktemp("online")
    with running_stack(folder, *SEED) as stack:
        yield Signed(stack, folder)


@pytest.mark.parametrize("version", ["1", "2"])
def test_online_the_log_must_show_the_entry_too(signed: Signed, version: str):
    done = signed.verify(version, "--online")
    assert (done.returncode, "online: the log shows entry 1" in done.stderr) == (0, True), done.stderr
    assert "Verified OK" in done.stderr


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_log_that_has_forgotten_the_entry_is_refused_online_and_only_there(
    signed: Signed, version: str, tmp_path: Path
):
    with running_stack(tmp_path, *SEED) as forgetful:
        assert signed.verify(version).returncode == 0
        done = signed.verify(version, "--online", "--rekor-url", forgetful.url, "--json")
    assert done.returncode == 1, done.stderr
    (row,) = json.loads(done.stdout)
    assert (row["verified"], row["step"]) == (False, "online")


def test_a_detached_signature_finds_its_entry(signed: Signed):
    done = signed.verify("1", *signed.detached("1"), "--online", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["verified"] is True


def test_a_detached_signature_of_standard_input(signed: Signed):
    """Which can be read but once."""
    who = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", signed.stack.oidc_issuer)
    command = ("verify-blob", "-", *signed.detached("1"), "--online", *who)

    def given(text: str, *more: str) -> subprocess.CompletedProcess[str]:
        line = [*SIGBOX, *command, *more]
        env = environment(**signed.trust)
        return subprocess.run(line, env=env, input=text, capture_output=True, text=True, timeout=60, check=False)

    done = given(signed.files["1"].read_text())
    assert (done.returncode, "Verified OK" in done.stderr) == (0, True), done.stderr
    done = given("changed", "--json")
    assert (done.returncode, json.loads(done.stdout)["step"]) == (1, "signature"), done.stderr
    assert "hint: " in done.stderr


def test_a_detached_signature_may_be_given_as_base64_as_cosign_takes_it(signed: Signed):
    file = signed.files["1"]
    signature = Path(f"{file}.sig").read_text().strip()
    given = ("--signature", signature, "--certificate", f"{file}.pem", "--online")
    assert signed.verify("1", *given).returncode == 0


def test_a_detached_signature_in_the_second_log_has_no_time_and_says_so(signed: Signed):
    done = signed.verify("2", *signed.detached("2"), "--online")
    assert (done.returncode, "nothing says when it was signed" in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_detached_signature_by_a_key_finds_its_entry_in_either_log(signed: Signed, version: str, tmp_path: Path):
    prefix, file = tmp_path / "release", tmp_path / "file"
    file.write_text(f"by a key, {version}")
    assert sigbox("generate-key-pair", "--output-key-prefix", prefix, **signed.trust).returncode == 0
    signed.sign(file, version, "--key", f"{prefix}.key")
    given = ("--signature", f"{file}.sig", "--key", f"{prefix}.pub", "--online")
    done = sigbox("verify-blob", file, *given, **signed.trust)
    assert done.returncode == 0, done.stderr


def create(signed: Signed, version: str, out: Path, *more: str | Path, code: int = 0) -> str:
    """``sigbox bundle create`` of detached parts, without an entry; what it said."""
    given = ("--artifact", signed.files[version], *signed.detached(version), "--out", out)
    done = sigbox("bundle", "create", *given, *more)
    assert done.returncode == code, done.stderr
    return done.stderr


def test_a_bundle_of_detached_parts_gets_its_entry_from_the_log_that_is_named(signed: Signed, tmp_path: Path):
    out, configs = tmp_path / "made.sigstore.json", signed.stack.signing_config
    for named in (
        ("--rekor-url", signed.stack.url),
        ("--rekor-url", f"{signed.stack.url}/"),
        ("--signing-config", configs),
    ):
        create(signed, "1", out, *named)
        done = signed.verify("1", "--bundle", str(out))
        assert done.returncode == 0, done.stderr
        out.unlink()
    v2 = configs.with_name("signing_config_v2.json")
    assert "names no log of Rekor v1" in create(signed, "1", out, "--signing-config", v2, code=3)
    assert "no log entry is given" in create(signed, "1", out, code=2)
    create(signed, "1", out, "--rekor-url", NOBODY, code=4)
    for more in (("--ignore-tlog",), ("--bundle", f"{signed.files['1']}.sigstore.json")):
        said = create(signed, "1", out, *more, "--rekor-url", signed.stack.url, code=2)
        assert f"--rekor-url and {more[0]} are given" in said
    assert "no entry for this signature" in create(signed, "2", out, "--rekor-url", signed.stack.url, code=3)
    assert not out.exists()


def test_no_log_is_told_of_parts_that_do_not_belong_together(signed: Signed, tmp_path: Path):
    given = ("--artifact", signed.files["2"], *signed.detached("1"), "--out", tmp_path / "made")
    done = sigbox("bundle", "create", *given, "--rekor-url", NOBODY)
    assert done.returncode == 1, done.stderr


def test_what_was_never_logged_is_refused(signed: Signed, tmp_path: Path):
    prefix, file = tmp_path / "own", tmp_path / "file"
    file.write_text("never logged")
    subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{prefix}.key"], check=True
    )
    subprocess.run(["openssl", "ec", "-in", f"{prefix}.key", "-pubout", "-out", f"{prefix}.pub"], check=True)
    subprocess.run(["openssl", "dgst", "-sha256", "-sign", f"{prefix}.key", "-out", f"{file}.sig", file], check=True)
    given = ("--signature", f"{file}.sig", "--key", f"{prefix}.pub", "--online")
    done = sigbox("verify-blob", file, *given, **signed.trust)
    assert (done.returncode, "no log of the trusted root shows an entry" in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize("signature", ["in the bundle", "detached"])
def test_a_log_that_nobody_reaches_is_4_and_no_verdict(signed: Signed, signature: str):
    given = signed.detached("1") if signature == "detached" else ()
    done = signed.verify("1", *given, "--online", "--rekor-url", NOBODY)
    assert (done.returncode, f"{NOBODY}/" in done.stderr) == (4, True), done.stderr
    assert "REFUSED" not in done.stderr


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("--signature", "s", "--certificate", "c"), "add --online"),
        (("--signature", "s", "--online"), "none of --certificate and --key"),
        (("--signature", "s", "--certificate", "c", "--key", "k", "--online"), "both of --certificate and --key"),
        (("--signature", "s", "--certificate", "c", "--bundle", "b", "--online"), "--bundle and --signature"),
        (("--certificate", "c"), "without --signature"),
        (("--rekor-url", NOBODY), "--rekor-url is given without --online"),
    ],
)
def test_options_that_contradict_each_other_are_2_and_named(signed: Signed, given: tuple[str, ...], named: str):
    done = signed.verify("1", *given)
    assert (done.returncode, named in done.stderr) == (2, True), done.stderr
