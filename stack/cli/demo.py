# SPDX-License-Identifier: Apache-2.0
"""One signature from beginning to end, explained: a stack of its own, a file, a token, a signature, two verifications.

Each step says what happens, who must be trusted for it, how large it is, and how to look for yourself. Everything happens in
a temporary directory and on loopback; nothing stays, unless --keep names a directory for the files. Ends with 0 only if the
good file verified and the changed one was refused.
"""

from __future__ import annotations

import argparse
import hashlib
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
from sigcore import limits, x509
from sigcore.errors import Refused, Unavailable
from sigcore.strict import Fields, parse_base64
from stack.cli.narrator import Narrator, Style
from stack.cli.table import ExitCode
from stack.cli.usage import Usage
from stack.files import make_folder, save_file

IDENTITY: Final = "alice@example.com"
START_S: Final = 30
"""A slow machine still starts within this; it is a bound for failure, not an expectation."""
ARTIFACT: Final = "release.txt"
BUNDLE: Final = f"{ARTIFACT}.sigstore.json"
TRUST: Final = "trust_config.json"

EXAMPLES = """\
examples:
  sigbox demo
  sigbox demo --keep look          its parts in files, for openssl and an editor"""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where the story happens: a folder, a running stack (its ready file), and who tells it."""

    folder: Path
    ready: dict[str, str]
    narrator: Narrator
    start_s: float

    def run(self, *arguments: str, expected: int = ExitCode.DONE) -> str:
        """Show a command as a person would type it, run it, and insist on its exit code; the answer is what it printed."""
        self.narrator.command(("sigbox", *arguments))
        done = subprocess.run(  # noqa: S603 - our own command line, arguments made below, no shell
            [sys.executable, "-P", "-m", "stack.cli", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "SIGBOX_TRUST_CONFIG": TRUST},
        )
        if done.returncode != expected:
            found = f"sigbox {arguments[0]} ended with {done.returncode}, expected {expected}"
            raise Refused(f"{found}: {done.stderr.strip()}")
        return done.stdout + done.stderr

    def size(self, name: str) -> int:
        """Bytes of a file of the folder."""
        return (self.folder / name).stat().st_size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox demo``."""
    parser.add_argument("--keep", metavar="DIR", type=Path, help="leave the files in this directory, which must be new")


def run(options: argparse.Namespace) -> int:
    """Tell the story; 0 when it ended as it must."""
    if options.keep:
        if options.keep.exists():
            raise Usage(f"{options.keep} exists already", "name a new one")
        make_folder(options.keep)
    narrator = Narrator()
    with tempfile.TemporaryDirectory(prefix="sigbox-demo-") as name:
        folder = Path(options.keep.absolute() if options.keep else name)
        narrator.title("1. A private Sigstore starts")
        narrator.say(
            "Six roles in one process: an identity provider, a certificate authority, a log of certificates, a log of"
            " signatures, a clock that signs, and the trust root that says whose keys count."
        )
        began = time.monotonic()
        with _stack(Path(name)) as ready:
            scene = Scene(folder, ready, narrator, time.monotonic() - began)
            for step in (_arrive, _identify, _sign, _look, _verify, _change):
                step(scene)
    _leave(narrator, options.keep)
    return 0


# --- the steps ---------------------------------------------------------------------------------------
def _arrive(scene: Scene) -> None:
    narrator, ready = scene.narrator, scene.ready
    narrator.say(f"It answers after {scene.start_s:.1f} s. Console: {ready['url']}/")
    fingerprint = hashlib.sha256(Path(ready["tuf_root"]).read_bytes()).hexdigest()
    narrator.trusted(
        "the first root, once, by its fingerprint, over a way that you trust. Every other key follows from it, and reaches"
        f" clients over TUF. sha256:{fingerprint}"
    )
    (scene.folder / ARTIFACT).write_text("sigbox demo: the content that its author meant.\n", encoding="utf-8")
    save_file(scene.folder / TRUST, Path(ready["trust_config"]).read_bytes(), durable=False)


def _identify(scene: Scene) -> None:
    scene.narrator.title("2. Alice says who she is")
    scene.narrator.say("The provider states an identity in a token, signed with RS256, for the audience sigstore.")
    token = scene.run("token", "--data", scene.ready["data"], "--email", IDENTITY).strip()
    save_file(scene.folder / "token", token.encode("ascii"), mode=0o600, durable=False)
    scene.narrator.table([("token", len(token), f"says {IDENTITY}, by {scene.ready['oidc_issuer']}, for ten minutes")])
    scene.narrator.trusted("the identity provider, to know who is asking.")


