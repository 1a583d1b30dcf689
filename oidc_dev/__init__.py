# SPDX-License-Identifier: Apache-2.0
"""oidc_dev: an OpenID provider for people and machines."""
