# SPDX-License-Identifier: Apache-2.0
"""W01: eighty payloads in every field that a certificate, an entry, a name, an address or a form can carry; none runs in Chromium.

Everything is rendered without the policy, so that what the templates let through would run; some of it with the policy too, which
must have nothing to report.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from urllib.parse import quote, urlencode

import pytest
from playwright.sync_api import Browser, Route

from sigcore import x509
from stack.web.console.pages import _HEADERS as HEADERS
from tests.browser import hostile
from tests.browser.chromium import visitor
from tests.browser.furnished import BUNDLE, STATEMENT_BUNDLE, furnished
from tests.browser.laboratory import DETECTOR, Ask, Laboratory, laboratory
from tests.browser.screens import ROUTES, screens_of
from tests.payloads import PAYLOADS, PRINTABLE
from tests.stack_process import RunningStack, running_stack, sigbox
from tests.unit.oidc_dev.visitor import REQUEST

ORDINARY = "ordinary@example.com"
ORGANIZATION = '"><img src=x onerror=alert(1)><!--'


@dataclass(frozen=True, slots=True)
class Logged:
    """A stack, and where each payload's entries are: log and index."""

    stack: RunningStack
    entries: dict[str, list[tuple[str, int]]]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    with furnished(tmp_path_factory.mktemp("payloads")) as stack:
        entries: dict[str, list[tuple[str, int]]] = {}
        for number, text in enumerate((ORDINARY, *PAYLOADS), 1):
            index = hostile.submit(stack, hostile.certificate(text, number), number)
            entries[text] = [("rekor", index), *issued(stack, text, number)]
        yield Logged(stack, entries)


GITHUB = tomllib.loads(resources.files("oidc_dev").joinpath("personas", "github-workflow.toml").read_text("utf-8"))
FREE_CLAIMS = ("actor", "event_name", "ref", "workflow", "repository_visibility", "runner_environment", "run_id")


def issued(stack: RunningStack, text: str, number: int) -> Iterator[tuple[str, int]]:
    """The real way: an email address and a workflow's claims with ``text`` in them, as far as provider and authority let them."""
    claims = {**GITHUB["claims"], **dict.fromkeys(FREE_CLAIMS, text)}
    for persona in ({"email": f'"{text}"@example.com'}, {**GITHUB, "claims": claims}):
        certificate = hostile.certified(stack, persona)
        if certificate is not None:
            yield "rekor", hostile.submit(stack, certificate, 1000 + number)


@pytest.fixture(scope="module")
def lab(browser: Browser, logged: Logged) -> Iterator[Laboratory]:
    with laboratory(browser, logged.stack) as made:
        made.learn(Ask(screen.place) for route in ROUTES for screen in screens_of(route, logged.stack))
        made.learn(requests(logged, ORDINARY))
        made.learn(
            [Ask("/"), Ask("/inspect", {"text": pem(ORDINARY)}), *inspections(logged, ORDINARY), *logins(ORDINARY)]
        )
        made.learn([Ask("/flow", {"text": ORDINARY, "identity": "a@example.com"}), Ask("/flow", {"text": ""})])
        made.ordinary.add("span lang")  # around a refusal that has no Japanese form, which depends on what is refused
        assert made.fired() == []
        inline = {part for part in made.ordinary if part.partition(" ")[2].startswith(("on", "style"))}
        assert inline == set(), "no page of ours has handlers or styles in its elements"
        yield made


# --- the detector itself -----------------------------------------------------------------------------------
CONTEXTS = (
    "{}",
    '<input value="{}">',
    "<input value='{}'>",
    "<img {}>",
    '<a href="{}">x</a>',
    "<script>x = '{}'</script>",
)


SETTLED = """new Promise(done => {
    const look = (left) => setTimeout(
        () => left && document.readyState !== "complete" ? look(left - 1) : setTimeout(() => done(fired), 30), 5)
    look(400)
})"""
"""What has fired a moment after the page and all that it names was loaded; on a busy machine that takes longer."""


def raw(text: str) -> str:
    """A page that escapes nothing."""
    return "<!doctype html><html><body>" + "".join(f"<p>{context.format(text)}" for context in CONTEXTS)


