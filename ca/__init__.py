# SPDX-License-Identifier: Apache-2.0
"""ca: a Fulcio-compatible certificate authority."""
