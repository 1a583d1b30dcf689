# SPDX-License-Identifier: Apache-2.0
"""The TLS presentation language, as far as Certificate Transparency writes in it: big-endian numbers and opaque vectors.

Source: RFC 5246 section 4 (the same in RFC 8446 section 3).
"""

from __future__ import annotations

from sigcore.errors import Malformed


# --- build -----------------------------------------------------------------------------------------
def uint8(value: int) -> bytes:
    """uint8."""
    return _uint(value, 1)


def uint16(value: int) -> bytes:
    """uint16."""
    return _uint(value, 2)


def uint24(value: int) -> bytes:
    """uint24."""
    return _uint(value, 3)


def uint64(value: int) -> bytes:
    """uint64."""
    return _uint(value, 8)


def opaque(data: bytes, length_bytes: int) -> bytes:
    """``opaque data<0..2^(8 * length_bytes) - 1>``: the length, then the bytes.

    Raises:
        Malformed: longer than its length field can say.
    """
    size = len(data)
    return (_uint(size, length_bytes) if size >> 8 * length_bytes else size.to_bytes(length_bytes, "big")) + data


def _uint(value: int, size: int) -> bytes:
    try:
        return value.to_bytes(size, "big")
    except OverflowError as error:
        raise Malformed(f"the number {value} does not fit into {size} bytes") from error


# --- read ------------------------------------------------------------------------------------------
class Reader:
    """Reads one value after the other from ``data``; every refusal names ``what``."""

    __slots__ = ("_data", "_position", "what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._position = 0
        self.what = what

    @property
    def at_end(self) -> bool:
        """Whether everything has been read."""
        return self._position == len(self._data)

    def fixed(self, size: int) -> bytes:
        """``opaque[size]``: exactly ``size`` bytes."""
        start, end = self._position, self._position + size
        if end > len(self._data):
            raise Malformed(f"{self.what} ends at byte {len(self._data)}, expected {size} bytes from byte {start} on")
        self._position = end
        return self._data[start:end]

    def uint(self, size: int) -> int:
        """A number of ``size`` bytes."""
        return int.from_bytes(self.fixed(size), "big")

    def opaque(self, length_bytes: int, limit: int | None = None) -> bytes:
        """A vector after its length in ``length_bytes`` bytes, at most ``limit`` bytes long."""
        size = self.uint(length_bytes)
        if limit is not None and size > limit:
            raise Malformed(f"{self.what} has a vector of {size} bytes, the limit is {limit}")
        return self.fixed(size)

    def finish(self) -> None:
        """Refuse anything that is left."""
        if not self.at_end:
            raise Malformed(f"{self.what} has {len(self._data) - self._position} bytes after its end")
