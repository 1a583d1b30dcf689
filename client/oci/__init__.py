# SPDX-License-Identifier: Apache-2.0
"""Container images in OCI registries: references, manifests, a registry client."""
