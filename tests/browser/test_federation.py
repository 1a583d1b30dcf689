# SPDX-License-Identifier: Apache-2.0
"""People log in through Dex, in a real browser, for an official client that waits; and who may not, is told why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jwt
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import Hook, visitor
from tests.browser.dex import BOND, DEX_PASSWORD, EVE, KILGORE, SECRET, Address, choose_address, running_dex
from tests.browser.test_clients import hook, signing  # noqa: F401 - a fixture
from tests.browser.test_login import request_url
from tests.browser.waiting import waiting
from tests.interop.clients import DEX, Missing
from tests.interop.conftest import require
from tests.interop.places import Done, Place, refuse, succeed
from tests.interop.tools import PYTHON, V3
from tests.stack_process import RunningStack, running_stack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]

ROWS = """\
[[upstreams]]
name = "corp"
label = "Corp"
client_id = "public"
domains = ["corp.example"]

[[upstreams]]
name = "named"
label = "Named"
client_id = "sigbox"
client_secret_file = "dex.secret"
domains = ["corp.example"]
certificate_issuer = "upstream"

[[upstreams]]
name = "authors"
label = "Authors"
client_id = "public"
domains = ["kilgore.trout"]
scopes = ["openid", "email", "groups"]
groups = ["authors"]

[[upstreams]]
name = "bosses"
label = "Bosses"
client_id = "public"
domains = ["kilgore.trout"]
scopes = ["openid", "email", "groups"]
groups = ["bosses", "owners"]

[[upstreams]]
name = "wrong"
label = "Wrong secret"
client_id = "sigbox"
client_secret_file = "wrong.secret"
domains = ["*"]
"""
NAMES = ("corp", "named", "authors", "bosses", "wrong")


@dataclass
class Dex:
    """What ``require`` asks for."""

    name: str = "dex"

    def require(self) -> None:
        DEX.installed()


@pytest.fixture(scope="module")
def dex(tmp_path_factory: pytest.TempPathFactory) -> Address:
    try:
        DEX.installed()
    except Missing:
        require(Dex())  # type: ignore[arg-type]  # it is no client: it only can be missing
    return choose_address(tmp_path_factory.mktemp("dex"))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, dex: Address) -> Iterator[RunningStack]:
    """A stack whose people are Dex's; one row is of a Dex that is not there."""
    folder = tmp_path_factory.mktemp("stack")
    where = f'issuer = "{dex.issuer}"\nca_file = "{dex.files.authority}"\n'
    absent = ROWS.partition("\n\n")[0].replace("corp", "absent").replace("Corp", "Absent")
    rows = ROWS.replace("client_id", f"{where}client_id")
    rows += f'\n{absent}\nissuer = "https://localhost:1/dex"\n'
    (folder / "upstreams.toml").write_text(rows)
    (folder / "dex.secret").write_text(f"{SECRET}\n")
    (folder / "wrong.secret").write_text("another secret\n")
    with running_stack(folder, "--ephemeral", "--config", folder / "upstreams.toml") as running:
        callbacks = [f"{running.oidc_issuer}/upstream/{name}/callback" for name in NAMES]
        with running_dex(tmp_path_factory.mktemp("dex-process"), dex, callbacks):
            yield running


@pytest.fixture
def place(stack: RunningStack, tmp_path: Path) -> Place:
    return Place(stack, tmp_path)


def log_in_through(page: Page, label: str, email: str, password: str = DEX_PASSWORD) -> None:
    """The button on our page, then Dex's own pages."""
    page.get_by_role("link", name=f"Log in with {label}").click()
    page.get_by_role("link", name="Log in with Email").click()
    page.get_by_label("Email").or_(page.locator("input[name=login]")).first.fill(email)
    page.locator("input[name=password]").fill(password)
    page.get_by_role("button", name="Login").click()


def as_kilgore(page: Page, label: str) -> None:
    page.get_by_role("link", name=f"Log in with {label}").click()
    page.get_by_role("link", name="Log in with Mock").click()


def verified(place: Place, artifact: Path, bundle: Path, identity: str, issuer: str) -> Done:
    names = ("--certificate-identity", identity, "--certificate-oidc-issuer", issuer)
    return sigbox("verify-blob", artifact, "--bundle", bundle, "--trusted-root", place.stack.trusted_root, *names)


