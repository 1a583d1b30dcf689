# SPDX-License-Identifier: Apache-2.0
"""``/tuf``: the repository as files. Exact names only; what does not exist is 404, which ends a client's root chain.

Beside it the documents of ``public/`` and the first root as plain downloads, each under its one name. Whoever takes them so has them from
whoever answers at the URL: only the root can be compared with the fingerprint, and the rest follows from it over TUF.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.helpers import ETAG_ANY, ETag

from sigcore import limits
from sigcore.patterns import pattern
from sigcore.strict import parse_json
from stack.config import Home
from stack.files import load_file

_METADATA: Final = pattern(r"(?:[1-9][0-9]{0,8}\.(?:root|targets|snapshot|policy)|timestamp)\.json\Z", re.ASCII)
_TARGET: Final = pattern(r"[0-9a-f]{64}\.[a-z0-9][a-z0-9._-]{0,63}\Z", re.ASCII)
_IMMUTABLE: Final = "public, max-age=31536000, immutable"
_CHANGING: Final = "no-cache"
_IN_TUF: Final = "in this TUF repository"


def fingerprint(home: Home) -> str:
    """SHA-256 of the first TUF root, lower-case hex: what a client compares before it trusts. NotFound: it is not there."""
    return hashlib.sha256(load_file(home.tuf_root, what="the first TUF root", limit=limits.TRUSTED_ROOT)).hexdigest()


def make_routes(home: Home) -> list[web.RouteDef]:
    """Routes that serve the TUF repository of a stack, and the downloads."""
    folder = home.tuf_repository

    async def metadata(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        caching = _CHANGING if name == "timestamp.json" else _IMMUTABLE
        return _file(request, folder / name, caching) if _METADATA.match(name) else _absent(_IN_TUF, name)

    async def target(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        path = folder / "targets" / name
        return _file(request, path, _IMMUTABLE) if _TARGET.match(name) else _absent(_IN_TUF, name)

    return [
        web.get("/tuf/{name}", metadata),
        web.get("/tuf/targets/{name}", target),
        *(web.get(f"/{name}", _download(path)) for name, path in downloads(home).items()),
    ]


def downloads(home: Home) -> dict[str, Path]:
    """The plain downloads: the name of each, and the file that it comes from."""
    return {
        "root.json": home.tuf_root,
        "trusted_root.json": home.trusted_root,
        "trusted_root.jsonl": home.trusted_root,
        "signing_config.json": home.signing_config,
        "trust_config.json": home.trust_config,
    }


def _download(path: Path) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def download(request: web.Request) -> web.Response:
        return _file(request, path, _CHANGING, one_line=request.path.endswith("l"))

    return download


def _file(request: web.Request, path: Path, caching: str, *, one_line: bool = False) -> web.Response:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return _absent(_IN_TUF if request.path.startswith("/tuf/") else "at this stack", path.name)
    if one_line:
        document = parse_json(data, what=path.name, limit=limits.TRUSTED_ROOT)
        data = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    tag = ETag(hashlib.sha256(data).hexdigest())
    response = web.Response(headers={"Cache-Control": caching, "Access-Control-Allow-Origin": "*"})
    response.etag = tag
    if any(one.value in (tag.value, ETAG_ANY) for one in request.if_none_match or ()):
        response.set_status(HTTPStatus.NOT_MODIFIED)
        return response
    response.body = data
    json_ = "application/jsonl" if one_line else "application/json"
    response.content_type = json_ if path.suffix == ".json" else "application/octet-stream"
    return response


def _absent(where: str, name: str) -> web.Response:
    return web.json_response({"code": 404, "message": f"there is no {name!a} {where}"}, status=404)
