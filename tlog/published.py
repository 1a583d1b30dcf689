# SPDX-License-Identifier: Apache-2.0
"""What a log shows to whoever reads it: one that is kept here, or a copy of one that is kept elsewhere."""

from __future__ import annotations

from typing import Protocol

from sigcore.merkle import Hash
from tlog.audit import Audit
from tlog.publish import HeadReader
from tlog.storage.base import Head
from tlog.submission import Receipt, Submission


class Published(Protocol):
    """See :class:`tlog.log.Log`, whose members these are."""

    @property
    def publisher(self) -> HeadReader:
        """Whose log it is."""
        ...

    @property
    def size(self) -> int:
        """The number of published entries."""
        ...

    @property
    def head(self) -> Head:
        """The published head. Unavailable while the log is empty."""
        ...

    @property
    def fault(self) -> str:
        """Why nothing new is to be had from it now; empty when all is well."""
        ...

    @property
    def damage(self) -> str:
        """What was found wrong with it for good; empty when all is well."""
        ...

    @property
    def waiting(self) -> int:
        """Entries that were brought and are not answered."""
        ...

    @property
    def audited(self) -> Audit | None:
        """What the full pass over what is stored has covered; None until it has passed."""
        ...

    @property
    def audited_ms(self) -> int:
        """When that pass ended, whatever came of it (Unix time, milliseconds); 0 while it has not."""
        ...

    async def receipt(self, index: int) -> Receipt:
        """The receipt of a published entry at the current head. NotFound beyond it."""
        ...

    async def entries(self, first: int, end: int) -> tuple[Submission, ...]:
        """The published entries [first, end). NotFound when one of them is not published."""
        ...

    async def inclusion(self, index: int, size: int) -> tuple[Hash, ...]:
        """The inclusion proof of an entry in the tree of ``size`` leaves. Malformed when there is none."""
        ...

    async def consistency(self, first: int, second: int) -> tuple[Hash, ...]:
        """The proof that the tree of ``first`` leaves is a prefix of that of ``second``. Malformed when there is none."""
        ...
