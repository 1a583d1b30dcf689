# SPDX-License-Identifier: Apache-2.0
"""Packages of other ecosystems: how each names what it publishes, and what its attestations say. Pure, but for reading a package."""
