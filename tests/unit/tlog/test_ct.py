# SPDX-License-Identifier: Apache-2.0
"""The certificate log, in process and over HTTP."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from sigcore import certify, extensions, keys, merkle, sct, tls
from sigcore.errors import Malformed, Refused, Unavailable
from sigcore.precertificate import precert_entry
from sigcore.sct import SignedCertificateTimestamp, parse_digitally_signed, verify_sct
from sigcore.x509 import Extension, parse_certificate
from tlog import ct
from tlog.anchor import MemoryAnchor
from tlog.anchor_file import FileAnchor
from tlog.ct import CertificateLogService
from tlog.storage.memory import MemoryStore
from tlog.storage.sqlite import SqliteStore
from tlog.writers import Unwelcome

START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Authority:
    """A root, an intermediate and what the CA would issue below it."""

    name: str = "ca"

    def __post_init__(self) -> None:
        self.root_key, self.key = keys.generate_p256(), keys.generate_p256()
        span = {"not_before": START, "not_after": START + timedelta(days=3650)}
        self.root = certify.make_root(self.root_key, certify.Subject("root", self.name, **span))
        self.intermediate = certify.make_intermediate(
            parse_certificate(self.root),
            self.root_key,
            keys.encode_public_key(self.key.public_key()),
            certify.Subject("intermediate", self.name, **span),
            eku="1.3.6.1.5.5.7.3.3",
        )

    def issue(self, *more: Extension, serial: int = 0, key=None) -> bytes:
        issuer = parse_certificate(self.intermediate)
        tbs = certify.encode_tbs(
            serial=serial or certify.random_serial(),
            issuer=issuer.subject,
            not_before=START,
            not_after=START + timedelta(minutes=10),
            subject=certify.name("leaf", "leaf"),
            spki=keys.encode_public_key(keys.generate_p256().public_key()),
            extensions=(extensions.key_usage("digitalSignature"), *more),
        )
        return certify.sign_tbs(tbs, key or self.key)

    def precert(self, **options) -> bytes:
        return self.issue(extensions.poison(), **options)

    def chain(self, leaf: bytes) -> list[bytes]:
        return [leaf, self.intermediate, self.root]


CA = Authority()
KEY = keys.generate_p256()


class Hand:
    def __init__(self) -> None:
        self.now = START + timedelta(days=1)

    def __call__(self) -> datetime:
        return self.now


def make(clock, store=None, anchor=None, key=KEY) -> CertificateLogService:
    store, anchor = store or MemoryStore(), anchor or MemoryAnchor()
    return CertificateLogService(store, anchor, origin="ct.example", key=key, roots=(CA.root,), clock=clock)


@pytest.fixture
async def service():
    service = make(Hand())
    await service.start()
    yield service
    await service.stop()


@pytest.fixture
async def client(service, aiohttp_client):
    app = web.Application()
    app.add_routes(ct.make_routes(service))
    return await aiohttp_client(app)


def entry_of(data: bytes, issuer: bytes = CA.intermediate):
    return precert_entry(parse_certificate(data), parse_certificate(issuer).spki)


# --- in process ----------------------------------------------------------------------------------------
async def test_a_precertificate_gets_an_sct_that_verifies(service):
    precert = CA.precert()
    given = await service.add_pre_chain(CA.chain(precert))
    verify_sct(given, entry_of(precert), KEY.public_key())
    assert given.log_id == hashlib.sha256(keys.encode_public_key(KEY.public_key())).digest() == service.log_id
    assert given.timestamp_ms == int((START + timedelta(days=1)).timestamp() * 1000)
    (logged,) = await service.entries(1, 2)
    assert sct.parse_leaf(logged.leaf) == (entry_of(precert), given.timestamp_ms, b"")


async def test_the_same_precertificate_gets_the_same_sct(service):
    chain = CA.chain(CA.precert())
    first = await service.add_pre_chain(chain)
    service.log.clock.raise_floor(first.timestamp_ms + 5)
    assert await service.add_pre_chain(chain) == first
    assert service.log.size == 2


async def test_the_same_precertificate_at_once_and_after_a_restart(tmp_path):
    clock, chain = Hand(), CA.chain(CA.precert())

    def opened() -> CertificateLogService:
        return make(clock, SqliteStore(tmp_path / "log.db"), FileAnchor(tmp_path / "anchor.checkpoint"))

    service = opened()
    await service.start()
    given = set(await asyncio.gather(*(service.add_pre_chain(chain) for _ in range(20))))
    await service.stop()
    clock.now += timedelta(hours=1)
    service = opened()
    await service.start()
    given.add(await service.add_pre_chain(chain))
    assert len(given) == 1
    assert service.log.size == 2
    await service.stop()


@pytest.mark.parametrize("cut", [2, 3])
async def test_the_root_may_be_left_out(service, cut):
    given = await service.add_pre_chain(CA.chain(CA.precert())[:cut])
    assert given.log_id == service.log_id
    (logged,) = await service.entries(1, 2)
    reader = tls.Reader(logged.extra_data, "extra")
    assert reader.opaque(3) != b""
    chain = tls.Reader(reader.opaque(3), "chain")
    reader.finish()
    assert [chain.opaque(3), chain.opaque(3)] == [CA.intermediate, CA.root]
    chain.finish()


async def test_a_final_certificate_is_taken_by_add_chain(service):
    final = CA.issue()
    given = await service.add_chain(CA.chain(final))
    verify_sct(given, sct.X509Entry(final), KEY.public_key())


async def test_the_first_entry_is_the_root(service):
    (first,) = await service.entries(0, 1)
    entry, _, _ = sct.parse_leaf(first.leaf)
    assert entry == sct.X509Entry(CA.root)
    assert first.extra_data == b"\0\0\0"


OTHER = Authority()
STRANGER = Authority("stranger")


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


REFUSED = [
    ([], Malformed, "0 certificates"),
    ([CA.precert()] * 9, Malformed, "9 certificates"),
    ([b"junk"], Malformed, "submitted certificate"),
    ([CA.precert(), b"junk"], Malformed, "certificate 1 of the chain"),
    ([CA.precert()], Refused, "accepted root"),
    (CA.chain(CA.issue()), Malformed, "no critical poison"),
    (CA.chain(flipped(CA.precert())), (Refused, Malformed), "signature"),
    (CA.chain(CA.precert(key=OTHER.key)), Refused, "signature"),
    ([CA.precert(), CA.root], Refused, "another issuer"),
    ([CA.precert(), CA.intermediate, CA.intermediate], Refused, "another issuer"),
    (OTHER.chain(OTHER.precert()), Refused, "signature"),
    (STRANGER.chain(STRANGER.precert()), Refused, "accepted root"),
    ([CA.precert(), OTHER.intermediate, CA.root], Refused, "another issuer key"),
    ([CA.root], Malformed, "no critical poison"),
]


@pytest.mark.parametrize(("chain", "kind", "message"), REFUSED, ids=range(len(REFUSED)))
async def test_a_chain_that_does_not_hold(service, chain, kind, message):
    with pytest.raises(kind, match=message):
        await service.add_pre_chain(chain)
    assert service.log.size == 1


async def test_a_precertificate_is_not_taken_by_add_chain(service):
    with pytest.raises(Malformed, match="go to add-pre-chain"):
        await service.add_chain(CA.chain(CA.precert()))


async def test_no_sct_while_the_clock_is_behind():
    clock = Hand()
    service = make(clock)
    await service.start()
    clock.now -= timedelta(seconds=3)
    assert (await service.add_pre_chain(CA.chain(CA.precert()))).timestamp_ms == service.log.head.timestamp_ms
    clock.now -= timedelta(seconds=3)
    with pytest.raises(Unavailable, match="6 s behind"):
        await service.add_pre_chain(CA.chain(CA.precert()))
    await service.stop()


async def test_times_of_entries_and_tree_heads_never_decrease():
    clock = Hand()
    service = make(clock)
    await service.start()
    seen = []
    for step in (5, -2000, 10, 0, -1, 3000, -4000):
        clock.now += timedelta(milliseconds=step)
        given = await service.add_pre_chain(CA.chain(CA.precert()))
        seen += [given.timestamp_ms, service.tree_head().timestamp_ms]
    assert seen == sorted(seen)
    await service.stop()


def test_keys_that_rfc_6962_does_not_know_are_refused():
    with pytest.raises(Refused, match="ECDSA or RSA"):
        make(Hand(), key=ed25519.Ed25519PrivateKey.generate())


async def test_an_rsa_log():
    key = rsa.generate_private_key(65537, 2048)
    service = make(Hand(), key=key)
    await service.start()
    precert = CA.precert()
    verify_sct(await service.add_pre_chain(CA.chain(precert)), entry_of(precert), key.public_key())
    assert service.tree_head().size == 2
    await service.stop()


# --- over HTTP -----------------------------------------------------------------------------------------
def message(*chain: bytes) -> bytes:
    return json.dumps({"chain": [base64.b64encode(data).decode() for data in chain]}).encode()


async def get(client, path: str, **parameters: object) -> dict:
    response = await client.get(f"/ct/v1/{path}", params={name: str(value) for name, value in parameters.items()})
    assert response.status == 200, await response.text()
    assert response.content_type == "application/json"
    return await response.json()


async def test_add_pre_chain(client):
    precert = CA.precert()
    response = await client.post("/ct/v1/add-pre-chain", data=message(*CA.chain(precert)))
    assert response.status == 200
    answer = await response.json()
    assert set(answer) == {"sct_version", "id", "timestamp", "extensions", "signature"}
    assert (answer["sct_version"], answer["extensions"]) == (0, "")
    algorithm, signature = parse_digitally_signed(base64.b64decode(answer["signature"]))
    given = SignedCertificateTimestamp(base64.b64decode(answer["id"]), answer["timestamp"], b"", signature, algorithm)
    verify_sct(given, entry_of(precert), KEY.public_key())


async def test_a_log_that_has_ended_refuses_certificates_and_answers_monitors(service, client):
    before = await (await client.get("/ct/v1/get-sth")).json()
    service.log.ends_ms = service.log.clock.latest_ms() + 1
    assert (await client.post("/ct/v1/add-pre-chain", data=message(*CA.chain(CA.precert())))).status == 200
    service.log.ends_ms = service.log.clock.latest_ms()
    for path, chain in (("add-pre-chain", CA.chain(CA.precert())), ("add-chain", (CA.root,))):
        response = await client.post(f"/ct/v1/{path}", data=message(*chain))
        assert response.status == 403
        assert "frozen" in (await response.json())["error_message"]
    after = await (await client.get("/ct/v1/get-sth")).json()
    assert after["tree_size"] == before["tree_size"] + 1
    assert (await client.get("/ct/v1/get-entries?start=0&end=1")).status == 200


async def test_what_a_monitor_does(service, client):
    sent = [CA.precert() for _ in range(5)]
    for precert in sent:
        await service.add_pre_chain(CA.chain(precert))
    sth = await get(client, "get-sth")
    root = base64.b64decode(sth["sha256_root_hash"])
    algorithm, signature = parse_digitally_signed(base64.b64decode(sth["tree_head_signature"]))
    assert algorithm == 3
    signed = sct.sth_signed_data(sth["tree_size"], sth["timestamp"], root)
    keys.verify(KEY.public_key(), signature, signed, what="the tree head")
    entries = (await get(client, "get-entries", start=0, end=100))["entries"]
    leaves = [base64.b64decode(entry["leaf_input"]) for entry in entries]
    assert len(leaves) == sth["tree_size"] == 6
    assert merkle.Frontier().extend(map(merkle.hash_leaf, leaves)).root() == root
    assert tls.Reader(base64.b64decode(entries[3]["extra_data"]), "extra").opaque(3) == sent[2]
    for index, leaf in enumerate(leaves):
        found = await get(
            client, "get-proof-by-hash", hash=base64.b64encode(merkle.hash_leaf(leaf)).decode(), tree_size=6
        )
        assert found["leaf_index"] == index
        other = await get(client, "get-entry-and-proof", leaf_index=index, tree_size=6)
        assert other["audit_path"] == found["audit_path"]
        assert base64.b64decode(other["leaf_input"]) == leaf
        path = [base64.b64decode(hash_) for hash_ in found["audit_path"]]
        merkle.verify_inclusion(leaf_hash=merkle.hash_leaf(leaf), index=index, size=6, proof=path, root=root)
    consistency = (await get(client, "get-sth-consistency", first=3, second=6))["consistency"]
    merkle.verify_consistency(
        first=3,
        second=6,
        first_root=merkle.Frontier().extend(map(merkle.hash_leaf, leaves[:3])).root(),
        second_root=root,
        proof=[base64.b64decode(hash_) for hash_ in consistency],
    )
    assert (await get(client, "get-sth-consistency", first=0, second=6)) == {"consistency": []}
    assert (await get(client, "get-roots")) == {"certificates": [base64.b64encode(CA.root).decode()]}


async def test_get_entries_is_bounded(service, client, monkeypatch):
    monkeypatch.setattr(ct, "ENTRIES", 2)
    for _ in range(3):
        await service.add_pre_chain(CA.chain(CA.precert()))
    assert len((await get(client, "get-entries", start=0, end=3))["entries"]) == 2
    assert len((await get(client, "get-entries", start=3, end=9223372036854775807))["entries"]) == 1


H = base64.b64encode(bytes(32)).decode()
BAD_QUERIES = [
    ("get-sth?x=1", 400),
    ("get-entries", 400),
    ("get-entries?start=0", 400),
    ("get-entries?start=1&end=0", 400),
    ("get-entries?start=1&end=1", 400),
    ("get-entries?start=-1&end=0", 400),
    ("get-entries?start=00&end=0", 400),
    ("get-entries?start=0&end=9223372036854775808", 400),
    ("get-entries?start=0&start=0&end=0", 400),
    ("get-entries?start=%D9%A1&end=5", 400),
    ("get-entries?start=1_0&end=50", 400),
    ("get-entries?start=0&end=1e3", 400),
    ("get-sth-consistency?first=1&second=2", 400),
    ("get-sth-consistency?first=1&second=0", 400),
    ("get-sth-consistency?first=true&second=1", 400),
    (f"get-proof-by-hash?hash={H}&tree_size=1", 404),
    (f"get-proof-by-hash?hash={H}&tree_size=0", 404),
    ("get-proof-by-hash?hash=AAAA&tree_size=1", 400),
    ("get-proof-by-hash?hash=!&tree_size=1", 400),
    ("get-entry-and-proof?leaf_index=0&tree_size=0", 400),
    ("get-entry-and-proof?leaf_index=1&tree_size=1", 400),
    ("get-entry-and-proof?leaf_index=0&tree_size=2", 400),
    ("get-roots?a=b", 400),
]


@pytest.mark.parametrize(("path", "status"), BAD_QUERIES)
async def test_bad_queries(client, path, status):
    response = await client.get(f"/ct/v1/{path}")
    assert response.status == status, await response.text()
    answer = await response.json()
    assert answer["error_message"]
    assert answer["success"] is False


BAD_BODIES = [
    b"",
    b"[]",
    b"null",
    b"{}",
    b'{"chain":null}',
    b'{"chain":[]}',
    b'{"chain":"AAAA"}',
    b'{"chain":[1]}',
    b'{"chain":["!"]}',
    b'{"chain":["AAAA"]}',
    b'{"chain":[],"x":1}',
    b'{"chain":["AAAA","AAAA","AAAA","AAAA","AAAA","AAAA","AAAA","AAAA","AAAA"]}',
    message(CA.precert()),
    message(*STRANGER.chain(STRANGER.precert())),
    message(*CA.chain(CA.issue())),
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
async def test_bad_chains(service, client, body):
    response = await client.post("/ct/v1/add-pre-chain", data=body)
    assert response.status == 400, await response.text()
    assert (await response.json())["success"] is False
    assert service.log.size == 1


async def test_every_flip_in_a_chain_is_refused(service, client):
    precert = CA.precert()
    for position in range(0, len(precert), 5):
        bad = precert[:position] + bytes([precert[position] ^ 1]) + precert[position + 1 :]
        assert (await client.post("/ct/v1/add-pre-chain", data=message(*CA.chain(bad)))).status == 400
    assert service.log.size == 1


async def test_a_body_beyond_the_limit(client):
    response = await client.post("/ct/v1/add-chain", data=b" " * (ct.BODY + 1))
    assert response.status == 413


# --- tree heads ----------------------------------------------------------------------------------------
async def test_the_tree_head_of_another_log_is_refused(service):
    other = CertificateLogService(
        MemoryStore(), MemoryAnchor(), origin="ct.example", key=keys.generate_p256(), roots=(CA.root,), clock=Hand()
    )
    with pytest.raises(Refused, match=r"not signed by ct\.example"):
        other._publisher.tree_head(service.log.checkpoint())
    text = service.log.checkpoint()
    with pytest.raises(Refused):
        service._publisher.tree_head(text.replace("ct.example", "ct.elsewhere"))
    with pytest.raises((Refused, Malformed)):
        service._publisher.tree_head(text.replace("\n1\n", "\n2\n"))


def test_a_log_without_roots_is_refused():
    with pytest.raises(Refused, match="accepts no root"):
        CertificateLogService(MemoryStore(), MemoryAnchor(), origin="x", key=KEY, roots=(), clock=Hand())


# --- whose certificates it takes ---------------------------------------------------------------------------
class Sibling(Authority):
    """Another authority below the root of CA."""

    def __post_init__(self) -> None:
        super().__post_init__()
        span = {"not_before": START, "not_after": START + timedelta(days=3650)}
        spki = keys.encode_public_key(self.key.public_key())
        subject = certify.Subject("payroll", self.name, **span)
        self.root = CA.root
        self.intermediate = certify.make_intermediate(
            parse_certificate(CA.root), CA.root_key, spki, subject, eku="1.3.6.1.5.5.7.3.3"
        )


def made_for(*issuers: bytes) -> CertificateLogService:
    kept = MemoryStore(), MemoryAnchor()
    return CertificateLogService(*kept, origin="ct.example", key=KEY, roots=(CA.root,), clock=Hand(), issuers=issuers)


async def test_a_log_of_named_issuers_refuses_what_others_below_its_root_have_issued(aiohttp_client):
    sibling, log = Sibling("corporate"), made_for(CA.intermediate)
    await log.start()  # its first entry is the root, which no issuer has issued
    app = web.Application()
    app.add_routes(ct.make_routes(log))
    client = await aiohttp_client(app)
    for path, leaf in (("add-pre-chain", sibling.precert()), ("add-chain", sibling.issue())):
        chain = {"chain": [base64.b64encode(one).decode() for one in sibling.chain(leaf)]}
        async with client.post(f"/ct/v1/{path}", json=chain) as answer:
            assert answer.status == 403
            assert "its own stack's authority, and 'payroll' issued this one" in (await answer.json())["error_message"]
    with pytest.raises(Unwelcome):
        await log.add_chain([sibling.intermediate, CA.root])
    assert log.log.size == 1
    assert await log.add_pre_chain(CA.chain(CA.precert()))
    log.accept((sibling.intermediate, CA.root))
    assert await log.add_pre_chain(sibling.chain(sibling.precert()))
    assert log.log.size == 3
    await log.stop()


async def test_without_named_issuers_a_log_takes_all_below_its_root(service):
    sibling = Sibling("corporate")
    assert await service.add_pre_chain(sibling.chain(sibling.precert()))


async def test_an_authority_that_was_certified_anew_is_the_same_one():
    span = {"not_before": START, "not_after": START + timedelta(days=30)}
    spki = keys.encode_public_key(CA.key.public_key())
    root = parse_certificate(CA.root)
    subject = certify.Subject("intermediate", CA.name, **span)
    anew = certify.make_intermediate(root, CA.root_key, spki, subject, eku="1.3.6.1.5.5.7.3.3")
    log = made_for(CA.intermediate)
    await log.start()
    assert await log.add_pre_chain([CA.precert(), anew, CA.root])
    await log.stop()
