# SPDX-License-Identifier: Apache-2.0
"""F10, a part: one role of a split stack is down, slow or lying. Every fault is a clear error, nothing hangs, and it heals by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.cli.table import ExitCode
from tests.faults.proxy import Fault, Proxy
from tests.interop.places import ALICE, Done, shown
from tests.ports import free_ports
from tests.split_stack import ROLES, SplitStack, split_stack
from tests.stack_process import READY_S, sigbox

pytestmark = pytest.mark.slow
CLIENT_ROLES = {"ca": "certificate", "tsa": "timestamp", "log": "log"}
"""Whom a signing client asks, and the noun that its messages have for it."""
CERTIFICATES = "sigbox_certificates_issued_total"
BOUND_S = 15
"""No client of ours waits longer here, with its own start on a busy machine."""


class Links:
    """A split stack with a proxy before everybody whom somebody asks."""

    def __init__(self, stack: SplitStack, folder: Path, proxies: dict[str, Proxy]) -> None:
        self.stack, self.folder, self.proxies = stack, folder, proxies
        self.artifact = folder / "release.txt"
        self.artifact.write_bytes(b"content\n")
        self.bundle = folder / "release.json"

    def token(self) -> str:
        return self.stack.as_stack().token(ALICE)

    def sign(self) -> tuple[Done, float]:
        """Sign with our client; and the seconds that it took."""
        self.bundle.unlink(missing_ok=True)
        token, began = self.token(), time.monotonic()
        trust = ("--trust-config", self.stack.as_stack().trust_config)
        done = sigbox("sign-blob", self.artifact, "--bundle", self.bundle, *trust, "--identity-token", token)
        return done, time.monotonic() - began

    def found(self) -> int:
        """Entries of the v2 log that the console has, each under a head that the log has signed."""
        answer = json.loads(self.stack.ask("console", "/search.json?q=")[1])
        size: int = answer["complete"]["rekor"]
        return size

    def all_found(self) -> int:
        """The same once it is all that the log has."""
        size, deadline = self.stack.count("log", 'sigbox_log_size{log="rekor"}'), time.monotonic() + READY_S
        while (found := self.found()) != size:
            assert time.monotonic() < deadline, self.stack.log("console").read_text("utf-8")[-2000:]
            time.sleep(0.05)
        return found

    def signs(self) -> None:
        done, _ = self.sign()
        assert done.returncode == 0, shown(done)
        assert self.bundle.exists()

    def fails(self, *words: str) -> Done:
        """In order, soon, with a message of ours that has one of ``words``, and without a bundle."""
        done, seconds = self.sign()
        assert ExitCode.REFUSED <= done.returncode <= ExitCode.UNREACHABLE, shown(done)
        assert "Traceback" not in done.stderr
        assert "internal error" not in done.stderr
        assert any(word in done.stderr for word in words), shown(done)
        assert not list(self.folder.glob("*release.json*"))
        assert seconds < BOUND_S
        return done


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Links]:
    """A proxy to each role for clients, one to the certificate log for the authority, one to the signature logs for the console."""
    folder = tmp_path_factory.mktemp("links")
    ports = dict(zip(ROLES, free_ports(len(ROLES)), strict=True))
    proxies = {role: Proxy(ports[role]) for role in (*CLIENT_ROLES, "ct", "trust")}
    public = {role: proxy.port for role, proxy in proxies.items()}
    proxies["console"] = Proxy(ports["log"])  # between the console and the signature logs
    ways = {"ca": {"ct": proxies["ct"].port}, "console": {"log": proxies["console"].port}}
    try:
        with split_stack(folder, ports=ports, public=public, links=ways) as stack:
            made = Links(stack, folder, proxies)
            made.signs()  # so that each proxy has an answer to replay
            yield made
    finally:
        for proxy in proxies.values():
            proxy.close()


# --- the authority and its log ----------------------------------------------------------------------------
@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE], ids=lambda fault: fault.name)
def test_without_the_certificate_log_no_certificate_leaves(links: Links, fault: Fault):
    """503 and the reason within the 5 s that sigstore-js waits; afterwards it works again, and readiness says both."""
    issued = links.stack.count("ca", CERTIFICATES)
    with links.proxies["ct"].during(fault):
        done = links.fails("certificate log")
        assert "503" in done.stderr, shown(done)
        assert any("certificate log" in said for said in links.stack.faults("ca"))
        assert links.stack.count("ca", CERTIFICATES) == issued
    links.signs()
    links.stack.wait_ready("ca", 5)
    assert links.stack.count("ca", CERTIFICATES) == issued + 1


def test_readiness_of_the_authority_heals_without_a_request(links: Links):
    with links.proxies["ct"].during(Fault.REFUSE):
        links.fails("certificate log")
    links.stack.wait_ready("ca", 5)


@pytest.mark.parametrize(
    "fault", [Fault.LOST, Fault.CUT_HEAD, Fault.CUT_BODY, Fault.ERROR], ids=lambda fault: fault.name
)
def test_an_answer_that_was_lost_once_is_asked_for_again_and_the_entry_is_one(links: Links, fault: Fault):
    """L09: the log has it already and gives the same promise."""
    before = links.stack.count("ct", 'sigbox_log_size{log="ct"}')
    with links.proxies["ct"].during(fault, times=1):
        links.signs()
        assert links.proxies["ct"].requests == 2
    assert links.stack.count("ct", 'sigbox_log_size{log="ct"}') == before + 1


def test_a_log_that_is_killed_is_back_when_it_is_started_again(links: Links):
    links.stack.kill("ct")
    links.fails("certificate log")
    links.stack.start("ct")
    links.signs()


# --- the console and the logs -----------------------------------------------------------------------------
@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE], ids=lambda fault: fault.name)
def test_the_console_shows_what_it_has_and_goes_on_by_itself(links: Links, fault: Fault):
    """Whatever happens to the answers of a log, nothing is shown that it has not signed, and all of it afterwards."""
    before = links.all_found()
    with links.proxies["console"].during(fault):
        links.signs()
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            status, page = links.stack.ask("console", "/logs")
            assert status == 200
            assert b"internal error" not in page
            assert before <= links.found() <= before + 1
    assert links.all_found() == before + 1
    assert "Traceback" not in links.stack.log("console").read_text()


# --- clients and the roles --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "fault",
    [fault for fault in Fault if fault not in (Fault.NONE, Fault.SILENCE, Fault.DELAY)],
    ids=lambda fault: fault.name,
)
@pytest.mark.parametrize("role", CLIENT_ROLES)
def test_a_role_that_fails_is_named_and_no_bundle_is_written(links: Links, role: str, fault: Fault):
    with links.proxies[role].during(fault):
        links.fails(CLIENT_ROLES[role], links.stack.url(role))
    links.signs()


@pytest.mark.parametrize("role", CLIENT_ROLES)
def test_a_role_that_is_slow_is_waited_for(links: Links, role: str):
    with links.proxies[role].during(Fault.DELAY, times=1):
        links.signs()


def test_who_has_a_token_needs_the_provider_no_more(links: Links):
    """The authority keeps the provider's keys; what a signature needs of it is the token."""
    token = links.token()
    links.stack.kill("oidc")
    trust = ("--trust-config", links.stack.as_stack().trust_config)
    done = sigbox("sign-blob", links.artifact, "--bundle", links.bundle, *trust, "--identity-token", token)
    assert done.returncode == 0, shown(done)
    links.stack.start("oidc")


def test_verification_needs_none_of_the_roles(links: Links):
    links.signs()
    stack = links.stack.as_stack()
    for proxy in links.proxies.values():
        proxy.set(Fault.REFUSE)
    policy = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
    trust = ("--trust-config", stack.trust_config)
    done = sigbox("verify-blob", links.artifact, "--bundle", links.bundle, *policy, *trust)
    for proxy in links.proxies.values():
        proxy.set(Fault.NONE)
    assert done.returncode == 0, shown(done)
