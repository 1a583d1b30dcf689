# SPDX-License-Identifier: Apache-2.0
"""Where a log is kept: one Protocol, one contract test suite, one module for each store."""
