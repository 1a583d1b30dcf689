# SPDX-License-Identifier: Apache-2.0
"""sigcore: bytes <-> frozen values; pure, standard library and cryptography only."""
