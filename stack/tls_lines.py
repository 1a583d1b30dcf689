# SPDX-License-Identifier: Apache-2.0
"""The lines that make each client trust a TLS authority of ours."""

from __future__ import annotations

import shlex
from pathlib import Path


def trust_lines(authority: Path) -> tuple[str, ...]:
    """Lines for a shell that make each client trust our TLS authority (the variables replace the system's roots)."""
    path = shlex.quote(str(authority))
    return (
        "# TLS: make each client trust this stack's own authority",
        f"export SSL_CERT_FILE={path}         # cosign, gitsign and all of Go; sigbox; TUF in sigstore-python",
        f"export REQUESTS_CA_BUNDLE={path}    # the rest of sigstore-python",
        f"export NODE_EXTRA_CA_CERTS={path}   # sigstore-js",
    )
