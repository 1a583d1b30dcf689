# SPDX-License-Identifier: Apache-2.0
"""Requests that nobody should send, on every endpoint of Rekor v1 and v2: a 4xx in the service's form, and nothing is lost.

Codes of the threat model: L05 (bodies), L07 (numbers), L17 (nothing is fetched), L18 (nulls, removed and doubled members).
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from datetime import UTC, datetime
from functools import cache

import pytest
import requests
import schemathesis
import yaml
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigcore import entries, keys
from tests.unit.sigcore.v1_proposals import KINDS, changed, nodes
from tlog import rekor_v1, rekor_v2
from tlog.anchor import MemoryAnchor
from tlog.rekor_v2 import RekorV2
from tlog.sharded import Sharded
from tlog.signature_log import RekorV1
from tlog.storage.memory import MemoryStore
from tlog.storage.search_index import MemoryIndex

V1, V2 = "/api/v1/log/entries", "/api/v2/log/entries"
KEY = keys.generate_p256()
BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def v2_request(number: int) -> dict:
    message = b"artifact %d" % number
    verifier = entries.key_verifier(keys.encode_public_key(KEY.public_key()))
    record = entries.HashedRekord(verifier.details.hash.digest(message), keys.sign(KEY, message), verifier)
    return json.loads(entries.encode_request_v2(record))


class Service:
    """Both logs on one origin, on a thread of their own, so that clients may block."""

    def __init__(self) -> None:
        def clock() -> datetime:
            return datetime(2026, 3, 1, tzinfo=UTC)

        key = keys.generate_p256()
        self.v1 = RekorV1(
            MemoryStore(), MemoryAnchor(), MemoryIndex(), host="log.example", key=keys.generate_p256(), clock=clock
        )
        self.v2 = RekorV2(MemoryStore(), MemoryAnchor(), origin="log.example", key=key, clock=clock)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.loop = asyncio.new_event_loop()
        self.ready, self.stopping = threading.Event(), asyncio.Event()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.serve(),))

    async def serve(self) -> None:
        await self.v1.start()
        await self.v2.start()
        app = web.Application()
        app.add_routes([*rekor_v1.make_routes(Sharded(self.v1)), *rekor_v2.make_routes(self.v2)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, self.socket).start()
        self.ready.set()
        await self.stopping.wait()
        await runner.cleanup()
        await self.v1.stop()
        await self.v2.stop()

    def check(self, answer: requests.Response) -> None:
        """No 5xx; a refusal is in the face's own form and names something."""
        assert answer.status_code < 500, answer.text
        if (
            answer.status_code >= 400
            and answer.content
            and answer.headers["Content-Type"].startswith("application/json")
        ):
            message = answer.json()["message"]
            assert 0 < len(message) < 2000
            assert "Traceback" not in message


@pytest.fixture(scope="module")
def service():
    service = Service()
    service.thread.start()
    assert service.ready.wait(60)
    sent = [v2_request(number) for number in range(3)]
    good = [requests.post(service.url + V2, json=request, timeout=60) for request in sent]
    good += [requests.post(service.url + V1, json=make(), timeout=60) for make in KINDS.values()]
    assert {answer.status_code for answer in good} == {201}
    yield service
    # Nothing that was acknowledged is lost, and both logs still take entries.
    for answer in good[3:]:
        (entry_id,) = answer.json()
        assert requests.get(f"{service.url}{V1}/{entry_id}", timeout=60).status_code == 200
    for index, request in enumerate(sent, 1):
        again = requests.post(service.url + V2, json=request, timeout=60)
        assert (again.status_code, again.headers["x-log-index"]) == (409, str(index))
    assert requests.post(service.url + V2, json=v2_request(99), timeout=60).status_code == 201
    service.loop.call_soon_threadsafe(service.stopping.set)
    service.thread.join()
    service.loop.close()


# --- bodies ----------------------------------------------------------------------------------------------
VALUES = st.sampled_from([None, True, 0, -1, 2**63, 0.5, "", "A", "\u0000", "\ud800", "A" * 20_000, [], [None], {}])
PATHS = [V1, V2, f"{V1}/retrieve", "/api/v1/index/retrieve"]


