# SPDX-License-Identifier: Apache-2.0
"""Set up the official clients on this machine for a stack, by one line.

The fingerprint is what `sigbox init` and the stack's front page print: have it over a way that you trust. Nothing is set up before
the root that the stack shows has been compared with it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from client import tuf_mirror
from client.root import load_trusted_root
from client.tuf_cache import cache_folder
from sigcore.errors import Refused, Unavailable
from sigcore.values import dataclass
from stack.cli.enrolled_keys import key_files
from stack.cli.fingerprint import given_fingerprint
from stack.cli.table import ExitCode
from stack.cli.usage import Usage, verifying
from stack.files import make_folder, save_file

EXAMPLES = """\
examples:
  sigbox enroll https://sigstore.corp.example --fingerprint 7c1d...
  sigbox enroll http://localhost:7780 --fingerprint 7c1d... --client cosign
  sigbox enroll http://localhost:7780 --fingerprint 7c1d... --keys sigbox-keys"""

TIMEOUT_S: Final = 60
_WORDS: Final = 500


@dataclass(frozen=True, slots=True)
class Official:
    """A client that keeps what it trusts: its program, and the command that tells it, from mirror and root."""

    program: str
    command: Callable[[str, str], tuple[str, ...]]
    version: str = ""
    """How `--version` begins, for a program whose name is not its own."""


OFFICIAL: Final[Mapping[str, Official]] = {
    "cosign": Official("cosign", lambda mirror, root: ("initialize", "--mirror", mirror, "--root", root)),
    "gitsign": Official("gitsign", lambda mirror, root: ("initialize", "--mirror", mirror, "--root", root)),
    "sigstore-python": Official(
        "sigstore", lambda mirror, root: ("--instance", mirror, "trust-instance", root), version="sigstore "
    ),
    "sigstore-js": Official(
        "sigstore",
        lambda mirror, root: ("initialize", "--mirror", mirror, "--root", root, "--force"),
        version="@sigstore/cli/",
    ),
}
"""sigstore-js keeps the root of each mirror, and has to be told the mirror each time: `sigbox env sigstore-js`."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What became of one client: ``set up``, ``not found`` or ``failed``, and a word about it."""

    client: str
    state: str
    about: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The stack, its fingerprint, and whom to set up."""
    known = ("all", "sigbox", *OFFICIAL)
    parser.add_argument("url", metavar="URL", help="the stack's URL")
    parser.add_argument(
        "--fingerprint",
        metavar="F",
        type=given_fingerprint,
        required=True,
        help="SHA-256 of its first TUF root, as it prints it",
    )
    parser.add_argument(
        "--client", choices=known, default="all", metavar="C", help=f"{', '.join(known)} (default: all)"
    )
    about = "write the keys of its trusted root to this folder as PEM files: for gitsign, podman, kyverno"
    parser.add_argument("--keys", metavar="DIR", type=Path, help=about)
    parser.add_argument("--ca-file", metavar="PEM", help="certificate authorities to trust for https")
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")


def run(options: argparse.Namespace) -> int:
    """Compare, keep the root, tell each client."""
    if options.keys is not None and options.client not in ("all", "sigbox"):
        raise Usage("--keys goes with --client all or sigbox", "the keys are those that sigbox has verified")
    tls = tuf_mirror.trust_for(options.ca_file)
    mirror = tuf_mirror.check_mirror(f"{options.url.rstrip('/')}/tuf")
    with verifying():
        root = tuf_mirror.fetch_first_root(mirror, options.fingerprint, tls)
    kept = _keep(root, options.fingerprint)
    rows = []
    if options.client in ("all", "sigbox"):
        with verifying():
            cache = tuf_mirror.initialize(cache_folder(os.environ), mirror, root, tls)
        rows.append(Enrolled("sigbox", "set up", f"trust in {cache.folder}"))
        if options.keys is not None:
            _save_keys(options.keys, cache.files()["trusted_root"])
    wanted = OFFICIAL if options.client == "all" else {options.client: OFFICIAL.get(options.client)}
    rows += [_enroll(name, one, mirror, kept, options.ca_file) for name, one in wanted.items() if one is not None]
    if options.json:
        document = {
            "mirror": mirror,
            "root": str(kept),
            "clients": {row.client: {"state": row.state, "about": row.about} for row in rows},
        }
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(f"{row.client:16} {row.state:10} {row.about}" for row in rows))
    return _outcome(rows, options.client)


def _keep(root: bytes, fingerprint: str) -> Path:
    """The root as a file: some clients want a path, and remember it."""
    folder = Path(cache_folder(os.environ)).parent / "sigbox-roots"
    make_folder(folder, 0o755, durable=False)
    path = folder / f"{fingerprint}.root.json"
    save_file(path, root, durable=False)
    return path


def _save_keys(folder: Path, trusted_root: str) -> None:
    make_folder(folder, 0o755, durable=False)
    for name, pem in key_files(load_trusted_root(trusted_root)).items():
        save_file(folder / name, pem, durable=False)


def _enroll(name: str, official: Official, mirror: str, root: Path, ca_file: str | None) -> Enrolled:
    try:
        program = _found(official)
        if program is None:
            return Enrolled(name, "not found", f"there is no {name} in PATH")
        done = _ask(program, official.command(mirror, str(root)), ca_file)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Enrolled(name, "failed", f"{official.program}: {error}")
    if done.returncode:
        return Enrolled(name, "failed", f"{program} said: {' '.join(done.stderr.split())[-_WORDS:]!a}")
    return Enrolled(name, "set up", program)


def _found(official: Official) -> str | None:
    """The first program of that name in PATH, or the first that says to be this one: two clients are called `sigstore`."""
    for folder in os.get_exec_path():
        program = shutil.which(official.program, path=folder)
        if program and (not official.version or _version(program).startswith(official.version)):
            return program
    return None


def _version(program: str) -> str:
    try:
        return _ask(program, ("--version",)).stdout
    except OSError:  # what its first line names is gone: it is nobody's
        return ""


def _ask(program: str, arguments: tuple[str, ...], ca_file: str | None = None) -> subprocess.CompletedProcess[str]:
    authority = {"SSL_CERT_FILE": ca_file, "NODE_EXTRA_CA_CERTS": ca_file} if ca_file else {}
    return subprocess.run(  # noqa: S603 - a program of the PATH, asked for by its user
        [program, *arguments],
        env=os.environ | authority,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT_S,
        check=False,
    )


def _outcome(rows: list[Enrolled], asked: str) -> int:
    """A client that was named must be set up; of all those that are there, each that is found."""
    for row in rows:
        if row.state == "failed":
            raise Unavailable(
                f"{row.client} could not be set up: {row.about}", f"sigbox env {row.client} prints the lines"
            )
        if row.state == "not found" and asked != "all":
            raise Refused(f"{row.client} was not found: {row.about}", "install it, or put it into PATH")
    sys.stderr.write("sigbox env CLIENT, on the machine of the stack, prints the lines for each client\n")
    return ExitCode.DONE
