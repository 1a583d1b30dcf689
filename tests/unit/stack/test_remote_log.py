# SPDX-License-Identifier: Apache-2.0
"""The certificate log in another process: what counts as its answer, and what is asked again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sigcore import keys, precertificate, sct
from sigcore.errors import Malformed, Unavailable
from sigcore.strict import encode_base64
from sigcore.x509 import parse_certificate
from stack import remote_log
from stack.logs import ID_HEADER, request_id
from stack.remote_log import RemoteLog, parse_sct_answer
from tests.unit.tlog.test_ct import CA
from tests.until import until

KEY = keys.generate_p256()
NOW = datetime(2026, 11, 1, tzinfo=UTC)
CHAIN = tuple(CA.chain(CA.precert()))
IDENTIFIERS: list[str] = []
"""Of the requests, as the logs of these tests saw them."""


def good(chain: tuple[bytes, ...] = CHAIN, key: keys.PrivateKey = KEY) -> dict[str, object]:
    leaf, issuer = (parse_certificate(der) for der in chain[:2])
    stamp = sct.sign_sct(precertificate.precert_entry(leaf, issuer.spki), 1793491200000, key)
    return {
        "sct_version": 0,
        "id": encode_base64(stamp.log_id),
        "timestamp": stamp.timestamp_ms,
        "extensions": "",
        "signature": encode_base64(sct.encode_digitally_signed(stamp)),
    }


@asynccontextmanager
async def log(
    *answers: web.Response | str, head: dict[str, object] | None = None
) -> AsyncIterator[tuple[RemoteLog, list[list[str]]]]:
    """A log that gives ``answers`` one after the other, ``hang`` and ``cut`` among them; and the chains that it was sent.

    ``head`` is what its tree head says.
    """
    said = {"tree_size": 0} if head is None else head
    sent: list[list[str]] = []
    left = list(answers)

    async def add(request: web.Request) -> web.Response:
        sent.append((await request.json())["chain"])
        IDENTIFIERS.append(request.headers.get(ID_HEADER, ""))
        answer = left.pop(0)
        if answer == "cut":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        assert isinstance(answer, web.Response)
        return answer

    async def tell(_request: web.Request) -> web.Response:
        return web.json_response(said)

    app = web.Application()
    app.add_routes([web.post("/test/ct/v1/add-pre-chain", add), web.get("/test/ct/v1/get-sth", tell)])
    async with TestServer(app) as server:
        remote = RemoteLog(str(server.make_url("/test")), KEY.public_key(), try_s=2)
        async with remote.open():
            yield remote, sent


def ok(**members: object) -> web.Response:
    return web.json_response(good() | members)


async def test_a_promise_for_this_very_precertificate_is_taken():
    async with log(ok()) as (remote, sent):
        stamp = await remote.add_pre_chain(CHAIN)
        assert stamp.timestamp_ms == 1793491200000
        assert sent == [[encode_base64(der) for der in CHAIN]]
        remote.check(NOW)


async def test_the_log_is_told_the_id_of_the_request_that_it_is_asked_for_and_none_otherwise():
    async with log(ok(), ok()) as (remote, _):
        await remote.add_pre_chain(CHAIN)
        held = request_id.set("of-one-signing")
        await remote.add_pre_chain(CHAIN)
        request_id.reset(held)
    assert IDENTIFIERS[-2:] == ["", "of-one-signing"]


@pytest.mark.parametrize(
    "first", ["cut", web.Response(status=503), web.Response(status=429)], ids=["cut", "503", "429"]
)
async def test_what_has_no_answer_is_asked_once_more_with_the_same_precertificate(first):
    async with log(first, ok()) as (remote, sent):
        await remote.add_pre_chain(CHAIN)
        assert sent[0] == sent[1]
        remote.check(NOW)


async def test_a_log_that_fails_twice_is_not_asked_a_third_time_and_the_check_says_so():
    async with log("cut", web.Response(status=500, text="disk full"), ok()) as (remote, sent):
        with pytest.raises(Unavailable, match=r"no certificate without the certificate log.*disk full"):
            await remote.add_pre_chain(CHAIN)
        assert len(sent) == 2
        with pytest.raises(Unavailable, match="disk full"):
            remote.check(NOW)
        await remote.add_pre_chain(CHAIN)
        remote.check(NOW)


LIES = {
    "of another key": lambda: web.json_response(good(key=keys.generate_p256())),
    "for another precertificate": lambda: web.json_response(good(tuple(CA.chain(CA.precert(serial=99))))),
    "of another time than was signed": lambda: ok(timestamp=1793491200001),
    "with extensions that were not signed": lambda: ok(extensions="AAAA"),
    "of another version": lambda: ok(sct_version=1),
    "before the epoch": lambda: ok(timestamp=-1),
    "without a signature": lambda: web.json_response({k: v for k, v in good().items() if k != "signature"}),
    "none at all": lambda: web.Response(text="<html>"),
    "too long": lambda: web.Response(body=b" " * 100_000),
    "a redirect": lambda: web.Response(status=302, headers={"Location": "/elsewhere"}),
    "a refusal": lambda: web.json_response({"error_message": "no such root"}, status=400),
}


@pytest.mark.parametrize("lie", LIES)
async def test_any_other_answer_is_none_and_is_not_asked_again(lie):
    """The authority answers 503 then, whatever the log said."""
    async with log(LIES[lie](), ok()) as (remote, sent):
        with pytest.raises(Unavailable):
            await remote.add_pre_chain(CHAIN)
        assert len(sent) == 1
        with pytest.raises(Unavailable):
            remote.check(NOW)


async def test_a_log_that_failed_heals_by_a_tree_head_and_by_nothing_else(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remote_log, "LOOK_S", 0.01)
    head: dict[str, object] = {}
    async with log("cut", "cut", head=head) as (remote, _):
        with pytest.raises(Unavailable):
            await remote.add_pre_chain(CHAIN)
        for said in ({}, {"what": "something else"}, {"tree_size": "7"}):
            head.clear()
            head.update(said)
            await asyncio.sleep(0.05)
            with pytest.raises(Unavailable, match="the certificate log gives no promises"):
                remote.check(NOW)
        head.update(tree_size=7)
        await until(lambda: not remote._fault)
        remote.check(NOW)


async def test_a_log_that_nobody_runs_is_unavailable_from_the_start():
    async with log() as (other, _):
        url = other._url
    remote = RemoteLog(url, KEY.public_key())
    async with remote.open():
        with pytest.raises(Unavailable, match="cannot be reached"):
            remote.check(NOW)
        with pytest.raises(Unavailable, match="cannot be reached"):
            await remote.add_pre_chain(CHAIN)


def test_the_answer_is_read_strictly():
    answer = good()
    assert parse_sct_answer(json.dumps(answer).encode()).timestamp_ms == answer["timestamp"]
    for wrong in ({"sct_version": True}, {"timestamp": "1"}, {"id": "!"}, {"signature": "BAM="}):
        with pytest.raises(Malformed):
            parse_sct_answer(json.dumps(answer | wrong).encode())
