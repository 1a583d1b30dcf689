# SPDX-License-Identifier: Apache-2.0
"""Where a registry may send us, who may hear its password, and how it asks for it. (G03, G08, G11)"""

from __future__ import annotations

import pytest

from client.oci.challenge import Challenge, parse_challenges
from client.oci.targets import hears_password, is_loopback, next_page, origin_of, shown_url, verify_target
from sigcore.errors import Malformed, Refused

REGISTRY = origin_of("https://reg.example.com")


@pytest.mark.parametrize(
    ("registry", "realm", "heard"),
    [
        ("https://reg.example.com", "https://reg.example.com/token", True),
        ("https://reg.example.com:5000", "https://reg.example.com:5000/token", True),
        ("https://reg.example.com:5000", "https://reg.example.com/token", True),
        ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", True),
        ("https://reg.example.com", "https://auth.reg.example.com/token", True),
        ("https://index.docker.io", "https://auth.docker.io/token", True),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/token", True),
        ("https://reg.example.com", "https://reg.example.com:8443/token", False),
        ("https://reg.example.com", "http://reg.example.com/token", False),
        ("https://reg.example.com", "https://com/token", False),
        ("https://reg.example.com", "https://auth.example.com/token", False),
        ("https://reg.example.com", "https://evil.example/token", False),
        ("https://reg.example.com", "https://evilreg.example.com/token", False),
        ("https://reg.example.com", "https://reg.example.com.evil.example/token", False),
        ("https://reg.example.com", "https://auth.docker.io/token", False),
        ("https://reg.co.uk", "https://evil.co.uk/token", False),
        ("https://10.0.0.1", "https://0.0.1/token", False),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", False),
        ("http://localhost:5000", "http://127.0.0.1:5000/token", False),
    ],
)
def test_g03_the_password_is_heard_by_whom_it_belongs_to(registry, realm, heard):
    try:
        there = origin_of(realm)
    except Malformed:
        assert not heard
        return
    assert hears_password(origin_of(registry), there) is heard


@pytest.mark.parametrize(
    ("allowed", "heard"),
    [
        (("auth.example.com",), True),
        (("auth.example.com:443",), True),
        (("example.com", "auth.example.com:8443"), False),
    ],
)
def test_the_user_can_name_another_host(allowed, heard):
    assert hears_password(REGISTRY, origin_of("https://auth.example.com/token"), allowed) is heard


@pytest.mark.parametrize(
    ("registry", "target", "allowed"),
    [
        ("https://reg.example.com", "https://cdn.example.net/x?sig=1", True),
        ("https://10.0.0.1:5000", "https://10.0.0.2/x", True),
        ("http://127.0.0.1:5000", "http://127.0.0.1:6000/x", True),
        ("http://localhost:5000", "http://[::1]:6000/x", True),
        ("https://10.0.0.1:5000", "https://169.254.169.254/x", False),
        ("https://10.0.0.1:5000", "https://[fe80::1]/x", False),
        ("https://[fd00::1]", "https://[fd00:ec2::254]/x", False),
        ("https://reg.example.com", "https://10.0.0.1/x", False),
        ("https://reg.example.com", "https://127.0.0.1/x", False),
        ("https://reg.example.com", "https://localhost/x", False),
        ("https://reg.example.com", "https://[::1]/x", False),
        ("https://reg.example.com", "https://[::ffff:10.0.0.1]/x", False),
        ("https://reg.example.com", "https://0.0.0.0/x", False),
        ("https://reg.example.com", "https://100.64.0.1/x", False),
        ("https://reg.example.com", "http://reg.example.com/x", False),
        ("http://127.0.0.1:5000", "http://cdn.example.net/x", False),
    ],
)
def test_g03_where_a_registry_may_send_us(registry, target, allowed):
    def verify():
        return verify_target(origin_of(registry), f"{registry}/v2/", target, what="the redirect", allow_http=False)

    if allowed:
        assert verify() == origin_of(target)
    else:
        with pytest.raises(Refused, match=r"the redirect of 'http.*' leads to '"):
            verify()


