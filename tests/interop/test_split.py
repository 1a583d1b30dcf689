# SPDX-License-Identifier: Apache-2.0
"""The services of compose.yaml, each a process with its own keys: the official clients sign and verify through them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sigcore.keys import parse_public_key
from sigcore.merkle import hash_leaf, verify_inclusion
from sigcore.strict import parse_base64
from tests.interop.places import ALICE, CONTENT, MALLORY, Kind, Place, Tool, make_signed, refuse, succeed
from tests.interop.tools import PYTHON, SIGBOX, Cosign
from tests.split_stack import ROLES, SplitStack, split_stack
from tests.stack_process import READY_S, sigbox
from tlog.publish import CheckpointReader
from tlog.signature_log import make_reader

pytestmark = [pytest.mark.interop, pytest.mark.slow]
KINDS = (Kind.MESSAGE_V2, Kind.MESSAGE_V1)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SplitStack]:
    with split_stack(tmp_path_factory.mktemp("split")) as running:
        yield running


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.label)
@pytest.mark.parametrize("name", ["cosign", "sigstore-python", "sigbox"])
def test_a_client_signs_and_every_client_verifies(
    split: SplitStack, cosign_v3: Cosign, tmp_path: Path, name: str, kind: Kind
):
    tools: dict[str, Tool] = {"cosign": cosign_v3, "sigstore-python": PYTHON, "sigbox": SIGBOX}
    stack = split.as_stack()
    signed = make_signed(tools[name], Place(stack, tmp_path), kind)
    cosign_v3.trust(Place(stack, tmp_path))
    for tool in tools.values():
        succeed(tool.verify(signed, ALICE, stack.oidc_issuer))
        refuse(tool.verify(signed, MALLORY, stack.oidc_issuer))
    signed.artifact.write_bytes(CONTENT + b".")
    for tool in tools.values():
        refuse(tool.verify(signed, ALICE, stack.oidc_issuer))


def test_one_request_id_follows_a_signature_through_the_logs_of_all_roles(split: SplitStack, tmp_path: Path):
    before = {role: len(requests_of(split, role)) for role in ROLES}
    make_signed(SIGBOX, Place(split.as_stack(), tmp_path), Kind.MESSAGE_V2)
    routes = {"ca": "/api/v2/signingCert", "ct": "/ct/v1/add-pre-chain", "tsa": "/api/v1/timestamp"}
    routes["log"] = "/api/v2/log/entries"
    deadline, seen = time.monotonic() + READY_S, dict[str, set[str]]()
    while time.monotonic() < deadline and not all(seen.get(role) for role in routes):
        for role, route in routes.items():
            lines = requests_of(split, role)[before[role] :]
            seen[role] = {str(line["request"]) for line in lines if line["route"] == route}
    assert len(identifiers := set.union(*seen.values())) == 1, seen
    assert re.fullmatch(r"[0-9a-f]{16}", identifiers.pop())


def test_the_doctor_looks_at_every_process_from_a_role_that_signs_from_one_that_cannot_and_from_outside(
    split: SplitStack, tmp_path: Path
):
    (tmp_path / "public").symlink_to(split.view("trust") / "public")
    told = {where: diagnose(data) for where, data in _places(split, tmp_path).items()}
    for checks in told.values():
        for role in ("oidc", "ca", "log", "tsa"):
            assert split.url(role) in checks["connection"]["found"]
        assert "ready: " in checks["roles"]["found"]
        assert checks["authority"]["state"] == checks["log keys"]["state"] == "ok"
    assert told["oidc"]["signature"]["state"] == "ok"
    assert {told[where]["signature"]["state"] for where in ("ca", "outside")} == {"skipped"}
    assert {told[where]["metadata"]["state"] for where in ("oidc", "ca")} == {"ok"}
    assert "--url" in told["outside"]["metadata"]["fix"]
    assert diagnose(tmp_path, "--url", split.url("trust"))["metadata"]["state"] == "ok"


def _places(split: SplitStack, outside: Path) -> dict[str, Path]:
    return {"oidc": split.view("oidc"), "ca": split.view("ca"), "outside": outside}


def diagnose(data: Path, *options: str) -> dict[str, dict[str, str]]:
    """The checks of a stack that is well, by name."""
    trust = ("--trust-config", data / "public" / "trust_config.json") if options else ()
    done = sigbox("doctor", "--json", "--data", data, *options, *trust)
    assert done.returncode == 0, done.stdout + done.stderr
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def requests_of(split: SplitStack, role: str) -> list[dict[str, object]]:
    """The whole lines of its log about requests, so far."""
    lines = split.log(role).read_text("utf-8").splitlines(keepends=True)
    whole = (json.loads(line) for line in lines if line.startswith("{") and line.endswith("}\n"))
    return [line for line in whole if line["logger"] == "sigbox.http" and "route" in line]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.label)
def test_the_console_finds_a_signature_in_the_logs_of_others_with_a_proof_under_their_signed_head(
    split: SplitStack, tmp_path: Path, kind: Kind
):
    email = f"{kind.entry[1].replace('.', '-')}@example.com"
    token = split.as_stack().token(email)
    (tmp_path / "f").write_bytes(CONTENT + kind.label.encode())
    trust, version = ("--trust-config", split.as_stack().trust_config), ("--rekor-version", kind.version)
    done = sigbox("sign-blob", tmp_path / "f", *trust, "--identity-token", token, *map(str, version))
    assert done.returncode == 0, done.stderr
    name, deadline = "rekor" if kind.version == 2 else "rekor-v1", time.monotonic() + READY_S
    hits: dict[str, int] = {}
    while set(hits) != {"ct", name}:
        assert time.monotonic() < deadline, hits
        found = json.loads(split.ask("console", f"/search.json?q=identity:{email}")[1])
        hits = {hit["log"]: int(hit["index"]) for hit in found["entries"]}
    document = json.loads(split.ask("console", f"/entries/{name}/{hits[name]}.json")[1])
    reader = make_reader if kind.version == 1 else CheckpointReader
    key = parse_public_key(parse_base64(document["publicKey"], what="key"))
    head = reader("localhost", key).verify(document["checkpoint"])
    proof = tuple(parse_base64(node, what="node") for node in document["proof"])
    leaf_hash = hash_leaf(parse_base64(document["leaf"], what="leaf"))
    verify_inclusion(leaf_hash=leaf_hash, index=document["index"], size=head.size, proof=proof, root=head.root)
    assert split.ask("console", f"/entries/ct/{hits['ct']}")[0] == 200
    assert split.ask("console", "/")[0] == split.ask("console", "/logs/ct")[0] == 200


def test_over_tls_of_the_stacks_own_authority_official_clients_sign_and_verify(cosign_v3: Cosign, tmp_path: Path):
    """Each role has a certificate of its own, and none the key that issued it."""
    tools: tuple[Tool, ...] = (cosign_v3, PYTHON, SIGBOX)
    with split_stack(tmp_path, tls=True) as secured:
        for role in ROLES:
            assert not (secured.view(role) / "tls").exists()
        stack, trusted = secured.as_stack(), str(secured.tls_ca)
        exported = (("SSL_CERT_FILE", trusted), ("REQUESTS_CA_BUNDLE", trusted))
        for number, signer in enumerate(tools):
            place = Place(stack, tmp_path / f"client-{number}", exported)
            place.folder.mkdir()
            cosign_v3.trust(place)
            signed = make_signed(signer, place, Kind.MESSAGE_V2)
            for reader in tools:
                succeed(reader.verify(signed, ALICE, stack.oidc_issuer))
                refuse(reader.verify(signed, MALLORY, stack.oidc_issuer))


def test_clients_are_told_the_urls_of_the_roles(split: SplitStack):
    config = split.as_stack().signing_config.read_text("utf-8")
    for role in ("oidc", "ca", "log", "tsa"):
        assert split.url(role) in config
    assert f'"{split.url("trust")}' not in config


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_its_own_keys_and_no_others(split: SplitStack, role: str):
    assert keys_of(split.view(role)) == {"log": {"rekor", "rekor-v1"}, "trust": {"tuf"}, "console": set()}.get(
        role, {role}
    )


def keys_of(view: Path) -> set[str]:
    """The folders of a view, through its links, that hold secret keys."""
    folders = [path for path in view.iterdir() if path.is_dir()]
    return {folder.name for folder in folders if any(folder.resolve().rglob("*.key"))}


def test_every_service_is_shut_in_and_asked_how_it_is():
    document = SplitStack(Path(), {}).document
    named, services = set(document["volumes"]), document["services"]
    assert set(services) == {"init", *ROLES}
    for name, service in services.items():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["image"] == "sigbox"
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= named
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        if name != "init":
            assert service["healthcheck"]["test"][-1].count("/readyz") == 1
            assert service["command"][:2] == ["serve", name]
            assert service["depends_on"]["init"] == {"condition": "service_completed_successfully"}
            assert "config:/data:ro" in service["volumes"]
            assert ("public:/data/public" in service["volumes"]) == (name == "trust")
