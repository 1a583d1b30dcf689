# SPDX-License-Identifier: Apache-2.0
"""``sigbox serve ROLE`` as a command: who may serve what, and what is refused at the start."""

from __future__ import annotations

import json
import shutil
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, build_opener

import pytest

from stack.config import ROLES, Home, Settings, load_settings
from stack.tls_authority import prepare, prepare_roles
from tests.ports import free_ports
from tests.stack_process import READY_S, STOP_S, _wait_ready, environment, running_stack, sigbox, spawn

URLS = {"ca": "http://localhost:1111", "tsa": "https://time.example"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack that was made and is not served."""
    folder = tmp_path_factory.mktemp("made") / "data"
    services = [word for role, url in URLS.items() for word in ("--service", f"{role}={url}")]
    assert sigbox("init", "--data", folder, "--url", "http://localhost:7780", *services).returncode == 0
    return folder


@contextmanager
def serving(data: Path, role: str, *options: str, **exported: str) -> Iterator[dict[str, str]]:
    """One role for the length of a block; it must end with 0 at SIGTERM, and its ready file with it."""
    ready, log = data.parent / f"{role}.json", data.parent / f"{role}.log"
    words = ("serve", role, "--data", data, "--listen", "127.0.0.1:0", "--ready-file", ready, *options)
    process = spawn(*words, folder=data.parent, log=log, env=environment(**exported))
    try:
        yield _wait_ready(process, ready, log)
        process.terminate()
        assert process.wait(STOP_S) == 0, log.read_text()
        assert not ready.exists()
    finally:
        process.kill()
        process.wait(STOP_S)


def get(listen: str, path: str) -> bytes:
    with build_opener(ProxyHandler({})).open(f"http://{listen}{path}", timeout=60) as answer:
        body: bytes = answer.read()
        return body


@pytest.mark.parametrize("role", ["oidc", "ct", "log", "tsa", "trust"])
def test_a_role_answers_for_itself_and_says_so(data: Path, role: str):
    with serving(data, role) as ready:
        assert (ready["role"], ready["data"]) == (role, str(data))
        assert json.loads(get(ready["listen"], "/readyz"))["ready"]
        assert get(ready["listen"], "/healthz")
        assert b"sigbox_requests_total" in get(ready["listen"], "/metrics")


def test_the_authority_alone_is_alive_and_not_ready(data: Path):
    with serving(data, "ca", "--ct-log-url", "http://127.0.0.1:1") as ready:
        assert get(ready["listen"], "/healthz")
        with pytest.raises(OSError, match="503"):
            get(ready["listen"], "/readyz")


def test_the_authority_reaches_its_log_over_tls_of_a_private_authority(tmp_path: Path):
    data, now = tmp_path / "data", datetime.now(UTC)
    urls = ("--url", "http://localhost:7780", "--service", "ct=https://localhost:7783")
    assert sigbox("init", "--data", data, *urls).returncode == 0
    (tmp_path / "public").mkdir()
    made = prepare(Home(tmp_path), Settings("https://localhost", now, ephemeral=False, url_follows_listen=False), now)
    with serving(data, "ct", "--tls", f"{made.certificate},{made.key}") as ct:
        at = ("--ct-log-url", f"https://localhost:{ct['listen'].rpartition(':')[2]}")
        with serving(data, "ca", *at, SSL_CERT_FILE=str(made.published)) as ca:
            assert json.loads(get(ca["listen"], "/readyz"))["ready"]
        with serving(data, "ca", *at) as ca, pytest.raises(OSError, match="503"):
            get(ca["listen"], "/readyz")


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack whose roles have certificates of its own authority, for the ports that the tests will find."""
    folder = tmp_path_factory.mktemp("secure") / "data"
    ports = dict(zip(ROLES, free_ports(len(ROLES)), strict=True))
    services = [word for role in ROLES for word in ("--service", f"{role}=https://localhost:{ports[role]}")]
    done = sigbox("init", "--data", folder, "--url", "https://localhost:7780", "--tls", "auto", *services)
    assert done.returncode == 0, done.stderr
    return folder


def alone(data: Path, folder: Path, role: str) -> Path:
    """What the process of one role sees: its own folder, the settings and what is public."""
    for name in ("public", *({"log": ("rekor", "rekor-v1"), "trust": ("tuf",)}.get(role, (role,)))):
        shutil.copytree(data / name, folder / name)
    shutil.copy(data / "sigbox.toml", folder)
    (folder / "anchor").mkdir()
    return folder


@pytest.mark.parametrize("role", ROLES)
def test_a_role_serves_https_with_its_own_certificate_and_without_the_key_of_the_authority(
    secure: Path, tmp_path: Path, role: str
):
    view = alone(secure, tmp_path, role)
    assert not (view / "tls").exists()
    trusting = ssl.create_default_context(cafile=view / "public" / "tls_ca.pem")
    with serving(view, role, "--tls", "auto") as ready:
        url = f"https://localhost:{ready['listen'].rpartition(':')[2]}/healthz"
        with build_opener(ProxyHandler({}), HTTPSHandler(context=trusting)).open(url, timeout=60) as answer:
            assert answer.status == 200
        with pytest.raises(URLError, match="CERTIFICATE_VERIFY_FAILED"):
            build_opener(ProxyHandler({})).open(url, timeout=60)


def test_the_authority_of_certificates_trusts_the_stacks_own_tls_authority_and_no_other(secure: Path, tmp_path: Path):
    other = tmp_path / "other"
    assert sigbox("init", "--data", other, "--url", "https://localhost:7780", "--tls", "auto").returncode == 0
    (tmp_path / "ca").mkdir()
    view = alone(secure, tmp_path / "ca", "ca")
    trusting = ssl.create_default_context(cafile=secure / "public" / "tls_ca.pem")
    ask = build_opener(ProxyHandler({}), HTTPSHandler(context=trusting))
    with serving(secure, "ct", "--tls", "auto") as ct:
        at = ("--tls", "auto", "--ct-log-url", f"https://localhost:{ct['listen'].rpartition(':')[2]}")
        with serving(view, "ca", *at) as ca:
            url = f"https://localhost:{ca['listen'].rpartition(':')[2]}/readyz"
            assert json.loads(ask.open(url, timeout=60).read())["ready"]
        shutil.copy(other / "public" / "tls_ca.pem", view / "public")
        with serving(view, "ca", *at) as ca:
            url = f"https://localhost:{ca['listen'].rpartition(':')[2]}/readyz"
            with pytest.raises(OSError, match="503"):
                ask.open(url, timeout=60)


def test_the_console_follows_logs_over_tls_of_the_stacks_own_authority(secure: Path, tmp_path: Path):
    view = alone(secure, tmp_path, "console")
    trusting = ssl.create_default_context(cafile=secure / "public" / "tls_ca.pem")
    ask = build_opener(ProxyHandler({}), HTTPSHandler(context=trusting))
    with serving(secure, "ct", "--tls", "auto") as ct, serving(secure, "log", "--tls", "auto") as log:
        urls = [f"https://localhost:{one['listen'].rpartition(':')[2]}" for one in (ct, log)]
        places = ("--ct-log-url", urls[0], "--log-url", urls[1])
        with serving(view, "console", "--tls", "auto", *places) as console:
            url, deadline = (
                f"https://localhost:{console['listen'].rpartition(':')[2]}/readyz",
                time.monotonic() + READY_S,
            )
            while not is_ready(ask, url):
                assert time.monotonic() < deadline
                time.sleep(0.05)


def is_ready(opener: OpenerDirector, url: str) -> bool:
    try:
        return json.loads(opener.open(url, timeout=60).read())["ready"] is True
    except HTTPError:
        return False


def test_init_again_issues_certificates_that_are_near_their_end_and_no_others(secure: Path):
    again = sigbox("init", "--data", secure)
    assert "nothing was changed" in again.stdout, again.stderr
    before = (secure / "public" / "tls_ca.pem").read_bytes()
    home = Home(secure)
    assert prepare_roles(home, load_settings(home), datetime.now(UTC) + timedelta(days=280)) == ROLES
    assert (secure / "public" / "tls_ca.pem").read_bytes() == before
    (secure / "tsa" / "tls.pem").unlink()
    assert "new TLS certificates: tsa." in sigbox("init", "--data", secure).stdout


def test_a_role_is_served_once_and_a_whole_stack_serves_all_or_none(data: Path):
    with serving(data, "tsa"):
        for command in (("serve", "tsa"), ("up",)):
            done = sigbox(*command, "--data", data, "--listen", "127.0.0.1:0")
            assert done.returncode == 3
            assert "in use by process" in done.stderr


def test_a_role_of_a_stack_that_is_served_whole_is_refused(tmp_path: Path):
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        for role in ROLES:
            done = sigbox("serve", role, "--data", stack.data, "--listen", "127.0.0.1:0")
            assert done.returncode == 3
            assert f"in use by process {stack.process.pid}" in done.stderr


@pytest.mark.parametrize(("role", "folders"), [("ca", ["ca"]), ("ct", ["ct"]), ("log", ["rekor-v1"]), ("tsa", ["tsa"])])
def test_a_key_that_the_trust_root_does_not_name_is_not_served(
    data: Path, tmp_path: Path, role: str, folders: list[str]
):
    """The folder of another stack, or of another backup: nothing that it signs would verify anywhere."""
    copy, other = tmp_path / "copy", tmp_path / "other"
    shutil.copytree(data, copy)
    assert sigbox("init", "--data", other, "--yes").returncode == 0
    for folder in folders:
        shutil.rmtree(copy / folder)
        shutil.copytree(other / folder, copy / folder)
    done = sigbox("serve", role, "--data", copy, "--listen", "127.0.0.1:0")
    assert done.returncode == 3
    assert f"the key of {role}" in done.stderr
    assert "trusted_root.json" in done.stderr


def test_the_urls_of_roles_are_in_the_settings_and_what_clients_are_told(data: Path):
    config = (data / "public" / "signing_config.json").read_text()
    root = (data / "public" / "trusted_root.json").read_text()
    assert '"http://localhost:1111"' in config
    assert '"https://time.example/api/v1/timestamp"' in config
    assert '"http://localhost:1111"' in root
    lines = sigbox("env", "sigstore-js", "--data", data).stdout
    assert (
        "--fulcio-url http://localhost:1111 --rekor-url http://localhost:7780 --tsa-server-url https://time.example"
        in lines
    )


def test_other_urls_in_the_settings_are_published_by_the_trust_role(data: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    settings = copy / "sigbox.toml"
    settings.write_text(settings.read_text().replace("http://localhost:1111", "https://ca.example"))
    for key in (*copy.glob("*/*.key"), copy / "public" / "trusted_root.json"):
        if key.parent.name != "tuf":
            key.unlink()  # it needs neither a secret of others nor the documents of before
    with serving(copy, "trust") as ready:
        assert b"ca.example" in (copy / "public" / "signing_config.json").read_bytes()
        assert b"ca.example" in get(ready["listen"], "/")


def test_a_console_that_shall_ask_for_a_login_does_not_open_without_it(data: Path, tmp_path: Path):
    (tmp_path / "c.toml").write_text("[console]\nlogin = true\n")
    done = sigbox("serve", "console", "--data", data, "--listen", "127.0.0.1:0", "--config", tmp_path / "c.toml")
    assert done.returncode == 3
    assert "takes the provider in the same process" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("serve", "tsa", "--tls", "auto"), "sigbox init --tls auto"),
        (("serve", "ca", "--tls", "a,b"), "the URL is http:"),
        (("serve", "ca", "--ct-log-url", "ftp://x"), "expected http(s)://"),
        (("serve", "ca", "--ct-log-url", "http://x/a?b"), "at most a path"),
        (("init", "--service", "ca=http://localhost:2"), "[services]"),
        (("init", "--service", "rekor=http://localhost:2"), "names the role"),
        (("init", "--service", "ca"), "expected http(s)://"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_way_out(data: Path, arguments: tuple[str, ...], reason: str):
    listen = ("--listen", "127.0.0.1:0") if arguments[0] == "serve" else ()
    done = sigbox(*arguments, *listen, "--data", data)
    assert done.returncode in (2, 3)
    assert reason in done.stderr


def test_without_a_stack_there_is_nothing_to_serve(tmp_path: Path):
    done = sigbox("serve", "ca", "--data", tmp_path / "none")
    assert done.returncode != 0
    assert "holds no stack" in done.stderr
    assert not (tmp_path / "none").exists()


def test_the_trust_role_alone_serves_the_plain_downloads(data: Path):
    with serving(data, "trust") as ready:
        root = get(ready["listen"], "/root.json")
        assert root == Home(data).tuf_root.read_bytes()
        line = get(ready["listen"], "/trusted_root.jsonl")
        assert json.loads(line) == json.loads(Home(data).trusted_root.read_bytes())
        assert b"--fingerprint sha256:" in get(ready["listen"], "/")
