# SPDX-License-Identifier: Apache-2.0
"""``[[upstreams]]``: the rows as they are written, and how the other provider is reached."""

from __future__ import annotations

import pytest
from aiohttp import web

from sigcore.errors import Malformed, NotFound, Refused, Unavailable
from stack.elsewhere import load_elsewhere
from stack.outside import Fetcher
from stack.upstreams import load_upstreams

ROW = '[[upstreams]]\nname = "corp"\nissuer = "https://login.corp.example"\nclient_id = "sigbox"\ndomains = ["Corp.Example"]\n'


@pytest.fixture
def config(tmp_path):
    (tmp_path / "secret").write_text("s3cret\n")
    (tmp_path / "empty").write_text("\n")

    def write(text: str):
        (tmp_path / "sigbox.toml").write_text(text)
        return tmp_path / "sigbox.toml"

    return write


def test_a_row_with_what_is_not_said_by_default(config):
    (row,) = load_upstreams(config(ROW))
    assert (row.name, row.label, row.domains) == ("corp", "corp", ("corp.example",))
    assert (row.client_secret, row.scopes, row.groups, row.userinfo) == ("", ("openid", "email"), (), False)
    assert (row.email_claim, row.assume_verified, row.certified) == ("email", False, False)


def test_a_row_with_everything(config):
    more = """\
label = "The company"
client_secret_file = "secret"
scopes = ["openid", "profile"]
groups = ["signers"]
groups_claim = "roles"
email_claim = "upn"
email_verified = "assumed"
userinfo = true
hosts = ["keys.corp.example"]
certificate_issuer = "upstream"
"""
    (row,) = load_upstreams(config(ROW + more))
    assert (row.label, row.client_secret, row.scopes) == ("The company", "s3cret", ("openid", "profile"))
    assert (row.groups, row.groups_claim, row.email_claim) == (("signers",), "roles", "upn")
    assert (row.assume_verified, row.userinfo, row.certified) == (True, True, True)
    assert row.hosts == ("keys.corp.example",)
    assert "s3cret" not in repr(row)


@pytest.mark.parametrize(
    ("text", "error", "why"),
    [
        ("[upstreams]\n", Malformed, r"write \[\[upstreams\]\]"),
        ("upstreams = [1]\n", Malformed, "upstreams 1: 1 is no table"),
        (ROW + "x = 1\n", Malformed, "upstreams 1: .*'x'"),
        (ROW + 'email_verified = "yes"\n', Malformed, "expected required, or assumed"),
        (ROW + 'certificate_issuer = "theirs"\n', Malformed, "expected own, or upstream"),
        (ROW + 'client_secret_file = "absent"\n', NotFound, "absent"),
        (ROW + 'client_secret_file = "empty"\n', Malformed, "holds no client secret"),
        (ROW + 'ca_file = "absent"\n', NotFound, "absent"),
        (ROW + 'ca_file = "secret"\n', Malformed, "no certificate authority"),
        (ROW + 'userinfo = "yes"\n', Malformed, "userinfo"),
        (ROW + "groups = [1]\n", Malformed, "groups"),
        (ROW + "label = 2026-01-01\n", Malformed, "put dates in quotes"),
        (ROW.replace("https", "http"), Malformed, "expected an https URL"),
        (ROW + ROW, Malformed, "the same name"),
    ],
)
def test_a_row_that_cannot_be_meant_is_refused_with_its_place(config, text, error, why):
    with pytest.raises(error, match=why):
        load_elsewhere([config(text)])


# --- how it is reached -----------------------------------------------------------------------------------------
@pytest.fixture
async def provider(aiohttp_server):
    """A provider of every kind of answer."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        what = request.match_info["what"]
        if what == "elsewhere":
            raise web.HTTPFound("http://127.0.0.2:1/keys")
        if what == "large":
            return web.Response(body=b" " * (256 * 1024 + 1))
        if what == "fine":
            return web.Response(body=b"{}")
        return web.Response(status=int(what), body=b'{"message": "somebody else\'s words"}')

    app = web.Application()
    app.add_routes([web.get("/{what}", answer), web.post("/{what}", answer)])
    server = await aiohttp_server(app)
    server.asked = asked
    return server


@pytest.mark.parametrize(
    ("path", "error", "why"),
    [
        ("elsewhere", Refused, "answered 302"),
        ("large", Malformed, "longer than 262144 bytes"),
        ("400", Refused, "answered 400"),
        ("500", Unavailable, "whether Corp answers"),
    ],
)
async def test_what_is_no_answer_is_an_error_and_no_redirect_is_followed(provider, path, error, why):
    """O24."""
    with pytest.raises(error, match=why):
        await Fetcher("Corp").fetch(str(provider.make_url(f"/{path}")))
    assert provider.asked == [f"/{path}"]


async def test_a_provider_that_is_not_there_is_unavailable():
    with pytest.raises(Unavailable, match="whether Corp answers"):
        await Fetcher("Corp").fetch("http://127.0.0.1:1/")


async def test_documents_and_forms(provider):
    assert await Fetcher("Corp").fetch(str(provider.make_url("/fine"))) == b"{}"
    assert await Fetcher("Corp").fetch(str(provider.make_url("/fine")), form={"a": "b"}) == b"{}"
