# SPDX-License-Identifier: Apache-2.0
"""The URIs that may stand in a certificate (RFC 3986), as grammars, and how a workflow's name becomes one.

Two readers of a certificate must never see two names, and two things must never get one name.
"""

from __future__ import annotations

import re
from typing import Final

from sigcore.errors import Refused
from sigcore.patterns import pattern
from sigcore.strict import shown

LENGTH: Final = 2048
"""Longest URI of a subject, in characters; far above any real workload's name."""
LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
"""RFC 1123 section 2.1."""
ORIGIN: Final = rf"https?://(?:{LABEL}\.)*{LABEL}(?::[1-9][0-9]{{0,4}})?"
"""RFC 3986 sections 3.1 and 3.2; no user information."""
REST: Final = r"(?:[/?](?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?\Z"
"""RFC 3986 sections 3.3 and 3.4: what may follow the authority. No fragment: it names no resource of its own."""

_BUILT: Final = pattern(rf"(?P<origin>{ORIGIN})(?P<path>/[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>#.*)?\Z", re.DOTALL)
_QUERY: Final = pattern(r"(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?-]*)?\Z")
_AS_IT_STANDS: Final = pattern(r"[A-Za-z0-9._~!$&'()*+,;=:@/-]*\Z")
_FRAGMENT_AS_IT_STANDS: Final = pattern(r"(?:#[A-Za-z0-9._~!$&'()*+,;=:@/?-]*)?\Z")
_KEPT: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~$&+,/:;=@")
_KEPT_IN_FRAGMENTS: Final = frozenset(b"!()*?")
"""What Go leaves as it is when it has to write anything of a path, or of a fragment, with percent signs."""


def workflow_uri(text: str) -> str:
    """The URI for a workflow's name that a template put together out of claims.

    Branches and files may have names that no URI holds as they are. Those are written with percent signs, as Go's ``net/url``
    writes them, so that the name is that of the public Fulcio. A percent sign in the name itself is refused: it could not be told
    from one of ours, and a branch ``%C3%A9`` would sign as the protected branch that is called ``é``.

    Raises:
        Refused: no origin in front, longer than :data:`LENGTH`, not printable, a path that climbs, a percent sign.
    """
    match = _BUILT.match(text)
    if match is None or len(text) > LENGTH or not text.isprintable() or "%" in text:
        raise Refused(
            f"the name {shown(text)} is no URI that a certificate may carry",
            f"expected https://HOST/PATH, printable, without percent signs, at most {LENGTH} characters",
        )
    path, query, fragment = match["path"], match["query"] or "", match["fragment"] or ""
    if {".", ".."} & set(path.split("/")) or not _QUERY.match(query):
        raise Refused(f"the name {shown(text)} has a path that climbs, or a query that is none")
    path = path if _AS_IT_STANDS.match(path) else _escaped(path, _KEPT)
    fragment = (
        fragment if _FRAGMENT_AS_IT_STANDS.match(fragment) else f"#{_escaped(fragment[1:], _KEPT | _KEPT_IN_FRAGMENTS)}"
    )
    return f"{match['origin']}{path}{query}{fragment}"


def _escaped(text: str, kept: frozenset[int]) -> str:
    return "".join(chr(octet) if octet in kept else f"%{octet:02X}" for octet in text.encode("utf-8"))
