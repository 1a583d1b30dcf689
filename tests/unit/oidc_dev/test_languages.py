# SPDX-License-Identifier: Apache-2.0
"""The provider's pages in the reader's language: what is chosen, how it is remembered, and that each text is there and escaped."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

import oidc_dev
from oidc_dev.pages import Pages, phrases, texts
from tests.unit.oidc_dev.visitor import ALICE, CHALLENGE, FORM, OOB, REQUEST, Html
from tests.unit.stack.console.test_said import template_of, texts_of

FOLDER = Path(oidc_dev.__file__).parent
JAPANESE = {"Accept-Language": "ja-JP,ja;q=0.9,en;q=0.5"}
LETTERS = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


def language_of(page: str) -> str:
    return str(next(attributes for tag, attributes in Html(page).elements if tag == "html")["lang"])


def switch_of(page: str) -> str | None:
    """Where the page is in the other language."""
    links = [attributes for tag, attributes in Html(page).elements if tag == "a" and "hreflang" in attributes]
    return links[0]["href"] if links else None


# --- which one --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("query", "cookie", "header", "language"),
    [
        ({}, "", "", "en"),
        ({}, "", "ja", "ja"),
        ({}, "", "de, ja;q=0.3, en;q=0.2", "ja"),
        ({}, "en", "ja", "en"),
        ({"lang": "ja"}, "en", "en", "ja"),
        ({"lang": "xx"}, "../..", ";;q=,", "en"),
        ({"ui_locales": "fr ja-JP en"}, "", "en", "ja"),
        ({"ui_locales": "ja"}, "en", "ja", "en"),
        ({"ui_locales": "fr"}, "", "ja", "ja"),
    ],
)
async def test_the_reader_chooses_then_the_program_then_the_browser(visitor, query, cookie, header, language):
    visitor.http.session.cookie_jar.update_cookies({"sigbox-language": cookie} if cookie else {})
    url = f"/auth/auth?{urlencode(REQUEST | query)}"
    page = await visitor.http.get(url, headers={"Accept-Language": header} if header else {})
    assert page.status == 200
    assert page.headers["Vary"] == "Accept-Language, Cookie"
    assert language_of(await page.text()) == language


async def test_a_choice_is_remembered_through_the_login_and_changes_nothing_else(visitor):
    english = await (await visitor.ask(login_hint=ALICE)).text()
    link = switch_of(english)
    assert link is not None
    asked = urlsplit(link)
    assert asked.path == "auth"
    assert parse_qs(asked.query) == {
        name: [value] for name, value in (REQUEST | {"login_hint": ALICE, "lang": "ja"}).items()
    }
    answer = await visitor.http.get(f"/auth/{link}")
    (cookie,) = [line for line in answer.headers.getall("Set-Cookie") if line.startswith("sigbox-language=")]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    japanese = await answer.text()
    assert language_of(japanese) == "ja"
    assert Html(japanese).inputs().keys() == Html(english).inputs().keys()
    assert Html(japanese).inputs()["email"] == ALICE
    fields = Html(japanese).inputs() | {"action": "login"}
    wrong = await visitor.send(fields | {"password": "wrong password"})
    refused = await wrong.text()
    assert (wrong.status, language_of(refused)) == (403, "ja")
    assert "メールアドレス、パスワード" in refused
    again = await (await visitor.http.get(f"/auth/{switch_of(refused)}")).text()
    assert language_of(again) == "en"
    assert Html(again).inputs()["request"] == Html(refused).inputs()["request"]


def buttons(page: str) -> list[tuple[str | None, str | None]]:
    return [(one.get("name"), one.get("value")) for tag, one in Html(page).elements if tag == "button"]


async def test_fields_buttons_and_ids_are_the_same_in_either_language(visitor):
    for place in (f"/auth/auth?{urlencode(REQUEST)}", await begin_device(visitor), "/auth/device"):
        pages = [await (await visitor.http.get(place, headers=given)).text() for given in ({}, JAPANESE)]
        assert [language_of(page) for page in pages] == ["en", "ja"]
        english, japanese = ([one.get("id") for _, one in Html(page).elements if "id" in one] for page in pages)
        assert english == japanese
        assert buttons(pages[0]) == buttons(pages[1])
        assert Html(pages[0]).inputs().keys() == Html(pages[1]).inputs().keys()


async def begin_device(visitor) -> str:
    asked = {"client_id": "sigstore", "scope": "openid", "code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    answer = await visitor.http.post("/auth/device/code", data=urlencode(asked), headers={"Content-Type": FORM})
    return f"/auth/device?{urlsplit((await answer.json())['verification_uri_complete']).query}"


async def test_what_can_be_had_only_once_offers_no_other_language(visitor):
    visitor.headers = JAPANESE
    visitor.http.session.headers.update(JAPANESE)
    code = await (await visitor.log_in(redirect_uri=OOB)).text()
    assert (language_of(code), switch_of(code)) == ("ja", None)
    assert f"<strong>{ALICE}</strong>" in code
    await visitor.http.get("/auth/device?lang=ja")
    place = await begin_device(visitor)
    form = Html(await (await visitor.http.get(place)).text()).inputs() | {"action": "deny"}
    denied = await (
        await visitor.http.post("/auth/device", data=urlencode(form), headers={"Content-Type": FORM})
    ).text()
    assert (language_of(denied), switch_of(denied)) == ("ja", None)


@pytest.mark.parametrize(
    "query", ["a=%ff&lang=x", "a=1&a=2", 'a="><script>alert(1)</script>', "lang=ja&lang=ja", "&&=&%"]
)
async def test_any_query_is_answered_and_never_carried_over_o20(http, query):
    page = await (await http.get(f"/auth/auth?{query}", headers=JAPANESE)).text()
    seen = Html(page)
    assert "script" not in {tag for tag, _ in seen.elements}
    assert switch_of(page) is None, "an address that cannot be answered is on no page"


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_value_in_a_text_stays_text(provider, language):
    pages = Pages(provider)
    page = pages.render(pages.done(email="{email}<b>{0}", denied=False).body, language, {})
    assert "<strong>{email}&lt;b&gt;{0}</strong>" in page


# --- that it is all there -----------------------------------------------------------------------------------
def said_in_templates() -> set[str]:
    found = set()
    for path in (FOLDER / "templates").glob("*.html"):
        text = path.read_text("utf-8")
        found |= set(re.findall(r'_\("((?:[^"\\]|\\.)+)"', text)) | set(re.findall(r'set then = "([^"]+)"', text))
    return found


def constants(tree: ast.Module) -> dict[str, ast.expr]:
    """The texts that a module has names for."""
    return {
        node.target.id: node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None
    }


def given(name: str, *keywords: str, calls: tuple[str, ...] = ()) -> Iterator[str]:
    """The texts that a module of the provider gives by these keywords, or first to these calls."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text("utf-8"))
    named = constants(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        found = [one.value for one in node.keywords if one.arg in keywords]
        if isinstance(node.func, ast.Name) and node.func.id in calls:
            found += node.args[:1]
        for value in found:
            for one in texts_of(named.get(value.id, value) if isinstance(value, ast.Name) else value):
                if text := template_of(one):
                    yield text


HEADED = ("authorization", "device_pages", "guest_pages", "pages")
ADVISED = {
    "Close this page and start again from the program that sent you here.",
    "Open the page anew.",
    "Start again from the program that sent you here; tell whoever runs this stack if it stays like this.",
}


def test_everything_that_a_page_says_is_said_in_japanese_too():
    said = said_in_templates() | {text for name in HEADED for text in given(name, "heading", "advice")} | ADVISED
    assert len(said) > 55
    headings = {text for name in ("authorization", "device_pages") for text in assigned(name, "heading")}
    assert said | headings == set(texts("ja"))
    for english, other in texts("ja").items():
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", other))
        assert LETTERS.search(other), english


def assigned(name: str, variable: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text("utf-8"))):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == variable:
            yield from (text for one in texts_of(node.value) if (text := template_of(one)))


RAISED = {
    "parameters": ("Malformed",),
    "forms": ("Refused",),
    "logins": ("Denied", "Unavailable"),
    "authorization": ("Denied",),
    "grants": ("OAuth2Error", "InvalidRequestError"),
}


def test_every_reason_of_a_refusal_is_said_in_japanese_too():
    known = phrases("ja").texts
    for name, calls in RAISED.items():
        reasons = set(given(name, "problem", calls=calls))
        assert reasons
        assert reasons - set(known) == set()
    for name in ("authorization", "device_pages", "guest_pages"):
        assert set(given(name, "problem", "what")) - set(known) == set()
    for english, other in known.items():
        places = {str(place) for place in range(1, english.count("{}") + 1)}
        assert set(re.findall(r"\{(\d)\}", other)) == places, english
        assert LETTERS.search(other), english


def test_a_reason_without_a_translation_is_marked_as_english(provider):
    pages = Pages(provider)
    reply = pages.error(403, heading="You are not logged in", message="Corp has <lost> it", advice="x", code="y")
    page = pages.render(reply.body, "ja", {})
    assert '<span lang="en">Corp has &lt;lost&gt; it.</span>' in page
    assert '<span lang="en">' not in pages.render(reply.body, "en", {})
