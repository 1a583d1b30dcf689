# SPDX-License-Identifier: Apache-2.0
"""The way to the provider and back: only for the browser, the page and the time that it was begun for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from oidc_dev.claims import Identity
from oidc_dev.codes import AuthorizationCode
from oidc_dev.rules import LoginRules
from sigcore.errors import Malformed, Refused
from stack.console_login import LoginDemand, load_login_demand
from stack.web.console.departure import CLIENT, LONGEST_PATH, Departures
from stack.web.console.visits import Visits

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CALLBACK = "https://stack.example/account/callback"


def made() -> Departures:
    return Departures("https://stack.example/auth", CALLBACK)


def asked(departures: Departures, cookie: str = "c", path: str = "/search?q=a") -> dict[str, str]:
    url = urlsplit(departures.leave(cookie, path, now=NOW))
    assert url.path == "/auth/auth"
    return {name: value for name, (value,) in parse_qs(url.query).items()}


def granted(request: dict[str, str]) -> AuthorizationCode:
    identity = Identity("a@corp.example", extra=(("nonce", request["nonce"]),))
    return AuthorizationCode(CLIENT, CALLBACK, "openid email", identity, request["code_challenge"], NOW)


def test_whoever_comes_back_with_the_answer_returns_to_the_page():
    departures = made()
    request = asked(departures)
    assert departures.back("c", request["state"], now=NOW) == "/search?q=a"
    departures.check(granted(request), "c", request["state"])
    assert (request["client_id"], request["response_type"], request["code_challenge_method"]) == (
        CLIENT,
        "code",
        "S256",
    )


def test_an_answer_counts_in_its_browser_only_until_its_time_and_not_after_a_restart():
    departures = made()
    state = asked(departures)["state"]
    for other, cookie, moment in (
        (departures, "other", NOW),
        (departures, "", NOW),
        (departures, "c", NOW + timedelta(minutes=10)),
        (made(), "c", NOW),
    ):
        with pytest.raises(Refused):
            other.back(cookie, state, now=moment)
    with pytest.raises(Refused):
        departures.back("\udcff", state, now=NOW)  # a byte that is no UTF-8
    for changed in ("", "x", state[:-2], state[:40] + ("A" if state[40] != "A" else "B") + state[41:], state + "AAAA"):
        with pytest.raises(Refused):
            departures.back("c", changed, now=NOW)


@pytest.mark.parametrize("member", ["code_challenge", "redirect_uri", "scope", "identity"])
def test_a_code_of_another_departure_is_refused(member):
    departures = made()
    one, other = asked(departures), asked(departures)
    assert one["state"] != other["state"]
    values = {
        "code_challenge": other["code_challenge"],
        "redirect_uri": "https://stack.example/other",
        "scope": "openid",
        "identity": Identity("a@corp.example", extra=(("nonce", other["nonce"]),)),
    }
    with pytest.raises(Refused, match="another question"):
        departures.check(replace(granted(one), **{member: values[member]}), "c", one["state"])
    with pytest.raises(Refused, match="unknown"):
        departures.check(None, "c", one["state"])


@pytest.mark.parametrize(
    "path",
    [
        "/search?q=" + "a" * LONGEST_PATH,
        "//evil.example/",
        "/\\evil.example/",
        "https://evil.example/",
        "",
        "/a\r\nX: y",
        "/a b",
    ],
)
def test_an_address_that_is_endless_or_leads_elsewhere_returns_to_the_search(path):
    departures = made()
    assert departures.back("c", asked(departures, path=path)["state"], now=NOW) == "/search"


# --- who may read ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("identity", "may"),
    [
        (Identity("a@corp.example"), True),
        (Identity("a@CORP.example"), True),
        (Identity("a@sub.corp.example"), False),
        (Identity("a@evil-corp.example"), False),
        (Identity("guest@other.example"), True),
        (Identity(subject="https://ci.example/job"), True),
        (Identity(subject="x@corp.example"), False),
        (Identity("a@corp.example", extra=(("email_verified", False),)), False),
        (Identity("guest@other.example", "s", (("email_verified", False),)), False),
    ],
)
def test_who_may_read_is_said_by_domain_or_by_name(identity, may):
    demand = LoginDemand(("corp.example",), ("guest@other.example", "https://ci.example/job"))
    if may:
        demand.check(identity)
    else:
        with pytest.raises(Refused, match="may not read"):
            demand.check(identity)


def test_without_a_list_whoever_can_log_in_may_read():
    LoginDemand().check(Identity("a@anywhere.example"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('console = "yes"', "a table"),
        ('[console]\nlogin = "yes"', "login"),
        ('[console]\ndomains = ["corp.example"]', "asks for no login"),
        ('[console]\nlogin = true\ndomains = ["@corp.example"]', "behind the @"),
        ('[console]\nlogin = true\ndomains = ["*.corp.example"]', "behind the @"),
        ("[console]\nlogin = true\nusers = []", "users"),
    ],
)
def test_a_demand_that_cannot_be_meant_is_refused(tmp_path, text, said):
    file = tmp_path / "sigbox.toml"
    file.write_text(text)
    with pytest.raises(Malformed, match=said):
        load_login_demand([file])


def test_no_table_and_login_false_ask_for_nothing(tmp_path):
    file = tmp_path / "sigbox.toml"
    for text in ("", "[console]\n", "[console]\nlogin = false\n"):
        file.write_text(text)
        assert load_login_demand([file]) is None
    file.write_text('[console]\nlogin = true\ndomains = ["Corp.Example"]\n')
    assert load_login_demand([file]) == LoginDemand(("corp.example",))


# --- visits ------------------------------------------------------------------------------------------
def test_a_visit_ends_by_idling_by_age_by_will_and_with_a_clock_that_goes_back():
    visits = Visits(LoginRules(idle_s=900, session_s=3600))
    minute = timedelta(minutes=1)

    def begun() -> str:
        return visits.begin("a", None, now=NOW)

    name = begun()
    assert visits.find(name, now=NOW + 14 * minute) is not None
    assert visits.find(name, now=NOW + 28 * minute) is not None
    assert visits.find(name, now=NOW + 43 * minute) is None
    name = begun()
    for number in range(1, 6):
        assert visits.find(name, now=NOW + number * 10 * minute) is not None
    assert visits.find(name, now=NOW + 60 * minute) is None
    assert visits.find(begun(), now=NOW - minute) is None
    name = begun()
    visits.end(name)
    assert visits.find(name, now=NOW) is None
    assert visits.find("", now=NOW) is None
