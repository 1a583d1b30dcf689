# SPDX-License-Identifier: Apache-2.0
"""The web console. So far its front page: what runs here and how to trust it."""
