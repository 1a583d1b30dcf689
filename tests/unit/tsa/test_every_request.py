# SPDX-License-Identifier: Apache-2.0
"""Every form of request that there is, over HTTP: openssl and rfc3161-client write it, and believe the answer (S01, S04, S07)."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from itertools import product
from pathlib import Path

import pytest
from cryptography import x509
from rfc3161_client import HashAlgorithm as Rfc3161Hash
from rfc3161_client import TimestampRequestBuilder, VerifierBuilder, decode_timestamp_response

from tsa.app import make_app

MESSAGE = b"a signature, raw"
PATH = "/api/v1/timestamp"
HASHES = ("sha256", "sha384", "sha512")


@pytest.fixture
async def client(aiohttp_client, authority, now):
    return await aiohttp_client(make_app(authority, lambda: now))


def openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", "ts", *arguments], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def openssl_believes(folder: Path, chain, now, reply: bytes, *about: str) -> None:
    root, rest = chain.write(folder)
    (folder / "reply").write_bytes(reply)
    trust = ("-CAfile", str(root), "-untrusted", str(rest), "-attime", str(int(now.timestamp())))
    openssl(folder, "-verify", "-in", "reply", *about, *trust)


def client_believes(chain, reply: bytes, digest: bytes, nonce: int | None) -> None:
    leaf, *intermediates, root = (x509.load_der_x509_certificate(one.der) for one in chain.certificates)
    builder = VerifierBuilder(nonce=nonce, tsa_certificate=leaf, intermediates=intermediates, roots=[root])
    assert builder.build().verify(decode_timestamp_response(reply), digest)


@pytest.mark.parametrize(("hashing", "nonce", "certificates"), list(product(HASHES, (True, False), (True, False))))
async def test_what_openssl_asks(client, chain, now, tmp_path: Path, hashing, nonce, certificates):
    (tmp_path / "message").write_bytes(MESSAGE)
    options = [*([] if nonce else ["-no_nonce"]), *(["-cert"] if certificates else [])]
    openssl(tmp_path, "-query", "-data", "message", f"-{hashing}", "-out", "query", *options)
    query = (tmp_path / "query").read_bytes()
    response = await client.post(PATH, data=query, headers={"Content-Type": "application/timestamp-query"})
    reply = await response.read()
    assert response.status == 200, reply
    openssl_believes(tmp_path, chain, now, reply, "-queryfile", "query")  # nonce, policy and imprint are the query's
    parsed = decode_timestamp_response(reply)
    client_believes(chain, reply, hashlib.new(hashing, MESSAGE).digest(), parsed.tst_info.nonce)
    assert (parsed.tst_info.nonce is not None) == nonce
    assert len(parsed.signed_data.certificates) == (2 if certificates else 0)


@pytest.mark.parametrize(
    ("hashing", "nonce", "certificates"),
    list(product((Rfc3161Hash.SHA256, Rfc3161Hash.SHA512), (True, False), (True, False))),
)
async def test_what_rfc3161_client_asks(client, chain, now, tmp_path: Path, hashing, nonce, certificates):
    builder = TimestampRequestBuilder().data(MESSAGE).hash_algorithm(hashing)
    request = builder.nonce(nonce=nonce).cert_request(cert_request=certificates).build()
    (tmp_path / "query").write_bytes(request.as_bytes())
    response = await client.post(PATH, data=request.as_bytes(), headers={"Content-Type": "application/timestamp-query"})
    reply = await response.read()
    assert response.status == 200, reply
    assert (request.nonce is not None) == nonce
    client_believes(chain, reply, request.message_imprint.message, request.nonce)
    openssl_believes(tmp_path, chain, now, reply, "-queryfile", "query")


@pytest.mark.parametrize(
    ("hashing", "nonce", "certificates"), list(product(HASHES, (None, 0, 1, 2**63 - 1), (None, False, True)))
)
async def test_what_a_json_client_asks(client, chain, now, tmp_path: Path, hashing, nonce, certificates):
    digest = hashlib.new(hashing, MESSAGE).digest()
    asked = {"artifactHash": base64.b64encode(digest).decode(), "hashAlgorithm": hashing}
    asked |= {name: value for name, value in (("nonce", nonce), ("certificates", certificates)) if value is not None}
    response = await client.post(PATH, data=json.dumps(asked), headers={"Content-Type": "application/json"})
    reply = await response.read()
    assert (response.status, response.headers["Content-Type"]) == (200, "application/timestamp-reply"), reply
    client_believes(chain, reply, digest, nonce)
    openssl_believes(tmp_path, chain, now, reply, "-digest", digest.hex())
    parsed = decode_timestamp_response(reply)
    assert parsed.tst_info.nonce == nonce
    assert len(parsed.signed_data.certificates) == (2 if certificates else 0)


async def test_openssl_refuses_an_answer_to_another_query(client, chain, now, tmp_path: Path):
    """The control: what the tests above call belief can be denied."""
    (tmp_path / "message").write_bytes(MESSAGE)
    for name in ("asked", "other"):
        openssl(tmp_path, "-query", "-data", "message", "-sha256", "-out", name)  # they differ in the nonce
    response = await client.post(
        PATH, data=(tmp_path / "asked").read_bytes(), headers={"Content-Type": "application/timestamp-query"}
    )
    reply = await response.read()
    openssl_believes(tmp_path, chain, now, reply, "-queryfile", "asked")
    with pytest.raises(AssertionError, match="nonce"):
        openssl_believes(tmp_path, chain, now, reply, "-queryfile", "other")
