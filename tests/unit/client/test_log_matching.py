# SPDX-License-Identifier: Apache-2.0
"""Who is found by a monitor, in entries of both generations; what an index says is held against the log."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from client.logs.decoded import Named
from client.logs.matching import Watched, is_match, match_json, match_line
from client.logs.searching import Hits, Sought, fetch_hits, search_console, search_index
from client.policy.glob import parse_glob
from client.transport import Response
from sigcore import keys, merkle
from sigcore.errors import Malformed, NotFound, Refused
from sigcore.log_entry import LogEntry
from sigcore.x509 import Extension
from tests.alarm import within
from tests.unit.client.minisig import EMAIL, ISSUER, MiniSigstore
from tests.unit.client.served_logs import NOT_FOUND, URL, body, served_v1, served_v2

KEY = keys.generate_p256().public_key()
MAKE = pytest.mark.parametrize("make", [MiniSigstore.sign, MiniSigstore.sign_v1], ids=["v2", "v1"])


def glob(text: str):
    return parse_glob(text, what="it")


def key_of(entry: LogEntry) -> str:
    return match_json(entry)["signers"][0]["keySha256"]


# --- matching ----------------------------------------------------------------------------------------
@MAKE
@pytest.mark.parametrize(
    "watched",
    [
        Watched(identities=("other@example.com", EMAIL)),
        Watched(globs=(glob("*@example.com"),)),
        Watched(patterns=(r"signer@.*",)),
        Watched(issuer=ISSUER),
        Watched(identities=(EMAIL,), issuer=ISSUER),
        Watched(extensions=(("issuer", glob("https://issuer.example/**")),)),
        Watched(everybody=True),
    ],
)
def test_a_signer_is_found_by_each_thing_that_names_it(make, sigstore: MiniSigstore, watched: Watched):
    (entry,) = make(sigstore).log_entries
    assert is_match(entry, watched)
    assert is_match(entry, Watched(fingerprints=(key_of(entry),)))


@MAKE
@pytest.mark.parametrize(
    "watched",
    [
        Watched(),
        Watched(identities=(EMAIL.upper(),)),
        Watched(globs=(glob("*@example.org"),)),
        Watched(patterns=("signer",)),  # a part is not the whole
        Watched(issuer=f"{ISSUER}/"),
        Watched(identities=(EMAIL,), issuer=f"{ISSUER}/"),
        Watched(identities=("other@example.com",), issuer=ISSUER),
        Watched(fingerprints=("00" * 32,)),
        Watched(extensions=(("issuer", glob("https://other/**")), ("build_trigger", glob("**")))),
    ],
)
def test_nobody_else_is(make, sigstore: MiniSigstore, watched: Watched):
    (entry,) = make(sigstore).log_entries
    assert not is_match(entry, watched)


def test_v17_whoever_signs_cannot_keep_a_monitor_from_the_entries_behind_his_own():
    """A name of one entry, chosen for the monitor's pattern, was held against it for ever."""
    watched = Watched(patterns=(r"([a-z.]+)+@corp\.example", r"(?i)victim@corp\.example"))
    with within(60):
        assert not watched.matches(Named(("a." * 4000 + "@corp_example",), ISSUER, "", ""))
        assert watched.matches(Named(("Victim@CORP.example",), ISSUER, "", ""))


def test_a_broken_extension_hides_nobody(sigstore: MiniSigstore):
    broken = Extension("1.3.6.1.4.1.57264.1.8", critical=False, value=b"\x0c\x7fcut")
    (entry,) = sigstore.sign(issuer=[broken]).log_entries
    assert is_match(entry, Watched(identities=(EMAIL,), issuer="https://another.example"))
    assert not is_match(entry, Watched(identities=("other@example.com",), issuer=ISSUER))
    assert EMAIL in match_line(entry)


def test_an_entry_of_an_unknown_kind_is_found_by_everybody_alone():
    entry = LogEntry(1, bytes(32), "", "", 0, body(1), None)
    assert is_match(entry, Watched(everybody=True))
    assert not is_match(entry, Watched(globs=(glob("**"),), patterns=(".*",)))
    assert "nobody that can be read" in match_line(entry)


@MAKE
def test_a_match_is_told_in_one_line(make, sigstore: MiniSigstore):
    (entry,) = make(sigstore).log_entries
    assert f"{EMAIL} ({ISSUER})" in match_line(entry)
    assert "\n" not in match_line(entry)
    row = match_json(entry)
    assert (row["integratedTime"] is None) == (entry.promise is None)
    assert row["signers"][0]["identities"] == [EMAIL]
    json.dumps(row)


