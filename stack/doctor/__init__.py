# SPDX-License-Identifier: Apache-2.0
"""``sigbox doctor``: is everything as it must be for the next signature, and if not, what is to be done."""
