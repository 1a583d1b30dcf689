# SPDX-License-Identifier: Apache-2.0
"""tsa: an RFC 3161 timestamp authority."""
