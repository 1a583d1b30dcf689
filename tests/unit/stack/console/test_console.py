# SPDX-License-Identifier: Apache-2.0
"""Search and entry pages: what they find, what they refuse, and that nothing from an entry becomes more than text."""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import io
import re
import tomllib
from dataclasses import fields
from html import unescape
from pathlib import Path

import pytest

import client.explain
import stack.web.console
from sigcore import keys
from sigcore.fulcio import FulcioExtensions
from sigcore.language import choose
from stack.web.console.language import translate
from stack.web.console.pages import SHOWN_BY
from tests.payloads import PRINTABLE, Elements
from tests.unit.stack.console.conftest import precertificate
from tests.unit.tlog.catalog.conftest import KEY, digest, signed, signed_by_key

FOLDER = Path(stack.web.console.__file__).parent


async def text_of(console, path: str, status: int = 200, **options) -> str:
    async with console.get(path, **options) as response:
        assert response.status == status, await response.text()
        return await response.text()


async def test_a_search_shows_who_signed_what_and_how_far_it_is_complete(console):
    await console.log.submit(signed("alice@example.com", 1))
    await console.log.submit(signed("https://ci.example/a", 2, source_repository_uri="https://git.example/a"))
    page = await text_of(console, "/search?q=alice")
    assert "alice@example.com" in page
    assert digest(1).hex() in page
    assert "https://ci.example/a" not in page
    assert re.search(r"<strong>rekor</strong> 2", page)
    assert "/search?q=repository%3Ahttps%3A%2F%2Fgit.example%2Fa" in await text_of(console, "/search")


def languages_of(page: str) -> list[str]:
    return [unescape(found) for found in re.findall(r'<a href="([^"]*)" hreflang', page)]


async def test_the_link_to_the_other_language_has_what_the_page_reads_and_nothing_else(console):
    page = await text_of(console, "/search?utm=1&q=alice&since=2026-01-31&limit=7&a%22%3E%3Cb=c&lang=en")
    assert languages_of(page) == ["/search?q=alice&since=2026-01-31&limit=7&lang=ja"]
    await console.log.submit(signed("alice@example.com", 1))
    page = await text_of(console, "/logs/rekor?leaf=0&size=1&token=secret")
    assert languages_of(page) == ["/logs/rekor?leaf=0&size=1&lang=ja"]
    assert languages_of(await text_of(console, "/inspect?x=1")) == ["/inspect?lang=ja"]


def test_every_parameter_that_a_page_of_the_console_reads_is_kept_in_that_link():
    reading = re.compile(r"""(?:(?:words|query)\.get\(|_number\(words, )"([a-z]+)\"""")
    texts = [path.read_text() for path in FOLDER.glob("*.py") if path.name != "door.py"]
    read = {name for text in texts for name in reading.findall(text)}
    assert {"limit", "after", "attack", "leaf", "first"} <= read
    assert read - set(SHOWN_BY) == set()


async def test_json_and_csv_say_the_same_as_the_page(console):
    await console.log.submit(signed("alice@example.com", 1))
    async with console.get("/search.json?q=alice") as response:
        document = await response.json()
    (entry,) = document["entries"]
    assert (entry["index"], entry["identity"], entry["digest"]) == (0, "alice@example.com", digest(1).hex())
    assert document["complete"] == {"rekor": 1, "ct": 0}
    rows = list(csv.DictReader(io.StringIO(await text_of(console, "/search.csv?q=alice"))))
    assert [row["identity"] for row in rows] == ["alice@example.com"]


async def test_no_cell_of_the_csv_is_a_formula_w(console):
    await console.log.submit(signed("=1+1@example.com", 1))
    (row,) = csv.DictReader(io.StringIO(await text_of(console, "/search.csv")))
    assert row["identity"] == "'=1+1@example.com"