@BOUNDED
@given(kind=st.sampled_from([*KINDS, "v2"]), data=st.data(), value=VALUES | st.just(KeyError))
def test_l18_every_node_of_a_request_may_be_anything(service, kind, data, value):
    document = v2_request(1) if kind == "v2" else KINDS[kind]()
    body = changed(document, data.draw(st.sampled_from(nodes(document))), value)
    path = V2 if kind == "v2" else V1
    service.check(requests.post(service.url + path, data=json.dumps(body), timeout=60))


@cache
def good_body(path: str) -> bytes:
    """The same each time: signatures are not all equally long, and places are drawn in it."""
    documents = {V2: v2_request(1), V1: KINDS["hashedrekord"](), f"{V1}/retrieve": {"logIndexes": [0]}}
    return json.dumps(documents.get(path, {"hash": "00" * 32, "operator": "or"})).encode()


@BOUNDED
@given(path=st.sampled_from(PATHS), data=st.data())
def test_a_good_request_with_some_bytes_changed(service, path, data):
    body = bytearray(good_body(path))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    service.check(requests.post(service.url + path, data=bytes(body), timeout=60))


@BOUNDED
@given(path=st.sampled_from(PATHS), body=st.binary(max_size=300))
def test_any_bytes(service, path, body):
    answer = requests.post(service.url + path, data=body, timeout=60)
    service.check(answer)
    assert answer.status_code in {400, 422}


# --- paths -----------------------------------------------------------------------------------------------
SEGMENT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20) | st.sampled_from(
    [
        "000",
        "x001",
        "001.p",
        "001.p/0",
        "001.p/256",
        "-1",
        "00",
        "0000",
        "\u0660\u0660\u0660",
        "x001/",
        "entries",
        "..",
        "%00",
        "1e3",
    ]
)


@BOUNDED
@given(level=SEGMENT, index=SEGMENT, prefix=st.sampled_from(["", "/api/v2"]))
def test_l24_tiles_that_there_are_not(service, level, index, prefix):
    path = f"{prefix}/tile/{requests.utils.quote(level, safe='/%')}/{requests.utils.quote(index, safe='/%')}"
    answer = requests.get(service.url + path, timeout=60)
    service.check(answer)
    assert answer.status_code in {400, 404} or path.endswith(("/tile/0/000.p/1", "/tile/entries/000.p/1"))


@BOUNDED
@given(text=st.text(max_size=90) | st.from_regex(r"[0-9a-fA-F]{60,81}", fullmatch=True))
def test_l07_entry_ids_and_indexes_that_there_are_not(service, text):
    quoted = requests.utils.quote(text, safe="")
    for path in (f"{V1}/{quoted}", f"{V1}?logIndex={quoted}", f"/api/v1/log/proof?lastSize={quoted}"):
        service.check(requests.get(service.url + path, timeout=60))


# --- the official descriptions -----------------------------------------------------------------------------
def described(vectors, name: str) -> dict:
    """Rekor's own file, with the specs of the kinds as any object: their schemas are files of their own."""
    text = (vectors / "openapi" / name).read_text("utf-8")
    document = yaml.safe_load(text)
    for definition in document["definitions"].values():
        for part in definition.get("allOf", ()):
            if "spec" in part.get("properties", {}):
                part["properties"]["spec"] = {"type": "object"}
    return document


@pytest.mark.parametrize(("name", "operations"), [("rekor-v1.yaml", 8), ("rekor-v2.json", 4)])
def test_requests_made_from_the_official_description(vectors, service, name, operations):
    """Schemathesis: what the descriptions allow is answered as they say, or refused with a reason."""
    schema = schemathesis.openapi.from_dict(described(vectors, name))
    seen = set()
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def run(case):
            answer = requests.request(**case.as_transport_kwargs(base_url=service.url), timeout=60)
            service.check(answer)
            seen.add((case.operation.method, case.operation.path))

        run()
    assert len(seen) == operations
