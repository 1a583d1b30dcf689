# SPDX-License-Identifier: Apache-2.0
"""The HTTP face: content types, the JSON form, the chain, and bodies that are wrong (never a 5xx)."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json

import pytest
from cryptography import x509

from sigcore import der, timestamp
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Unavailable
from sigcore.timestamp import TimestampRequest, encode_request
from tsa.app import make_app, utc_clock
from tsa.authority import POLICY, TimestampAuthority
from tsa.timekeeper import TimeKeeper

MESSAGE = b"a signature, raw"
REQUEST = TimestampRequest(HashAlgorithm.SHA2_256, hashlib.sha256(MESSAGE).digest())
QUERY = {"Content-Type": "application/timestamp-query"}
JSON = {"Content-Type": "application/json"}
PATH = "/api/v1/timestamp"


@pytest.fixture
async def client(aiohttp_client, authority: TimestampAuthority, now):
    return await aiohttp_client(make_app(authority, lambda: now))


def body(**members) -> bytes:
    plain = {"artifactHash": base64.b64encode(REQUEST.digest).decode(), "hashAlgorithm": "sha256"}
    return json.dumps(plain | members).encode()


async def refusal(response) -> str:
    """The message of an error, in upstream's JSON form."""
    answer = await response.json()
    assert set(answer) == {"code", "message"}
    assert answer["code"] == response.status
    return answer["message"]


# --- answers --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("header", ["application/timestamp-query", "application/timestamp-query; charset=utf-8"])
async def test_a_der_request_is_answered(client, authority, now, header):
    request = TimestampRequest(REQUEST.hash, REQUEST.digest, POLICY, 2**255, certificates=True)
    response = await client.post(PATH, data=encode_request(request), headers={"Content-Type": header})
    assert (response.status, response.headers["Content-Type"]) == (200, "application/timestamp-reply")
    parsed = timestamp.parse_response(await response.read())
    timestamp.verify_answer(parsed, request)
    assert timestamp.verify_response(parsed, MESSAGE, chain=authority.chain) == now.replace(microsecond=0)
    assert parsed.info.serial > 0


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"hashAlgorithm": "SHA256"},
        {"nonce": None, "tsaPolicyOID": "", "certificates": False},
        {"nonce": 2**62, "tsaPolicyOID": POLICY, "certificates": True},
    ],
)
async def test_a_json_request_is_answered(client, authority, members):
    """The first is what sigstore-js sends, the third what upstream's own Go type writes."""
    response = await client.post(PATH, data=body(**members), headers=JSON)
    assert (response.status, response.headers["Content-Type"]) == (200, "application/timestamp-reply")
    parsed = timestamp.parse_response(await response.read())
    timestamp.verify_response(parsed, MESSAGE, chain=authority.chain)
    assert parsed.info.nonce == members.get("nonce")
    assert bool(parsed.token.certificates) == members.get("certificates", False)


async def test_the_chain_is_pem_from_leaf_to_root(client, authority):
    response = await client.get(f"{PATH}/certchain")
    assert (response.status, response.headers["Content-Type"]) == (200, "application/pem-certificate-chain")
    certificates = x509.load_pem_x509_certificates(await response.read())
    assert [c.serial_number for c in certificates] == [c.serial for c in authority.chain]
    assert certificates[-1].subject == certificates[-1].issuer


async def test_serial_numbers_differ(client):
    replies = [await (await client.post(PATH, data=body(), headers=JSON)).read() for _ in range(20)]
    assert len({timestamp.parse_response(reply).info.serial for reply in replies}) == 20


async def test_the_machines_clock_is_the_default(aiohttp_client, build_chain):
    chain = build_chain(end=utc_clock().replace(year=2049))
    authority = TimestampAuthority.of(chain.key, chain.certificates, now=utc_clock())
    response = await (await aiohttp_client(make_app(authority))).post(PATH, data=body(), headers=JSON)
    age = utc_clock() - timestamp.parse_response(await response.read()).info.time
    assert 0 <= age.total_seconds() < 10


