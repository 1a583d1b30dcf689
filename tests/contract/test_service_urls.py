# SPDX-License-Identifier: Apache-2.0
"""cosign's URL options on signing commands: each replaces one kind of service, and changes nothing of what is trusted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.stack_process import RunningStack, running_stack, sigbox

ALICE = "alice@example.com"
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack"), "--ephemeral") as running:
        yield running


@pytest.mark.parametrize(
    "option", ["fulcio-url", "rekor-url", "oidc-issuer", "timestamp-server-url", "bundle", "output-signature"]
)
def test_a_variable_that_is_not_set_sends_no_signature_elsewhere(stack: RunningStack, tmp_path: Path, option: str):
    """What a log has taken, it keeps; it must be the log that was meant."""
    (tmp_path / "file").write_text("a file")
    trust = {"SIGBOX_TRUST_CONFIG": str(stack.trust_config)}
    done = sigbox("sign-blob", "file", "--identity-token", "x", f"--{option}", "", cwd=tmp_path, **trust)
    assert (done.returncode, f"--{option}: it is empty" in done.stderr) == (2, True), done.stderr


class Client:
    """Whose trust config knows the stack's keys, and whose services are at an address where nobody is."""

    def __init__(self, stack: RunningStack, home: Path) -> None:
        self.stack, self.home = stack, home
        document = json.loads(stack.trust_config.read_text())
        services = json.dumps(document["signingConfig"]).replace(stack.url, NOBODY)
        self.config = home / "trust_config.json"
        self.config.write_text(json.dumps(document | {"signingConfig": json.loads(services)}))
        self.trust = {"SIGBOX_TRUST_CONFIG": str(self.config)}
        self.all = (
            "--fulcio-url",
            stack.url,
            "--rekor-url",
            stack.url,
            "--timestamp-server-url",
            f"{stack.url}/api/v1/timestamp",
        )
        (home / "file").write_text("a file")

    def sign(self, *more: str, code: int = 0, command: tuple[str, ...] = ("sign-blob",), **trust: str) -> str:
        done = self.run(*command, "file", "--identity-token", self.stack.token(ALICE), *more, **(trust or self.trust))
        assert done.returncode == code, done.stderr
        return done.stderr

    def run(self, *arguments: str, **trust: str) -> subprocess.CompletedProcess[str]:
        return sigbox(*arguments, cwd=self.home, **trust)

    def entry(self) -> dict:
        """Of the bundle, which is verified first."""
        who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", self.stack.oidc_issuer)
        done = self.run("verify-blob", "file", *who, **self.trust)
        assert done.returncode == 0, done.stderr
        [entry] = json.loads((self.home / "file.sigstore.json").read_text())["verificationMaterial"]["tlogEntries"]
        return entry


@pytest.fixture
def client(stack: RunningStack, tmp_path: Path) -> Client:
    return Client(stack, tmp_path)


def test_each_option_replaces_its_kind_of_service(client: Client):
    too_few = [(), *((*client.all[:missing], *client.all[missing + 2 :]) for missing in range(0, len(client.all), 2))]
    with ThreadPoolExecutor(len(too_few)) as pool:  # each tries again for seconds before it gives up
        assert len([*pool.map(lambda options: client.sign(*options, code=4), too_few)]) == 4
    assert not (client.home / "file.sigstore.json").exists()
    client.sign(*client.all)
    assert client.entry()["kindVersion"]["version"] == "0.0.1", "as with cosign, the log is of Rekor v1"
    client.sign(*client.all, "--rekor-version", "2")
    assert client.entry()["kindVersion"]["version"] == "0.0.2"


def test_they_are_enough_beside_a_trusted_root(client: Client):
    client.sign(*client.all, SIGBOX_TRUSTED_ROOT=str(client.stack.trusted_root))
    client.entry()


def test_attestations_take_them_too(client: Client):
    (client.home / "predicate.json").write_text("{}")
    attest = ("attest-blob", "--predicate", "predicate.json", "--type", "https://example.com/p")
    client.sign(*client.all, command=attest)


def test_as_with_cosign_they_do_not_go_with_a_signing_config(client: Client):
    config = str(client.stack.signing_config)
    for option, url in (
        *zip(client.all[::2], client.all[1::2], strict=True),
        ("--oidc-issuer", client.stack.oidc_issuer),
    ):
        said = client.sign("--signing-config", config, option, url, code=2)
        assert f"{option} and --signing-config are given" in said


@pytest.mark.parametrize(
    "url",
    [
        "http://sig.example",
        "ftp://localhost",
        "localhost:7780",
        "https://",
        "https://me:secret@sig.example",
        "http://[::1",
    ],
)
def test_a_token_goes_to_https_or_to_this_machine_only(client: Client, url: str):
    for option in ("--fulcio-url", "--rekor-url", "--oidc-issuer", "--timestamp-server-url"):
        assert f"{option} is " in client.sign(option, url, code=2)


def test_what_services_of_another_instance_hand_out_is_refused(
    client: Client, tmp_path_factory: pytest.TempPathFactory
):
    with running_stack(tmp_path_factory.mktemp("other"), "--ephemeral") as other:
        given = ("--fulcio-url", client.stack.url, "--rekor-url", other.url, *client.all[4:])
        client.sign(*given, code=3)
        stamped = f"{other.url}/api/v1/timestamp"
        client.sign(*client.all[:4], "--timestamp-server-url", stamped, code=3)
    assert not (client.home / "file.sigstore.json").exists()


def test_the_login_that_is_taken_is_that_of_the_provider_that_is_named(client: Client):
    """The trust config names a provider at another URL, whose login it is not."""
    session = {"XDG_RUNTIME_DIR": str(client.home), "HOME": str(client.home), **client.trust}
    kept = client.home / "sigbox" / "identity-token"
    kept.parent.mkdir(mode=0o700)
    kept.write_text(client.stack.token(ALICE))
    sign = ("sign-blob", "file", "--oidc-disable-ambient-providers", *client.all)
    done = client.run(*sign, **session)
    assert (done.returncode, "which the signing config does not name" in done.stderr) == (2, True), done.stderr
    done = client.run(*sign, "--oidc-issuer", client.stack.oidc_issuer, **session)
    assert done.returncode == 0, done.stderr
    client.entry()
