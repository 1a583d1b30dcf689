# SPDX-License-Identifier: Apache-2.0
"""``python -m stack.cli``: the console script without its wrapper."""

from __future__ import annotations

import sys

from stack.cli import main

sys.exit(main())
