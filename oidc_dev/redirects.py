# SPDX-License-Identifier: Apache-2.0
"""Where an answer may be sent: to a program on the user's own machine, or onto the page itself (RFC 8252 section 7.3). Pure.

The whole URI is held against one pattern and never taken apart by a URL parser: what two parsers read differently (user-info,
backslashes, escapes in the host, unusual spellings of an address) does not match.
"""

from __future__ import annotations

import re
from typing import Final

from sigcore import limits
from sigcore.patterns import pattern

OUT_OF_BAND: Final = "urn:ietf:wg:oauth:2.0:oob"
"""The code is shown, and typed into the client by hand."""

_OCTET: Final = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_PORT: Final = r"(?:6553[0-5]|655[0-2]\d|65[0-4]\d\d|6[0-4]\d{3}|[1-5]\d{4}|[1-9]\d{0,3})"
_PATH: Final = r"(?:/(?:[A-Za-z0-9._~!$'()*,;=:/-]|%[0-9A-Fa-f]{2})*)?"
_LOOPBACK: Final = pattern(
    rf"(?P<origin>http://(?P<host>localhost|127(?:\.{_OCTET}){{3}}|\[::1\])(?::{_PORT})?){_PATH}\Z", re.ASCII
)
"""No query: whoever could bring one could bring a ``code`` of his own beside ours. No fragment (RFC 6749 section 3.1.2)."""
_NAMEABLE: Final = ("localhost", "127.0.0.1")
"""Hosts that a content security policy can name; it matches no other address (CSP 3 section 6.7.2.8)."""


def is_redirect_uri(uri: str) -> bool:
    """Whether a client may ask for ``uri``: http, loopback, any port, any path; or the out-of-band name."""
    return uri == OUT_OF_BAND or (len(uri) <= limits.REDIRECT_URI and _LOOPBACK.match(uri) is not None)


def policy_source(uri: str) -> str:
    """``uri``, which a client may ask for, as a source of a content security policy's ``form-action``.

    Empty for the out-of-band name. What is not on loopback is the redirect URI of a client of our own.
    """
    match = _LOOPBACK.match(uri)
    if match is None:
        return "/".join(uri.split("/", 3)[:3]) if "://" in uri else ""
    return match["origin"] if match["host"] in _NAMEABLE else "http:"
