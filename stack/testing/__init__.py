# SPDX-License-Identifier: Apache-2.0
"""A whole Sigstore for the length of a test, of a test run, or of a block.

:mod:`stack.testing.plugin` gives pytest the fixtures ``sigbox`` and ``make_sigbox``; :func:`running` is for everybody else. Each
stack is a process of its own, on a free loopback port, and ends with whoever started it. The manual is docs/testing.md.

pytest imports this package in every run, needed or not: it stays with the standard library and the plain text forms of sigcore.
"""

from __future__ import annotations

from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable
from stack.testing.asked import Asked
from stack.testing.attached import load_ready, load_trust_config
from stack.testing.box import EMAIL, Sigbox
from stack.testing.process import running

__all__ = [
    "EMAIL",
    "Asked",
    "Malformed",
    "NotFound",
    "Refused",
    "SigError",
    "Sigbox",
    "Unavailable",
    "load_ready",
    "load_trust_config",
    "running",
]
