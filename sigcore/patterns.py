# SPDX-License-Identifier: Apache-2.0
"""Regular expressions that are compiled when they are first used.

A process imports the modules of many specifications and reads few of their forms: a start of the stack compiled forty expressions
of ours, a thirtieth of its time, to use ten.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, AnyStr

if TYPE_CHECKING:

    def pattern(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
        """As :func:`re.compile`; what is wrong with ``text`` is found at the first use."""
        ...
else:

    class pattern:  # noqa: N801 - it stands for a function
        """As :func:`re.compile`; what is wrong with ``text`` is found at the first use."""

        def __init__(self, text: str | bytes, flags: int = 0) -> None:
            self._given = text, flags

        def __getattr__(self, name: str) -> Any:
            """A method or member of the compiled expression; the next time it is found without this."""
            found = getattr(re.compile(*self._given), name)
            if not name.startswith("__"):
                setattr(self, name, found)
            return found
