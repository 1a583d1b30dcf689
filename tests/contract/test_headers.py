# SPDX-License-Identifier: Apache-2.0
"""W02, W03, W06, W07: the headers of every answer that a stack gives, whatever was asked, and what it makes of those of a request."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from stack.web.console.routes import PATHS
from tests.stack_process import RunningStack, running_stack
from tests.test_http_docs import documented

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ROUTES = documented()
EVIL = "evil.example"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came, nothing followed."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("headers"), "--ephemeral", "--control") as running:
        yield running


def ask(stack: RunningStack, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    url = urlsplit(stack.url)
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=60)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body or None, {**FORM, **named} if method == "POST" else named)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())
    finally:
        connection.close()


def filled(path: str) -> str:
    """A route with something in place of its arguments; an entry that is there where it is an entry."""
    place = path.replace("{log}/{index}", "rekor/0").replace("{lesson}", "keyless").replace("{log}", "rekor")
    return re.sub(r"\{[^}]*\}", "x", place)


def check(answer: Answer) -> None:
    """What every answer must have; pages must have more."""
    policy = answer.headers["content-security-policy"]
    for part in ("default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action "):
        assert part in policy
    assert not re.search(
        r"unsafe|\*|https?:", policy.replace("http://localhost:*", "").replace("http://127.0.0.1:*", "")
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] in ("no-referrer", "same-origin")
    assert answer.headers["cache-control"]
    if not answer.body:
        return
    assert answer.kind
    page = answer.body.lstrip()[:15].lower().startswith((b"<!doctype", b"<html"))
    assert page == (answer.kind == "text/html"), answer.kind
    if page:
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] in ("no-store", "no-cache")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_answers_with_the_policy_w02(stack: RunningStack, method: str, path: str):
    check(ask(stack, method, filled(path)))
    check(ask(stack, method, f"{filled(path)}?x=%00%3Cscript%3E", b"\xff\x00<script>"))
    check(ask(stack, "DELETE", filled(path)))


@pytest.mark.parametrize(
    "path", ["/none", "/%00", "/auth/none", "/entries", "/search/", "/console/../x", "/lessons/x/y/z"]
)
def test_what_is_not_there_answers_with_the_policy_w02(stack: RunningStack, path: str):
    answer = ask(stack, "GET", path)
    assert answer.status == 404
    check(answer)


def test_what_is_refused_at_the_edge_answers_with_the_policy_w02(stack: RunningStack):
    for headers in ({"Content_Length": "999999999"}, {"Content_Encoding": "gzip"}, {"Expect": "something"}):
        answer = ask(stack, "POST", "/inspect", b"x", **headers)
        assert 400 <= answer.status < 500
        check(answer)


# --- raw downloads ------------------------------------------------------------------------------------------
INERT = {"application/json", "text/javascript", "text/css"}
"""What a browser shows as text, or not at all, when nothing is guessed."""


@pytest.mark.parametrize("path", sorted({path for method, path in PATHS if method == "GET"}))
def test_what_is_no_page_is_shown_as_text_or_saved_w03(stack: RunningStack, path: str):
    answer = ask(stack, "GET", filled(path).replace("/console/x", "/console/proof.js"))
    if answer.kind != "text/html" and answer.kind not in INERT:
        assert answer.headers["content-disposition"].startswith('attachment; filename="')


# --- what a request says of where it comes from -------------------------------------------------------------
@pytest.mark.parametrize(
    "path", ["/", "/search", "/inspect", "/logs", "/flow", "/lessons", "/entries/rekor/0", "/auth/device"]
)
def test_pages_name_the_stack_by_its_own_address_w06(stack: RunningStack, path: str):
    """No header of a request stands in a page or leads a redirect."""
    forwarded = {
        "X_Forwarded_Host": EVIL,
        "X_Forwarded_Proto": "https",
        "X_Forwarded_Port": "1",
        "X_Forwarded_Prefix": "/evil",
    }
    for headers in (forwarded, {"Host": EVIL}, {"Forwarded": f"host={EVIL};proto=https"}, {"X_Original_URL": "/none"}):
        answer = ask(stack, "GET", path, **headers)
        assert answer.status == 200
        assert b"evil" not in answer.body
        assert EVIL not in str(answer.headers)


FORMS = sorted({path for method, path in PATHS if method == "POST"})
FOREIGN = (
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Origin": f"https://{EVIL}"},
    {"Origin": "null"},
    {"Sec_Fetch_Site": "cross-site", "Origin": "null"},
)


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_no_form_of_another_site_is_taken_w07(stack: RunningStack, path: str, headers: dict[str, str]):
    """A browser says where a form comes from; over plain HTTP within a network it does so by ``Origin`` alone."""
    answer = ask(stack, "POST", filled(path), b"text=a&identity=a@example.com", **headers)
    assert answer.status == 403, answer.body
    assert b"another site" in answer.body


@pytest.mark.parametrize("path", FORMS)
def test_a_form_of_ours_is_taken_w07(stack: RunningStack, path: str):
    """By its address, by another name of the same machine, and from programs that say nothing."""
    ours, other = {"Origin": stack.url}, {"Origin": "http://an.alias:1", "Host": "an.alias:1"}
    for headers in ({}, ours, other, {"Sec_Fetch_Site": "same-origin", **ours}):
        answer = ask(stack, "POST", filled(path), b"text=a&identity=a@example.com", **headers)
        assert b"another site" not in answer.body
        assert answer.status != 403
