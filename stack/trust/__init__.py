# SPDX-License-Identifier: Apache-2.0
"""The trust root: the documents that say which keys count, and the TUF repository that carries them."""
