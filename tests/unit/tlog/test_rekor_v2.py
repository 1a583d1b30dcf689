# SPDX-License-Identifier: Apache-2.0
"""Rekor v2 over HTTP."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import io
import json
import socket
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from yarl import URL

from sigcore import entries, keys, limits, merkle, tiles
from sigcore.checkpoint import verify_checkpoint
from sigcore.entries import HashedRekord
from sigcore.errors import SigError, Unavailable
from tlog import rekor_v2
from tlog.anchor import MemoryAnchor
from tlog.rekor_v2 import Front, RekorV2
from tlog.storage.memory import Memory, MemoryStore
from tlog.submission import Receipt

ADD = "/api/v2/log/entries"


def make_rekor(key=None, **options) -> RekorV2:
    return RekorV2(
        MemoryStore(Memory()),
        MemoryAnchor(),
        origin="log.example",
        key=key or ed25519.Ed25519PrivateKey.generate(),
        clock=lambda: datetime(2026, 3, 1, tzinfo=UTC),
        **options,
    )


@pytest.fixture
async def rekor(request):
    rekor = make_rekor(getattr(request, "param", None))
    await rekor.start()
    yield rekor
    await rekor.stop()


@pytest.fixture
async def client(rekor, aiohttp_client):
    app = web.Application()
    app.add_routes(rekor_v2.make_routes(rekor))
    return await aiohttp_client(app)


KEY = keys.generate_p256()


def entry(number: int, key=KEY) -> HashedRekord:
    message = b"artifact %d" % number
    verifier = entries.key_verifier(keys.encode_public_key(key.public_key()))
    return HashedRekord(verifier.details.hash.digest(message), keys.sign(key, message), verifier)


def verify(rekor: RekorV2, answer: dict, sent: HashedRekord) -> int:
    """What a client checks, from the JSON alone."""
    proof = answer["inclusionProof"]
    body = base64.b64decode(answer["canonicalizedBody"])
    assert body == entries.encode_body(sent)
    checkpoint = verify_checkpoint(proof["checkpoint"]["envelope"], rekor.key)
    assert str(checkpoint.size) == proof["treeSize"]
    assert base64.b64encode(checkpoint.root).decode() == proof["rootHash"]
    merkle.verify_inclusion(
        leaf_hash=hashlib.sha256(b"\x00" + body).digest(),
        index=int(proof["logIndex"]),
        size=checkpoint.size,
        proof=[base64.b64decode(hash_) for hash_ in proof["hashes"]],
        root=checkpoint.root,
    )
    assert answer["logIndex"] == proof["logIndex"]
    return int(answer["logIndex"])


@pytest.mark.parametrize("rekor", [ed25519.Ed25519PrivateKey.generate(), keys.generate_p256()], indirect=True)
async def test_an_entry_comes_back_with_its_proof(rekor, client):
    sent = entry(1)
    response = await client.post(ADD, data=entries.encode_request_v2(sent))
    assert response.status == 201
    assert response.content_type == "application/json"
    answer = await response.json()
    assert verify(rekor, answer, sent) == 1
    assert set(answer) == {
        "logIndex",
        "logId",
        "kindVersion",
        "integratedTime",
        "inclusionPromise",
        "inclusionProof",
        "canonicalizedBody",
    }
    assert answer["kindVersion"] == {"kind": "hashedrekord", "version": "0.0.2"}
    assert answer["integratedTime"] == "0"
    assert answer["inclusionPromise"] is None
    assert base64.b64decode(answer["logId"]["keyId"]) == rekor.log_id
    assert len(answer["inclusionProof"]["hashes"]) == 1


@pytest.mark.parametrize("hashes", [0, 1, 17])
def test_an_answer_is_what_a_general_encoder_writes(hashes: int):
    proof = tuple(hashlib.sha256(b"%d" % number).digest() for number in range(hashes))
    checkpoint = 'log.example\n20\n"quoted" \\ \u2014 name\n'
    receipt = Receipt(19, entries.encode_body(entry(1)), 20, b"r" * 32, proof, checkpoint, duplicate=False)

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    document = {
        "logIndex": "19",
        "logId": {"keyId": text(b"i" * 32)},
        "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
        "integratedTime": "0",
        "inclusionPromise": None,
        "inclusionProof": {
            "logIndex": "19",
            "rootHash": text(receipt.root),
            "treeSize": "20",
            "hashes": [text(hash_) for hash_ in proof],
            "checkpoint": {"envelope": checkpoint},
        },
        "canonicalizedBody": text(receipt.leaf),
    }
    front = Front(make_rekor().log, b"i" * 32)
    assert front.encode_answer(receipt) == orjson.dumps(document)


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)])
async def test_other_keys_are_taken(rekor, client, key):
    sent = entry(1, key)
    response = await client.post(ADD, data=entries.encode_request_v2(sent))
    assert response.status == 201, await response.text()
    assert verify(rekor, await response.json(), sent) == 1


async def test_many_at_once(rekor, client):
    async def add(number: int) -> int:
        response = await client.post(ADD, data=entries.encode_request_v2(entry(number)))
        assert response.status == 201
        return verify(rekor, await response.json(), entries.parse_body(await_body(await response.json())))

    def await_body(answer: dict) -> bytes:
        return base64.b64decode(answer["canonicalizedBody"])

    assert sorted(await asyncio.gather(*(add(number) for number in range(40)))) == list(range(1, 41))


async def test_a_duplicate_is_a_conflict_that_names_its_index(client):
    body = entries.encode_request_v2(entry(1))
    assert (await client.post(ADD, data=body)).status == 201
    response = await client.post(ADD, data=body)
    assert response.status == 409
    assert response.headers["x-log-index"] == "1"
    answer = await response.json()
    assert (answer["code"], answer["details"]) == (6, [])
    assert "index 1" in answer["message"]


async def test_one_of_many_equal_requests_is_the_first(client):
    body = entries.encode_request_v2(entry(1))
    responses = await asyncio.gather(*(client.post(ADD, data=body) for _ in range(20)))
    assert sorted(response.status for response in responses) == [201] + [409] * 19


GOOD = json.loads(entries.encode_request_v2(entry(1)))


def changed(path: str, value: object) -> bytes:
    request = json.loads(json.dumps(GOOD))
    *parents, last = path.split(".")
    place = request
    for parent in parents:
        place = place[parent]
    if value is KeyError:
        del place[last]
    else:
        place[last] = value
    return json.dumps(request).encode()


REQUEST = "hashedRekordRequestV002"
SIGNATURE = f"{REQUEST}.signature"
VERIFIER = f"{SIGNATURE}.verifier"
BAD = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"{",
    b"\xff",
    b'{"hashedRekordRequestV002":1}',
    b'{"dsseRequestV002":{"envelope":{}}}',
    b'{"dsse_request_v002":{"envelope":{}}}',
    b"[" * 100_000,
    b'{"a":' * 5000,
    b'{"hashedRekordRequestV002":{},"hashedRekordRequestV002":{}}',
    changed("extra", 1),
    changed(f"{REQUEST}.extra", 1),
    changed(f"{REQUEST}.digest", KeyError),
    changed(f"{REQUEST}.digest", ""),
    changed(f"{REQUEST}.digest", 5),
    changed(f"{REQUEST}.digest", "AAAA"),
    changed(f"{REQUEST}.digest", base64.b64encode(bytes(32)).decode()),
    changed(f"{REQUEST}.digest", "not base64"),
    changed(f"{REQUEST}.digest", "\ud800"),
    changed(SIGNATURE, None),
    changed(SIGNATURE, []),
    changed(f"{SIGNATURE}.content", ""),
    changed(f"{SIGNATURE}.content", "AAAA"),
    changed(f"{SIGNATURE}.content", "A" * 100_000),
    changed(f"{VERIFIER}.keyDetails", "PKIX_ED25519"),
    changed(f"{VERIFIER}.keyDetails", "PKIX_ECDSA_P384_SHA_384"),
    changed(f"{VERIFIER}.keyDetails", "NONE"),
    changed(f"{VERIFIER}.keyDetails", 5),
    changed(f"{VERIFIER}.publicKey", KeyError),
    changed(f"{VERIFIER}.publicKey.rawBytes", "AAAA"),
    changed(f"{VERIFIER}.x509Certificate", {"rawBytes": "AAAA"}),
]


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
async def test_a_bad_request_is_told_what_is_wrong(rekor, client, body):
    response = await client.post(ADD, data=body)
    assert response.status == 400, await response.text()
    answer = await response.json()
    assert answer["code"] == 3
    assert answer["message"]
    assert answer["details"] == []
    assert rekor.log.size == 1


def dsse_request(key=KEY, payload: bytes = b"{}") -> dict:
    kind = "application/vnd.in-toto+json"
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
    verifier = entries.key_verifier(keys.encode_public_key(key.public_key()))
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind,
        "signatures": [{"sig": base64.b64encode(keys.sign(key, signed)).decode(), "keyid": ""}],
    }
    return {"dsseRequestV002": {"envelope": envelope, "verifiers": [entries.verifier_value(verifier)]}}


@pytest.mark.parametrize("kind", ["hashedrekord", "dsse"])
async def test_an_envelope_is_logged_as_the_kind_that_is_set(aiohttp_client, kind):
    rekor = make_rekor(dsse=kind)
    await rekor.start()
    app = web.Application()
    app.add_routes(rekor_v2.make_routes(rekor))
    client = await aiohttp_client(app)
    request = json.dumps(dsse_request())
    response = await client.post(ADD, data=request)
    assert response.status == 201, await response.text()
    answer = await response.json()
    assert answer["kindVersion"] == {"kind": kind, "version": "0.0.2"}
    body = json.loads(base64.b64decode(answer["canonicalizedBody"]))
    assert body["kind"] == kind
    again = await client.post(ADD, data=request)
    assert (again.status, again.headers["x-log-index"]) == (409, answer["logIndex"])
    await rekor.stop()


async def test_a_bad_envelope_is_told_what_is_wrong(rekor, client):
    for change in ({"payload": "AAAA"}, {"payloadType": "x"}, {"signatures": []}, {"signatures": None}, {"more": 1}):
        request = dsse_request()
        request["dsseRequestV002"]["envelope"] |= change
        response = await client.post(ADD, data=json.dumps(request))
        assert response.status == 400, await response.text()
        assert (await response.json())["code"] == 3
    assert rekor.log.size == 1


async def test_a_frozen_log_takes_nothing_and_serves_everything(aiohttp_client):
    rekor = make_rekor()
    await rekor.start()
    rekor.log.ends_ms = rekor.log.clock.latest_ms()
    app = web.Application()
    app.add_routes(rekor_v2.make_routes(rekor))
    client = await aiohttp_client(app)
    for request in (entries.encode_request_v2(entry(1)), json.dumps(dsse_request())):
        response = await client.post(ADD, data=request)
        assert response.status == 405
        answer = await response.json()
        assert answer["code"] == 12
        assert "frozen" in answer["message"]
    assert (await client.get("/checkpoint")).status == 200
    assert (await client.get("/tile/entries/000.p/1")).status == 200
    assert rekor.log.size == 1
    await rekor.stop()


async def test_head_is_get_without_the_body(client):
    for path in ("/checkpoint", "/api/v2/checkpoint", "/tile/0/000.p/1", "/tile/entries/000.p/1"):
        got, head = await client.get(path), await client.head(path)
        assert head.status == got.status == 200
        assert head.headers["Content-Length"] == str(len(await got.read()))
        assert head.headers["Cache-Control"] == got.headers["Cache-Control"]
    assert (await client.head("/tile/0/001")).status == 404


async def test_every_cut_and_flip_of_a_request_is_a_bad_request(client):
    body = entries.encode_request_v2(entry(1))
    for position in range(0, len(body), 7):
        for bad in (body[:position], body[:position] + bytes([body[position] ^ 1]) + body[position + 1 :]):
            response = await client.post(ADD, data=bad)
            assert response.status == 400, bad


@pytest.mark.parametrize("form", ["declared", "chunked"])
async def test_a_body_beyond_the_limit(client, form):
    size = limits.LOG_REQUEST + 1

    async def chunks():
        for _ in range(size // 65536 + 1):
            yield bytes(65536)

    response = await client.post(ADD, data=io.BytesIO(bytes(size)) if form == "declared" else chunks())
    assert response.status == 413
    assert (await response.json())["code"] == 8


async def test_a_compressed_body_is_refused(client):
    response = await client.post(ADD, data=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})
    assert response.status == 415


async def test_broken_framing_is_no_server_error(client):
    head = f"POST {ADD} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()

    def exchange(data: bytes) -> bytes:
        with socket.create_connection((client.host, client.port)) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while part := connection.recv(4096):
                answer += part
        return answer

    for tail in (b"zz\r\n", b"5\r\nabcdefgh\r\n", b"-1\r\n", b"5\r\nab"):
        answer = await asyncio.to_thread(exchange, head + tail)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400")), answer


@pytest.mark.parametrize("prefix", ["", "/api/v2"])
async def test_checkpoint(rekor, client, prefix):
    response = await client.get(f"{prefix}/checkpoint")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache"
    assert verify_checkpoint(await response.text(), rekor.key).size == 1


@pytest.mark.parametrize("prefix", ["", "/api/v2"])
async def test_tiles_rebuild_the_tree(rekor, client, prefix):
    await asyncio.gather(*(rekor.add(entry(number)) for number in range(300)))
    leaf_hashes = []
    for path, width in (("000", 256), ("001.p/45", 45)):
        response = await client.get(f"{prefix}/tile/entries/{path}")
        assert response.status == 200
        assert response.content_type == "application/octet-stream"
        assert ("immutable" in response.headers["Cache-Control"]) == (width == 256)
        bodies = tiles.parse_entry_bundle(await response.read(), width)
        leaf_hashes += [merkle.hash_leaf(body) for body in bodies]
        hashes = await client.get(f"{prefix}/tile/0/{path}")
        assert await hashes.read() == b"".join(leaf_hashes[-width:])
    frontier = merkle.Frontier().extend(leaf_hashes)
    assert (frontier.size, frontier.root()) == (301, rekor.log.head.root)
    assert len(await (await client.get(f"{prefix}/tile/1/000.p/1")).read()) == 32


NO_PATHS = [
    ("0/0", 400),
    ("0/000", 404),
    ("0/001.p/1", 404),
    ("0/000.p/2", 404),
    ("0/000.p/0", 400),
    ("0/000.p/256", 400),
    ("0/000.p/01", 400),
    ("0/000.p/1/", 400),
    ("00/000.p/1", 400),
    ("-1/000.p/1", 400),
    ("64/000.p/1", 400),
    ("0/x000/000.p/1", 400),
    ("0/0000.p/1", 400),
    ("0/%3000.p/1", 400),
    ("0/00%30.p/1", 400),
    ("0//000.p/1", 400),
    ("0/000.P/1", 400),
    ("0/x999/x999/x999/x999/x999/x999/999", 400),
    ("1/000.p/1", 404),
    ("entries/000", 404),
    ("entries/000.p/2", 404),
    ("entries/0", 400),
    ("entries/", 400),
    ("entries", 400),
    ("", 400),
    ("data/000.p/1", 400),
    ("0/\u0661", 400),
]


@pytest.mark.parametrize(("path", "status"), NO_PATHS)
async def test_only_canonical_paths_of_what_is_there(client, path, status):
    for prefix in ("", "/api/v2"):
        raw = f"{prefix}/tile/{path}"
        response = await client.get(URL(raw, encoded=path.isascii()))
        assert response.status == status, await response.text()
        assert (await response.json())["code"] == {400: 3, 404: 5}[status]
    assert (await client.get("/tile/0/000.p/1")).status == 200


async def test_a_log_that_cannot_write_says_so(rekor, client, monkeypatch):
    async def submit(_submission):
        raise Unavailable("the log takes no entries: disk full")

    monkeypatch.setattr(rekor.log, "submit", submit)
    response = await client.post(ADD, data=entries.encode_request_v2(entry(1)))
    assert response.status == 503
    assert response.headers["Retry-After"] == "1"
    assert (await response.json())["code"] == 14


def test_every_kind_of_error_has_a_status():
    kinds = [SigError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    for kind in kinds[1:]:
        if kind.__module__.startswith("stack."):
            continue  # what only the command line raises, and is there only when that was imported
        assert any(parent in rekor_v2._STATUS for parent in kind.__mro__), kind
    assert set(rekor_v2._STATUS.values()) == set(rekor_v2._CODES)


async def test_the_first_entry_names_the_log(rekor):
    (first,) = await rekor.log.entries(0, 1)
    seed = entries.parse_body(first.leaf)
    entries.verify_entry(seed)
    assert replace(seed, signature=b"") != replace(entry(0), signature=b"")


async def test_a_log_that_takes_one_kind_refuses_the_other_in_the_form_of_the_official_server(aiohttp_client):
    for kind, other in (("hashedrekord", "dsse"), ("dsse", "hashedrekord")):
        rekor = make_rekor(kinds=(kind,))
        await rekor.start()
        try:
            app = web.Application()
            app.add_routes(rekor_v2.make_routes(rekor))
            client = await aiohttp_client(app)
            sent = {"hashedrekord": entries.encode_request_v2(entry(1)), "dsse": json.dumps(dsse_request()).encode()}
            async with client.post(ADD, data=sent[other]) as response:
                assert response.status == 400
                message = f"this log takes no entries of kind {other} (it takes: {kind})"
                assert await response.json() == {"code": 3, "message": message, "details": []}
            assert rekor.log.size == 1  # its own first entry
            async with client.post(ADD, data=sent[kind]) as response:
                assert response.status == 201
        finally:
            await rekor.stop()
