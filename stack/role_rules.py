# SPDX-License-Identifier: Apache-2.0
"""``[ca]``, ``[ct]``, ``[log]`` and ``[tsa]`` of the settings file: rules for one role.

Members:
    ca.certificate_lifetime: how long a certificate is good, in minutes (``"10m"``) or seconds (``"90s"``); ten minutes where it is absent.
    ct.issuers: "own" where it is absent; whose certificates the certificate log takes, :mod:`stack.writer_rules`.
    log.entry_types: the kinds of entries that the signature logs take, ``["hashedrekord", "dsse"]``; all where it is absent.
    log.witness_quorum: how many of its witnesses must cosign a checkpoint of Rekor v2 before it is shown; 0, and so none, where it is absent.
    log.witnesses: whom it asks, :mod:`stack.witness_rows`.
    log.writers: whose entries both logs take, :mod:`stack.writer_rules`; anybody's where it is absent.
    tsa.require_synchronised_clock: true: no timestamps while the kernel does not say that its clock is synchronised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from sigcore.entries_v1 import KINDS
from sigcore.errors import Malformed
from sigcore.patterns import pattern
from sigcore.strict import shown
from stack.witness_rows import check_quorum, parse_quorum, parse_witnesses
from stack.writer_rules import parse_issuers, parse_writers

_SPAN: Final = pattern(r"([1-9][0-9]{0,3})([ms])\Z", re.ASCII)
_LIFETIME_S: Final = range(60, 30 * 60 + 1)
"""Below, clients cannot finish; above, certificates of a rotated authority would outlive the hour for which that still counts."""


def parse_role_tables(tables: Mapping[str, object]) -> dict[str, Any]:
    """The members of :class:`stack.config.Settings` that the tables set.

    Raises:
        Malformed: no table, an unknown member, or a value that nobody can mean.
    """
    found: dict[str, Any] = {}
    for name, members in MEMBERS.items():
        table = tables.get(name, {})
        if not isinstance(table, dict):
            raise Malformed(f"{name} is {shown(table)}, expected a table", f"write [{name}] above its members")
        for member, value in table.items():
            if member not in members:
                raise Malformed(f"[{name}] has the unknown member {shown(member)}", f"known: {', '.join(members)}")
            found |= members[member](value)
    check_quorum(found)
    return found


def _lifetime(value: object) -> dict[str, Any]:
    match = _SPAN.match(value) if isinstance(value, str) else None
    seconds = int(match[1]) * (60 if match[2] == "m" else 1) if match else 0
    if seconds not in _LIFETIME_S:
        raise Malformed(f"certificate_lifetime is {shown(value)}, expected one minute to thirty", 'for example "10m"')
    return {"certificate_lifetime_s": seconds}


def _kinds(value: object) -> dict[str, Any]:
    if not isinstance(value, list) or not value or any(kind not in KINDS for kind in value):
        raise Malformed(f"entry_types is {shown(value)}, expected a list of kinds", f"of {', '.join(KINDS)}")
    return {"entry_types": tuple(kind for kind in KINDS if kind in value)}


def _synchronised(value: object) -> dict[str, Any]:
    if not isinstance(value, bool):
        raise Malformed(f"require_synchronised_clock is {shown(value)}, expected true or false")
    return {"require_synchronised_clock": value}


MEMBERS: Final = {
    "ca": {"certificate_lifetime": _lifetime},
    "ct": {"issuers": parse_issuers},
    "log": {
        "entry_types": _kinds,
        "witness_quorum": parse_quorum,
        "witnesses": parse_witnesses,
        "writers": parse_writers,
    },
    "tsa": {"require_synchronised_clock": _synchronised},
}
"""Table -> member -> what it sets."""
