# SPDX-License-Identifier: Apache-2.0
"""Import aiohttp's server without its client.

``import aiohttp.web`` runs ``aiohttp/__init__.py`` first, which imports the client: a seventh of a start, and 60 to 100 ms more
for the TLS context into which it reads every public root. The serving process asks nobody. So the package's own code waits
until somebody takes something of it that is no submodule, such as ``aiohttp.ClientSession``; from then on it is as ever.
"""

from __future__ import annotations

import mimetypes
import sys
from importlib.util import find_spec, module_from_spec
from typing import Any, Final

_SEEN_BY_THE_SERVER: Final = {"__version__": "3"}
"""What aiohttp's server modules take of the package itself: for the Server header, which the edge replaces."""


def import_server() -> None:
    """Import ``aiohttp.web``; harmless when aiohttp is imported already."""
    spec = None if "aiohttp" in sys.modules else find_spec("aiohttp")
    if spec is None or spec.loader is None:
        _import_web()
        return
    package, loader = module_from_spec(spec), spec.loader
    vars(package).update(_SEEN_BY_THE_SERVER)
    sys.modules["aiohttp"] = package
    _import_web()

    def complete(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        del vars(package)["__getattr__"]
        loader.exec_module(package)
        return getattr(package, name)

    vars(package)["__getattr__"] = complete  # PEP 562; only now, since "from . import hdrs" asks for attributes too


def _import_web() -> None:
    """``aiohttp.web`` reads the machine's list of file types, a thousand lines: 3 ms, for a server that names its types itself."""
    known, mimetypes.knownfiles = mimetypes.knownfiles, []
    try:
        import aiohttp.web  # noqa: F401, PLC0415 - importing it here and now is the point
    finally:
        mimetypes.knownfiles = known
