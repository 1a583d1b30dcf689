# SPDX-License-Identifier: Apache-2.0
"""Whatever is sent: an answer of the provider's own, no foreign exception, and no way out of loopback."""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oidc_dev.clients import GRANTS
from oidc_dev.forms import Browser
from oidc_dev.parameters import encode_parameters, parse_parameters
from oidc_dev.parts import Directory, assemble
from oidc_dev.redirects import is_redirect_uri
from oidc_dev.reply import Page
from oidc_dev.store import MemoryAccounts
from sigcore.errors import Malformed, Refused
from sigcore.language import LANGUAGES
from tests.unit.oidc_dev.program import BEGINNING
from tests.unit.oidc_dev.visitor import CALLBACK, REQUEST, VERIFIER, Clock

TEXT = st.text("aZ09&=+% ;/?#<>\"'\\\u00e9\u4e16\U0001f600", max_size=20)
HOSTILE = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", '"', "\\", "<b>", "\r\n", "code token", "http://localhost@evil.example", "plain", "\u00e9", "none"]
    ),
)
REDEMPTION = {
    "grant_type": "authorization_code",
    "code": "0" * 64,
    "redirect_uri": CALLBACK,
    "code_verifier": VERIFIER,
    "client_id": "sigstore",
    "device_code": "0" * 43,
    "client_secret": "release." + "0" * 43,
    "subject_token": "e30.e30.AAAA",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
}
TYPED = {"user_code": "BCDF-GHJK", "csrf": "0" * 64, "action": "login", "email": "a@b.c", "password": "x"}


class Refusing:
    """Machines that nobody is, and a broker that takes no token."""

    def find(self, _name):
        return None

    async def identify(self, token, *, now):
        raise Refused(f"{token} is none at {now}")


def changed(base: dict[str, str]):
    """``base`` with a few members changed, removed, or added."""
    changes = st.dictionaries(
        st.one_of(st.sampled_from([*base, "prompt", "nonce", "response_mode"]), TEXT), HOSTILE, max_size=4
    )
    return st.builds(lambda more: urlencode(base | more, errors="surrogatepass").encode(), changes)


@pytest.fixture(scope="module")
def parts():
    from oidc_dev.provider import Provider  # noqa: PLC0415 - the fixture of the package lives for one test
    from oidc_dev.signing import KeyRing, generate_rsa  # noqa: PLC0415 - the same

    provider = Provider("http://localhost/auth", KeyRing.of(generate_rsa()), Clock())
    return assemble(provider, Directory(MemoryAccounts(), machines=Refusing(), broker=Refusing()))


@pytest.fixture(scope="module")
def loop():
    """One for all examples: making one takes longer than any of them."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def server(parts):
    return parts.server


@given(st.dictionaries(TEXT.filter(bool), TEXT.filter(bool), max_size=8))
def test_parameters_are_read_as_they_were_written(parameters):
    assert parse_parameters(encode_parameters(parameters).encode(), what="x") == parameters


@given(st.binary(max_size=200))
def test_bytes_are_parameters_or_malformed(data):
    try:
        found = parse_parameters(data, what="x")
    except Malformed:
        return
    assert parse_parameters(encode_parameters(found).encode(), what="x") == found


@settings(max_examples=300)
@given(st.one_of(changed(REQUEST), st.binary(max_size=100)))
def test_the_authorization_endpoint_answers_everything_and_leads_nowhere_else_o13_o18(loop, parts, data):
    reply = loop.run(parts.authorization.ask(data, Browser()))
    if isinstance(reply.body, Page):
        assert all("<html" in parts.pages.render(reply.body, language, {}) for language in LANGUAGES)
    assert reply.status in (200, 303, 400)
    location = dict(reply.headers).get("Location")
    assert (location is not None) == (reply.status == 303)
    if location is not None:
        there = urlsplit(location)
        assert is_redirect_uri(location.partition("?")[0])
        assert (there.scheme, there.username, there.fragment) == ("http", None, "")
        assert location.isascii()
        assert location.isprintable()


@settings(max_examples=300)
@given(st.one_of(changed(BEGINNING), st.binary(max_size=100)), st.one_of(st.just(""), st.text(max_size=40)))
def test_the_device_endpoint_answers_everything_in_its_own_words(server, data, header):
    try:
        reply = server.begin_device(data, header, str(hash(data)), now=server.now())
    except Malformed:
        return
    assert reply.status in (200, 400, 401, 429, 503)
    assert ("error" in reply.body) == (reply.status != 200)


@settings(max_examples=200)
@given(st.one_of(changed(TYPED), st.binary(max_size=100)))
def test_the_device_page_answers_everything_with_a_page(loop, parts, data):
    for reply in (loop.run(parts.devices.ask(data, Browser())), loop.run(parts.devices.decide(data, Browser()))):
        assert reply.status in (200, 400, 403, 404, 429)
        assert all("<html" in parts.pages.render(reply.body, language, {}) for language in LANGUAGES)


@settings(max_examples=300)
@given(
    st.one_of(*(changed(REDEMPTION | {"grant_type": grant}) for grant in GRANTS), st.binary(max_size=100)),
    st.one_of(st.just(""), st.text(max_size=40)),
)
def test_the_token_endpoint_refuses_everything_in_its_own_words(loop, server, data, header):
    try:
        reply = loop.run(server.redeem(data, header, now=server.provider.clock()))
    except Malformed:
        return
    assert reply.status in (400, 401)
    assert reply.body["error"] in {"invalid_request", "invalid_client", "invalid_grant", "unsupported_grant_type"}


@given(st.text(max_size=60))
def test_text_is_no_redirect_uri_unless_it_says_loopback(text):
    assert not is_redirect_uri(text)
    assert not is_redirect_uri(f"http://localhost{text}") or not text or text[0] in ":/"
