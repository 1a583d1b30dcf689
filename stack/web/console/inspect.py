# SPDX-License-Identifier: Apache-2.0
"""``/inspect``: put a bundle, a trusted root or a certificate in, see what it is and what each check says.

Nothing is kept and nothing is fetched. The file that was signed is hashed in the reader's browser and not sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from aiohttp import web

from sigcore.errors import Malformed, SigError
from sigcore.trustroot import parse_trusted_root
from stack.config import Home, Settings
from stack.files import load_file
from stack.web.console.forms import check_origin, read_form

if TYPE_CHECKING:
    from stack.web.console.inspected import Demand, Inspected
    from stack.web.console.pages import Pages

_FIELD: Final = 4096
"""Characters of an identity, issuer, digest or key."""


def make_routes(home: Home, settings: Settings, pages: Callable[[], Pages]) -> list[web.RouteDef]:
    """The routes; ``pages`` is asked when the first page is."""

    async def form(request: web.Request) -> web.Response:
        return pages().page(request, "inspect.html", found=None, asked=_nothing())

    async def answer(request: web.Request) -> web.Response:
        try:
            check_origin(request, settings)
            data, demand, own = await _read(request)
            found = _inspect(home, data, demand, own)
        except SigError as error:
            return pages().refusal(request, error)
        return pages().page(request, "inspect.html", found=found, asked=demand)

    return [web.get("/inspect", form), web.post("/inspect", answer)]


async def _read(request: web.Request) -> tuple[bytes, Demand, bytes]:
    """What is to be looked into, what the reader says about it, and a trusted root of the reader's own."""
    # Deferred: the client's modules, which nothing else of a serving stack needs.
    from stack.web.console.inspected import MOST_BYTES, Demand  # noqa: PLC0415 - see the line above

    texts, files = dict[str, str](), dict[str, bytes]()
    fields = await read_form(request)
    for name, value in fields.items():
        if isinstance(value, web.FileField):
            files[name] = value.file.read(MOST_BYTES + 1)
        elif isinstance(value, str):
            texts[name] = value
    if any(len(texts.get(name, "")) > _FIELD for name in ("digest", "identity", "issuer", "key")):
        raise Malformed(f"a field of the form has more than {_FIELD} characters")
    data = files.get("file") or texts.get("text", "").encode("utf-8", "surrogatepass")
    if not data.strip():
        raise Malformed("nothing was put in", "choose a file, or paste its text")
    if len(data) > MOST_BYTES:
        raise Malformed(f"this has more than {MOST_BYTES} bytes", "sigbox bundle inspect FILE has no such limit")
    said = {name: texts.get(name, "").strip() for name in ("digest", "identity", "issuer", "key")}
    return data, Demand(**said), files.get("root", b"")


def _inspect(home: Home, data: bytes, demand: Demand, own: bytes) -> Inspected:
    from stack.web.console.inspected import inspect  # noqa: PLC0415 - as in _read

    root = own or load_file(home.trusted_root, what="the trusted root")
    return inspect(data, demand, parse_trusted_root(root))


def _nothing() -> Demand:
    from stack.web.console.inspected import Demand  # noqa: PLC0415 - as in _read

    return Demand()
