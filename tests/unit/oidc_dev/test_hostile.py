# SPDX-License-Identifier: Apache-2.0
"""What must not work. The codes are those of the project's list of adversarial cases: O13 redirects, O16 and O17 forged
forms, O18 open redirects, O20 markup in reflected fields; D03 and D04 bodies."""

from __future__ import annotations

import gzip
from urllib.parse import quote, urlencode

import pytest
from aiohttp.test_utils import TestClient

from oidc_dev.redirects import OUT_OF_BAND
from tests.unit.oidc_dev.program import Program
from tests.unit.oidc_dev.visitor import ALICE, FORM, PASSWORD, REQUEST, Html, Visitor, query_of

FOREIGN = [
    "https://evil.example/callback",
    "http://evil.example",
    "http://localhost@evil.example/",
    "http://localhost:80@evil.example/",
    "http://evil.example@localhost/",
    "http://user:secret@localhost:1/",
    "http://localhost.evil.example/",
    "http://localhost.:1/",
    "http://127.0.0.1.evil.example/",
    "http://127.0.0.1.:1/",
    "http://127.1/",
    "http://0x7f.0.0.1/",
    "http://2130706433/",
    "http://0177.0.0.1/",
    "http://127.0.0.256/",
    "http://127.0.0.01/",
    "http://0.0.0.0:1/",
    "http://128.0.0.1/",
    "http://[::1%25lo]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://::1/",
    "http://LOCALHOST:1/",
    "http://l\u00f6calhost/",
    "http://\u2488localhost/",
    "https://localhost:1/callback",
    "HTTP://localhost:1/",
    "ftp://localhost/",
    "javascript:alert(1)//localhost",
    "data:text/html,localhost",
    "//localhost/",
    "/relative",
    "localhost:1",
    "http:localhost",
    "http:/localhost",
    "http:///localhost",
    "http://localhost:1\\@evil.example/",
    "http://localhost\\.evil.example",
    "http://localhost:1/a\\b",
    "http://localhost:1/#fragment",
    "http://localhost:1#",
    "http://localhost:1/?code=mine",
    "http://localhost:1?",
    "http://localhost:0/",
    "http://localhost:01/",
    "http://localhost:65536/",
    "http://localhost:99999999/",
    "http://localhost:/",
    "http://localhost:1/a b",
    "http://localhost:1/<x>",
    'http://localhost:1/"',
    "http://localhost:1/%",
    "http://localhost:1/%zz",
    " http://localhost:1/",
    "http://localhost:1/ ",
    "http%3A%2F%2Flocalhost%3A1",  # encoded once more than it should be
    "http://localhost%2eevil.example/",
    "http://localhost%00.evil.example/",
    "http://localhost:1/" + "a" * 1100,
    "urn:ietf:wg:oauth:2.0:oob:auto",
    "urn:ietf:wg:oauth:2.0:OOB",
    "urn:ietf:wg:oauth:2.0:oob?x=1",
    "",
]
ALLOWED = [
    "http://localhost",
    "http://localhost/",
    "http://localhost:65535",
    "http://localhost:1/auth/callback",
    "http://localhost:1//evil.example/..;/%2e",
    "http://127.0.0.1:8080/auth/callback",
    "http://127.255.255.254:1",
    "http://[::1]:4321/auth/callback",
    OUT_OF_BAND,
]
PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "' autofocus onfocus=alert(1) x='",
    '" onmouseover="alert(1)',
    "javascript:alert(1)",
    "</input></form><form action=//evil.example>",
    "{{ 7 * 7 }}{% raw %}",
    "${7*7}<!--",
    "<style>*{background:url(//evil.example)}</style>",
    "<base href=//evil.example>",
    "&lt;script&gt;&quot;&#x27;",
    "\u2028\u202e<b>",
    "<IMG SRC=&#106;avascript:alert(1)>",
]


def shape(text: str):
    """Elements and the names of their attributes: what markup that came through would change."""
    return [(tag, sorted(attributes)) for tag, attributes in Html(text).elements]


