# SPDX-License-Identifier: Apache-2.0
"""Watch rules: names that somebody looks out for in the stack's own logs, and how that person is told."""
