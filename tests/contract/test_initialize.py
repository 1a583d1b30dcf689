# SPDX-License-Identifier: Apache-2.0
"""``sigbox initialize``: trust over TUF, pinned by file or fingerprint, kept, and read without a socket."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.ports import free_port
from tests.stack_process import RunningStack, environment, running_stack, sigbox

ALICE = "alice@example.com"
NO_SOCKET = (
    "import sys; heard = []\n"
    "sys.addaudithook(lambda event, _: heard.append(event))\n"
    "from stack.cli import main; code = main(sys.argv[1:])\n"
    "assert 'open' in heard, 'the hook hears nothing'\n"
    "sys.exit(code or len([e for e in heard if e.startswith(('socket.', 'subprocess.', 'os.fork', 'os.exec'))]))"
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack"), "--ephemeral") as running:
        yield running


class Client:
    """``sigbox`` of a user with a home of his own, who names no trust."""

    def __init__(self, stack: RunningStack, home: Path) -> None:
        self.stack, self.home = stack, home
        self.variables = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
        self.who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
        self.cache = home / "cache" / "sigbox" / "tuf"

    def __call__(self, *arguments: str | Path, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        done = sigbox(*arguments, cwd=self.home, **self.variables, **more)
        assert done.returncode == code, f"{done.args}\n{done.stdout}{done.stderr}"
        return done

    def initialize(self, *more: str | Path) -> None:
        self("initialize", "--mirror", self.stack.tuf_mirror, "--root", self.stack.tuf_root, *more)

    def sign(self) -> None:
        (self.home / "file").write_text("a file\n")
        self("sign-blob", "file", "--identity-token", self.stack.token(ALICE))

    def expire(self) -> None:
        state = json.loads((self.cache / "cache.json").read_text())
        (self.cache / "cache.json").write_text(json.dumps(state | {"expires": "2020-01-01T00:00:00Z"}))


@pytest.fixture
def client(stack: RunningStack, tmp_path: Path) -> Client:
    return Client(stack, tmp_path)


def test_after_it_no_command_needs_a_trust_option(client: Client):
    client.initialize()
    client.sign()
    assert "Verified OK" in client("verify-blob", "file", *client.who).stderr
    (client.home / "file").write_text("changed\n")
    client("verify-blob", "file", *client.who, code=1)


def test_a_fresh_cache_is_read_without_a_socket(client: Client):
    client.initialize()
    client.sign()
    command = [sys.executable, "-c", NO_SOCKET, "verify-blob", "file", *client.who]
    done = subprocess.run(
        command, cwd=client.home, env=environment(**client.variables), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_fingerprint_of_the_root_is_enough(client: Client):
    checksum = hashlib.sha256(client.stack.tuf_root.read_bytes()).hexdigest()
    done = client("initialize", "--mirror", client.stack.tuf_mirror, "--root-checksum", checksum, "--json")
    assert json.loads(done.stdout)["mirror"] == client.stack.tuf_mirror
    client.initialize("--root-checksum", checksum.upper())
    client.initialize("--root-checksum", f"sha256:{checksum}")  # as `sigbox up` prints it
    assert (client.cache / "targets" / "trusted_root.json").read_bytes() == client.stack.trusted_root.read_bytes()


def test_nothing_is_trusted_on_first_use(client: Client):
    mirror = client.stack.tuf_mirror
    assert "not trusted on first use" in client("initialize", "--mirror", mirror, code=2).stderr
    other = "0" * 64
    assert f"expected '{other}'" in client("initialize", "--mirror", mirror, "--root-checksum", other, code=1).stderr
    client("initialize", "--mirror", mirror, "--root", client.stack.tuf_root, "--root-checksum", other, code=1)
    assert "is no SHA-256" in client("initialize", "--mirror", mirror, "--root-checksum", "00", code=2).stderr
    client("initialize", "--root", client.stack.tuf_root, code=2)
    client("initialize", code=2)
    assert not client.cache.exists()


def test_another_root_is_refused_and_what_was_there_stays(client: Client):
    client.initialize()
    before = (client.cache / "cache.json").read_bytes()
    with running_stack(client.home, "--ephemeral") as other:
        stranger = client.home / "stranger.json"
        stranger.write_bytes(other.tuf_root.read_bytes())
    said = client("initialize", "--mirror", client.stack.tuf_mirror, "--root", stranger, code=1).stderr
    assert "does not verify" in said
    stranger.write_text("{}")
    client("initialize", "--mirror", client.stack.tuf_mirror, "--root", stranger, code=1)
    assert (client.cache / "cache.json").read_bytes() == before
    assert [path.name for path in client.cache.parent.iterdir()] == ["tuf"]


def test_an_expired_cache_is_fetched_again_and_never_used(client: Client):
    client.initialize()
    client.sign()
    client.expire()
    client("verify-blob", "file", *client.who)
    assert "2020" not in (client.cache / "cache.json").read_text()
    client.expire()
    state = json.loads((client.cache / "cache.json").read_text())
    gone = f"http://127.0.0.1:{free_port()}/tuf"
    (client.cache / "cache.json").write_text(json.dumps(state | {"mirror": gone}))
    said = client("verify-blob", "file", *client.who, code=4).stderr
    assert gone in said
    client("initialize", "--mirror", gone, "--root", client.stack.tuf_root, code=4)
    client("initialize", "--mirror", "ftp://x", "--root", client.stack.tuf_root, code=2)


def test_a_damaged_cache_is_said_to_be_one(client: Client):
    client.initialize()
    client.sign()
    for damaged in ("", "{", "[]", '{"mirror": 1, "expires": 2}', '{"mirror": "x", "expires": "never"}'):
        (client.cache / "cache.json").write_text(damaged)
        assert "the TUF cache's cache.json" in client("verify-blob", "file", *client.who, code=1).stderr
    client.initialize()
    (client.cache / "targets" / "trusted_root.json").unlink()
    assert "holds no trusted_root.json" in client("verify-blob", "file", *client.who, code=2).stderr


def test_the_mirror_of_last_time_is_asked_again(client: Client):
    client.initialize()
    client.expire()
    client("initialize")
    assert "2020" not in (client.cache / "cache.json").read_text()


def test_options_and_variables_win_over_the_cache(client: Client):
    client.initialize()
    client.sign()
    client("verify-blob", "file", *client.who, "--trusted-root", "none", code=2)
    client("verify-blob", "file", *client.who, code=2, SIGBOX_TRUSTED_ROOT="none")


def test_a_trusted_root_comes_before_a_trust_config(client: Client):
    client.initialize()
    client.sign()
    client("verify-blob", "file", *client.who, "--trusted-root", client.stack.trusted_root, "--trust-config", "none")
    both = {"SIGBOX_TRUSTED_ROOT": str(client.stack.trusted_root), "SIGBOX_TRUST_CONFIG": "none"}
    client("verify-blob", "file", *client.who, **both)


@pytest.mark.parametrize("place", ["cache", "root", "config"])
def test_a_signing_config_stands_beside_whatever_says_what_is_trusted(client: Client, place: str):
    """As with cosign: `--signing-config` chooses the services, and trust stays what it is."""
    client.initialize()
    v1 = client.stack.signing_config.with_name("signing_config_v1.json")
    root, config = client.stack.trusted_root, client.stack.trust_config
    variables = {"root": {"SIGBOX_TRUSTED_ROOT": str(root)}, "config": {"SIGBOX_TRUST_CONFIG": str(config)}}
    if place != "cache":
        shutil.rmtree(client.cache)
    (client.home / "file").write_text("a file\n")
    token, trust = client.stack.token(ALICE), variables.get(place, {})
    client("sign-blob", "file", "--identity-token", token, "--signing-config", v1, **trust)
    client("verify-blob", "file", *client.who, "--signing-config", v1, **trust)
    [entry] = json.loads((client.home / "file.sigstore.json").read_text())["verificationMaterial"]["tlogEntries"]
    assert entry["kindVersion"]["version"] == "0.0.1"
    assert entry["inclusionPromise"]


def test_what_cosign_initialized_is_read(client: Client):
    """The layout of cosign's ``~/.sigstore/root``, made of our own cache: the files are the same ones."""
    client.initialize()
    client.sign()
    home = client.home / ".sigstore" / "root"
    name = client.stack.tuf_mirror.removeprefix("http://").replace("/", "-").replace(":", "-")
    shutil.copytree(client.cache / "metadata", home / name)
    shutil.copytree(client.cache / "targets", home / name / "targets")
    (home / "remote.json").write_text(json.dumps({"mirror": client.stack.tuf_mirror}))
    shutil.rmtree(client.cache)
    client("verify-blob", "file", *client.who)
    client("verify-blob", "file", *client.who, TUF_ROOT=str(home))
    timestamp = home / name / "timestamp.json"
    old = json.loads(timestamp.read_text())
    old["signed"]["expires"] = "2020-01-01T00:00:00Z"
    timestamp.write_text(json.dumps(old))
    assert "run cosign initialize again" in client("verify-blob", "file", *client.who, code=1).stderr
    shutil.rmtree(home)
    assert "there is nothing to trust" in client("verify-blob", "file", *client.who, code=2).stderr


