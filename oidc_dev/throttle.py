# SPDX-License-Identifier: Apache-2.0
"""How often somebody may try: token buckets in bounded memory. Time is given, in seconds of any clock that does not go back."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

MOST: Final = 10_000
"""Buckets of one throttle; beyond it the one that was not asked for longest is dropped."""


@dataclass(frozen=True, slots=True)
class Rate:
    """``burst`` tries at once, and one more every ``pause_s`` seconds."""

    burst: int
    pause_s: float


class Throttle:
    """One bucket per key. A key that was never seen has a full one, so full ones need no memory."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, key: str, *, now_s: float) -> float:
        """Take one try of ``key``: 0 when there was one, else the seconds until there will be. A refusal takes nothing."""
        latest = now_s + self.rate.burst * self.rate.pause_s  # a clock that was set back locks nobody out
        full_at = min(max(self._full_at.pop(key, now_s), now_s), latest)
        wait_s = full_at - now_s - (self.rate.burst - 1) * self.rate.pause_s
        self._full_at[key] = full_at if wait_s > 0 else full_at + self.rate.pause_s
        while len(self._full_at) > MOST:
            self._full_at.popitem(last=False)
        return max(wait_s, 0.0)

    def give_back(self, key: str) -> None:
        """One try of ``key`` was none that had to be counted."""
        if key in self._full_at:
            self._full_at[key] -= self.rate.pause_s

    def forgive(self, key: str) -> None:
        """Fill the bucket of ``key``."""
        self._full_at.pop(key, None)


def network_of(address: str) -> str:
    """What one attacker has for himself: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address
