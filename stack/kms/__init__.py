# SPDX-License-Identifier: Apache-2.0
"""Keys in a KMS, through Sigstore's plugin protocol: ours as the caller, and as the program that others call.

Imported only where a key reference ``NAME://KEY`` is given.
"""
