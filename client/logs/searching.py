# SPDX-License-Identifier: Apache-2.0
"""Search: the index of Rekor v1, or the console of a sigbox stack. Neither proves anything, so each entry that is named is fetched,
proved, and must say what was asked for. That something was left out of an answer nobody can see.

Sources: rekor ``openapi.yaml`` (SearchIndex); ``stack/web/console/search.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import urlencode

from client.logs.decoded import read_content_or_nothing, read_named
from client.logs.reader import LogReader, SignedHead
from client.transport import ServiceRefused, Transport, call
from sigcore import keys, limits, merkle
from sigcore.entry_id import parse_entry_id
from sigcore.errors import Malformed, NotFound, Refused
from sigcore.keys import PublicKey
from sigcore.log_entry import LogEntry
from sigcore.strict import JSON, Fields, encode_base64, parse_json, shown
from sigcore.values import dataclass

_INDEX: Final = "the log's search index"
_CONSOLE: Final = "the console's search"
_HEADERS: Final = {"Accept": "application/json", "Content-Type": "application/json"}
_NAMES: Final = {1: "rekor-v1", 2: "rekor"}
"""What the console calls the logs, by generation."""
_TREE: Final = re.compile(r"(.*)/log/([0-9]{1,3})\Z", re.ASCII | re.DOTALL)
"""URL of a later tree of a stack's log of v2; that of the stack, whose console has them all, is what comes before."""
_PAGES: Final = 20
"""Of the console's answer, which mixes all logs."""


@dataclass(frozen=True, slots=True)
class Sought:
    """What is sought: all that is given must hold, or one of it.

    Args:
        digest: of an artifact, in hexadecimal digits.
        email: a name in a certificate; for the index of Rekor v1 an email address.
        key: who signed.
        entry: the leaf hash of an entry, in hexadecimal digits.
        text: what a console's search box takes; entries are not held against it.
        subject: a name of any kind in a certificate; the case of its letters is nothing.
        any_of: one of these is enough; then ``text`` must be empty.
    """

    digest: str = ""
    email: str = ""
    key: PublicKey | None = None
    entry: str = ""
    text: str = ""
    subject: str = ""
    any_of: bool = False

    def singles(self) -> Iterator[Sought]:
        """Each thing that is sought, for itself."""
        for name in ("digest", "email", "key", "entry", "text", "subject"):
            if value := getattr(self, name):
                yield replace(Sought(), **{name: value})

    def check(self, entry: LogEntry) -> None:
        """That ``entry`` is one of those. Refused: the index lied."""
        fits = any(one.fits(entry) for one in self.singles()) if self.any_of else self.fits(entry)
        if not fits:
            raise Refused(f"the search names entry {entry.index}, which is not what was asked for")

    def fits(self, entry: LogEntry) -> bool:
        """Whether all that is given holds of ``entry``."""
        named = read_named(entry.body)
        names = {name.casefold() for one in named for name in one.names}
        return (
            (not self.digest or self.digest in read_content_or_nothing(entry.body).digests)
            and {name.casefold() for name in (self.email, self.subject) if name} <= names
            and (self.key is None or any(one.key == fingerprint(self.key) for one in named))
            and (not self.entry or merkle.hash_leaf(entry.body).hex() == self.entry[-64:])
        )


@dataclass(frozen=True, slots=True)
class Hits:
    """The ids or indexes of what was found, newest first, and whether there is more."""

    places: tuple[str | int, ...]
    more: bool


def fingerprint(key: PublicKey) -> str:
    """SHA-256 of a key (DER SubjectPublicKeyInfo), in hexadecimal digits."""
    return keys.key_id(keys.encode_public_key(key)).hex()


