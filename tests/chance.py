# SPDX-License-Identifier: Apache-2.0
"""What tests at random start from: the same in every run, or what ``SIGBOX_TEST_SEED`` says.

A run on a change must not turn red by a moment that has nothing to do with the change; who looks for more moments asks for them:
``make hunt`` gives a fresh seed to each of its rounds. A test prints the seed that it used.
"""

from __future__ import annotations

import os
import time


def chosen_seed() -> int:
    """A number for ``Random``; ``SIGBOX_TEST_SEED=new`` is another one each time."""
    asked = os.environ.get("SIGBOX_TEST_SEED", "1")
    return time.time_ns() if asked == "new" else int(asked)
