# SPDX-License-Identifier: Apache-2.0
"""The commands for images as a user types them, against a stack and a real registry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from client.oci.http import HttpRegistry
from tests.interop.places import ALICE, MALLORY
from tests.platform_images import push_image, push_index
from tests.ports import free_port
from tests.registries import RunningRegistry, docker_registry
from tests.stack_process import RunningStack, running_stack, sigbox

TOKEN = {"COSIGN_PASSWORD": "of no use to anybody"}
PROVENANCE = {"buildDefinition": {"buildType": "https://x"}, "runDetails": {"builder": {"id": "https://b"}}}
SPDX = {"spdxVersion": "SPDX-2.3", "packages": []}
CYCLONEDX = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack"), "--ephemeral") as running:
        yield running


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@dataclass
class User:
    """Somebody in a folder of his own, with an image and an index that nobody has signed."""

    stack: RunningStack
    registry: RunningRegistry
    folder: Path

    @property
    def app(self) -> str:
        return str(self.registry.image(f"{self.repository}/app:1.0"))

    @property
    def multi(self) -> str:
        return str(self.registry.image(f"{self.repository}/multi:1.0"))

    @property
    def repository(self) -> str:
        return self.folder.name.lower().strip("_").replace("_", "-")

    def push(self, content: str = "") -> None:
        async def push() -> None:
            async with HttpRegistry(environment={}) as client:
                app, multi = (self.registry.image(f"{self.repository}/{name}:1.0") for name in ("app", "multi"))
                await push_image(client, app, content or str(app))
                await push_index(client, multi, content or str(multi))

        asyncio.run(push())

    @property
    def trust(self) -> tuple[str | Path, ...]:
        return ("--trust-config", self.stack.trust_config)

    def who(self, identity: str = ALICE) -> tuple[str, ...]:
        return ("--certificate-identity", identity, "--certificate-oidc-issuer", self.stack.oidc_issuer)

    def token(self, email: str = ALICE) -> tuple[str, str]:
        return ("--identity-token", self.stack.token(email))

    def __call__(self, *arguments: str | Path, code: int = 0, **environment: str):
        done = sigbox(*arguments, cwd=self.folder, **{**TOKEN, **environment})
        assert done.returncode == code, f"{done.args}\n{done.stdout}{done.stderr}"
        return done

    def sign(self, image: str, *options: str | Path, **given):
        return self("sign", image, *options, *self.token(), *self.trust, **given)

    def verify(self, image: str, *options: str | Path, **given):
        return self("verify", image, *options, *self.who(), *self.trust, **given)

    def attest(self, image: str, kind: str, predicate: object, *options: str | Path, **given):
        path = self.folder / f"{kind}.json"
        path.write_text(predicate if isinstance(predicate, str) else json.dumps(predicate))
        return self("attest", image, "--type", kind, "--predicate", path, *options, *self.token(), *self.trust, **given)

    def verify_attestation(self, image: str, kind: str, *options: str | Path, **given):
        return self("verify-attestation", image, "--type", kind, *options, *self.who(), *self.trust, **given)


@pytest.fixture
def user(stack: RunningStack, registry: RunningRegistry, tmp_path: Path) -> User:
    made = User(stack, registry, tmp_path)
    made.push()
    return made


# --- sign and verify -----------------------------------------------------------------------------------
def test_a_tag_is_warned_of_and_the_digest_is_signed(user: User):
    done = user.sign(user.app, "--json")
    rows = json.loads(done.stdout)
    assert "is a tag, which may point to another image" in done.stderr
    assert [row["layout"] for row in rows] == ["referrers", "tag"]
    (digest,) = {row["digest"] for row in rows}
    by_digest = f"{user.app.rpartition(':')[0]}@{digest}"
    assert "warning" not in user.sign(by_digest).stderr
    claims = json.loads(user.verify(by_digest).stdout)
    assert {claim["critical"]["image"]["docker-manifest-digest"] for claim in claims} == {digest}
    user.push("something else")
    assert "has no signature" in user.verify(user.app, code=1).stderr
    user.verify(by_digest)


def test_every_check_is_reported_as_json(user: User):
    user.sign(user.app, "-a", "env=prod,team=web")
    (row,) = json.loads(user.verify(user.app, "--json", "-a", "env=prod").stdout)
    assert row["verified"]
    assert {one["layout"] for one in row["signatures"]} == {"tag", "referrers"}
    assert all(one["annotations"] == {"env": "prod", "team": "web"} for one in row["signatures"])
    names = [check["check"] for check in row["signatures"][0]["checks"]]
    assert {"artifact", "certificate", "publication", "identity", "transparency", "signature"} <= set(names)
    (row,) = json.loads(user.verify(user.app, "--json", "-a", "env=test", code=1).stdout)
    assert (row["verified"], row["step"]) == (False, "claims")


def test_who_did_not_sign_is_refused_and_what_is_not_there_is_another_code(user: User):
    user.sign(user.app)
    done = user("verify", user.app, *user.who(MALLORY), *user.trust, code=1)
    assert "expected 'mallory@example.com'" in done.stderr
    assert not done.stdout
    user.verify(f"{user.app}-absent", code=2)
    user.verify(f"127.0.0.1:{free_port()}/app", code=4)
    user("verify", user.app, *user.trust, code=2)
    user("verify", "UPPER/case", *user.who(), *user.trust, code=1)


def test_all_platforms_are_signed_with_one_certificate_and_verified(user: User):
    user.verify(user.multi, code=1)
    user.sign(user.multi)
    user.verify(user.multi)
    assert "linux/arm64/v8" in user.verify(user.multi, "--recursive", code=1).stderr
    rows = json.loads(user.sign(user.multi, "--recursive", "--json").stdout)
    assert len(rows) == 6
    done = user.verify(user.multi, "--recursive", "--json")
    assert [row["platform"] for row in json.loads(done.stdout)] == ["", "linux/amd64", "linux/arm64/v8"]
    bundles = user("download", "signature", "--format", "referrers", user.multi).stdout.splitlines()
    assert len(bundles) == 2


def test_what_is_not_uploaded_is_in_files(user: User):
    user.sign(
        user.app, "--format", "referrers", "--upload=false", "--bundle", "b.json", "--output-certificate", "c.pem"
    )
    assert "has no signature" in user.verify(user.app, code=1).stderr
    bundle = json.loads((user.folder / "b.json").read_bytes())
    assert bundle["dsseEnvelope"]
    assert (user.folder / "c.pem").read_text().startswith("-----BEGIN CERTIFICATE-----\n")
    user.sign(user.app, "--format", "tag", "--no-upload", "--output-payload", "p.json", "--output-signature", "s")
    assert json.loads((user.folder / "p.json").read_bytes())["critical"]["type"]
    user.sign(user.app, "--bundle", "b.json", code=2)


def test_signatures_may_be_in_another_repository(user: User):
    elsewhere = {"COSIGN_REPOSITORY": f"{user.registry.address}/{user.repository}/signatures"}
    user.sign(user.app, **elsewhere)
    assert "COSIGN_REPOSITORY" in user.verify(user.app, code=1).stderr
    user.verify(user.app, **elsewhere)
    assert "/signatures:sha256-" in user("triangulate", user.app, **elsewhere).stdout
    user("save", "--dir", "saved", user.app, **elsewhere)
    user.verify("saved", "--local-image")
    user("copy", user.app, f"{user.app}-copy", **elsewhere)
    user.verify(f"{user.app}-copy")


def test_signing_is_explained_for_each_layout(user: User):
    rows = json.loads(user.sign(user.app, "--explain=json").stdout)
    assert [row["layout"] for row in rows] == ["referrers", "tag"]
    for row in rows:
        names = [step["name"] for step in row["steps"]]
        assert names[:3] == ["token", "key", "proof of possession"]
        assert all(step["holds"] for step in row["steps"])
    user("generate-key-pair")
    user("sign", "--key", "cosign.key", user.app, *user.trust, "--explain")


# --- attestations ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "predicate"),
    [
        ("slsaprovenance1", PROVENANCE),
        ("spdxjson", SPDX),
        ("spdx", "SPDXVersion: SPDX-2.3\nPackageName: app\n"),
        ("cyclonedx", CYCLONEDX),
        ("custom", "whatever text"),
        ("https://example.com/own/v1", {"a": 1.5}),
    ],
    ids=["provenance", "SPDX in JSON", "SPDX as text", "CycloneDX", "custom", "a URI"],
)
def test_a_predicate_is_attached_and_verified_by_type(user: User, kind: str, predicate: object):
    path = user.folder / "predicate"
    path.write_text(predicate if isinstance(predicate, str) else json.dumps(predicate))
    given = (*user.token(), *user.trust)
    user("attest", user.app, "--type", kind, "--predicate", path, *given)
    (envelope,) = user.verify_attestation(user.app, kind).stdout.splitlines()
    assert json.loads(envelope)["payloadType"] == "application/vnd.in-toto+json"
    user.verify_attestation(user.app, "vuln", code=1)
    user.verify(user.app, code=1)


@pytest.mark.parametrize(
    ("kind", "predicate", "said"),
    [
        ("slsaprovenance1", CYCLONEDX, "has no 'buildDefinition'"),
        ("cyclonedx", PROVENANCE, "has no 'bomFormat'"),
        ("spdxjson", CYCLONEDX, "no SPDX document"),
        ("spdx", "a text", "no SPDX document"),
        ("slsaprovenance1", "[]", "expected an object"),
        ("nosuchtype", {}, "the predicate type is 'nosuchtype'"),
    ],
)
def test_a_predicate_of_another_type_is_not_attached(user: User, kind: str, predicate: object, said: str):
    assert said in user.attest(user.app, kind, predicate, code=2).stderr
    assert "nothing is attached" in user("tree", user.app).stdout


def test_a_statement_must_be_about_the_image(user: User):
    user.attest(user.app, "slsaprovenance1", PROVENANCE, "--format", "referrers")
    envelope = json.loads(user("download", "attestation", user.app).stdout)["dsseEnvelope"]
    assert envelope["payload"]
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "x", "digest": {"sha256": "0" * 64}}],
        "predicateType": "https://example.com/p",
        "predicate": {},
    }
    (user.folder / "s.json").write_text(json.dumps(statement))
    given = (*user.token(), *user.trust)
    done = user("attest", user.app, "--statement", "s.json", *given, code=2)
    assert "is not about the image" in done.stderr
    digest = user("triangulate", "--type", "digest", user.app).stdout.strip().rpartition(":")[2]
    statement["subject"][0]["digest"]["sha256"] = digest
    (user.folder / "s.json").write_text(json.dumps(statement))
    user("attest", user.app, "--statement", "s.json", *given)
    user.verify_attestation(user.app, "https://example.com/p")


# --- moving ---------------------------------------------------------------------------------------------
def test_a_saved_image_is_verified_offline_and_loaded(user: User):
    user.sign(user.multi, "--recursive")
    user.attest(user.multi, "spdxjson", SPDX, "--recursive")
    user("save", "--dir", "saved", user.multi)
    offline = {"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": ""}
    user.verify("saved", "--local-image", "--recursive", **offline)
    user.verify_attestation("saved", "spdxjson", "--local-image", "--recursive", **offline)
    user("verify", "saved", "--local-image", *user.who(MALLORY), *user.trust, code=1)
    assert "is not empty" in user("save", "--dir", "saved", user.multi, code=2).stderr
    loaded = f"{user.app}-loaded"
    user("load", "--dir", "saved", loaded)
    user.verify(loaded, "--recursive", "--signed-as", user.multi.rpartition(":")[0])
    for blob in (user.folder / "saved" / "blobs" / "sha256").iterdir():
        blob.write_bytes(blob.read_bytes()[:-1])
    user.verify("saved", "--local-image", code=1)


def test_a_copy_is_verified_under_the_name_that_it_was_signed_as(user: User):
    user.sign(user.app, "--format", "tag")
    copy = f"{user.registry.address}/{user.repository}/mirror:1.0"
    user("copy", user.app, copy)
    done = user.verify(copy, code=1)
    assert "--signed-as" in done.stderr
    user.verify(copy, "--signed-as", user.app.rpartition(":")[0])
    user.verify(copy, "--signed-as", "any")
    user("copy", user.multi, copy, code=3)
    user("copy", "--force", "--platform", "linux/amd64", user.multi, copy)


def test_only_what_is_attached_is_copied(user: User):
    user("copy", user.app, f"{user.app}-copy")
    user.sign(user.app)
    user("copy", "--only", "sig", user.app, f"{user.app}-copy")
    user.verify(f"{user.app}-copy")
    assert "expected sig" in user("copy", "--only", "signatures", user.app, f"{user.app}-copy", code=2).stderr


def test_what_is_attached_is_shown_downloaded_and_removed(user: User):
    user.sign(user.app)
    user.attest(user.app, "slsaprovenance1", PROVENANCE)
    tree = json.loads(user("tree", "--json", user.app).stdout)
    assert len(tree[0]["attached"]) == 4
    text = user("tree", user.app).stdout
    assert ".sig" in text
    assert "https://slsa.dev/provenance/v1" in text
    lines = [json.loads(line) for line in user("download", "signature", user.app).stdout.splitlines()]
    assert {"Base64Signature" in line for line in lines} == {True, False}
    assert user("triangulate", user.app).stdout.strip().endswith(".sig")
    assert "nobody is there to be asked" in user("clean", user.app, code=2).stderr
    user("clean", "--force", "--type", "signature", user.app)
    user.verify(user.app, "--format", "tag", code=1)
    user.verify(user.app)
    user("clean", "--force", user.app)
    assert "nothing is attached" in user("tree", user.app).stdout
    user("download", "signature", user.app, code=2)
    user.sign(user.app)
    user.verify(user.app)


def test_what_was_moved_found_and_removed_is_told_in_json(user: User):
    user.sign(user.app)
    user.attest(user.app, "slsaprovenance1", PROVENANCE)
    digest = user("triangulate", "--type", "digest", user.app).stdout.strip().rpartition("@")[2]
    image = f"{user.app.rpartition(':')[0]}@{digest}"

    def told(*arguments: str, code: int = 0):
        return json.loads(user(*arguments, "--json", code=code).stdout)

    tag = f"{digest.replace(':', '-')}.sig"
    expected = {"image": image, "type": "signature", "reference": f"{user.app.rpartition(':')[0]}:{tag}"}
    assert told("triangulate", user.app) == expected
    attached = {"images": [digest], "tags": [tag, tag.replace(".sig", ".att")], "leftOut": []}
    copied = told("copy", user.app, f"{user.app}-copy")
    assert copied == attached | {
        "source": image,
        "target": f"{user.app}-copy",
        "digest": digest,
        "referrers": copied["referrers"],
    }
    assert len(copied["referrers"]) == 2
    saved = told("save", "--dir", "saved", user.app)
    assert saved == copied | {"target": "saved"}
    loaded = told("load", "--dir", "saved", f"{user.app}-loaded")
    assert {**loaded, "referrers": sorted(loaded["referrers"])} == attached | {
        "source": "saved",
        "target": f"{user.app}-loaded",
        "digest": digest,
        "referrers": sorted(copied["referrers"]),
    }
    signatures = told("download", "signature", user.app)
    lines = user("download", "signature", user.app).stdout.splitlines()
    assert signatures == {"image": image, "attached": [*map(json.loads, lines)], "leftOut": []}
    assert len(told("download", "attestation", user.app)["attached"]) == 2
    assert told("download", "sbom", user.app, code=2)["exitCode"] == 2
    cleaned = told("clean", "--force", "--type", "attestation", user.app)
    assert {reference.rpartition(".")[2] for reference in cleaned["removed"]} >= {"att"}
    assert cleaned["failed"] == []
    assert told("clean", user.app, code=2)["hint"] == "--force removes without asking"


# --- repair ------------------------------------------------------------------------------------------------
def test_repair_carries_attestations_over_and_lets_the_signer_sign_again(user: User):
    user("generate-key-pair")
    user("sign", "--key", "cosign.key", "--format", "tag", "-a", "env=prod", user.app, *user.trust)
    user.sign(user.app, "--format", "referrers")
    user.attest(user.app, "slsaprovenance1", PROVENANCE, "--format", "tag")
    report = json.loads(user("repair", "--dry-run", "--json", user.app, *user.trust, code=1).stdout)
    assert [one["layout"] for one in report[0]["added"]] == ["referrers"]
    assert len(report[0]["left"]) == 2
    done = user("repair", user.app, *user.trust, code=1)
    assert "cannot be carried into the layout" in done.stderr
    user.verify_attestation(user.app, "slsaprovenance1", "--format", "referrers")
    user("repair", "--key", "cosign.key", user.app, *user.trust, code=1)
    user("verify", "--key", "cosign.pub", "--format", "referrers", "-a", "env=prod", user.app, *user.trust)
    user("repair", user.app, *user.token(MALLORY), *user.trust, code=3)
    user("repair", user.app, *user.token(), *user.trust)
    user.verify(user.app, "--format", "tag")
    assert "nothing to do" in user("repair", user.app, *user.trust).stderr


# --- policy ------------------------------------------------------------------------------------------------
def policy(user: User, *rules: dict[str, object], otherwise: str = "deny") -> tuple[str, str]:
    document = {
        "apiVersion": "policy/v1",
        "expires": "2099-01-01",
        "defaults": {"onNoMatch": otherwise},
        "identities": {
            "alice": {"issuer": user.stack.oidc_issuer, "email": ALICE},
            "mallory": {"issuer": user.stack.oidc_issuer, "email": MALLORY},
        },
        "artifacts": list(rules),
    }
    (user.folder / "policy.json").write_text(json.dumps(document))
    return ("--policy", "policy.json")


def test_a_policy_decides_by_the_name_of_the_image(user: User):
    name = user.app.rpartition(":")[0]
    user.sign(user.app)
    user("verify", user.app, *policy(user, {"match": {"oci": name}, "allow": ["alice"]}), *user.trust)
    user("verify", user.app, *policy(user, {"match": {"oci": f"{name}:*"}, "allow": ["alice"]}), *user.trust)
    done = user("verify", user.app, *policy(user, {"match": {"oci": name}, "allow": ["mallory"]}), *user.trust, code=1)
    assert "allows mallory" in done.stderr
    wide, closer = {"match": {"oci": "**"}, "allow": ["alice"]}, {"match": {"oci": name}, "allow": ["mallory"]}
    for rules in ((wide, closer), (closer, wide)):
        assert "allows mallory" in user("verify", user.app, *policy(user, *rules), *user.trust, code=1).stderr
    other = policy(user, {"match": {"oci": "other.example/**"}, "allow": ["alice"]})
    assert "no rule of the policy is about the oci" in user("verify", user.app, *other, *user.trust, code=1).stderr
    user("verify", user.app, *other, "--as", "oci:other.example/app", *user.trust)


def test_a_policy_that_warns_of_images_without_a_rule_does_so(user: User):
    user.sign(user.app)
    user.attest(user.app, "slsaprovenance1", PROVENANCE)
    for otherwise, warnings in (("warn", 1), ("allow", 0)):
        given = policy(user, {"match": {"oci": "other.example/**"}, "allow": ["alice"]}, otherwise=otherwise)
        for command in ("verify", "verify-attestation"):
            done = user(command, user.app, *given, *user.trust)
            assert done.stderr.count("warning: no rule of the policy is about the oci") == warnings


def test_a_policy_may_ask_for_two_signers_and_an_attestation(user: User):
    name = user.app.rpartition(":")[0]
    rule = {
        "match": {"oci": name},
        "allow": ["alice", "mallory"],
        "threshold": 2,
        "attestations": [
            {
                "predicateType": "https://slsa.dev/provenance/v1",
                "by": ["alice"],
                "where": {"runDetails.builder.id": "https://b"},
            }
        ],
    }
    under = (*policy(user, rule), *user.trust)
    user.sign(user.app)
    assert "asks for 2" in user("verify", user.app, *under, code=1).stderr
    user("sign", user.app, *user.token(MALLORY), *user.trust)
    assert "demands an attestation" in user("verify", user.app, *under, code=1).stderr
    user.attest(user.app, "slsaprovenance1", {**PROVENANCE, "runDetails": {"builder": {"id": "https://evil"}}})
    assert "https://evil" in user("verify", user.app, *under, code=1).stderr
    assert "https://evil" in user("verify-attestation", user.app, *under, code=1).stderr
    user.attest(user.app, "slsaprovenance1", PROVENANCE)
    assert len(json.loads(user("verify", user.app, *under).stdout)) == 4
    (envelope,) = user("verify-attestation", user.app, *under).stdout.splitlines()
    assert "payload" in json.loads(envelope)
