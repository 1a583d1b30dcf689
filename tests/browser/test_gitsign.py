# SPDX-License-Identifier: Apache-2.0
"""gitsign, unmodified, asks a person: in a real browser, by each form of redirect, and on the terminal where no browser opens."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.chromium import Hook, visitor
from tests.browser.test_login import add_account, log_in
from tests.browser.waiting import waiting
from tests.interop.clients import CREDENTIAL_CACHE, GITSIGN
from tests.interop.conftest import needed
from tests.interop.places import ALICE, Place, refuse, succeed
from tests.interop.repository import Repository
from tests.ports import free_port
from tests.stack_process import RunningStack, running_stack
from tests.unit.oidc_dev.visitor import PASSWORD
from tests.until import wait_until

pytestmark = [pytest.mark.interop, pytest.mark.slow]

COMMIT = ("git", "commit", "--quiet", "-m", "a change")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("gitsign"), "--ephemeral") as running:
        add_account(running, ALICE, PASSWORD)
        yield running


@pytest.fixture
def repository(stack: RunningStack, tmp_path: Path) -> Repository:
    with needed():
        return Repository(Place(stack, tmp_path), GITSIGN.installed())


@pytest.fixture
def hook(tmp_path: Path) -> Hook:
    return Hook.make(tmp_path)


def check(repository: Repository) -> None:
    """The commit is of the person who logged in, and of nobody else."""
    issuer = repository.place.stack.oidc_issuer
    succeed(repository.verify(ALICE, issuer))
    succeed(repository.run("git", "verify-commit", "HEAD"))
    refuse(repository.verify(f"{ALICE}x", issuer))


@pytest.mark.parametrize(
    "form",
    ["", "http://localhost:{}/other/path", "http://127.0.0.1:{}/auth/callback"],
    ids=["its own", "path", "address"],
)
@pytest.mark.parametrize("provider", ["", "interactive"])
def test_a_commit_by_a_login_in_the_browser(
    browser: Browser, repository: Repository, hook: Hook, form: str, provider: str
):
    """Named "interactive", the browser comes before the token that lies around."""
    more = {"GITSIGN_TOKEN_PROVIDER": provider, "SIGSTORE_ID_TOKEN": "not this one"} if provider else {}
    if form:
        more["GITSIGN_OIDC_REDIRECT_URL"] = form.format(free_port())
    repository.stage()
    environment = repository.environment | more | {"PATH": f"{hook.program.parent}:{repository.environment['PATH']}"}
    with waiting(repository.place, *COMMIT, browser=hook, **environment) as client, visitor(browser) as tab:
        tab.page.goto(hook.url())
        (uri,) = parse_qs(urlsplit(tab.page.url).query)["redirect_uri"]
        assert uri == more.get("GITSIGN_OIDC_REDIRECT_URL", uri)
        assert re.fullmatch(r"http://(localhost|127\.0\.0\.1):\d+/(auth/callback|other/path)", uri)
        log_in(tab.page)
        tab.page.wait_for_url(f"{uri}?*", wait_until="commit")
        client.finish()
        tab.problems.clear()  # the page after the redirect is gitsign's
    check(repository)


def test_a_commit_by_a_code_that_is_typed_where_no_browser_opens(browser: Browser, repository: Repository):
    """gitsign asks at the terminal of the session, for its standard input is the commit: `script` gives it one."""
    programs = repository.place.folder / "programs"
    programs.mkdir()
    for program in (GITSIGN.installed(), *map(shutil.which, ("git", "script", "sh"))):
        assert program is not None
        (programs / Path(program).name).symlink_to(program)
    repository.stage()
    environment = repository.environment | {"PATH": str(programs), "SHELL": "/bin/sh"}
    command = ("script", "--quiet", "--return", "--command", "git commit --quiet -m change", "/dev/null")
    with (
        waiting(repository.place, *command, browser=None, **environment) as client,
        visitor(browser, java_script_enabled=False) as tab,
    ):
        tab.page.goto(client.said(r"(http://\S+redirect_uri=urn\S+)\s[\s\S]*Enter verification code: "))
        log_in(tab.page)
        expect(tab.page.get_by_role("heading")).to_have_text("Your verification code")
        client.type(tab.page.locator("#code").inner_text())
        client.finish()
    check(repository)


def test_several_commits_by_one_login_that_the_credential_cache_keeps(
    browser: Browser, repository: Repository, hook: Hook
):
    """It is the cache that opens the browser, once, and keeps key and certificate as long as the certificate is good."""
    environment = repository.environment | {"PATH": f"{hook.program.parent}:{repository.environment['PATH']}"}
    program = GITSIGN.installed().with_name(CREDENTIAL_CACHE)
    with (
        tempfile.TemporaryDirectory(prefix="sigbox-") as short,  # the name of a socket has 107 bytes at most
        waiting(repository.place, program, browser=hook, **environment, XDG_CACHE_HOME=short) as cache,
    ):
        socket = cache.said(r"(\S+cache\.sock)\n")
        wait_until(Path(socket).is_socket)  # it says where before it listens there
        cached = environment | {"GITSIGN_CREDENTIAL_CACHE": socket}
        repository.stage()
        with waiting(repository.place, *COMMIT, browser=hook, **cached) as client, visitor(browser) as tab:
            tab.page.goto(hook.url())
            log_in(tab.page)
            tab.page.wait_for_url("http://localhost:*/auth/callback?*", wait_until="commit")
            client.finish()
            tab.problems.clear()
        check(repository)
        hook.note.unlink()
        repository.commit(GITSIGN_CREDENTIAL_CACHE=socket)
        cache.said(r"(found credential)")
        assert not hook.note.exists(), "the second commit asked for another login"
    check(repository)
