# SPDX-License-Identifier: Apache-2.0
"""Faults of a whole stack in this process, as its requests meet them."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from client.transport import AiohttpTransport
from sigcore.errors import Refused, Unavailable
from stack.faults.switched import Faults
from tests.unit.stack.faults.conftest import Changing, Stack

pytestmark = pytest.mark.asyncio(loop_scope="package")
TIMESTAMP = "/tuf/timestamp.json"


@pytest_asyncio.fixture(autouse=True, loop_scope="package")
async def off(stack: Stack):
    yield
    await (await stack.http.delete("/_ctl/faults")).read()


async def on(stack: Stack, name: str, **parameters) -> None:
    async with stack.http.put(f"/_ctl/faults/{name}", json=parameters) as answer:
        assert answer.status == 200


async def told(stack: Stack, name: str) -> int:
    async with stack.http.get("/_ctl/faults") as answer:
        return next(row["active"]["answers"] for row in (await answer.json())["faults"] if row["name"] == name)


async def test_a_slow_service_is_given_up_in_time(stack: Stack):
    await on(stack, "slow", role="oidc", seconds=600)
    url = str(stack.http.make_url("/auth/keys"))
    async with AiohttpTransport(timeout_s=0.1) as transport:
        with pytest.raises(Unavailable, match=r"did not answer within 0\.1 s"):
            await transport.request("GET", url, headers={}, body=None, limit=10_000)
    assert await told(stack, "slow") == 1


async def test_a_role_is_the_only_one_that_fails(stack: Stack):
    await on(stack, "error", role="oidc", status=500)
    for path, status in (("/auth/keys", 500), ("/checkpoint", 200), ("/api/v2/trustBundle", 200), ("/healthz", 200)):
        async with stack.http.get(path) as answer:
            assert answer.status == status
    assert await told(stack, "error") == 1


async def test_without_a_role_all_roles_fail_and_pages_and_health_do_not(stack: Stack):
    await on(stack, "error")
    paths = (
        "/auth/keys",
        "/checkpoint",
        "/api/v2/trustBundle",
        "/ct/v1/get-sth",
        "/api/v1/log",
        "/api/v1/timestamp/certchain",
    )
    for path in paths:
        async with stack.http.get(path) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    for path in ("/healthz", "/logs", "/metrics"):
        async with stack.http.get(path) as answer:
            assert answer.status == 200


async def test_of_many_at_once_as_many_are_wrong_as_were_asked_for(stack: Stack):
    await on(stack, "error", role="oidc", count=3)

    async def ask() -> int:
        async with stack.http.get("/auth/keys") as answer:
            return answer.status

    assert sorted(await asyncio.gather(*(ask() for _ in range(10)))) == [200] * 7 + [503] * 3


async def test_refusals_of_a_service_stay_what_they_are(stack: Stack):
    await on(stack, "no-grant")
    async with stack.http.post(
        "/api/v1/timestamp", data=b"x", headers={"Content-Type": "application/timestamp-query"}
    ) as answer:
        assert answer.status == 400
    assert await told(stack, "no-grant") == 0


async def test_the_other_entry_of_rekor_v1_is_named_in_the_headers_too(stack: Stack):
    await stack.sign(Changing(stack.http), 1)
    async with stack.http.get("/api/v1/log/entries?logIndex=0") as answer:
        (first,) = await answer.json()
    await on(stack, "other-entry")
    async with stack.http.get("/api/v1/log/entries?logIndex=1") as answer:
        assert list(await answer.json()) == [first]
    async with stack.http.post("/api/v1/log/entries/retrieve", json={"logIndexes": [0, 1]}) as answer:
        assert [list(one) for one in await answer.json()] == [[first], [first]]
    transport = Changing(stack.http, "/log/entries")
    with pytest.raises(Refused, match="not about this signature"):
        await stack.sign(transport, 1)
    assert first.encode() in transport.seen[0][0]


async def test_a_certificate_for_another_is_in_the_certificate_log(stack: Stack):
    async def size() -> int:
        async with stack.http.get("/ct/v1/get-sth") as answer:
            return int((await answer.json())["tree_size"])

    before = await size()
    await on(stack, "other-identity", identity="eve@example.com")
    bundle = await stack.sign(Changing(stack.http))
    assert b"eve@example.com" in (bundle.certificate or b"")
    assert await size() == before + 2, "the one that was asked for, and the other one"


async def test_a_stack_with_workers_has_none():
    faults = Faults(None)
    with pytest.raises(Refused, match="has workers"):
        faults.on("slow", b"")
    assert all(row["active"] is None for row in faults.document())
