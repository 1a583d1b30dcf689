# SPDX-License-Identifier: Apache-2.0
"""Whom a log asks for cosignatures: ``witness_quorum`` and ``[[log.witnesses]]`` of the settings file. Pure.

Members of a row:
    url: what ``/add-checkpoint`` follows; a path below the origin is allowed.
    key: the verifier key of the witness, ``NAME+HASH+KEY``.
    ca_file: the one authority (PEM) that its TLS certificate is checked with; the system's where it is absent.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sigcore.cosignature import parse_witness_verifier
from sigcore.errors import Malformed
from sigcore.patterns import pattern
from sigcore.strict import shown
from sigcore.values import dataclass

MOST: Final = 16
"""Witnesses of one log: a checkpoint with all of their lines is read by every client."""
_URL: Final = pattern(
    r"https?://(?:[a-z0-9][a-z0-9.-]{0,252}|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~-]+)*/?\Z", re.ASCII
)
_MEMBERS: Final = ("url", "key", "ca_file")


@dataclass(frozen=True, slots=True)
class WitnessRow:
    """One witness that is asked."""

    url: str
    key: str
    ca_file: str = ""


def parse_witnesses(value: object) -> dict[str, Any]:
    """``[[log.witnesses]]``. Malformed: no such table, or two rows with one key."""
    if not isinstance(value, list) or len(value) > MOST:
        raise Malformed(
            f"witnesses is {shown(value)}, expected up to {MOST} tables", "write [[log.witnesses]] above each"
        )
    rows = tuple(_row(table) for table in value)
    if len({row.key for row in rows}) < len(rows):
        raise Malformed("[[log.witnesses]] names one key twice", "each witness counts once")
    return {"witnesses": rows}


def parse_quorum(value: object) -> dict[str, Any]:
    """``witness_quorum`` of ``[log]``. Malformed: no number of witnesses."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST:
        raise Malformed(f"witness_quorum is {shown(value)}, expected a number of witnesses")
    return {"witness_quorum": value}


def check_quorum(found: dict[str, Any]) -> None:
    """Raises Malformed for a quorum that cannot be reached."""
    quorum, number = found.get("witness_quorum", 0), len(found.get("witnesses", ()))
    if quorum > number:
        hint = "name more of them in [[log.witnesses]], or demand fewer"
        raise Malformed(f"witness_quorum is {quorum}, and {number} witnesses are named", hint)


def _row(table: object) -> WitnessRow:
    if not isinstance(table, dict) or not table.keys() <= set(_MEMBERS):
        raise Malformed(f"a row of [[log.witnesses]] is {shown(table)}", f"known: {', '.join(_MEMBERS)}")
    url, key, ca_file = (table.get(name, "") for name in _MEMBERS)
    if not isinstance(url, str) or not _URL.match(url):
        raise Malformed(
            f"the url of a witness is {shown(url)}, expected http(s)://HOST[:PORT], and at most a path",
            "for example https://sigstore.partner.example/witness",
        )
    if not isinstance(key, str) or not isinstance(ca_file, str):
        raise Malformed(f"the key or ca_file of the witness {url} is no text")
    parse_witness_verifier(key)
    return WitnessRow(url.removesuffix("/"), key, ca_file)
