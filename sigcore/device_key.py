# SPDX-License-Identifier: Apache-2.0
"""Private keys that a device or a program holds: signing waits for it, and can fail at any time.

A key in memory has nothing of this, and is used where it is needed; :func:`aside`, :func:`check` and :func:`over` cost it one look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeGuard, TypeVar

from sigcore.keys import PrivateKey, PublicKey

Made = TypeVar("Made")


class DeviceKey(Protocol):
    """What such a key has beside the interface of its kind."""

    def public_key(self) -> PublicKey:
        """The public half, for which the device is not asked."""
        ...

    async def aside(self, work: Callable[[], Made]) -> Made:
        """The outcome of ``work``, which signs with this key, while the caller's event loop goes on.

        Raises:
            Unavailable: the device does not answer in time.
        """
        ...

    def check(self) -> None:
        """Raises Unavailable where the device is known not to answer; looks again soon, and waits for nothing."""
        ...

    def prove(self) -> None:
        """Sign once, and let go of the device.

        Raises:
            NotFound, Refused, Unavailable: what is wrong, and what to do.
        """
        ...


def in_device(key: object) -> TypeGuard[DeviceKey]:
    """Whether a device holds ``key``."""
    return hasattr(key, "aside")


async def aside(key: PrivateKey, work: Callable[[], Made]) -> Made:
    """The outcome of ``work``, which signs with ``key``: made here, or wherever the device keeps nobody waiting.

    Raises:
        Unavailable: the device does not answer. Others as ``work``.
    """
    return await key.aside(work) if in_device(key) else work()


def check(key: PrivateKey) -> None:
    """Raises Unavailable where ``key`` is in a device that is known not to answer."""
    if in_device(key):
        key.check()


def over(key: PrivateKey, artifact: object) -> PrivateKey:
    """``key`` for signing a digest of ``artifact``, which is its content or the file that has it: some programs that hold a key hash the
    message themselves.
    """
    reads: Any = getattr(key, "over", None)
    if reads is None:
        return key
    knowing: PrivateKey = reads(artifact)
    return knowing