# --- searching ---------------------------------------------------------------------------------------
async def test_v1_ids_of_the_index_are_asked_for_and_proved():
    served, reader = served_v1(20)
    wanted = merkle.hash_leaf(body(7)).hex()

    def change(path: str, answer: Response) -> Response:
        return Response(200, json.dumps([wanted]).encode()) if path.endswith("/index/retrieve") else answer

    served.change = change
    hits = await search_index(served, URL, Sought(digest="ab" * 32, email=EMAIL, key=KEY), 10)
    assert hits == Hits((wanted,), more=False)
    head = await reader.head()
    (entry,) = await fetch_hits(reader, head, hits, Sought(entry=wanted))
    assert entry.body == body(7)
    for sought in (Sought(digest="ab" * 32), Sought(email=EMAIL), Sought(key=KEY), Sought(entry="00" * 32)):
        with pytest.raises(Refused, match="not what was asked for"):
            await fetch_hits(reader, head, hits, sought)


async def test_the_index_is_asked_for_a_subject_and_for_one_of_several_things():
    sent: list[dict[str, object]] = []

    class Recorded:
        async def request(self, method, url, *, headers, body, limit) -> Response:
            sent.append(json.loads(body))
            asked = (method, url, bool(headers), limit > 0)
            return Response(200, b"[]") if asked == ("POST", f"{URL}/api/v1/index/retrieve", True, True) else NOT_FOUND

    for sought in (Sought(subject="https://ci.example", key=KEY, any_of=True), Sought(subject="https://ci.example")):
        assert await search_index(Recorded(), URL, sought, 10) == Hits((), more=False)
    assert [query["operator"] for query in sent] == ["or", "and"]
    assert [query["subject"] for query in sent] == ["https://ci.example"] * 2


def test_one_of_several_things_is_enough_where_that_was_asked_and_a_lie_is_none(sigstore: MiniSigstore):
    (entry,) = sigstore.sign().log_entries
    Sought(subject=EMAIL.upper(), digest="ab" * 32, any_of=True).check(entry)
    for sought in (
        Sought(subject=EMAIL, digest="ab" * 32),
        Sought(subject="other@example.com", digest="ab" * 32, any_of=True),
        Sought(subject="other@example.com", email=EMAIL),
    ):
        with pytest.raises(Refused, match="not what was asked for"):
            sought.check(entry)


async def test_a_console_is_asked_once_for_each_thing_of_which_one_is_enough():
    served, _ = served_v2(20)
    rows = {"identity": [9, 4], "digest": [12, 9]}

    def change(path: str, _answer: Response) -> Response:
        found = next(places for name, places in rows.items() if f"q={name}%3A" in path)
        page = {"entries": [{"log": "rekor", "index": place} for place in found], "next": "", "cut": False}
        return Response(200, json.dumps(page).encode())

    served.change = change
    sought = Sought(subject=EMAIL, digest="ab" * 32, any_of=True)
    assert await search_console(served, URL, sought, 2, 5) == Hits((12, 9, 4), more=False)
    assert await search_console(served, URL, sought, 2, 2) == Hits((12, 9), more=True)


@pytest.mark.parametrize("answer", [b"{}", b'["zz"]', b"nonsense", b'"a"'])
async def test_an_index_that_answers_something_else_is_malformed(answer: bytes):
    served, _ = served_v1(1)
    served.change = lambda _path, _answer: Response(200, answer)
    with pytest.raises(Malformed):
        await search_index(served, URL, Sought(email=EMAIL), 10)


async def test_questions_that_the_index_of_v1_does_not_know_are_not_asked():
    served, _ = served_v1(1)
    for sought in (Sought(text="x"), Sought(entry="00" * 32)):
        with pytest.raises(NotFound):
            await search_index(served, URL, sought, 10)
    assert served.asked == []


async def test_a_console_mixes_logs_and_pages_and_is_asked_until_there_is_enough():
    served, reader = served_v2(20)
    pages = iter(
        [
            {"entries": [{"log": "ct", "index": 1}, {"log": "rekor", "index": 9}], "next": "a b", "cut": False},
            {"entries": [{"log": "rekor-v1", "index": 3}, {"log": "rekor", "index": 4}], "next": "", "cut": False},
        ]
    )
    served.change = lambda _path, _answer: Response(200, json.dumps(next(pages)).encode())
    hits = await search_console(served, URL, Sought(email=EMAIL, text="acme"), 2, 5)
    assert hits == Hits((9, 4), more=False)
    assert served.asked[0].startswith("/search.json?q=identity%3Asigner%40example.com+acme&limit=5&after=")
    assert "after=a+b" in served.asked[1]
    served.change = lambda _path, answer: answer
    assert [entry.index for entry in await fetch_hits(reader, await reader.head(), hits, Sought(text="x"))] == [9, 4]


async def test_a_log_without_a_search_is_said_to_have_none():
    served, _ = served_v2(1)
    served.change = lambda _path, _answer: NOT_FOUND
    with pytest.raises(NotFound, match="offers no search"):
        await search_console(served, URL, Sought(text="x"), 2, 5)


def test_control_the_fields_of_a_value_are_all_compared(sigstore: MiniSigstore):
    (entry,) = sigstore.sign().log_entries
    row = match_json(entry)
    Sought(digest=row["digests"][0], email=EMAIL.upper(), entry=row["leafHash"]).check(entry)
    with pytest.raises(Refused):
        Sought(digest=row["digests"][0]).check(replace(entry, body=body(1)))