async def shown_as_error(answer) -> str:
    """The answer is a page, it leads nowhere, and it cannot be stored, framed or scripted."""
    assert answer.status == 400
    assert "Location" not in answer.headers
    assert answer.content_type == "text/html"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    return await answer.text()


# --- redirects -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("uri", FOREIGN)
async def test_nobody_is_sent_to_a_foreign_redirect_uri_o13(visitor, uri):
    text = await shown_as_error(await visitor.ask(redirect_uri=uri))
    assert not [1 for tag, attributes in Html(text).elements if "evil" in str(attributes)]


@pytest.mark.parametrize("uri", FOREIGN)
@pytest.mark.parametrize(
    "wrong",
    [{"response_type": "token"}, {"scope": "x"}, {"code_challenge": None}, {"prompt": "none"}, {"request": "x"}],
)
async def test_no_other_error_opens_a_redirect_o18(visitor, uri, wrong):
    await shown_as_error(await visitor.ask(redirect_uri=uri, **wrong))


@pytest.mark.parametrize("uri", ALLOWED)
async def test_loopback_with_any_port_and_path_is_allowed(visitor, uri):
    page = await visitor.ask(redirect_uri=uri)
    assert page.status == 200
    answer = await visitor.log_in(redirect_uri=uri)
    if uri != OUT_OF_BAND:
        assert answer.headers["Location"].startswith(f"{uri}?code=")


@pytest.mark.parametrize("client", [None, "", "another", "SIGSTORE", "<b>", '"', "\u00e9"])
async def test_an_unknown_client_is_told_so_on_a_page_o18(visitor, client):
    await shown_as_error(await visitor.ask(client_id=client))


@pytest.mark.parametrize(
    "response_type",
    [
        None,
        "",
        "token",
        "id_token",
        "code token",
        "code id_token",
        "none",
        "Code",
        "code code",
        '"<b>\\\u00e9',
        "x" * 500,
    ],
)
async def test_only_codes_are_given_and_the_refusal_quotes_nothing_o18(visitor, response_type):
    found = query_of(await visitor.ask(response_type=response_type))
    assert (found["error"], found["state"]) == ("unsupported_response_type", "a state")
    assert found["error_description"] == "the response type must be code"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"scope": None}, "invalid_scope"),
        ({"scope": "email"}, "invalid_scope"),
        ({"scope": "\u00e9 <b>"}, "invalid_scope"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"response_mode": "form_post"}, "invalid_request"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"request_uri": "http://127.0.0.1:1/never-asked"}, "request_uri_not_supported"),
        ({"registration": "{}"}, "registration_not_supported"),
        ({"nonce": "n" * 513}, "invalid_request"),
    ],
)
async def test_what_is_not_supported_is_told_to_the_client_and_nothing_is_fetched(visitor, wrong, error):
    found = query_of(await visitor.ask(**wrong))
    assert (found["error"], found["state"]) == (error, "a state")


@pytest.mark.parametrize(
    "wrong",
    [{"scope": "x"}, {"response_type": "token"}, {"prompt": "none"}, {"code_challenge": None}, {"request": "x"}],
)
async def test_what_is_wrong_with_an_out_of_band_request_is_shown_on_a_page_o18(visitor, wrong):
    await shown_as_error(await visitor.ask(redirect_uri=OUT_OF_BAND, **wrong))


@pytest.mark.parametrize("state", ["a&b=c#d", "x" * 2000, "\u00e9\u4e16", "'\"<>", "%0d%0aSet-Cookie: x=1", "a+b c"])
async def test_the_state_comes_back_as_it_was_and_stays_one_parameter(visitor, state):
    found = query_of(await visitor.log_in(state=state))
    assert found["state"] == state
    assert set(found) == {"code", "state"}
    assert query_of(await visitor.ask(state=state, scope="x"))["state"] == state


