# SPDX-License-Identifier: Apache-2.0
"""One signature from beginning to end, explained: a stack of its own, a file, a token, a signature, two verifications.

Everything happens in a temporary directory and on loopback; nothing stays. Ends with 0 only if the good file verified and
the changed one was refused.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from client.files import load_bundle
from sigcore import limits
from sigcore.errors import Refused, Unavailable
from sigcore.strict import Fields
from stack.cli.table import ExitCode

IDENTITY: Final = "alice@example.com"
START_S: Final = 30
"""A slow machine still starts within this; it is a bound for failure, not an expectation."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A command that was shown and run."""

    code: int
    output: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(_options: argparse.Namespace) -> int:
    """Tell the story; 0 when it ended as it must."""
    with tempfile.TemporaryDirectory(prefix="sigbox-demo-") as name:
        folder = Path(name)
        _say("1. A private Sigstore starts", "Six roles in one process: identity, certificates, two logs, time, trust.")
        with _stack(folder) as ready:
            _tell(folder, ready)
    print("\nThe stack has stopped and left nothing behind. `sigbox up` starts one that stays.")
    return 0


def _tell(folder: Path, ready: dict[str, str]) -> None:
    print(f"   {ready['url']}   (console: {ready['url']}/ , trust root: {ready['tuf_mirror']})")
    artifact, bundle, token = folder / "release.txt", folder / "release.txt.sigstore.json", folder / "token"
    artifact.write_text("sigbox demo: the content that its author meant.\n", encoding="utf-8")

    _say("2. Who signs", "The OIDC provider states an identity in a token that lives ten minutes.")
    token.write_text(_shell("token", "--data", ready["data"], "--email", IDENTITY).output.strip(), encoding="ascii")
    print(f"   -> {token.name}, signed with RS256, says: email {IDENTITY}, for the audience sigstore")

    _say(
        "3. Sign",
        "A key is made, used once and forgotten. The CA binds it to the identity for ten minutes and logs the\n"
        "   certificate; the timestamp authority says when; the log keeps the signature for everybody to see.",
    )
    os.environ["SIGBOX_TRUST_CONFIG"] = ready["trust_config"]
    print(f"   $ export SIGBOX_TRUST_CONFIG={ready['trust_config']}")
    signed = _shell(
        "sign-blob", artifact.name, "--bundle", bundle.name, "--identity-token", f"@{token.name}", folder=folder
    )
    _print_indented(signed.output)
    _describe(bundle)

    _say("4. Verify", "Offline: with the bundle and the trust root alone. The verifier names who may have signed.")
    policy = ("--certificate-identity", IDENTITY, "--certificate-oidc-issuer", ready["oidc_issuer"])
    check = ("verify-blob", artifact.name, "--bundle", bundle.name, *policy)
    good = _shell(*check, folder=folder)
    _print_indented(good.output)

    _say("5. Change one byte and verify again", "The same command; it must refuse.")
    data = bytearray(artifact.read_bytes())
    data[0] ^= 1
    artifact.write_bytes(data)
    bad = _shell(*check, folder=folder, expected=ExitCode.REFUSED)
    _print_indented(bad.output)
    print(f"   -> exit code {bad.code}: refused")


def _say(title: str, text: str) -> None:
    print(f"\n{title}\n   {text}", flush=True)


def _print_indented(text: str) -> None:
    for line in text.strip().splitlines():
        print(f"   | {line}")


def _describe(bundle: Path) -> None:
    entry = load_bundle(bundle).log_entries[0]
    print(f"   -> {bundle.name}: certificate, signature, timestamp, and entry {entry.index} of the log with its proof")


def _shell(*arguments: str, folder: Path | None = None, expected: int = ExitCode.DONE) -> Shown:
    """Show a command as a person would type it, run it, and insist on the exit code."""
    print(f"   $ sigbox {' '.join(arguments)}", flush=True)
    done = subprocess.run(  # noqa: S603 - our own command line, arguments made above, no shell
        [sys.executable, "-P", "-m", "stack.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != expected:
        raise Refused(f"sigbox {arguments[0]} ended with {done.returncode}, expected {expected}: {done.stderr.strip()}")
    return Shown(done.returncode, done.stdout + done.stderr)


@contextmanager
def _stack(folder: Path) -> Iterator[dict[str, str]]:
    """An ephemeral stack as a child process; the value is the content of its ready file."""
    ready_file, log = folder / "ready.json", folder / "stack.log"
    command = [sys.executable, "-P", "-m", "stack.cli", "up", "--ephemeral", "--listen", "127.0.0.1:0"]
    with log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603 - our own command line, no shell
            [*command, "--ready-file", str(ready_file)], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + START_S
        while not ready_file.exists():
            if child.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"the stack did not start: {log.read_text(encoding='utf-8')[-2000:]}")
            time.sleep(0.01)
        ready = Fields.parse(ready_file.read_bytes(), what="the ready file", limit=limits.TEXT)
        yield {name: ready.text(name) for name in ready.names() if name != "pid"}
    finally:
        child.terminate()
        child.wait()
