# SPDX-License-Identifier: Apache-2.0
"""How each official client is pointed at this stack: the lines of `sigbox env`, of the front page and of a start."""