def test_g11_plain_http_elsewhere_is_for_who_allows_it():
    source, target = "http://reg.example.com/v2/", "http://cdn.example.net/x"
    assert verify_target(origin_of(source), source, target, what="it", allow_http=True).host == "cdn.example.net"
    with pytest.raises(Refused, match="plain http"):
        verify_target(origin_of(source), source, target, what="it", allow_http=False)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("xlocalhost", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - nobody binds to it
    ],
)
def test_g11_this_machine_is_told_by_its_spelling(host, loopback):
    assert is_loopback(host) is loopback


def test_a_url_in_a_message_shows_no_secret():
    assert shown_url("https://user:pw@a.example/b?sig=secret#x") == "'https://a.example/b'"


PAGE = "https://a.example/v2/app/tags/list?n=2"


@pytest.mark.parametrize(
    ("links", "found"),
    [
        ((), None),
        (('</v2/app/tags/list?n=2&last=b>; rel="next"',), "https://a.example/v2/app/tags/list?n=2&last=b"),
        (("<?last=b>;rel=next",), "https://a.example/v2/app/tags/list?last=b"),
        (('<https://a.example/v2/app/tags/list?last=b>; rel="next"',), "https://a.example/v2/app/tags/list?last=b"),
        (('</x>; rel="prev"', '<?last=b>; rel="next"'), "https://a.example/v2/app/tags/list?last=b"),
        (('</x>; rel="prev", <?last=b>; title="t"; rel="next"',), "https://a.example/v2/app/tags/list?last=b"),
        (('</x>; rel="nextish"', "</x>", "nonsense", '<x; rel="next"'), None),
    ],
)
def test_the_next_page_of_a_list(links, found):
    assert next_page(PAGE, links, "/v2/app/tags/list") == found


@pytest.mark.parametrize(
    "link",
    [
        '<https://b.example/v2/app/tags/list>; rel="next"',
        '<http://a.example/v2/app/tags/list>; rel="next"',
        '<https://a.example:8443/v2/app/tags/list>; rel="next"',
        '</v2/other/tags/list>; rel="next"',
        '</v2/app/tags/list/../../../other/tags/list>; rel="next"',
        '<//b.example/v2/app/tags/list>; rel="next"',
        '<https://u@a.example/v2/app/tags/list>; rel="next"',
        '<?a>; rel="next", <?b>; rel="next"',
    ],
)
def test_g03_a_next_page_elsewhere_is_refused(link):
    with pytest.raises((Refused, Malformed)):
        next_page(PAGE, (link,), "/v2/app/tags/list")


# --- challenges --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("", ()),
        ("Basic", (Challenge("basic", ()),)),
        ('Basic realm="a b"', (Challenge("basic", (("realm", "a b"),)),)),
        ("bearer REALM=x , service = y", (Challenge("bearer", (("realm", "x"), ("service", "y"))),)),
        (
            'Bearer realm="https://a/t?x=1,2",scope="repository:a/b:pull,push",error="x\\"y"',
            (
                Challenge(
                    "bearer", (("realm", "https://a/t?x=1,2"), ("scope", "repository:a/b:pull,push"), ("error", 'x"y'))
                ),
            ),
        ),
        ("Negotiate, Basic realm=x", (Challenge("negotiate", ()), Challenge("basic", (("realm", "x"),)))),
        ("NTLM YWJj==, Basic realm=x", (Challenge("ntlm", ()), Challenge("basic", (("realm", "x"),)))),
        (" , Basic realm=x,, ", (Challenge("basic", (("realm", "x"),)),)),
    ],
)
def test_a_challenge_is_read_as_rfc_9110_has_it(header, challenges):
    assert parse_challenges(header) == challenges


@pytest.mark.parametrize(
    "header", ['Basic realm="x', "Basic realm=a, realm=b", 'realm="x"', "=", '"Basic"', "Basic a=b c=d e"]
)
def test_what_is_no_challenge_is_refused(header):
    with pytest.raises(Malformed, match="WWW-Authenticate"):
        parse_challenges(header)
