# SPDX-License-Identifier: Apache-2.0
"""A start that fails says why, with an exit code of its own kind, and leaves nothing half-made."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.stack_process import SIGBOX, environment, running_stack, sigbox
from tests.until import wait_until

UP = ("up", "--listen", "127.0.0.1:0")
INTERRUPTED = """
import os, sys
number, module = int(sys.argv[1]), sys.argv[2]
sys.argv = ["sigbox", *sys.argv[3:]]
from stack.cli import main
def hear(event, heard):
    if event == "import" and heard[0] == module:
        os.kill(os.getpid(), number)
sys.addaudithook(hear)
sys.exit(main())
"""
"""The console script, which gets a signal when it begins to import a module."""


def up_with_files_of_at_most(size: int, data: Path) -> subprocess.CompletedProcess[str]:
    """``sigbox up`` that cannot write beyond ``size`` bytes into any file, as if the disk were full there (F05)."""
    return subprocess.run(
        [*SIGBOX, *UP, "--data", str(data)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("/sys/sigbox", "not permitted|denied|Read-only"),
        ("FILE/data", "Not a directory"),
        ("FILE", "File exists|Not a directory"),
    ],
)
def test_a_place_where_no_directory_can_be_made_is_named(tmp_path, place, message):
    (tmp_path / "FILE").write_text("a file")
    data = place if place.startswith("/") else tmp_path / place
    done = sigbox(*UP, "--data", data)
    assert done.returncode == 2, done.stderr
    assert any(part in done.stderr for part in message.split("|")), done.stderr
    assert str(data) in done.stderr
    assert (tmp_path / "FILE").read_text() == "a file"


@pytest.mark.parametrize("size", [0, 100, 230, 500])
def test_a_disk_that_is_full_before_the_settings_are_written_leaves_nothing_f05(tmp_path, size):
    data = tmp_path / "data"
    done = up_with_files_of_at_most(size, data)
    assert done.returncode in (2, 4), done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not data.exists()


def test_what_an_interrupted_first_start_left_half_written_is_taken_away_and_the_start_goes_on_f03(tmp_path):
    for place in (".sigbox.toml.6u9_pk9u", "ca/.root.key.ab12cd34"):
        path = tmp_path / "data" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"hal")
    with running_stack(tmp_path, "--data", tmp_path / "data"):
        assert not list((tmp_path / "data").rglob("*.6u9_pk9u")) + list((tmp_path / "data").rglob("*.ab12cd34"))


def test_of_many_first_starts_at_once_one_serves_and_the_others_take_nothing_away_f09(tmp_path):
    data = tmp_path / "data"
    command = [*SIGBOX, *UP, "--data", str(data), "--ready-file", str(tmp_path / "ready.json")]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=environment(), **quiet) for _ in range(5)]
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "ready.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        owner = json.loads((tmp_path / "ready.json").read_bytes())["pid"]
        losers = [process for process in processes if process.pid != owner]
        assert len(losers) == 4
        for process in losers:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 3
            assert f"in use by process {owner}" in errors
        assert (data / "sigbox.toml").exists()
        assert (data / "rekor" / "log.key").exists()
    finally:
        for process in processes:
            process.terminate()
            process.communicate(timeout=20)


def test_a_ready_file_of_a_process_that_was_killed_is_gone_before_the_next_one_is_ready(tmp_path):
    """Else whoever waits for the file goes on with a stack that is no more."""
    ready = tmp_path / "ready.json"
    ready.write_text("of a process that was killed")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sigbox.toml").write_text("format = 99")
    done = sigbox(*UP, "--data", tmp_path / "data", "--ready-file", ready)
    assert done.returncode == 3, done.stderr
    assert "layout 99" in done.stderr
    assert not ready.exists()


def test_a_start_that_is_refused_leaves_the_ready_file_of_the_process_that_serves(tmp_path):
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        content = (tmp_path / "ready.json").read_bytes()
        for taken in (("--data", tmp_path / "data"), ("--ephemeral", "--listen", stack.url.removeprefix("http://"))):
            done = sigbox(*UP, *taken, "--ready-file", tmp_path / "ready.json")
            assert done.returncode in (3, 4), done.stderr
            assert (tmp_path / "ready.json").read_bytes() == content


@pytest.mark.parametrize("host", ["256.1.1.1", "192.0.2.1"])
def test_an_address_that_is_not_of_this_machine_is_told_from_one_that_is_taken(tmp_path, host):
    done = sigbox("up", "--data", tmp_path / "data", "--listen", f"{host}:0")
    assert done.returncode == 4, done.stderr
    assert "hint: that is no address of this machine" in done.stderr
    assert "another program" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_directory_is_no_ready_file_and_nothing_is_made(tmp_path):
    done = sigbox(*UP, "--data", tmp_path / "data", "--ready-file", tmp_path)
    assert done.returncode == 2
    assert f"Is a directory: {tmp_path}\n  hint: name a file in it" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_directory_that_cannot_be_locked_is_named_with_what_to_do(tmp_path):
    (tmp_path / "data" / "lock").mkdir(parents=True)  # in the way for root, too, who may write anywhere
    done = sigbox(*UP, "--data", tmp_path / "data")
    assert done.returncode == 4, done.stderr
    assert f"the lock file {tmp_path / 'data' / 'lock'} cannot be opened: Is a directory\n  hint: " in done.stderr


def test_an_empty_directory_of_the_users_stays_and_stays_empty_f05(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    assert up_with_files_of_at_most(230, data).returncode == 2
    assert list(data.iterdir()) == []


@pytest.mark.parametrize("size", [1500, 4096, 40_000])
def test_a_disk_that_is_full_later_is_said_and_the_next_start_goes_on_from_there_f05(tmp_path, size):
    data = tmp_path / "data"
    done = up_with_files_of_at_most(size, data)
    assert done.returncode in (2, 3, 4), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().startswith("sigbox up: ")
    with running_stack(tmp_path, "--data", data) as stack, urllib.request.urlopen(stack.url + "/readyz") as answer:
        assert json.loads(answer.read())["ready"]


def test_a_directory_that_lost_its_settings_keeps_its_keys_and_its_logs(tmp_path):
    data = tmp_path / "data"
    with running_stack(tmp_path, "--data", data) as stack:
        root = stack.tuf_root.read_bytes()
    key = (data / "rekor" / "log.key").read_bytes()
    settings = (data / "sigbox.toml").read_bytes()
    (data / "sigbox.toml").unlink()
    done = sigbox(*UP, "--data", data)
    assert done.returncode == 2
    assert "has lost its sigbox.toml" in done.stderr
    assert (data / "rekor" / "log.key").read_bytes() == key
    (data / "sigbox.toml").write_bytes(settings)
    with running_stack(tmp_path, "--data", data) as stack:
        assert stack.tuf_root.read_bytes() == root


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--ephemeral", "--url", "http://sigstore.example"), "for this machine only"),
        (("--ephemeral", "--seed", "-1"), "expected 0 to"),
        (("--ephemeral", "--seed", "one"), "invalid int value"),
        (("--seed", "1", "--data", "d"), "together with --ephemeral"),
        (("--control",), "together with --ephemeral"),
        (("--log-format", "xml"), "invalid choice"),
        (("--tls", "auto", "--url", "http://localhost:7780"), "give an https URL"),
    ],
)
def test_what_an_ephemeral_stack_may_not_be_is_a_usage_error(tmp_path, options, message):
    done = sigbox(*UP, *options, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_an_ephemeral_stack_is_not_opened_as_a_durable_one(tmp_path):
    with running_stack(tmp_path, "--ephemeral", "--url", "http://stack.localhost:1") as stack:
        settings = (stack.data / "sigbox.toml").read_text()
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "sigbox.toml").write_text(settings)
    done = sigbox(*UP, "--data", tmp_path / "copy")
    assert done.returncode == 3
    assert "is the directory of an ephemeral stack" in done.stderr


# --- the same seed, the same stack -----------------------------------------------------------------------
def public(stack) -> tuple[bytes, list[str]]:
    """The first TUF root, and every key and chain that the trusted root names."""
    root = json.loads(stack.trusted_root.read_bytes())
    keys = [log["publicKey"]["rawBytes"] for log in root["tlogs"] + root["ctlogs"]]
    authorities = root["certificateAuthorities"] + root["timestampAuthorities"]
    chains = [certificate["rawBytes"] for one in authorities for certificate in one["certChain"]["certificates"]]
    return stack.tuf_root.read_bytes(), keys + chains


def test_the_same_seed_gives_the_same_keys_and_fingerprint_and_another_one_others(tmp_path):
    found = []
    for seed in ("7", "7", "8"):
        with running_stack(tmp_path, "--ephemeral", "--seed", seed) as stack:
            found.append(public(stack))
            with urllib.request.urlopen(stack.url + "/readyz") as answer:
                assert json.loads(answer.read())["ready"]
    assert found[0] == found[1]
    assert found[0][0] != found[2][0]
    assert not set(found[0][1]) & set(found[2][1])


def test_what_a_seeded_stack_signs_verifies_under_the_trust_of_another_run(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    trust = tmp_path / "trust.json"
    with running_stack(tmp_path, "--ephemeral", "--seed", "7") as stack:
        trust.write_bytes(stack.trust_config.read_bytes())
    with running_stack(tmp_path, "--ephemeral", "--control", "--seed", "7") as stack:
        token = sigbox("token", "--url", stack.url, "--email", "alice@example.com").stdout.strip()
        options = ("--trust-config", stack.trust_config, "--identity-token", token)
        signed = sigbox("sign-blob", tmp_path / "file", *options, cwd=tmp_path)
        assert signed.returncode == 0, signed.stderr
    policy = ("--certificate-identity", "alice@example.com", "--certificate-oidc-issuer", stack.oidc_issuer)
    done = sigbox("verify-blob", tmp_path / "file", "--trust-config", trust, *policy, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


# --- the configuration file ----------------------------------------------------------------------------------
def test_flags_win_over_the_environment_that_over_the_file(tmp_path, monkeypatch):
    config = tmp_path / "up.toml"
    config.write_text('control = true\nlisten = "0.0.0.0:1"\nlog-format = "text"\nseed = 5\n')
    monkeypatch.setenv("SIGBOX_LISTEN", "nowhere")
    monkeypatch.setenv("SIGBOX_LOG_FORMAT", "json")
    monkeypatch.setenv("SIGBOX_CONFIG", str(config))
    monkeypatch.setenv("SIGBOX_DATA", str(tmp_path / "durable"))
    with running_stack(tmp_path, "--ephemeral") as stack:
        assert sigbox("token", "--url", stack.url, "--email", "a@example.com").returncode == 0
        assert '"logger":"sigbox.http"' in wait_for(stack, "/_ctl/token")


def wait_for(stack, text: str) -> str:
    deadline = time.monotonic() + 60
    while text not in stack.output():
        assert time.monotonic() < deadline, stack.output()
        time.sleep(0.02)
    return stack.output()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("listne = 1", "unknown key"),
        ("ephemeral = 1", "expected true or false"),
        ('ephemeral = "yes"\nseed = "x"', "seed"),
        ("[listen]\nhost = 1", "expected text"),
        ("listen =", "not TOML"),
        ('log-format = "xml"', "expected one of json, text"),
        ('config = "other.toml"', "unknown key"),
        ('parser = "x"', "unknown key"),
    ],
)
def test_a_configuration_that_means_nothing_is_refused_with_its_name(tmp_path, text, message):
    (tmp_path / "up.toml").write_text(text)
    done = sigbox("up", "--config", "up.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "up.toml" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["up.toml"]


@pytest.mark.parametrize("module", ["stack.cli.runner", "stack.cli.placing", "stack.serve", "stack.running"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_at_any_moment_of_a_start_ends_it_in_order_and_leaves_nothing(tmp_path, number, code, module):
    command = [sys.executable, "-c", INTERRUPTED, str(int(number)), module, *UP, "--data", str(tmp_path / "data")]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_it_serves_whichever_of_its_three_streams_are_closed(tmp_path, closed):
    ready = tmp_path / "ready.json"
    options = [*UP, "--ephemeral", "--ready-file", str(ready)]
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *SIGBOX, *options],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: ready.exists() or process.poll() is not None, 60)
        with urllib.request.urlopen(json.loads(ready.read_bytes())["url"] + "/readyz", timeout=30) as answer:
            assert answer.status == 200
    finally:
        process.terminate()
        code = process.wait(60)
    assert code == 0, (tmp_path / "output").read_text()


@pytest.mark.parametrize("command", [("version",), (*UP, "--ephemeral")])
def test_an_output_that_cannot_be_written_is_a_usage_error_in_one_line(command):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*SIGBOX, *command],
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2, done.stderr
    assert "No space left on device" in done.stderr
    assert "Exception ignored" not in done.stderr
