# SPDX-License-Identifier: Apache-2.0
"""What a serving process does beside its answers."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from stack import running
from stack.running import audit_all, audit_daily


async def test_the_audit_goes_on_although_a_log_is_added_meanwhile_and_one_fails_in_its_own_way():
    audited, logs = [], {}

    def log(name):
        async def audit() -> None:
            logs["rekor-2"] = log("rekor-2")
            audited.append(name)
            if name == "ct":
                raise TypeError("a column of another type")

        return SimpleNamespace(publisher=SimpleNamespace(origin=name), audit_in_background=audit)

    logs.update({name: log(name) for name in ("ct", "rekor", "rekor-v1")})
    await audit_all(logs)
    assert audited == ["ct", "rekor", "rekor-v1", "rekor-2"]


async def test_a_log_is_audited_again_and_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(running, "AUDIT_S", 0)
    often = asyncio.Event()
    times = 0

    async def audit() -> None:
        nonlocal times
        times += 1
        if times == 3:
            often.set()

    log = SimpleNamespace(publisher=SimpleNamespace(origin="ct"), audit_in_background=audit)
    task = asyncio.create_task(audit_daily({"ct": log}))
    await asyncio.wait_for(often.wait(), 60)
    task.cancel()
