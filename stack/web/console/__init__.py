# SPDX-License-Identifier: Apache-2.0
"""The console: pages for people who ask who signed what, and why that can be believed. They work without scripts."""
