# SPDX-License-Identifier: Apache-2.0
"""Backups of a whole data directory, taken while it is served, and their restoring, which believes nothing that it has not hashed."""
