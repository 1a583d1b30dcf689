# SPDX-License-Identifier: Apache-2.0
"""Reading a transparency log from outside, Rekor v1 or v2 (and any static copy of its tiles), and believing none of it.

What a reader hands out has been led to a head that the log has signed; what it signs is held against what it signed before.
"""