async def search_index(transport: Transport, url: str, sought: Sought, limit: int) -> Hits:
    """What the index of Rekor v1 at ``url`` names.

    Raises:
        ServiceRefused, Unavailable: as :func:`client.transport.call`. Malformed: the answer is no list of ids.
        NotFound: the index knows nothing of that kind.
    """
    if sought.text or sought.entry:
        raise NotFound(
            "the index of Rekor v1 finds by digest, email, subject and key only", "sigbox log entry UUID finds an entry"
        )
    query: dict[str, JSON] = {"operator": "or" if sought.any_of else "and"}
    if sought.digest:
        query["hash"] = f"sha256:{sought.digest}"
    if sought.email:
        query["email"] = sought.email
    if sought.subject:
        query["subject"] = sought.subject
    if sought.key is not None:
        pem = keys.encode_public_key_pem(sought.key).encode("ascii")
        query["publicKey"] = {"format": "x509", "content": encode_base64(pem)}
    answer = await call(
        transport,
        "POST",
        f"{url}/api/v1/index/retrieve",
        service=_INDEX,
        headers=_HEADERS,
        body=json.dumps(query).encode("utf-8"),
        limit=100 * limits.SEARCH_RESULTS,
    )
    found = parse_json(answer, what=_INDEX, limit=100 * limits.SEARCH_RESULTS)
    if not isinstance(found, list):
        raise Malformed(f"{_INDEX} answered {shown(found)}, expected an array")
    ids = [one for one in found if isinstance(one, str)]
    for one in ids:
        parse_entry_id(one)
    return Hits(tuple(reversed(ids))[:limit], len(ids) > limit)


def console_of(log_url: str) -> tuple[str, str]:
    """The URL of the console of the stack that a log of v2 belongs to, and what its later tree is called there; empty for the first."""
    found = _TREE.match(log_url.rstrip("/"))
    return (found[1], f"{_NAMES[2]}-{found[2]}") if found else (log_url.rstrip("/"), "")


async def search_console(
    transport: Transport,
    url: str,
    sought: Sought,
    generation: int,
    limit: int,
    *,
    tree: str = "",
    starts: Sequence[int] = (0,),
) -> Hits:
    """What the console of a sigbox stack at ``url`` names in its log of this generation, or in a later ``tree`` of that.

    ``starts`` are the first indexes of the trees of Rekor v1, oldest first: the console counts in each.

    Raises:
        NotFound: there is no console. ServiceRefused, Unavailable: as :func:`client.transport.call`. Malformed: its answer is
            none of a console.
    """
    if sought.any_of:
        found = [
            await search_console(transport, url, one, generation, limit, tree=tree, starts=starts)
            for one in sought.singles()
        ]
        merged = sorted({place for hits in found for place in hits.places if isinstance(place, int)}, reverse=True)
        return Hits(tuple(merged[:limit]), len(merged) > limit or any(hits.more for hits in found))
    text = _console_text(sought)
    first = tree or _NAMES[generation]
    named = {first if number == 1 else f"{first}-{number}": start for number, start in enumerate(starts, 1)}
    places: list[int] = []
    after = ""
    for _ in range(_PAGES):
        query = urlencode({"q": text, "limit": str(limit), "after": after})
        page = await _ask_console(transport, f"{url}/search.json?{query}", url)
        rows = page.objects("entries", limit=limits.SEARCH_RESULTS)
        places += [named[row.text("log")] + row.int64("index") for row in rows if row.text("log") in named]
        after = page.optional_text("next")
        if not after or len(places) > limit:
            break
    return Hits(tuple(places[:limit]), len(places) > limit or bool(after))


def _console_text(sought: Sought) -> str:
    """What a person would write into the search box."""
    words = [
        ("digest", sought.digest),
        ("identity", sought.email),
        ("identity", sought.subject),
        ("entry", sought.entry),
    ]
    if sought.key is not None:
        words.append(("key", fingerprint(sought.key)))
    return " ".join([*(f"{name}:{value}" for name, value in words if value), sought.text]).strip()


async def _ask_console(transport: Transport, place: str, url: str) -> Fields:
    try:
        answer = await call(transport, "GET", place, service=_CONSOLE, headers=_HEADERS)
    except ServiceRefused as error:
        if error.status not in (404, 405):
            raise
        raise NotFound(
            f"{url} offers no search: Rekor v2 has none, and no sigbox console answers there",
            "name the stack with --console-url; or read the log: sigbox log watch --once --from 0",
        ) from error
    return Fields.of(parse_json(answer, what=_CONSOLE, limit=limits.SERVICE_RESPONSE), _CONSOLE)


async def fetch_hits(reader: LogReader, head: SignedHead, hits: Hits, sought: Sought) -> list[LogEntry]:
    """The entries that were named, each proved and held against what was sought."""
    entries = []
    for place in hits.places:
        entry = await (reader.find(place) if isinstance(place, str) else reader.entry(place, head))
        sought.check(entry)
        entries.append(entry)
    return entries