def test_cosigns_variable_for_the_mirror_says_which_one_is_meant(client: Client):
    """What is kept of another mirror is passed over, and nothing is fetched or trusted because of the variable."""
    client.initialize()
    client.sign()
    mirror, other = client.stack.tuf_mirror, f"http://127.0.0.1:{free_port()}/tuf"
    for said in (mirror, f"{mirror}/"):
        client("verify-blob", "file", *client.who, TUF_MIRROR=said)
    said = client("verify-blob", "file", *client.who, TUF_MIRROR=other, code=2).stderr
    assert f"TUF_MIRROR names '{other}', of which nothing is kept here" in said
    rooted = {"TUF_MIRROR": other, "TUF_ROOT_JSON": str(client.stack.tuf_root)}
    assert "of which nothing is kept here" in client("verify-blob", "file", *client.who, **rooted, code=2).stderr
    client("verify-blob", "file", *client.who, "--trusted-root", client.stack.trusted_root, TUF_MIRROR=other)
    client("verify-blob", "file", *client.who, TUF_MIRROR=other, SIGBOX_TRUSTED_ROOT=str(client.stack.trusted_root))


def test_among_several_mirrors_that_cosign_has_kept_the_variable_chooses_one(client: Client):
    client.initialize()
    client.sign()
    home = client.home / "cosign"
    name = client.stack.tuf_mirror.removeprefix("http://").replace("/", "-").replace(":", "-")
    shutil.copytree(client.cache / "metadata", home / name)
    shutil.copytree(client.cache / "targets", home / name / "targets")
    (home / "remote.json").write_text(json.dumps({"mirror": "https://another.example"}))
    shutil.rmtree(client.cache)
    client("verify-blob", "file", *client.who, TUF_ROOT=str(home), code=2)
    client("verify-blob", "file", *client.who, TUF_ROOT=str(home), TUF_MIRROR=client.stack.tuf_mirror)


