# SPDX-License-Identifier: Apache-2.0
"""Whether the checkpoint that the log shows has been cosigned by the witnesses that its settings name."""

from __future__ import annotations

from sigcore import limits
from sigcore.cosignature import parse_witness_verifier, verify_cosignature
from sigcore.errors import Refused, SigError
from sigcore.note import parse_note
from stack.doctor.finding import Skipped, Warned
from stack.doctor.there import There


async def witnesses(there: There) -> str:
    """Of Rekor v2, with each cosignature verified.

    Raises:
        Refused: fewer than the quorum. Warned: one is missing. Skipped: the settings name none, or are elsewhere.
    """
    if not there.witnesses:
        raise Skipped("no settings here name witnesses of the log")
    now = there.clock()
    for service in there.trust.config.rekor:
        if service.api_version == 2 and service.validity.covers(now):
            url = f"{service.url}/api/v2/checkpoint"
            answer = await there.transport.request("GET", url, headers={}, body=None, limit=limits.NOTE)
            if answer.status != 200:
                said = answer.body.decode("utf-8", "replace").strip()
                raise Refused(
                    f"{url} answered {answer.status}: {said}", "see to the witnesses; the log's own log says more"
                )
            return _judged(there, answer.body.decode("utf-8", "replace"))
    raise Skipped("the signing config names no log of Rekor v2")


def _judged(there: There, envelope: str) -> str:
    note, there_are, missing = parse_note(envelope), list[str](), list[str]()
    for row in there.witnesses:
        key = parse_witness_verifier(row.key)
        try:
            verify_cosignature(note, key)
        except SigError:
            missing.append(f"{key.name} at {row.url}")
        else:
            there_are.append(key.name)
    hint = "is it reachable from the log, and does it list the log? sigbox witness list over there; the log's own log says why"
    if len(there_are) < there.quorum:
        raise Refused(f"the checkpoint has {len(there_are)} cosignatures, {there.quorum} are demanded", hint)
    if missing:
        raise Warned(f"the checkpoint is not cosigned by {', '.join(missing)}", hint)
    return f"the checkpoint is cosigned by {', '.join(there_are)}"