@pytest.mark.parametrize(("label", "scripts"), [("Corp", True), ("Named", False)])
def test_cosign_signs_as_a_person_of_the_company(
    browser: Browser,
    place: Place,
    hook: Hook,  # noqa: F811 - the fixture
    dex: Address,
    label: str,
    scripts: bool,  # noqa: FBT001 - a parameter of the test
):
    """With a public client the certificate names our provider; where the row says so, it names theirs."""
    signed, command = signing(V3, place, "normal")
    with (
        waiting(place, *command, browser=hook) as client,
        visitor(browser, ignore_https_errors=True, java_script_enabled=scripts) as tab,
    ):
        tab.page.goto(hook.url())
        log_in_through(tab.page, label, BOND)
        tab.page.wait_for_url("http://localhost:*/auth/callback?*", wait_until="commit")
        client.finish()
        tab.problems.clear()  # Dex's pages and cosign's are their own business
    issuers = (place.stack.oidc_issuer, dex.issuer)
    issuer, other = issuers if label == "Corp" else issuers[::-1]
    succeed(V3.verify(signed, BOND, issuer))
    succeed(verified(place, signed.artifact, signed.bundle, BOND, issuer))
    refuse(verified(place, signed.artifact, signed.bundle, BOND, other))


def test_cosign_waits_on_another_device_for_a_person_of_the_company(browser: Browser, place: Place, dex: Address):
    """The device flow: the page asks for its code, and the person logs in at Dex."""
    signed, command = signing(V3, place, "device")
    with waiting(place, *command, browser=None) as client, visitor(browser, ignore_https_errors=True) as tab:
        tab.page.goto(client.said(r"(http://\S+user_code=\S+)"))
        expect(tab.page.get_by_role("heading", name="Does your program show this code?")).to_be_visible()
        log_in_through(tab.page, "Named", BOND)
        expect(tab.page.get_by_role("heading", name="Done")).to_be_visible()
        client.finish()
        tab.problems.clear()
    succeed(V3.verify(signed, BOND, dex.issuer))


def test_sigstore_python_gets_its_token_for_a_member_of_the_group(browser: Browser, place: Place, hook: Hook):  # noqa: F811 - the fixture
    command = ("sigstore", "--trust-config", place.stack.trust_config, "get-identity-token")
    python = PYTHON.run.__globals__["sys"].executable
    with (
        waiting(place, python, "-P", "-m", *command, browser=hook) as client,
        visitor(browser, ignore_https_errors=True) as tab,
    ):
        tab.page.goto(hook.url())
        as_kilgore(tab.page, "Authors")
        expect(tab.page.get_by_text("authentication successful")).to_be_visible()
        token = client.said(r"(eyJ[\w-]+\.[\w-]+\.[\w-]+)")
        client.finish()
        tab.problems.clear()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["email"], claims["email_verified"], claims["aud"]) == (KILGORE, True, "sigstore")
    assert claims["iss"] == place.stack.oidc_issuer
    assert claims["sub"].startswith("authors:")
    assert claims["federated_claims"]["connector_id"] == "authors"


@pytest.mark.parametrize(
    ("label", "email", "why"),
    [
        ("Corp", EVE, f"Corp names the email {EVE}, but it answers here for corp.example only"),
        ("Bosses", KILGORE, "are in none of the groups that may log in through Bosses: bosses, owners"),
        ("Wrong secret", BOND, "Wrong secret did not take back its own code"),
    ],
)
def test_who_may_not_log_in_is_told_why(browser: Browser, stack: RunningStack, label: str, email: str, why: str):
    with visitor(browser, ignore_https_errors=True) as tab:
        tab.page.goto(request_url(stack, "http://localhost:1/callback"))
        if email == KILGORE:
            as_kilgore(tab.page, label)
        else:
            log_in_through(tab.page, label, email)
        expect(tab.page.get_by_role("heading", name="You are not logged in")).to_be_visible()
        expect(tab.page.get_by_role("alert")).to_contain_text(why)
        tab.problems.clear()


def test_a_provider_that_does_not_answer_is_named(browser: Browser, stack: RunningStack):
    with visitor(browser) as tab:
        tab.page.goto(request_url(stack, "http://localhost:1/callback"))
        tab.page.get_by_role("link", name="Log in with Absent").click()
        expect(tab.page.get_by_role("alert")).to_contain_text("whoever runs this stack can see whether Absent answers")


def test_the_link_of_one_browser_is_no_good_in_another(browser: Browser, stack: RunningStack):
    """O16: what a login page links to begins a login only for whom it was shown."""
    with visitor(browser) as tab:
        tab.page.goto(request_url(stack, "http://localhost:1/callback"))
        link = tab.page.get_by_role("link", name="Log in with Corp").get_attribute("href")
        url = f"{stack.oidc_issuer}/{link}"
    with visitor(browser) as tab:
        tab.page.goto(request_url(stack, "http://localhost:1/callback"))
        tab.page.goto(url)
        expect(tab.page.get_by_role("alert")).to_contain_text("not opened in this browser")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_the_buttons_fit(browser: Browser, stack: RunningStack, scheme: str, width: int):
    with visitor(browser, color_scheme=scheme, viewport={"width": width, "height": 900}) as tab:
        tab.page.goto(request_url(stack, "http://localhost:43210/auth/callback"))
        for label in ("Corp", "Named", "Authors"):
            box = tab.page.get_by_role("link", name=f"Log in with {label}").bounding_box()
            assert box is not None
            assert box["height"] >= 40
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