@pytest.mark.parametrize("policy", [False, True], ids=["without the policy", "with the policy"])
def test_the_detector_sees_what_runs_where_nothing_is_escaped(browser: Browser, logged: Logged, *, policy: bool):
    """The negative control: most payloads run in a careless page; the policy of the console stops them all, and reports it."""

    def careless(route: Route) -> None:
        text = PAYLOADS[int(route.request.url.rpartition("/")[2])]
        headers = {"Content-Security-Policy": HEADERS["Content-Security-Policy"]} if policy else {}
        route.fulfill(body=raw(text), content_type="text/html", headers=headers)

    fired = set[str]()
    with visitor(browser, bypass_csp=not policy) as tab:
        tab.page.add_init_script(DETECTOR)
        tab.page.route(re.compile(r"/careless/[0-9]+$"), careless)
        tab.page.route("**/evil.example/**", lambda route: route.abort())
        for number, _ in enumerate(PAYLOADS):
            tab.page.goto(f"{logged.stack.url}/careless/{number}", wait_until="commit")
            fired |= set(tab.page.evaluate(SETTLED))
        reports = sum("Content Security Policy" in problem for problem in tab.problems)
        tab.problems.clear()
    if policy:
        assert fired == set()
        assert reports > len(PAYLOADS) // 2
    else:
        assert len(fired) > len(PAYLOADS) // 2, sorted(fired)
        assert reports == 0


# --- entries -----------------------------------------------------------------------------------------------
def requests(logged: Logged, text: str) -> list[Ask]:
    """Every page that shows an entry with ``text``, and the search that finds it."""
    (_, index), *others = logged.entries[text]
    return [
        Ask(f"/entries/rekor/{index}", run=True),
        *(Ask(f"/entries/{log}/{number}") for log, number in others),
        Ask(f"/flow/entries/rekor/{index}"),
        Ask(f"/logs/rekor?leaf={index}"),
        Ask("/search?" + urlencode({"q": text}), run=True),
    ]


def test_no_payload_of_a_certificate_or_an_entry_becomes_markup_w01(lab: Laboratory, logged: Logged):
    for text in PAYLOADS:
        pages = lab.judge(requests(logged, text))
        if text in PRINTABLE:
            assert text in pages[0].text, "the page shows what was logged"
    lab.judge([Ask("/flow/live"), *(Ask(f"/search?q=index:{number}&lang=ja") for number in range(0, 90, 10))])


# --- what is sent ------------------------------------------------------------------------------------------
def addresses(text: str) -> list[Ask]:
    """``text`` in each place of an address that is read."""
    value, part = quote(text, safe=""), quote(text, safe="")
    return [
        *(Ask(f"/search?{name}={value}") for name in ("q", "since", "until", "after", "limit", "lang")),
        Ask(f"/search?q=nonsense:{value}&since={value}", run=True),
        *(Ask(f"/logs/rekor?{name}={value}") for name in ("leaf", "size", "first", "second")),
        *(Ask(f"/{path}") for path in (f"entries/{part}/0", f"entries/rekor/{part}", f"logs/{part}", f"flow/{part}")),
        *(Ask(f"/{path}") for path in (f"flow/entries/{part}/0", f"flow/entries/rekor/{part}", f"lessons/{part}")),
        *(Ask(f"/lessons/{path}") for path in (f"keyless/{part}", f"{part}/{part}")),
    ]


def test_no_payload_of_an_address_becomes_markup_w01(lab: Laboratory):
    """Words of the query, and names in the path."""
    seen = lab.judge(ask for text in PAYLOADS for ask in addresses(text))
    assert all(one.type.startswith(("text/html", "application/json")) for one in seen)


def pem(text: str) -> str:
    """Certificates with ``text`` in their names."""
    return "".join(x509.encode_certificate_pem(hostile.certificate(text, number)) for number in (3, 4, 5))


def inspections(logged: Logged, text: str) -> list[Ask]:
    """Things for the inspector with ``text`` in everything that is one, sent as text and as a file of that name."""
    folder, demand = logged.stack.log.parent, dict.fromkeys(("digest", "identity", "issuer", "key"), text)
    bundle = json.loads((folder / BUNDLE).read_bytes())
    statement = json.loads((folder / STATEMENT_BUNDLE).read_bytes())
    root = json.loads(logged.stack.trusted_root.read_bytes())
    given = [
        *(
            json.dumps(one)
            for one in (hostile.forged(bundle, text), hostile.forged(statement, text), hostile.rooted(root, text))
        ),
        pem(text),
        json.dumps({"mediaType": text}),
        text,
    ]
    return [
        *(Ask("/inspect", {**demand, "text": one}, run=one is given[1]) for one in given),
        *(Ask("/inspect", {}, (("file", text, one),)) for one in given),
    ]


def test_no_payload_of_what_is_put_into_the_inspector_becomes_markup_w01(lab: Laboratory, logged: Logged):
    """Certificates, bundles, statements, annotations, checkpoints, trusted roots, demands, and the names of dropped files."""
    shown = 0
    for text in PAYLOADS:
        seen = lab.judge(inspections(logged, text))
        shown += sum(text in one.text for one in seen)
    assert shown > 3 * len(PAYLOADS), "the pages show what was put in"