def test_initialize_takes_mirror_and_root_from_cosigns_variables_and_trusts_no_mirror_on_first_use(client: Client):
    mirror, root = {"TUF_MIRROR": client.stack.tuf_mirror}, {"TUF_ROOT_JSON": str(client.stack.tuf_root)}
    assert "not trusted on first use" in client("initialize", **mirror, code=2).stderr
    assert "no mirror is named" in client("initialize", **root, code=2).stderr
    client("initialize", **mirror, **root)
    client.expire()
    client("initialize", **mirror)
    assert "2020" not in (client.cache / "cache.json").read_text()
    client("initialize", **mirror, **root, TUF_ROOT="elsewhere")
    assert not (client.home / "elsewhere").exists()
    wrong = client.home / "wrong.json"
    wrong.write_text("{}")
    client("initialize", "--root", wrong, **mirror, **root, code=1)


def test_a_published_policy_comes_with_it_and_then_no_option_is_needed(tmp_path: Path):
    with running_stack(tmp_path, "--ephemeral") as stack:
        client = Client(stack, tmp_path)
        policy = {
            "apiVersion": "policy/v1",
            "expires": "2099-12-31",
            "identities": {"alice": {"issuer": stack.oidc_issuer, "email": ALICE}},
            "artifacts": [{"match": {"file": "*"}, "allow": ["alice"], "anyName": True}],
        }
        (tmp_path / "policy.json").write_text(json.dumps(policy))
        client("trust", "policy", "policy.json", "--data", stack.data)
        client.initialize()
        client.sign()
        assert "Verified OK" in client("verify-blob", "file").stderr
        client("sign-blob", "file", "--identity-token", stack.token("mallory@example.com"))
        done = client("verify-blob", "file", "--explain=json", code=1)
        (row,) = json.loads(done.stdout)
        assert row["step"] == "policy"
        assert [step["name"] for step in row["steps"] if not step["holds"]] == ["policy"]
        assert [step["name"] for step in row["steps"]][-2:] == ["signature", "policy"]


def test_a_mirror_that_is_not_reached_says_whether_it_is_the_name_the_port_or_the_certificate(client: Client):
    given = ("--root", client.stack.tuf_root)
    port = free_port()
    for mirror, why in (
        (f"http://127.0.0.1:{port}/tuf", "does not answer: connection refused"),
        ("http://no.invalid/tuf", "does not answer: its name has no address (DNS: "),
    ):
        assert why in client("initialize", "--mirror", mirror, *given, code=4).stderr
    with running_stack(client.home, "--ephemeral", "--tls", "auto") as stack:
        said = client("initialize", "--mirror", stack.tuf_mirror, "--root", stack.tuf_root, code=4).stderr
        assert "shows a TLS certificate by 'sigbox TLS authority of localhost', which is not trusted here" in said
        assert "--ca-file" in said
        authority = stack.data / "public" / "tls_ca.pem"
        client("initialize", "--mirror", stack.tuf_mirror, "--root", stack.tuf_root, "--ca-file", authority)


def test_one_line_from_the_front_page_brings_the_keys_of_other_clients_as_files(client: Client, tmp_path: Path):
    with build_opener(ProxyHandler({})).open(client.stack.url, timeout=60) as answer:
        page = answer.read().decode()
    [line] = re.findall(r"sigbox enroll \S+ --fingerprint sha256:[0-9a-f]{64}(?=</code>)", page)
    client(*line.split()[1:], "--client", "sigbox", "--keys", tmp_path / "keys")
    published = Path(client.stack.data) / "public" / "keys"
    for name in ("fulcio_chain.pem", "fulcio_v1.crt.pem", "rekor.pub", "ctfe.pub"):
        assert (tmp_path / "keys" / name).read_bytes() == (published / name).read_bytes()
    refused = client(*line.split()[1:-1], "sha256:" + "0" * 64, "--keys", tmp_path / "none", code=1)
    assert "fingerprint" in refused.stderr or "SHA-256" in refused.stderr
    assert not (tmp_path / "none").exists()
    assert "--client all or sigbox" in client(*line.split()[1:], "--client", "cosign", "--keys", "x", code=2).stderr