@pytest.mark.parametrize("name", sorted(REQUEST))
@pytest.mark.parametrize("end", ["\r\nSet-Cookie: stolen=1", "\n", "\x00", "\x7f", "\x85"])
async def test_control_characters_end_no_header_line_o13(visitor, name, end):
    answer = await visitor.ask(**{name: REQUEST[name] + end})
    await shown_as_error(answer)
    assert "stolen" not in str(answer.headers)


# --- parameters ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [*sorted(REQUEST), "nonce", "prompt", "unknown"])
async def test_no_parameter_of_the_authorization_request_stands_twice(http, name):
    query = urlencode(REQUEST | {name: "a"}) + f"&{name}=b"
    await shown_as_error(await http.get(f"/auth/auth?{query}", allow_redirects=False))


@pytest.mark.parametrize(
    "name", ["grant_type", "code", "redirect_uri", "code_verifier", "client_id", "client_secret", "x"]
)
async def test_no_parameter_of_the_token_request_stands_twice(visitor, http, name):
    fields = {"grant_type": "authorization_code", "code": await visitor.code(), "client_id": "sigstore"}
    body = urlencode(fields | {name: "a"}) + f"&{name}=b"
    answer = await http.post("/auth/token", data=body, headers={"Content-Type": FORM})
    assert (answer.status, (await answer.json())["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("query", ["%", "a=%zz", "a=%ff%fe", "a=%c3%28", "state=%ed%a0%80", "=x", "&&&", "a", "a=b=c"])
async def test_a_query_that_is_none_gets_a_page(http, query):
    await shown_as_error(await http.get(f"/auth/auth?{query}", allow_redirects=False))


@pytest.mark.parametrize("path", ["/auth/auth", "/auth/login", "/auth/token"])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", FORM),
        (b"\0\xff", FORM),
        (b"{}", "application/json"),
        (b"a=b", "text/plain"),
        (b"a=b", ""),
        (b"a=b", "multipart/form-data; boundary=x"),
        (b"a=b", "application/x-www-form-urlencoded-not"),
        (b"a=b", "application/" * 1000),
        (b"a=" + b"b" * 9000, FORM),
        (b"&" * 8000, FORM),
        (b"a=1&" * 2000, FORM),
        (b"%" * 8000, FORM),
    ],
)
async def test_bodies_that_are_no_form_are_the_senders_fault_d04(http, path, body, kind):
    headers = {"Content-Type": kind} if kind else {"Content-Type": ""}
    answer = await http.post(path, data=body, headers=headers, allow_redirects=False)
    assert 400 <= answer.status < 500
    assert "Traceback" not in await answer.text()


@pytest.mark.parametrize("path", ["/auth/auth", "/auth/login", "/auth/token"])
@pytest.mark.parametrize("body", [gzip.compress(b"a" * 10_000_000), gzip.compress(urlencode(REQUEST).encode())])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip"])
async def test_compressed_bodies_are_not_inflated_d03(http, path, body, encoding):
    answer = await http.post(path, data=body, headers={"Content-Type": FORM, "Content-Encoding": encoding})
    assert answer.status == 400
    if encoding != "br":  # which the server itself refuses, where it has no decoder
        assert "uncompressed" in await answer.text()


@pytest.mark.parametrize("path", ["/auth/auth", "/auth/login", "/auth/token"])
async def test_an_endless_body_is_answered_long_before_its_end_d04(http, path):
    sent = 0

    async def endless():
        nonlocal sent
        for sent in range(1000):  # noqa: B007 - read below
            yield b"a" * 65536

    answer = await http.post(path, data=endless(), headers={"Content-Type": FORM})
    assert answer.status == 400
    assert sent < 500
    answer.close()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/auth/auth", "/auth/login", "/auth/token", "/auth/userinfo"])
async def test_other_methods_are_refused(http, method, path):
    assert (await http.request(method, path)).status == 405


async def test_a_login_cannot_be_had_by_get(http):
    fields = {"email": ALICE, "password": PASSWORD, "request": urlencode(REQUEST)}
    assert (await http.get(f"/auth/login?{urlencode(fields)}")).status == 405


