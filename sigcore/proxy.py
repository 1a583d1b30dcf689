# SPDX-License-Identifier: Apache-2.0
"""A proxy that leads to hosts outside: whom it is asked to connect to, the whole way stays encrypted (RFC 9110 section 9.3.6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class Proxy:
    """``url`` is ``http://HOST:PORT`` without credentials; those are in ``headers``, which only the proxy sees."""

    url: str
    headers: Mapping[str, str] = MappingProxyType({})


Way: TypeAlias = Callable[[str], Proxy | None]
"""The proxy that leads to a URL; None for a connection of our own."""


def straight(_url: str) -> None:
    """The :data:`Way` without a proxy."""
