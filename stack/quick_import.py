# SPDX-License-Identifier: Apache-2.0
"""Import the web server without reading the system's certificate authorities.

aiohttp makes a TLS client context when it is imported and reads every public root into it: 60 to 100 ms, a sixth of a start.
The serving process asks nobody over TLS. So it takes the context empty, which is also the safer one: a connection that
nobody planned finds nobody to trust. Whoever will need TLS towards somebody gives a context with the roots for that one.
"""

from __future__ import annotations

import os
from typing import Final

_VARIABLE: Final = "SSL_CERT_FILE"
"""Where OpenSSL looks first."""


def import_server() -> None:
    """Import aiohttp's server; the environment is afterwards as it was."""
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = os.devnull
    try:
        import aiohttp.web  # noqa: F401, PLC0415 - importing it here and now is the point
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before
