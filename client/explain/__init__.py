# SPDX-License-Identifier: Apache-2.0
"""The explanation of a signature: each step's bytes, what is checked, who could lie, and the shell line that repeats it.

Everything here is pure and renders what the one verifier (:mod:`client.verify`) has found; nothing here verifies, and nothing
of it is imported when no explanation is asked for.
"""
