# SPDX-License-Identifier: Apache-2.0
"""Images signed and attested to in both layouts, and verified; and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from client.oci.attached import Layout, attached_tag, home_of
from client.oci.claims import claims_json
from client.oci.digests import digest_of
from client.oci.manifest import IMAGE_MANIFEST, parse_manifest
from client.oci.reading import read_signatures
from client.oci.reference import parse_reference
from client.oci.signing import sign_image
from client.oci.simplesigning import Payload, encode_payload, parse_payload
from client.verify.identity import IdentityPolicy
from client.verify.signed import ManagedKey
from sigcore import keys
from sigcore.errors import Malformed, Refused
from sigcore.intoto import Statement, Subject, encode_statement, parse_statement
from stack.cli.image_verifying import read_age
from stack.cli.usage import Usage
from tests.oci_memory import MemoryRegistry
from tests.platform_images import push_image
from tests.unit.client.imaging import APP, BOTH, Place
from tests.unit.client.minisig import ISSUER, NOW, MiniSigstore

EACH = pytest.mark.parametrize("layout", list(Layout), ids=lambda one: one.value)
OLD_AND_NEW = pytest.mark.parametrize("api", [True, False], ids=["referrers API", "fallback tag"])


@pytest.fixture
async def place(sigstore: MiniSigstore) -> Place:
    registry = MemoryRegistry()
    await push_image(registry, APP)
    return Place(registry, sigstore)


# --- what holds ----------------------------------------------------------------------------------------
@EACH
@OLD_AND_NEW
@pytest.mark.parametrize("version", [1, 2])
async def test_a_signature_holds(place: Place, layout: Layout, version: int, *, api: bool):
    place.registry.referrers_api = api
    await place.sign(layouts=(layout,), version=version)
    (one,) = await place.verify()
    assert one.attached.layout is layout
    assert one.verified.signer.issuer == ISSUER


@EACH
@pytest.mark.parametrize("version", [1, 2])
async def test_an_attestation_holds(place: Place, layout: Layout, version: int):
    await place.attest(layouts=(layout,), version=version)
    (one,) = await place.verify_attestation()
    assert one.attached.layout is layout


@EACH
async def test_a_key_holds(place: Place, layout: Layout):
    key, other = keys.generate_p256(), keys.generate_p256()
    await place.sign(layouts=(layout,), key=key)
    await place.attest(layouts=(layout,), key=key)
    await place.verify(who=ManagedKey(key.public_key()))
    await place.verify_attestation(who=ManagedKey(key.public_key()))
    for who in (ManagedKey(other.public_key()), IdentityPolicy(ISSUER, "signer@example.com")):
        with pytest.raises(Refused):
            await place.verify(who=who)


async def test_both_layouts_make_two_signatures_and_one_attestation_twice(place: Place):
    assert len(await place.sign()) == len(await place.attest()) == 2
    assert {one.attached.layout for one in await place.verify()} == set(BOTH)
    first, second = await place.verify_attestation()
    assert first.verified.signature == second.verified.signature


async def test_what_stands_at_a_tag_is_in_a_log_of_v1_where_there_is_one(place: Place):
    await place.sign()
    kinds = {one.attached.layout: one.verified.entries[0].kind for one in await place.verify()}
    assert kinds == {Layout.TAG: "hashedrekord 0.0.1", Layout.REFERRERS: "hashedrekord 0.0.2"}


async def test_the_signatures_of_several_signers_stay_beside_each_other(place: Place):
    for email in ("a@example.com", "b@example.com"):
        await place.sign(email=email)
    for email in ("a@example.com", "b@example.com"):
        assert len(await place.verify(who=IdentityPolicy(ISSUER, email))) == 2


@EACH
async def test_the_annotations_of_the_signer_are_signed_and_can_be_demanded(place: Place, layout: Layout):
    await place.sign(layouts=(layout,), annotations=(("env", "prod"), ("build", "7")))
    (one,) = await place.verify(annotations=(("env", "prod"),))
    assert one.annotations == {"env": "prod", "build": "7"}
    for wanted, said in ((("env", "test"), "'prod', expected 'test'"), (("team", "a"), "added no annotation 'team'")):
        with pytest.raises(Refused, match=said):
            await place.verify(annotations=(wanted,))


@EACH
async def test_the_claims_have_the_shape_of_cosign(place: Place, layout: Layout):
    await place.sign(layouts=(layout,), annotations=(("env", "prod"),))
    (one,) = await place.verify()
    claims = claims_json(one, "registry.example/team/app:1.0")
    assert set(claims) == {"critical", "optional"}
    assert claims["critical"]["image"] == {"docker-manifest-digest": (await place.open()).ref.digest}
    assert claims["optional"]["env"] == "prod"
    assert claims["optional"]["Issuer"] == ISSUER
    assert ("Bundle" in claims["optional"]) == (layout is Layout.TAG)
    kind = "cosign container image signature" if layout is Layout.TAG else "https://sigstore.dev/cosign/sign/v1"
    assert claims["critical"]["type"] == kind


# --- what does not ---------------------------------------------------------------------------------------
@EACH
async def test_another_identity_is_refused(place: Place, layout: Layout):
    await place.sign(layouts=(layout,))
    with pytest.raises(Refused, match=r"none of 1 signatures .* the signer is"):
        await place.verify(who=IdentityPolicy(ISSUER, "mallory@example.com"))


async def test_claims_of_a_workflow_can_be_demanded(place: Place):
    await place.sign()
    with pytest.raises(Refused, match="the certificate says github workflow ref '', expected 'refs/heads/main'"):
        await place.verify(workflow=(("github_workflow_ref", "refs/heads/main"),))
    key = keys.generate_p256()
    await place.sign(key=key)
    with pytest.raises(Refused, match="carries no claims"):
        await place.verify(who=ManagedKey(key.public_key()), workflow=(("github_workflow_ref", "x"),))


async def test_an_image_without_a_signature_is_refused(place: Place):
    with pytest.raises(Refused, match="has no signature"):
        await place.verify()


async def test_an_attestation_is_no_signature_and_a_signature_no_attestation(place: Place):
    await place.attest()
    with pytest.raises(Refused, match="has no signature"):
        await place.verify()
    await place.sign()
    with pytest.raises(Refused, match="of the predicate type"):
        await place.verify_attestation(kind="spdxjson")


@EACH
async def test_the_signature_of_another_image_is_refused(place: Place, layout: Layout):
    """G01: whoever may write to the registry puts a genuine signature beside an image that it is not of."""
    good = await place.open()
    made = await sign_image(place.signing(), good, layouts=(layout,), now=NOW)
    await push_image(place.registry, APP, "evil")
    evil = await place.open()
    await place.store(good, made, at=evil)
    with pytest.raises(Refused, match=r"another (image|artifact)"):
        await place.verify()


@EACH
async def test_a_moved_tag_takes_no_signature_with_it(place: Place, layout: Layout):
    await place.sign(layouts=(layout,))
    await place.verify()
    await push_image(place.registry, APP, "another")
    with pytest.raises(Refused, match="has no signature"):
        await place.verify()


async def test_the_payload_of_another_repository_is_refused_unless_it_is_expected(place: Place):
    await place.sign(layouts=(Layout.TAG,), claimed="registry.example/team/other")
    with pytest.raises(Refused, match="for an image of 'registry") as refused:
        await place.verify()
    assert "--signed-as" in refused.value.hint
    assert await place.verify(repositories=("registry.example/team/other",))
    assert await place.verify(repositories=None)


async def test_a_changed_payload_is_refused(place: Place):
    """The payload is rewritten for the evil image: the signature over it no longer holds."""
    await place.sign(layouts=(Layout.TAG,))
    image = await place.open()
    tag = APP.at_tag(attached_tag(image.ref.digest, "sig"))
    _, data = await place.registry.manifest(tag)
    payload = encode_payload(Payload(APP.name, image.ref.digest, (("env", "prod"),)))
    await place.registry.put_blob(APP, payload)
    document = json.loads(data)
    layer = parse_manifest(data).layers[0]
    document["layers"][0] |= {"digest": digest_of(payload), "size": len(payload)}
    assert layer.digest != document["layers"][0]["digest"]
    await place.registry.put_manifest(tag, IMAGE_MANIFEST, json.dumps(document).encode())
    with pytest.raises(Refused, match="holds"):
        await place.verify()


@EACH
async def test_rubbish_beside_a_good_signature_does_no_harm(place: Place, layout: Layout):
    """G05, G06: it is told of, and the good one still counts."""
    await place.sign(layouts=(layout,))
    image = await place.open()
    found = await read_signatures(place.registry, home_of(image.ref))
    (good,) = found.attached
    spoiled = replace(good.bundle, timestamps=(b"rubbish",))
    made = [
        replace(one, bundle=spoiled) for one in await sign_image(place.signing(), image, layouts=(layout,), now=NOW)
    ]
    await place.store(image, made)
    assert len(await place.verify()) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"critical": {"type": "atomic container signature"}}, "type"),
        ({"critical": {"image": {"docker-manifest-digest": "sha256:abc"}}}, "digest"),
        ({"extra": 1}, "unknown member"),
        ({"optional": 3}, "optional"),
    ],
)
def test_a_payload_is_read_strictly(change: dict, said: str):
    document = json.loads(encode_payload(Payload("r.example/a", "sha256:" + "0" * 64)))
    for name, value in change.items():
        document[name] = {**document[name], **value} if isinstance(document.get(name), dict) else value
    with pytest.raises(Malformed, match=said):
        parse_payload(json.dumps(document).encode())


def test_a_payload_is_spelled_as_cosign_does():
    """The bytes are part of the contract: other tools compare them."""
    data = encode_payload(Payload("r.example/a", "sha256:" + "0" * 64))
    assert data == (
        b'{"critical":{"identity":{"docker-reference":"r.example/a"},"image":{"docker-manifest-digest":"sha256:'
        + b"0" * 64
        + b'"},"type":"cosign container image signature"},"optional":null}'
    )
    assert parse_payload(data).repository() == parse_reference("r.example/a")


def test_a_statement_keeps_annotations_and_a_text_as_predicate():
    """What cosign writes for ``-a`` and for SPDX in tag-value form."""
    subject = Subject("app", (("sha256", "0" * 64),), (("env", "prod"),))
    statement = Statement((subject,), "https://spdx.dev/Document", "SPDXVersion: SPDX-2.3\n")
    assert parse_statement(encode_statement(statement)) == statement
    document = json.loads(encode_statement(statement))
    for predicate in ([], 3, True):
        with pytest.raises(Malformed, match="predicate"):
            parse_statement(json.dumps(document | {"predicate": predicate}).encode())


@EACH
async def test_g09_what_was_signed_too_long_ago_is_refused(place: Place, layout: Layout):
    """The registry brings back an image with a signature that was good: by the times that are verified, it is old."""
    await place.sign(layouts=(layout,), version=1)
    (one,) = await place.verify()
    signed = min(time.time for time in one.verified.times)
    assert len(await place.verify(since=signed)) == 1
    with pytest.raises(Refused, match=r"it was signed .* expected .* or later"):
        await place.verify(since=signed + timedelta(seconds=1))


@pytest.mark.parametrize(("text", "hours"), [("12h", 12), ("30d", 720), ("2w", 336)])
def test_ages_are_written_with_a_unit(text: str, hours: int):
    assert read_age(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "12", "0d", "1.5d", "1m", "-1d", "999999d", "1d "])
def test_an_age_that_means_nothing_is_a_usage_error(text: str):
    with pytest.raises(Usage, match="--max-age"):
        read_age(text)
