# SPDX-License-Identifier: Apache-2.0
"""``/tuf``: the repository as files. Exact names only; what does not exist is 404, which ends a client's root chain."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from aiohttp import web

from sigcore.patterns import pattern
from stack.config import Home

_METADATA: Final = pattern(r"(?:[1-9][0-9]{0,8}\.(?:root|targets|snapshot|policy)|timestamp)\.json\Z", re.ASCII)
_TARGET: Final = pattern(r"[0-9a-f]{64}\.[a-z0-9][a-z0-9._-]{0,63}\Z", re.ASCII)
_IMMUTABLE: Final = "public, max-age=31536000, immutable"


def fingerprint(home: Home) -> str:
    """SHA-256 of the first TUF root, lower-case hex: what a client compares before it trusts."""
    return hashlib.sha256(home.tuf_root.read_bytes()).hexdigest()


def make_routes(folder: Path) -> list[web.RouteDef]:
    """Routes that serve the TUF repository in ``folder``."""

    async def metadata(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        caching = "no-cache" if name == "timestamp.json" else _IMMUTABLE
        return _file(folder / name, caching) if _METADATA.match(name) else _absent(name)

    async def target(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return _file(folder / "targets" / name, _IMMUTABLE) if _TARGET.match(name) else _absent(name)

    return [web.get("/tuf/{name}", metadata), web.get("/tuf/targets/{name}", target)]


def _file(path: Path, caching: str) -> web.Response:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return _absent(path.name)
    kind = "application/json" if path.suffix == ".json" else "application/octet-stream"
    return web.Response(body=data, content_type=kind, headers={"Cache-Control": caching})


def _absent(name: str) -> web.Response:
    return web.json_response({"code": 404, "message": f"there is no {name!a} in this TUF repository"}, status=404)