async def test_pages_and_times_are_in_the_address(console):
    for number in range(1, 26):
        await console.log.submit(signed("alice@example.com", number))
    page = await text_of(console, "/search?q=alice@example.com&since=2026-03-01")
    assert page.count('<a class="entry"') == 20
    (more,) = re.findall(r'<a href="([^"]+)" rel="next"', page)
    assert "since=2026-03-01" in more
    assert (await text_of(console, more.replace("&amp;", "&"))).count('<a class="entry"') == 5
    assert "Nothing was found" in await text_of(console, "/search?since=2026-03-02")
    assert (await text_of(console, "/search?until=2026-03-01")).count('<a class="entry"') == 20


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("q=nonsense:x", "no kind of value"),
        ("since=tomorrow", "since"),
        ("until=2026-13-01", "a day as"),
        ("until=9999-12-31", "a day as"),
        ("limit=100000", "limit"),
        ("limit=0", "is 0, expected 1 to 1000"),
        ("after=x", "no answer has named"),
        ("q=%00", "printable"),
    ],
)
async def test_what_cannot_be_sought_is_said_to_people_and_programs(console, query, said):
    assert said in await text_of(console, f"/search?{query}", 400)
    for kind in ("json", "csv"):
        assert said in await text_of(console, f"/search.{kind}?{query}", 400)


# --- entries -----------------------------------------------------------------------------------------
async def test_an_entry_page_decodes_the_certificate_and_shows_the_proof(console):
    for number in range(1, 6):
        await console.log.submit(signed("alice@example.com", number, build_trigger="push"))
    page = await text_of(console, "/entries/rekor/2")
    for text in (
        "alice@example.com",
        "build trigger",
        "push",
        "1.3.6.1.4.1.57264.1.20",
        digest(3).hex(),
        "BEGIN CERTIFICATE",
    ):
        assert text in page
    assert "a certificate · this entry" in page
    receipt = await console.log.receipt(2)
    assert all(node.hex() in page for node in receipt.proof)
    assert receipt.root.hex() in page


async def test_the_document_of_an_entry_is_enough_for_a_second_verifier(console):
    for number in range(1, 8):
        await console.log.submit(signed("alice@example.com", number))
    async with console.get("/entries/rekor/4.json") as response:
        found = await response.json()
    place, last = found["index"], found["size"] - 1
    hash_ = hashlib.sha256(b"\0" + base64.b64decode(found["leaf"])).digest()
    for node in map(base64.b64decode, found["proof"]):
        while place == last and place % 2 == 0:
            place, last = place // 2, last // 2
        hash_ = hashlib.sha256(b"\1" + (node + hash_ if place % 2 else hash_ + node)).digest()
        place, last = place // 2, last // 2
    assert base64.b64encode(hash_).decode() == found["root"] == found["checkpoint"].split("\n")[2]


async def test_a_bare_key_and_a_precertificate_have_pages_too(console):
    await console.log.submit(signed_by_key(1))
    await console.ct.submit(precertificate())
    by_key = await text_of(console, "/entries/rekor/0")
    assert "A bare key" in by_key
    assert keys.encode_public_key_pem(KEY.public_key()).strip() in by_key
    assert "a public key · this entry" in by_key
    assert base64.b64encode(b"signature").decode() in by_key
    page = await text_of(console, "/entries/ct/0")
    assert "precertificate" in page
    assert "a@example.com" in page


@pytest.mark.parametrize("path", ["/entries/rekor/0", "/entries/rekor/99", "/entries/none/0", "/entries/rekor/1.json"])
async def test_what_is_not_there_is_404(console, path):
    await text_of(console, path, 404)


@pytest.mark.parametrize("path", ["/entries/rekor/-1", "/entries/rekor/x.json", "/entries/rekor/01"])
async def test_what_is_no_index_is_400(console, path):
    await text_of(console, path, 400)


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fpages.py", "ja.toml"])
async def test_nothing_but_the_files_of_the_console_is_served(console, name):
    await text_of(console, f"/console/{name}", 404)


# --- what entries say is text ------------------------------------------------------------------------
FIELDS = (
    "issuer",
    "source_repository_uri",
    "build_trigger",
    "run_invocation_uri",
    "token_subject",
    "github_workflow_name",
)


