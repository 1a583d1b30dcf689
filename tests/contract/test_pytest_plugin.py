# SPDX-License-Identifier: Apache-2.0
"""sigbox as a plugin of pytest, as a project uses it that has it installed: each test here is a run of pytest of its own."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stack.testing import Malformed, NotFound, Refused, Unavailable, load_ready, load_trust_config, running
from tests.stack_process import environment, running_stack
from tests.until import wait_until

pytestmark = pytest.mark.slow
LIMIT_S = 180
OTHERS = ("cacheprovider", "schemathesis", "anyio", "aiohttp", "asyncio", "hypothesispytest")
"""Plugins that these runs need not wait for; ours is found among those that are left."""
PYTEST = (sys.executable, "-P", "-m", "pytest", "-q", *(word for name in OTHERS for word in ("-p", f"no:{name}")))
SAY = """
import pathlib
def say(stack):
    pid = __import__("json").loads((stack.log.parent / "ready.json").read_text())["pid"]
    with pathlib.Path("said").open("a") as file:
        file.write(f"{pid} {stack.data} {stack.url}\\n")
"""


class Project:
    """Somebody's folder with tests in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "temporary").mkdir()

    def command(self, test: str, *options: str | Path) -> tuple[list[str], dict[str, str]]:
        (self.folder / "test_it.py").write_text(f"{SAY}\n{test}")
        command = [*PYTEST, "--basetemp", self.folder / "pytest", *options, "test_it.py"]
        return [str(word) for word in command], environment(TMPDIR=str(self.folder / "temporary"))

    def run(self, test: str, *options: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
        command, env = self.command(test, *options)
        return subprocess.run(
            command, cwd=self.folder, env=env | extra, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=LIMIT_S, check=False,
        )  # fmt: skip

    def passes(self, test: str, *options: str | Path, number: int = 1, **extra: str) -> None:
        done = self.run(test, *options, **extra)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{number} passed" in done.stdout

    def said(self) -> list[list[str]]:
        """Process, data directory and URL of the stacks that tests told of."""
        return [line.split() for line in (self.folder / "said").read_text().splitlines()]

    def left(self) -> list[str]:
        """What still lies about: data directories of ephemeral stacks (not looked into: they may be going), and ready files."""
        return [
            *map(str, (self.folder / "temporary").iterdir()),
            *map(str, (self.folder / "pytest").rglob("ready.json")),
        ]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


# --- the fixtures ------------------------------------------------------------------------------------------
def test_the_fixture_is_one_stack_for_the_whole_run_and_nothing_is_left_of_it(project: Project):
    test = """
import pytest
from stack.testing import Refused, Sigbox

def test_sign(sigbox: Sigbox, tmp_path):
    say(sigbox)
    (file := tmp_path / "file").write_bytes(b"content")
    assert sigbox.sign(file, "bob@example.com") == tmp_path / "file.sigstore.json"
    assert sigbox.verify(file, "bob@example.com")["verified"] is True
    with pytest.raises(Refused, match="the signer is 'bob@example.com', expected 'alice@example.com'"):
        sigbox.verify(file)
    for path in (sigbox.trust_config, sigbox.trusted_root, sigbox.signing_config, sigbox.tuf_root):
        assert path.is_absolute() and path.exists()
    assert sigbox.tls_ca is None

def test_again(sigbox):
    say(sigbox)

class TestMore:
    def test_a_third_time(self, sigbox, make_sigbox):
        say(sigbox)
"""
    project.passes(test, number=3)
    assert len(project.said()) == 3
    assert len({tuple(line) for line in project.said()}) == 1
    assert project.left() == []


def test_a_run_that_asks_for_no_stack_starts_none(project: Project):
    project.passes(
        "def test_nothing(tmp_path_factory):\n    assert list(tmp_path_factory.getbasetemp().iterdir()) == []\n"
    )
    assert project.left() == []


def test_each_worker_has_a_stack_of_its_own(project: Project):
    both = "".join(f"\ndef test_{number}(sigbox):\n    say(sigbox)\n" for number in range(4))
    project.passes(both, "-n", "2", "--dist", "each", number=8)
    assert len(project.said()) == 8
    assert len({url for _, _, url in project.said()}) == 2
    assert project.left() == []


def test_fresh_stacks_have_keys_of_their_own_and_end_with_the_test(project: Project):
    test = """
import json, os

def keys(stack):
    root = json.loads(stack.trusted_root.read_text())
    logs = [log["publicKey"]["rawBytes"] for log in (*root["tlogs"], *root["ctlogs"])]
    return logs + [ca["certChain"]["certificates"][-1]["rawBytes"] for ca in root["timestampAuthorities"]]

def test_fresh(sigbox, make_sigbox):
    fresh, other = make_sigbox(), make_sigbox()
    for stack in (fresh, other):
        say(stack)
    assert len({stack.url for stack in (sigbox, fresh, other)}) == 3
    assert len({key for stack in (sigbox, fresh, other) for key in keys(stack)}) == 3 * len(keys(sigbox)) > 6

def test_seeded(make_sigbox):
    seven, again, eight = make_sigbox(seed=7), make_sigbox(seed=7), make_sigbox(seed=8)
    assert keys(seven)[:3] == keys(again)[:3]
    assert not set(keys(seven)) & set(keys(eight))

def test_they_are_gone():
    for line in open("said"):
        assert not os.path.exists(line.split()[1])
"""
    project.passes(test, number=3)
    assert project.left() == []


def test_the_ini_file_says_how_the_stack_is_started(project: Project):
    (project.folder / "issuers.toml").write_text('listen = "127.0.0.1:0"\n')
    (project.folder / "pytest.ini").write_text("[pytest]\nsigbox_args = --tls auto --config issuers.toml\n")
    test = """
def test_https(sigbox, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (file := tmp_path / "file").write_bytes(b"content")
    sigbox.sign(file)
    sigbox.verify(file)
    assert sigbox.url.startswith("https://localhost:") and sigbox.tls_ca.exists()
    assert sigbox.environment("sigbox")["SSL_CERT_FILE"] == str(sigbox.tls_ca)
"""
    project.passes(test)


def test_folders_and_variables_around_the_tests_are_not_meant(project: Project):
    for name in ("client", "ca", "tlog"):
        (project.folder / name).mkdir()
        (project.folder / name / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    test = "def test_it(sigbox, tmp_path):\n    sigbox.sign(tmp_path / '..' / '..' / 'pytest.ini', bundle=tmp_path / 'b')\n"
    elsewhere = {"SIGBOX_TRUST_CONFIG": "/nowhere", "SIGBOX_DATA": "/nowhere", "SIGSTORE_ID_TOKEN": "nonsense"}
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:1")
    project.passes(test, **elsewhere, **proxies, no_proxy="example.com")


# --- what goes wrong -----------------------------------------------------------------------------------------
def test_a_stack_that_cannot_start_fails_each_test_with_what_it_printed(project: Project):
    (project.folder / "pytest.ini").write_text("[pytest]\nsigbox_args = --workers 1000\n")
    done = project.run("def test_a(sigbox): pass\ndef test_b(sigbox): pass\ndef test_c(): pass\n")
    assert done.returncode == 1
    assert "1 passed, 2 errors" in done.stdout
    assert done.stdout.count("there is no sigbox: the stack ended with 2 before it was ready; it printed:") >= 2
    assert "--workers is 1000, expected 1 to" in done.stdout
    assert "Traceback" not in done.stdout
    assert project.left() == []


def test_a_stack_that_is_not_ready_in_time_is_ended(tmp_path: Path):
    """No stack is ready in no time at all."""
    (place := tmp_path / "place").mkdir()
    late = running(folder=place, timeout_s=0)
    with pytest.raises(Unavailable, match=r"the stack was not ready after 0 s"), late:
        pytest.fail("it was")
    assert [path.name for path in place.iterdir()] == ["sigbox.log"]


def test_a_stack_that_ends_by_itself_is_an_error(project: Project):
    test = """
import os, signal
def test_it(sigbox):
    say(sigbox)
    pid = int(open("said").read().split()[0])
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
"""
    done = project.run(test)
    assert "1 passed, 1 error" in done.stdout
    assert "the stack ended with -9 before it was told to" in done.stdout


HEED_INTERRUPTS = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""For where whoever started these tests has SIGINT ignored, as a shell does for what it starts in the background."""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_stack_ends_with_the_run_however_that_ends(project: Project, number: signal.Signals):
    test = "import time\ndef test_it(sigbox):\n    say(sigbox)\n    time.sleep(600)\n"
    command, env = project.command(test)
    runner = subprocess.Popen(
        [sys.executable, "-c", HEED_INTERRUPTS, *command],
        cwd=project.folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        said = project.folder / "said"
        wait_until(lambda: (said.exists() and said.read_text().endswith("\n")) or runner.poll() is not None, LIMIT_S)
        [[_, data, _]] = project.said()
        assert Path(data).exists()
        runner.send_signal(number)
        runner.wait(LIMIT_S)
    finally:
        runner.kill()
        runner.wait()
    wait_until(lambda: project.left() == [], LIMIT_S)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--sigbox-url", "http://localhost:1"), "belong together"),
        (("--sigbox-trust-config", "x.json"), "belong together"),
        (("--sigbox-ready-file", "x", "--sigbox-url", "http://localhost:1"), "name a stack each"),
    ],
)
def test_options_that_contradict_each_other_are_refused(project: Project, options: tuple[str, ...], found: str):
    done = project.run("def test_it(): pass\n", *options)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert found in done.stderr


# --- a stack that runs already ---------------------------------------------------------------------------------
def test_a_run_is_pointed_at_a_stack_that_runs_already(project: Project, tmp_path: Path):
    test = """
def test_it(sigbox, tmp_path):
    (file := tmp_path / "file").write_bytes(b"content")
    sigbox.sign(file)
    sigbox.verify(file)
    print(f"url={sigbox.url} issuer={sigbox.issuer} data={sigbox.data}")
    assert sigbox.timestamp_url.startswith(sigbox.url) and sigbox.tuf_mirror == f"{sigbox.url}/tuf"
"""
    (place := tmp_path / "shared").mkdir()
    with running(folder=place) as shared:
        trust = ("--sigbox-trust-config", shared.trust_config)
        for options in (("--sigbox-ready-file", "shared/ready.json"), ("--sigbox-url", f"{shared.url}/", *trust)):
            done = project.run(test, "-s", *options)
            assert done.returncode == 0, done.stdout
            data = shared.data if "--sigbox-ready-file" in options else None
            assert f"url={shared.url} issuer={shared.issuer} data={data}\n" in done.stdout
        assert not list((project.folder / "pytest").rglob("sigbox.log"))


def test_a_ready_file_that_is_not_there_is_named(project: Project):
    done = project.run("def test_it(sigbox): pass\n", "--sigbox-ready-file", "none.json")
    assert done.returncode == 1
    assert re.search(r"there is no sigbox: the ready file \S+/none.json does not exist", done.stdout)


def test_a_durable_stack_gives_tokens_to_who_has_its_data_and_to_nobody_else(tmp_path: Path):
    with running(data=tmp_path / "data", folder=tmp_path) as durable:
        (file := tmp_path / "file").write_bytes(b"content")
        durable.sign(file)
        durable.verify(file)
        told = load_trust_config(durable.url, durable.trust_config, tmp_path)
        assert json.loads(told.trusted_root.read_bytes()) == json.loads(durable.trusted_root.read_bytes())
        assert (told.issuer, told.timestamp_url) == (durable.issuer, durable.timestamp_url)
        with pytest.raises(NotFound, match="has no control API"):
            told.token()
        with pytest.raises(NotFound, match="only the trust config is known"):
            told.lines("cosign")
        told.sign(file, token=durable.token("carol@example.com"))
        told.verify(file, "carol@example.com")


# --- what a stack is asked for ---------------------------------------------------------------------------------
def claims(token: str) -> dict[str, object]:
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def test_tokens_say_whom_they_speak_of(tmp_path: Path):
    with running() as box:
        assert claims(box.token())["email"] == "alice@example.com"
        job = claims(
            box.token(subject="https://ci.example.com/7", claims={"groups": ["dev"], "run": 7}, audience="else")
        )
        assert (job["sub"], job["aud"], job["groups"], job["run"]) == ("https://ci.example.com/7", "else", ["dev"], 7)
        assert "email" not in job
        github = box.token(persona="github-workflow", claims={"ref": "refs/heads/x"})
        assert claims(github)["ref"] == "refs/heads/x"
        (file := tmp_path / "file").write_bytes(b"content")
        box.sign(file, token=github)
        workflow = "https://github.com/octo-org/octo-app/.github/workflows/release.yml@refs/heads/main"
        box.verify(file, identity=workflow, issuer="https://token.actions.githubusercontent.com")
        with pytest.raises(Malformed, match="restate iss"):
            box.token(claims={"iss": "https://example.com"})


def test_what_could_not_be_tried_is_no_refusal(tmp_path: Path):
    (file := tmp_path / "file").write_bytes(b"content")
    with running() as box:
        for trial in (
            lambda: box.verify(file),
            lambda: box.verify(tmp_path / "none"),
            lambda: box.sign(tmp_path / "none"),
        ):
            with pytest.raises(Malformed, match=r"No such file|does not exist"):
                trial()
        with pytest.raises(Malformed, match="invalid choice"):
            box.lines("nonsense")
        box.sign(file, bundle=tmp_path / "bundle")
        with pytest.raises(Refused):
            box.verify(file, issuer="https://example.com", bundle=tmp_path / "bundle")
    with pytest.raises(Unavailable, match="does not answer"):
        box.token()


def test_the_lines_for_a_client_are_those_of_env():
    with running() as box:
        assert any(line.startswith(f"cosign initialize --mirror {box.tuf_mirror}") for line in box.lines("cosign"))
        assert box.environment("sigbox") == {"SIGBOX_TRUST_CONFIG": str(box.trust_config)}


def test_a_ready_file_of_our_own_tests_is_read_too(tmp_path: Path):
    with running_stack(tmp_path, "--ephemeral") as stack:
        box = load_ready(tmp_path / "ready.json")
        assert (box.url, box.issuer, box.trust_config) == (stack.url, stack.oidc_issuer, stack.trust_config)
    with pytest.raises(NotFound):
        load_ready(tmp_path / "ready.json")


def test_the_plugin_is_found_by_its_entry_point_and_imports_little():
    script = (
        "import sys, pytest, importlib.metadata as m\n"
        "[point] = m.entry_points(group='pytest11', name='sigbox')\n"
        "point.load()\n"
        "print(*sorted(name for name in sys.modules if name.partition('.')[0] in ('ca', 'client', 'stack', 'tlog', 'tsa', 'oidc_dev')))\n"
        "print('ssl' in sys.modules, 'http.client' in sys.modules, 'cryptography' in sys.modules, 'aiohttp' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    modules, heavy = done.stdout.splitlines()
    names = ("asked", "attached", "box", "command", "plugin", "process")
    assert modules.split() == ["stack", "stack.files", "stack.testing", *(f"stack.testing.{name}" for name in names)]
    assert heavy == "False False False False"