# --- forged forms ----------------------------------------------------------------------------------------
FILLED = {"email": ALICE, "password": PASSWORD, "action": "login"}


async def refused(answer) -> None:
    assert answer.status == 403
    assert "Location" not in answer.headers


async def test_a_form_without_its_token_is_refused_o17(visitor):
    form = await visitor.form()
    for csrf in ("", "0" * 64, form["csrf"][:-1], form["csrf"].upper(), form["csrf"] + "0", "\u00e9"):
        await refused(await visitor.send(form | FILLED | {"csrf": csrf}))
    assert (await visitor.send(form | FILLED)).status == 303


async def test_a_form_of_another_browser_is_refused_o16(visitor, http):
    form = await visitor.form() | FILLED
    async with TestClient(http.server) as other:
        await refused(await Visitor(other).send(form))  # no cookie at all
        mine = await Visitor(other).form()
        await refused(await Visitor(other).send(form))  # a cookie of its own
        await refused(await Visitor(other).send(mine | FILLED | {"csrf": form["csrf"]}))


async def test_a_token_is_good_for_the_request_that_it_was_made_for_o17(visitor):
    form = await visitor.form()
    for changed in ({"redirect_uri": "http://localhost:6666/"}, {"state": "other"}, {"code_challenge": "A" * 43}):
        await refused(await visitor.send(form | FILLED | {"request": urlencode(REQUEST | changed)}))
    other = await visitor.form(state="other")
    await refused(await visitor.send(form | FILLED | {"csrf": other["csrf"]}))


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:7781", "http://localhost:7780.evil.example"]
)
async def test_a_form_from_a_page_of_another_origin_is_refused_o17(visitor, origin):
    await refused(await visitor.send(await visitor.form() | FILLED, Origin=origin))


async def test_a_form_from_our_own_origin_is_taken(visitor):
    answer = await visitor.send(await visitor.form() | FILLED, Origin="http://localhost:7780")
    assert answer.status == 303


@pytest.mark.parametrize(
    "cookie", ["", "x", "a" * 42, "a" * 44, '"\\012Set-Cookie: a=b"', "\u00e9" * 43, "%00" * 15, '"' + "a" * 41 + '"']
)
async def test_a_cookie_that_is_not_ours_is_replaced_and_opens_nothing_o17(visitor, cookie):
    header = {"Cookie": f"sigbox-login={cookie}"}
    page = await visitor.http.get(f"/auth/auth?{urlencode(REQUEST)}", headers=header)
    assert page.status == 200
    fresh = page.cookies["sigbox-login"].value
    assert len(fresh) == 43
    assert fresh != cookie
    form = Html(await page.text()).inputs() | FILLED
    visitor.http.session.cookie_jar.clear()
    await refused(await visitor.send(form, **header))


async def test_a_form_is_of_one_process_only(visitor, aiohttp_client, provider, directory):
    from oidc_dev.app import make_app  # noqa: PLC0415 - a restart

    form = await visitor.form() | FILLED
    again = Visitor(await aiohttp_client(make_app(provider, directory)))
    cookies = "; ".join(f"{c.key}={c.value}" for c in visitor.http.session.cookie_jar)
    await refused(await again.send(form, Cookie=cookies))


async def test_the_cookie_is_for_this_site_alone_and_not_for_scripts_o17(
    visitor, aiohttp_client, directory, signing_key, clock
):
    cookie = (await visitor.ask()).headers["Set-Cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Lax", "Path=/"))
    assert "Secure" not in cookie
    from oidc_dev.app import make_app  # noqa: PLC0415 - one behind TLS
    from oidc_dev.provider import Provider  # noqa: PLC0415 - the same
    from oidc_dev.signing import KeyRing  # noqa: PLC0415 - the same

    secure = Provider("https://sigstore.corp.example/auth", KeyRing(signing_key), clock)
    cookie = (await Visitor(await aiohttp_client(make_app(secure, directory))).ask()).headers["Set-Cookie"]
    assert cookie.startswith("__Host-")
    assert "Secure" in cookie
    assert "Domain" not in cookie


