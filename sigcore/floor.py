# SPDX-License-Identifier: Apache-2.0
"""A number that never goes down: the last time that was signed with."""

from __future__ import annotations


class Floor:
    """The highest number so far. Whoever shares one between processes has a class of his own with these two members."""

    def __init__(self, value: int = 0) -> None:
        self._value = value

    @property
    def value(self) -> int:
        """The highest number that was given."""
        return self._value

    def raise_to(self, value: int) -> None:
        """Keep ``value``, if it is the highest."""
        self._value = max(self._value, value)
