# SPDX-License-Identifier: Apache-2.0
"""client: sign and verify, the cosign way."""
