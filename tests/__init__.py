# SPDX-License-Identifier: Apache-2.0
"""The tests. A package, so that ``from tests.stack_process import ...`` finds ours and nobody else's ``tests``."""