# --- markup ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("name", ["state", "nonce", "login_hint", "scope", "connector_id"])
async def test_markup_in_a_request_stays_text_on_the_login_page_o20(visitor, name, payload):
    value = f"openid {payload}" if name == "scope" else payload
    plain = "openid x" if name == "scope" else "x"
    page, calm = await visitor.ask(**{name: value}), await visitor.ask(**{name: plain})
    if "\u2028" in payload:  # refused as a control character, on a page
        assert shape(await shown_as_error(page))
        return
    assert page.status == 200
    assert shape(await page.text()) == shape(await calm.text())


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("name", ["redirect_uri", "client_id", "response_mode", "prompt", "code_challenge"])
async def test_markup_in_a_refused_request_stays_text_on_the_error_page_o20(visitor, name, payload):
    answer = await visitor.ask(**{"redirect_uri": "http://evil.example/", name: payload})
    calm = await visitor.ask(redirect_uri="http://evil.example/")
    assert shape(await shown_as_error(answer)) == shape(await shown_as_error(calm))


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_markup_in_the_email_and_in_parameter_names_stays_text_o20(visitor, http, payload):
    answer = await visitor.log_in(email=payload)
    if "\u2028" not in payload:
        assert answer.status == 403
        assert shape(await answer.text()) == shape(await (await visitor.log_in(email="x")).text())
    twice = f"{quote(payload)}=1&{quote(payload)}=2"
    text = await shown_as_error(await http.get(f"/auth/auth?{twice}"))
    assert shape(text) == shape(await shown_as_error(await http.get("/auth/auth?x=1&x=2")))


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_markup_on_the_device_page_stays_text_o20(http, payload):
    calm = await http.get("/auth/device?user_code=x")
    page = await http.get(f"/auth/device?user_code={quote(payload)}")
    assert page.status in (400, 404)
    assert shape(await page.text()) == shape(await calm.text())
    program = Program(http)
    code = (await program.begun())["user_code"]
    wrong = await program.decide(code, email=payload)
    if "\u2028" not in payload:
        assert shape(await wrong.text()) == shape(await (await program.decide(code, email="x")).text())


async def test_no_page_has_a_script_or_a_handler_or_anything_from_outside_w02(visitor):
    get, program = visitor.http.get, Program(visitor.http)
    code = (await program.begun())["user_code"]
    pages = (
        await visitor.ask(),
        await visitor.ask(client_id="x"),
        await get("/auth/device"),
        await get(f"/auth/device?user_code={code}"),
        await visitor.log_in(redirect_uri=OUT_OF_BAND),
        await visitor.ask(),  # with a session
        await get(f"/auth/device?user_code={code}"),
        await get("/auth/session"),
        await program.decide(code),
    )
    for page in pages:
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for tag, attributes in Html(await page.text()).elements:
            assert tag not in {"script", "iframe", "object", "style", "base"}
            assert not [name for name in attributes if name.startswith("on") or name == "style"]
            for name in ("href", "src", "action"):
                assert (attributes.get(name) or "x").removeprefix("/auth/").partition("?")[0] in {
                    "x",
                    "auth",
                    "style.css",
                    "login",
                    "device",
                    "session",
                }


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("http://localhost:1/cb", "'self' http://localhost:1"),
        ("http://127.0.0.1:1/;script-src*", "'self' http://127.0.0.1:1"),
        ("http://127.9.9.9/", "'self' http:"),
        ("http://[::1]:1/", "'self' http:"),
        (OUT_OF_BAND, "'self'"),
    ],
)
async def test_the_form_may_lead_to_the_client_and_the_policy_cannot_be_written_to_o20(visitor, uri, source):
    policy = (await visitor.ask(redirect_uri=uri)).headers["Content-Security-Policy"]
    assert policy.rpartition("form-action ")[2] == source
