# SPDX-License-Identifier: Apache-2.0
"""A forked command is the started one: the same words, environment and folder lead to the same output and exit code."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests import fork_server
from tests.stack_process import PROGRAM, environment, sigbox_process, start_stack
from tests.until import wait_until

SAID = {
    "version": ("version",),
    "an overview": (),
    "help": ("sign-blob", "--help"),
    "no command": ("sing-blob",),
    "no option": ("fsck", "--depth", "7"),
    "an error": ("fsck", "--data", "nowhere"),
}

pytestmark = pytest.mark.skipif(PROGRAM is not None, reason="SIGBOX_TEST_PROGRAM: no command is forked")


@pytest.mark.parametrize("words", SAID.values(), ids=SAID)
def test_output_and_exit_code_are_those_of_a_started_command(tmp_path: Path, words: tuple[str, ...]):
    forked = fork_server.run(list(words), environment(), tmp_path, 60)
    started = sigbox_process(*words, cwd=tmp_path)
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)


def test_folder_and_environment_are_the_callers(tmp_path: Path):
    made = fork_server.run(["init", "--yes"], environment(SIGBOX_DATA="there"), tmp_path, 60)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "there" / "sigbox.toml").exists()


def test_a_command_that_does_not_end_in_time_is_killed(tmp_path: Path):
    ready = tmp_path / "ready.json"
    words = ["up", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), "--ready-file", str(ready)]
    with pytest.raises(subprocess.TimeoutExpired):
        fork_server.run(words, environment(), tmp_path, 3)
    if ready.exists():  # on a machine that is not very slow
        pid = json.loads(ready.read_bytes())["pid"]
        wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_what_an_interpreter_reads_when_it_begins_is_not_forked():
    assert fork_server.may_run(environment())
    assert fork_server.may_run(environment(SIGBOX_DATA="x", SSL_CERT_FILE="y"))
    for name in ("PYTHONUTF8", "LD_PRELOAD", "LC_ALL", "LANG", "OPENSSL_CONF"):
        assert not fork_server.may_run(environment(**{name: "another"})), name


def test_a_forked_stack_is_used_as_a_started_one(tmp_path: Path):
    """Ready with its own process id, ends with 0 when it is asked to, and with the signal when it is killed."""
    first = start_stack(tmp_path, "--ephemeral")
    assert isinstance(first.process, fork_server.Forked)
    assert json.loads((tmp_path / "ready.json").read_bytes())["pid"] == first.process.pid
    assert first.process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        first.process.wait(0)
    first.stop()
    assert first.url in first.output()
    first.process.send_signal(signal.SIGKILL)
    assert (first.process.poll(), first.process.returncode) == (0, 0), "who has ended gets no signal"
    second = start_stack(tmp_path, "--ephemeral")
    second.kill()
    assert second.process.wait() == -signal.SIGKILL