def test_no_payload_that_is_signed_in_a_page_becomes_markup_w01(lab: Laboratory):
    """The flow recorder, and lessons with their attacks: the text, and the identity where provider and authority let it be one."""
    seen = lab.judge(Ask("/flow", {"text": text, "identity": f'"{text}"@example.com'}) for text in PAYLOADS)
    recorded = lab.judge(Ask("/flow", {"text": text, "identity": "a@example.com"}, run=True) for text in PAYLOADS)
    assert {one.status for one in recorded} == {200}
    assert all(text in one.text for text, one in zip(PAYLOADS, recorded, strict=True) if text in PRINTABLE)
    assert {one.status for one in seen} <= {200, 400, 403}
    for text in PAYLOADS[::8]:
        (made,) = lab.judge([Ask("/lessons/keyless", {"text": text, "identity": "a@example.com"})])
        path = "/" + made.url.split("/", 3)[3]
        lab.judge(Ask(f"{path}?attack={attack}") for attack in ("flip", "somebody", "rogue", quote(text, safe="")))


# --- the provider ------------------------------------------------------------------------------------------
def logins(text: str) -> list[Ask]:
    """``text`` in each parameter of a login, and in the code of a device."""
    known = ("login_hint", "state", "nonce", "scope", "client_id", "redirect_uri", "response_type", "prompt")
    return [
        *(Ask("/auth/auth?" + urlencode({**REQUEST, name: text})) for name in known),
        Ask("/auth/auth?" + urlencode(REQUEST) + f"&{urlencode([(text, 1), (text, 2)])}"),
        Ask("/auth/device?" + urlencode({"user_code": text})),
        Ask("/auth/device", {"user_code": text, "email": text, "password": text}),
        Ask("/auth/login", {"request": text, "email": text, "password": text}),
        Ask("/auth/session", {"csrf": text}),
        Ask(f"/auth/upstream/{quote(text, safe='')}"),
    ]


def test_no_payload_that_is_sent_to_the_provider_becomes_markup_w01(lab: Laboratory):
    lab.judge(ask for text in PAYLOADS for ask in logins(text))


# --- names of the stack itself -----------------------------------------------------------------------------
def test_no_payload_of_an_organization_becomes_markup_w01(
    browser: Browser, lab: Laboratory, tmp_path_factory: pytest.TempPathFactory
):
    """The name that stands in certificates, in log origins and at the foot of each page; here a stack that lasts shows its pages."""
    folder = tmp_path_factory.mktemp("organization")
    done = sigbox("init", "--data", folder / "data", "--organization", ORGANIZATION)
    assert done.returncode == 0, done.stderr
    plain = [Ask("/", run=True), *(Ask(route, run=True) for route in ROUTES if "{" not in route)]
    more = [Ask(f"/{path}") for path in ("logs/rekor", "entries/rekor/0", "lessons/keyless", "flow/entries/rekor/0")]
    (folder / "ordinary").mkdir()
    with (
        running_stack(folder / "ordinary", "--data", folder / "ordinary" / "data") as stack,
        laboratory(browser, stack) as other,
    ):
        other.learn([*plain, *more])
        lab.ordinary |= other.ordinary
    with running_stack(folder, "--data", folder / "data") as stack, laboratory(browser, stack) as named:
        named.ordinary = lab.ordinary
        seen = named.judge([*plain, *more])
    assert all(ORGANIZATION in one.text for one in seen)


# --- with the policy ---------------------------------------------------------------------------------------
def test_with_the_policy_there_is_nothing_to_report_w01(browser: Browser, logged: Logged):
    """Real pages with everything at once; a tab fails for scripts, dialogs, reports of the policy, and requests to elsewhere."""
    url = logged.stack.url
    with visitor(browser) as tab:
        page = tab.page
        for text in PAYLOADS[::10]:
            page.goto(f"{url}/entries/rekor/{logged.entries[text][0][1]}")
            page.goto(f"{url}/search?" + urlencode({"q": text}))
        page.goto(f"{url}/flow/live")
        page.goto(f"{url}/inspect")
        page.locator("#text").fill(pem(PAYLOADS[0]) + pem(PAYLOADS[35]))
        page.get_by_role("button").last.click()
        page.locator("pre.body").wait_for()
        files = [
            {"name": text.replace("/", "-"), "mimeType": "text/html", "buffer": text.encode()}
            for text in PRINTABLE[::12]
        ]
        page.goto(f"{url}/search")
        for file in files:
            with page.expect_navigation(url="**/search?q=sha256*"):  # its digest is looked for
                page.locator("input[type=file]").first.set_input_files(file)
        page.goto(f"{url}/inspect")
        for file in files:
            page.locator("input[type=file]").first.set_input_files(file)
            page.wait_for_load_state()
