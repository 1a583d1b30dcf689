# SPDX-License-Identifier: Apache-2.0
"""What a service answered that is no answer of such a service: no fault of whoever asked, and the place is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sigcore.errors import Malformed


class BadAnswer(Malformed):
    """A service answered, and with something else than such a service answers."""


@contextmanager
def answering(service: str, url: str) -> Iterator[None]:
    """What is read inside was answered by ``service`` at ``url``.

    Raises:
        BadAnswer: it is malformed. A proxy's or portal's own page is the usual case, so the place is named.
    """
    try:
        yield
    except Malformed as error:
        raise BadAnswer(
            f"{service} at {url} gave another answer than such a service does: {error.message}",
            error.hint or "is the URL right, and does no proxy or portal answer in its place?",
        ) from error
