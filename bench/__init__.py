# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: figures as ratios to what the same machine does in the same minute."""
