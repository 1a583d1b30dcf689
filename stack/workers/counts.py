# SPDX-License-Identifier: Apache-2.0
"""What the workers count, brought together in the sequencer, which exposes it: sums over all of them, no series for each.

A worker tells once a second what it has counted since its start; the sequencer adds what is new. So nothing is counted twice or
lost when the sequencer is started again, and at most a second's worth when a worker is killed.

A report: connections now (4), cut (8), then to its end for each series: method opaque<1>, route opaque<2>, status (2), requests
in each bucket (8 each), microseconds (8).
"""

from __future__ import annotations

import struct
from typing import Final

from sigcore.errors import Malformed
from sigcore.tls import Reader, opaque
from sigcore.values import dataclass
from stack.traffic import BUCKETS_S, Traffic

REPORT_S: Final = 1.0
"""How old a figure may be."""
_CONNECTIONS: Final = struct.Struct(">IQ")
_NUMBERS: Final = struct.Struct(f">H{len(BUCKETS_S) + 1}QQ")


@dataclass(frozen=True, slots=True)
class Counted:
    """Of one series."""

    buckets: tuple[int, ...]
    microseconds: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one worker, since its start. ``series`` by method, route and status."""

    connections: int
    cut: int
    series: dict[tuple[str, str, int], Counted]


NONE: Final = Counts(0, 0, {})


def encode_counts(traffic: Traffic, connections: int, cut: int) -> bytes:
    """What :func:`parse_counts` reads."""
    rows = [_CONNECTIONS.pack(connections, cut)]
    for (method, route, status), one in traffic.series.items():
        rows += opaque(method.encode("ascii"), 1), opaque(route.encode(), 2)
        rows.append(_NUMBERS.pack(status, *one.buckets, round(one.seconds * 1e6)))
    return b"".join(rows)


def parse_counts(data: bytes) -> Counts:
    """A report.

    Raises:
        Malformed: it is none.
    """
    reader = Reader(data, "a worker's report")
    connections, cut = _CONNECTIONS.unpack(reader.fixed(_CONNECTIONS.size))
    series: dict[tuple[str, str, int], Counted] = {}
    while not reader.at_end:
        try:
            method, route = reader.opaque(1).decode("ascii"), reader.opaque(2).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Malformed("a worker's report names a route that is no text") from error
        status, *buckets, microseconds = _NUMBERS.unpack(reader.fixed(_NUMBERS.size))
        series[method, route, status] = Counted(tuple(buckets), microseconds)
    return Counts(connections, cut, series)


def add_to(traffic: Traffic, now: Counts, before: Counts) -> None:
    """Count in ``traffic`` what a worker did between two reports."""
    for key, counted in now.series.items():
        old = before.series.get(key) or Counted((0,) * len(counted.buckets), 0)
        buckets = [new - was for new, was in zip(counted.buckets, old.buckets, strict=True)]
        traffic.add(key, buckets, (counted.microseconds - old.microseconds) / 1e6)
