# SPDX-License-Identifier: Apache-2.0
"""What a serving process does beside its answers."""

from __future__ import annotations

from types import SimpleNamespace

from stack.running import audit_all


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
