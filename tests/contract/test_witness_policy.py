# SPDX-License-Identifier: Apache-2.0
"""Two stacks witness the log of one of them, and whoever verifies demands it: by the policy that the stack prints, and by its variants."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from client.oci.http import HttpRegistry
from sigcore.cosignature import cosigner_key, encode_log_verifier, encode_witness_verifier
from sigcore.note import note_key
from tests.platform_images import push_image
from tests.registries import docker_registry
from tests.stack_process import environment, sigbox, spawn
from tests.until import wait_until
from tests.witness_pair import Side, carries, done, make_pair

ALICE = "alice@example.com"
TOKEN = {"COSIGN_PASSWORD": "of no use to anybody"}
STRANGER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
STRANGER_KEY = encode_witness_verifier(cosigner_key("stranger", STRANGER))


@dataclass
class User:
    """Somebody who signs by the first of two stacks and verifies what was signed."""

    first: Side
    second: Side
    folder: Path

    def __call__(self, *words: str | Path, code: int = 0) -> CompletedProcess[str]:
        found = sigbox(*words, cwd=self.folder, **TOKEN)
        assert found.returncode == code, f"{found.args}\n{found.stdout}{found.stderr}"
        return found

    @property
    def trust(self) -> tuple[str | Path, ...]:
        return ("--trust-config", self.first.running().trust_config)

    @property
    def who(self) -> tuple[str, ...]:
        return ("--certificate-identity", ALICE, "--certificate-oidc-issuer", self.first.running().oidc_issuer)

    @property
    def signer(self) -> tuple[str | Path, ...]:
        return ("--identity-token", self.first.running().token(ALICE), *self.trust)

    def sign(self, name: str, *more: str) -> Path:
        """The bundle of a new file."""
        (self.folder / name).write_text(name)
        self("sign-blob", name, *self.signer, *more)
        return self.folder / f"{name}.sigstore.json"

    def verify(self, name: str, policy: str, *more: str, code: int = 0) -> CompletedProcess[str]:
        return self("verify-blob", name, *self.who, *self.trust, "--witness-policy", policy, *more, code=code)

    def log(self, *words: str, policy: str, code: int = 0) -> CompletedProcess[str]:
        state = ("--state", self.folder / f"seen-{policy}")
        return self("log", *words, *self.trust, *state, "--witness-policy", policy, code=code)

    def write(self, name: str, *swaps: tuple[str, str], quorum: str = "all") -> None:
        """A policy as the stack prints it, with swaps."""
        text = done("witness", "policy", "--data", self.first.data, "--quorum", quorum)
        for old, new in swaps:
            assert old in text
            text = text.replace(old, new)
        (self.folder / name).write_text(text)

    @contextmanager
    def second_away(self) -> Iterator[None]:
        """And back, and known to be."""
        self.second.stop()
        try:
            yield
        finally:
            if self.second.stack is None:
                self.second.start()
            wait_until(self.both)

    def both(self) -> bool:
        """Whether the head is cosigned by both: an idle head is brought to who is back."""
        status, text = self.first.checkpoint()
        sides = (self.first, self.second)
        return status == 200 and text.count("/witness ") == 2 and all(carries(text, self.first, one) for one in sides)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """The log of the first stack asks both for cosignatures and waits for none."""
    first, second = make_pair(tmp_path_factory.mktemp("pair"), quorum=0)
    done("witness", "add", first.shown()["log"], "--data", first.data)
    first.ask(second, 0)
    own = first.shown()["witness"]
    with (first.data / "sigbox.toml").open("a") as settings:
        settings.write(f'\n[[log.witnesses]]\nurl = "{own["url"]}"\nkey = "{own["key"]}"\n')
    made = User(first, second, tmp_path_factory.mktemp("user"))
    try:
        for side in (second, first):
            side.start()
        made.sign("begin")
        wait_until(made.both)
        for quorum in ("1", "2", "any", "all"):
            made.write(quorum, quorum=quorum)
        yield made
    finally:
        for side in (first, second):
            side.stop()


def test_what_both_have_cosigned_is_accepted_by_every_quorum(user):
    user.sign("both")
    for policy in ("1", "2", "any", "all"):
        found = user.verify("both", policy, "--json")
        (row,) = json.loads(found.stdout)
        (check,) = [check for check in row["checks"] if check["check"] == "witnesses"]
        assert check["value"].count(" at 20") == 2
        assert "cosigned by 2 of your witnesses" in found.stderr


@contextmanager
def watching(user: User, folder: Path) -> Iterator[Path]:
    """A monitor that believes no head without both, and knows the log already; what it prints goes into the file."""
    log = folder / "watch.log"
    options = ("--state", folder, "--witness-policy", "all", "--interval", "1")
    words = ("log", "watch", "--certificate-identity", ALICE, *user.trust, *options)
    process = spawn(*words, folder=user.folder, log=log, env=environment())
    try:
        wait_until(lambda: any(folder.rglob("*.watched")))
        yield log
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(60)


def test_while_one_is_away_all_is_refused_and_any_holds_and_a_monitor_waits(user, tmp_path):
    with watching(user, tmp_path) as watched, user.second_away():
        user.sign("one")
        wait_until(lambda: "cosigned by localhost/witness of" in watched.read_text())
        assert ALICE not in watched.read_text()
        head = json.loads(user.log("info", "--json", policy="any").stdout)["witnesses"]
        assert [row["name"] for row in head["cosigned"]] == ["localhost/witness"]
        assert "cosigned by localhost/witness of" in user.log("info", policy="all", code=1).stderr
        assert "cosigned by localhost/witness of" in user.log("watch", "--once", policy="2", code=1).stderr
        user.log("watch", "--once", policy="1")
        user.second.start()
        wait_until(lambda: ALICE in watched.read_text())
    for policy in ("1", "any"):
        user.verify("one", policy)
    for policy in ("2", "all"):
        (row,) = json.loads(user.verify("one", policy, "--json", code=1).stdout)
        assert row["step"] == "witnesses"
        assert (
            "cosigned by localhost/witness of the witness policy, expected all of (127.0.0.1/witness," in row["error"]
        )
        assert "sign again" in row["hint"]
    user("verify-blob", "one", *user.who, *user.trust)  # without a policy nobody is demanded
    assert "cosigned by" in user.log("info", policy="all").stdout  # the log has brought the head to it since


def test_a_forged_cosignature_is_refused_even_where_another_one_would_do(user):
    other, bundle = user.sign("other"), user.sign("forged")
    user.verify("forged", "any")

    def envelope(path: Path) -> str:
        entry = json.loads(path.read_bytes())["verificationMaterial"]["tlogEntries"][0]
        found: str = entry["inclusionProof"]["checkpoint"]["envelope"]
        return found

    def line(path: Path) -> str:
        return next(line for line in envelope(path).split("\n") if " 127.0.0.1/witness " in line)

    assert line(other) != line(bundle)
    document = json.loads(bundle.read_bytes())
    proof = document["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]
    proof["checkpoint"]["envelope"] = envelope(bundle).replace(line(bundle), line(other))
    bundle.write_text(json.dumps(document))
    for policy in ("any", "all"):
        assert "the cosignature of 127.0.0.1/witness" in user.verify("forged", policy, code=1).stderr
    user("verify-blob", "forged", *user.who, *user.trust)  # unknown lines say nothing: nobody has asked for it


def test_a_key_in_place_of_another_is_refused(user):
    """Of a witness: it has signed nothing. Of the log: it is another log, whatever its name."""
    user.sign("swapped")
    witness = user.second.shown()["witness"]["key"]
    fake = (witness, encode_witness_verifier(cosigner_key(witness.partition("+")[0], STRANGER)))
    user.write("fake-any", fake, quorum="any")
    user.write("fake-all", fake)
    user.write("fake-log", (user.first.shown()["log"], encode_log_verifier(note_key(user.first.host, STRANGER))))
    user.verify("swapped", "all")
    user.verify("swapped", "fake-any")
    assert "cosigned by localhost/witness of" in user.verify("swapped", "fake-all", code=1).stderr
    assert "not signed by a log of the witness policy" in user.verify("swapped", "fake-log", code=1).stderr
    assert "not signed by a log of the witness policy" in user.log("info", policy="fake-log", code=1).stderr


def test_an_entry_of_rekor_v1_is_refused_and_told_what_to_do(user):
    user.sign("v1", "--rekor-version", "1")
    user("verify-blob", "v1", *user.who, *user.trust)
    (row,) = json.loads(user.verify("v1", "any", "--json", code=1).stdout)
    assert row["step"] == "witnesses"
    assert "--rekor-version 2" in row["hint"]


def test_attestations_and_images_are_judged_alike(user, tmp_path):
    async def push(image) -> None:
        async with HttpRegistry(environment={}) as client:
            await push_image(client, image)

    predicate = user.folder / "predicate.json"
    predicate.write_text("{}")
    (user.folder / "attested").write_text("attested")
    kind = ("--type", "https://example.com/p/v1")
    user("attest-blob", "attested", "--predicate", predicate, *kind, *user.signer)
    with docker_registry(tmp_path) as registry:
        image = registry.image("app:1.0")
        asyncio.run(push(image))
        user("sign", str(image), "--rekor-version", "2", *user.signer)
        user("attest", str(image), *kind, "--predicate", predicate, "--rekor-version", "2", *user.signer)
        user.write("fake", (user.second.shown()["witness"]["key"], STRANGER_KEY))
        for policy, code in (("all", 0), ("fake", 1)):
            end = (*user.who, *user.trust, "--witness-policy", policy, "--json")
            for words in (
                ("verify-blob-attestation", "attested"),
                ("verify", str(image)),
                ("verify-attestation", str(image), *kind),
            ):
                (row,) = json.loads(user(*words, *end, code=code).stdout)
                assert row["verified"] == (code == 0)
                if code:
                    assert row["step"] == "witnesses"
                else:
                    checks = row.get("checks") or row["signatures"][0]["checks"]
                    assert "witnesses" in [check["check"] for check in checks]
        policy = policy_for(f"{registry.address}/**", user.first.running().oidc_issuer)
        (user.folder / "policy.json").write_text(json.dumps(policy))
        for witnesses, code in (("all", 0), ("fake", 1)):
            end = (*user.trust, "--policy", "policy.json", "--witness-policy", witnesses)
            found = user("verify", str(image), *end, code=code)
            assert ("cosigned by localhost/witness of" in found.stderr) == bool(code)


def policy_for(images: str, issuer: str) -> dict[str, object]:
    return {
        "apiVersion": "policy/v1",
        "expires": "2100-01-01",
        "identities": {"alice": {"issuer": issuer, "email": ALICE}},
        "artifacts": [{"match": {"oci": images}, "allow": ["alice"]}],
    }


def test_the_policy_of_a_stack_says_what_it_is_for(user, tmp_path):
    text = done("witness", "policy", "--data", user.first.data)
    kinds = [line.split(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert kinds == ["log", "witness", "witness", "group", "quorum"]
    assert "group witnesses any " in text
    assert "the log waits for 0 of them" in text
    document = json.loads(done("witness", "policy", "--json", "--data", user.first.data))
    assert document["policy"] == text
    assert re.fullmatch(r"any of \(.*/witness, .*/witness\)", document["quorum"])
    for wrong in ("0", "3", "most"):
        assert sigbox("witness", "policy", "--data", user.first.data, "--quorum", wrong).returncode == 2


def test_a_stack_without_witnesses_prints_a_policy_that_demands_nobody(tmp_path):
    done("init", "--data", tmp_path / "data")
    text = done("witness", "policy", "--data", tmp_path / "data")
    assert "the log asks no witness" in text
    assert text.endswith("\nquorum none\n")
    assert sigbox("witness", "policy", "--data", tmp_path / "data", "--quorum", "any").returncode == 2


def test_options_that_contradict_a_witness_policy(user):
    assert "of Rekor v2 alone" in user.log("watch", "--ct", "--once", policy="any", code=2).stderr
    user.log("export", "out", "--data", str(user.first.data), policy="any", code=2)
