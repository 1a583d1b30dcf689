# SPDX-License-Identifier: Apache-2.0
"""What a form of the console may send: from our own pages only, and bounded."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http import HttpProcessingError

from sigcore.errors import Malformed, Refused
from stack.config import Settings

TEXT: Final = 4096
"""Bytes of a text that is signed in a page."""
IDENTITY: Final = 320
"""Characters of an email address (RFC 5321 section 4.5.3.1)."""


def check_origin(request: web.Request, settings: Settings) -> None:
    """Only our own form: no foreign page makes a reader's browser work here.

    Raises:
        Refused: the browser says that another site has sent it (Fetch Metadata; RFC 6454 section 7).
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is None:  # browsers leave it out where they do not trust the connection: plain HTTP to another machine
        own = origin is None or origin.partition("://")[2] in (request.host, urlsplit(settings.url).netloc)
    else:
        own = site in ("same-origin", "none")
    if not own:
        raise Refused("the form was sent by another site", f"open {settings.url}{request.path} yourself")


def see_other(path: str) -> web.Response:
    """Where what a form has made is to be seen: a reload does not send the form again."""
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": path, "Cache-Control": "no-store"})


async def read_form(request: web.Request) -> Mapping[str, str | bytes | bytearray | web.FileField]:
    """The fields of a form.

    Raises:
        Malformed: the body is none.
    """
    try:
        return await request.post()
    except (
        ValueError,
        LookupError,
        AssertionError,
        RuntimeError,
        HttpProcessingError,
    ) as error:  # aiohttp's, by what is wrong with the parts
        raise Malformed("the body is not a form", "send it as a browser does") from error


async def read_texts(request: web.Request) -> dict[str, str]:
    """The fields of a form that are texts; files are left out. Errors as :func:`read_form`."""
    return {name: value for name, value in (await read_form(request)).items() if isinstance(value, str)}


def text_to_sign(texts: Mapping[str, str]) -> bytes:
    """The field ``text``, its lines ended as on this machine and not as forms send them.

    Raises:
        Malformed: it is empty or too long.
    """
    data = texts.get("text", "").replace("\r\n", "\n").encode("utf-8", "surrogatepass")
    if not data.strip():
        raise Malformed("there is nothing to sign", "write something into the field")
    if len(data) > TEXT:
        raise Malformed(
            f"the text has {len(data)} bytes, the limit here is {TEXT}", "sigbox sign-blob has no such limit"
        )
    return data


def identity_to_be(texts: Mapping[str, str]) -> str:
    """The field ``identity``; the provider judges the rest of it.

    Raises:
        Malformed: it is empty, too long, or cannot be printed.
    """
    identity = texts.get("identity", "").strip()
    if not identity or len(identity) > IDENTITY or not identity.isprintable():
        raise Malformed("there is nobody to sign as", f"an email address of at most {IDENTITY} characters is needed")
    return identity