def _sign(scene: Scene) -> None:
    narrator = scene.narrator
    narrator.title("3. She signs")
    narrator.say(
        "A key is made, used once and forgotten. The authority binds it to her identity for ten minutes, and logs the"
        " certificate before it hands it out. The signature gets a signed time, and goes into the log of signatures."
    )
    narrator.command(("export", f"SIGBOX_TRUST_CONFIG={TRUST}"))
    output = scene.run(
        "sign-blob",
        ARTIFACT,
        "--identity-token",
        "@token",
        "--output-certificate",
        "certificate.pem",
        "--output-signature",
        "signature.b64",
    )
    narrator.output(output, Style.GOOD)


def _look(scene: Scene) -> None:
    """What came back, part by part; each part also becomes a file."""
    folder, narrator = scene.folder, scene.narrator
    bundle = load_bundle(folder / BUNDLE)
    entry, [timestamp, *_] = bundle.log_entries[0], bundle.timestamps
    certificate = x509.parse_certificate_pem((folder / "certificate.pem").read_bytes())
    signature = parse_base64((folder / "signature.b64").read_text("ascii").strip(), what="the signature")
    for name, data in (("sig.der", signature), ("timestamp.tsr", timestamp), ("entry.json", entry.body)):
        save_file(folder / name, data, durable=False)
    proof = "no proof"
    if entry.proof is not None:
        hashes = _count(len(entry.proof.hashes), "hash", "hashes")
        proof = f"entry {entry.index} of {entry.proof.size}, proved by {hashes}"
    life = f"{certificate.not_before:%H:%M:%S} to {certificate.not_after:%H:%M:%S}"
    narrator.title("4. What she got")
    narrator.table(
        [
            ("certificate", len(certificate.der), f"the authority: this key is {IDENTITY}'s, {life} UTC; it is logged"),
            ("signature", len(signature), "the key: over the SHA-256 of the file. The key is gone already"),
            ("timestamp", len(timestamp), "the clock: this signature existed by now (RFC 3161)"),
            ("log entry", len(entry.body), f"the log: {proof} and a signed checkpoint"),
            ("bundle", scene.size(BUNDLE), f"all of it in one file: {BUNDLE}"),
        ]
    )
    narrator.trusted(
        "the authority and the clock; and the logs keep them honest, for what they hold everybody can see."
    )
    narrator.repeat("openssl x509 -in certificate.pem -noout -text")
    narrator.repeat("openssl ts -reply -in timestamp.tsr -text")
    narrator.repeat("python3 -m json.tool entry.json")


def _policy(scene: Scene) -> tuple[str, ...]:
    return ("--certificate-identity", IDENTITY, "--certificate-oidc-issuer", scene.ready["oidc_issuer"])


def _verify(scene: Scene) -> None:
    narrator = scene.narrator
    narrator.title("5. Bob verifies")
    narrator.say("Offline, with the file, the bundle and the trust root. He says whom he expects; no service is asked.")
    narrator.output(scene.run("verify-blob", ARTIFACT, *_policy(scene)), Style.GOOD)
    narrator.trusted("the trust root, for the keys of the authority, the logs and the clock.")
    narrator.repeat("sigbox verify-blob ... --json        (every check, with its value)")
    narrator.repeat("openssl x509 -in certificate.pem -noout -pubkey > key.pem")
    narrator.repeat(f"openssl dgst -sha256 -verify key.pem -signature sig.der {ARTIFACT}")


def _change(scene: Scene) -> None:
    scene.narrator.title("6. Somebody changes one byte")
    scene.narrator.say("The same command on the changed file; it must refuse.")
    path = scene.folder / ARTIFACT
    original = path.read_bytes()
    path.write_bytes(bytes([original[0] ^ 1]) + original[1:])
    scene.narrator.output(scene.run("verify-blob", ARTIFACT, *_policy(scene), expected=ExitCode.REFUSED), Style.BAD)
    scene.narrator.say("Exit code 1: refused.")
    path.write_bytes(original)


def _leave(narrator: Narrator, kept: Path | None) -> None:
    narrator.title("The stack has stopped.")
    if kept:
        narrator.say(f"The files are in {kept}; every line after `try:` works there, and so does the verification.")
    else:
        narrator.say(
            "It left nothing behind. `sigbox demo --keep DIR` leaves the files; the lines after `try:` work there."
        )
    narrator.say(
        "A stack that stays: `sigbox init`, then `sigbox up`; `sigbox env CLIENT` has the lines for each client."
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


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
