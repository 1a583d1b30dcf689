# SPDX-License-Identifier: Apache-2.0
"""One action of ``sigbox log``, as a row of a table."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Action:
    """``sigbox log NAME``: what it is ``about``, its options, what does it and answers with the exit code."""

    name: str
    about: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Awaitable[int]]