# --- refusals -------------------------------------------------------------------------------------------
SHA256 = der.sequence(der.oid(HashAlgorithm.SHA2_256.oid), der.null())
IMPRINT = der.sequence(SHA256, der.octet_string(REQUEST.digest))
SHA1 = der.sequence(der.sequence(der.oid("1.3.14.3.2.26"), der.null()), der.octet_string(bytes(20)))
DER_BODIES = {
    b"": "badDataFormat",
    b"\x00": "badDataFormat",
    b"\x30\x80\x00\x00": "badDataFormat",
    b"\xff" * 300: "badDataFormat",
    body(): "badDataFormat",
    encode_request(REQUEST) + b"\x00": "badDataFormat",
    encode_request(REQUEST)[:-1]: "badDataFormat",
    encode_request(TimestampRequest(HashAlgorithm.SHA2_512, bytes(32))): "badDataFormat",
    der.sequence(der.integer(2), IMPRINT): "badRequest",
    der.sequence(der.integer(1), SHA1): "badAlg",
    der.sequence(der.integer(1), IMPRINT, der.integer(-1)): "badRequest",
    der.sequence(der.integer(1), IMPRINT, der.oid("1.2.3")): "unacceptedPolicy",
    der.sequence(der.integer(1), IMPRINT, der.tlv(0xA0, der.sequence(der.oid("1.2.3")))): "unacceptedExtension",
    bytes(3000): "longer than 2048",
    bytes(900_000): "longer than 2048",
}
JSON_BODIES = {
    b"": "badDataFormat",
    b"null": "badDataFormat",
    b"[]": "badDataFormat",
    b"{": "badDataFormat",
    b"\xff\xfe": "badDataFormat",
    b"[" * 900: "badDataFormat",
    b"{}": "hashAlgorithm is missing",
    encode_request(REQUEST): "badDataFormat",
    body(hashAlgorithm="sha1"): "badAlg",
    body(hashAlgorithm="md5\n"): "badAlg",
    body(hashAlgorithm=1): "badDataFormat",
    body(hashAlgorithm="sha512"): "badDataFormat",
    body(artifactHash="AB=="): "badDataFormat",
    body(artifactHash="!"): "badDataFormat",
    body(artifactHash=None): "artifactHash is missing",
    body(nonce=-1): "badRequest",
    body(nonce=2**64): "badDataFormat",
    body(nonce=1.5): "badDataFormat",
    body(nonce="1"): "badDataFormat",
    body(certificates="yes"): "badDataFormat",
    body(tsaPolicyOID="1.2.3"): "unacceptedPolicy",
    body(tsaPolicyOID="not one"): "badDataFormat",
    body(tsaPolicyOID="1" + ".1" * 300): "badDataFormat",
    body(extra=1): "unknown member",
    body()[:-1] + b', "nonce": 1, "nonce": 2}': "duplicate",
    body(padding="x" * 1000): "longer than 1024",
    b'{"tsaPolicyOID": "1' + b".1" * 500_000 + b'"}': "longer than 1024",
}


@pytest.mark.parametrize(
    ("data", "headers", "message"),
    [(data, QUERY, message) for data, message in DER_BODIES.items()]
    + [(data, JSON, message) for data, message in JSON_BODIES.items()],
    ids=lambda value: str(value)[:30],
)
async def test_malformed_bodies_are_bad_requests(client, data, headers, message):
    response = await client.post(PATH, data=data, headers=headers)
    assert response.status == 400
    assert message in await refusal(response)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data; boundary=application/json"},
        {"Content-Type": "application/octet-stream"},
        {"Content-Type": "application/" * 600},
        {},
    ],
    ids=lambda headers: headers.get("Content-Type", "none")[:20],
)
async def test_other_content_types_are_unsupported(client, headers):
    response = await client.post(PATH, data=encode_request(REQUEST), headers=headers)
    assert response.status == 415
    assert "application/timestamp-query" in await refusal(response)


async def test_compressed_bodies_are_unsupported(client):
    squeezed = gzip.compress(encode_request(REQUEST))
    response = await client.post(PATH, data=squeezed, headers={**QUERY, "Content-Encoding": "gzip"})
    assert response.status == 415


@pytest.mark.parametrize(
    "rest",
    [b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX\r\n", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"],
)
async def test_broken_chunks_are_bad_requests(client, rest):
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(b"POST /api/v1/timestamp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + rest)
    answer = await asyncio.wait_for(reader.read(), 60)
    assert answer.split(b" ", 2)[1] == b"400"
    writer.close()
    await writer.wait_closed()


async def test_a_request_that_is_cut_off_is_no_error_of_the_server(client, caplog):
    _, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(b"POST /api/v1/timestamp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
    writer.write(b"Content-Length: 10\r\n\r\nabc")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await client.get(f"{PATH}/certchain")).status == 200
    assert "Error handling request" not in caplog.text


async def test_a_clock_that_went_back_is_unavailable(aiohttp_client, chain, now):
    keeper = TimeKeeper(now.replace(year=now.year + 1))
    authority = TimestampAuthority.of(chain.key, chain.certificates, now=now, timekeeper=keeper)
    client = await aiohttp_client(make_app(authority, lambda: now))
    response = await client.post(PATH, data=encode_request(REQUEST), headers=QUERY)
    assert response.status == 503
    assert "timeNotAvailable" in await refusal(response)
    with pytest.raises(Unavailable):
        authority.respond(REQUEST, now=now, serial=1)


async def test_other_methods_are_not_allowed(client):
    assert (await client.get(PATH)).status == 405
    assert (await client.post(f"{PATH}/certchain")).status == 405