@pytest.mark.parametrize("payload", PRINTABLE)
async def test_no_payload_in_any_field_becomes_markup_w(console, payload):
    plain, values = payload.encode("ascii", "ignore").decode(), dict.fromkeys(FIELDS, payload)
    await console.log.submit(signed(f"{plain}@example.com", 1, **values))
    shown = await text_of(console, "/search")
    entry = await text_of(console, "/entries/rekor/0?lang=ja")
    refused = await text_of(console, "/search", 400, params={"q": f"nonsense:{payload}", "since": payload})
    for page in (shown, entry, refused):
        seen = Elements(page)
        assert seen.handlers == []
        assert seen.tags.isdisjoint({"img", "svg", "iframe", "object", "embed"})
        assert all(link.startswith(("/", "#main")) for link in seen.links), seen.links
        assert len(re.findall("<script", page)) <= 1
        assert payload in unescape(page) or page is refused, "a message shows the beginning of it"


async def test_every_page_has_a_policy_that_lets_no_foreign_script_run_w(console):
    await console.log.submit(signed("alice@example.com", 1))
    for path in ("/search", "/entries/rekor/0", "/search?since=x"):
        async with console.get(path) as response:
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self'" in policy
            assert "unsafe" not in policy
            assert response.headers["Cache-Control"] == "no-store"


# --- languages ---------------------------------------------------------------------------------------
def said_in_templates() -> set[str]:
    texts = set()
    for path in (FOLDER / "templates").iterdir():
        texts |= set(re.findall(r'_\("((?:[^"\\]|\\.)+)"', path.read_text("utf-8")))
    return texts


def test_everything_that_a_page_says_is_said_in_japanese_too():
    japanese = tomllib.loads((FOLDER / "ja.toml").read_text("utf-8"))
    extensions = {field.name.replace("_", " ") for field in fields(FulcioExtensions)}
    assert (said_in_templates() | extensions) - set(japanese) == set()
    for english, other in japanese.items():
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", other))
        assert not other.isascii()


@pytest.mark.parametrize(
    ("asked", "remembered", "accepted", "language"),
    [
        ("", "", "", "en"),
        ("ja", "en", "en", "ja"),
        ("", "ja", "en", "ja"),
        ("", "", "ja", "ja"),
        ("", "", "ja-JP,en;q=0.8", "ja"),
        ("", "", "en-GB,ja;q=0.8", "en"),
        ("", "", "de,ja;q=0.3,en;q=0.2", "ja"),
        ("", "", "de", "en"),
        ("xx", "../..", ";;q=,,", "en"),
        ("", "", "ja;q=9", "en"),
    ],
)
def test_the_language_is_what_was_chosen_or_what_the_browser_asks_for(asked, remembered, accepted, language):
    assert choose(asked, remembered, accepted) == language


def test_values_stand_in_translated_texts():
    assert translate("ja", "entry {index}", index=7) == "エントリ 7"
    assert translate("ja", "a text without a translation") == "a text without a translation"


async def test_a_chosen_language_is_remembered(console):
    async with console.get("/search?lang=ja") as response:
        assert "検索" in await response.text()
        assert "HttpOnly" in response.headers["Set-Cookie"]
        assert "SameSite=Lax" in response.headers["Set-Cookie"]
    assert "検索" in await text_of(console, "/search")


def said_in_explanations() -> set[str]:
    """Every sentence that a step of a verification says: a text constant with a capital and a full stop, no docstring."""
    texts = set()
    for name in ("certified", "claims", "flow", "issuing", "logged", "material", "signing", "times"):
        tree = ast.parse(Path(client.explain.__file__).with_name(f"{name}.py").read_text("utf-8"))
        statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in statements
            and re.fullmatch(r"[A-Z].* .*\.", node.value, re.DOTALL)
        }
    return texts


def test_every_step_of_a_verification_is_explained_in_japanese_too():
    japanese = tomllib.loads((FOLDER / "ja.toml").read_text("utf-8"))
    assert len(said_in_explanations()) > 40
    assert said_in_explanations() - set(japanese) == set()
