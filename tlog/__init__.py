# SPDX-License-Identifier: Apache-2.0
"""tlog: one Merkle engine, several logs."""
