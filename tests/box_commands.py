# SPDX-License-Identifier: Apache-2.0
"""What tests do most with a stack of the plugin, by commands that are forked: a tenth of the time of a process of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from sigcore.bundle import Bundle, parse_bundle
from stack.testing import EMAIL, Sigbox
from tests.stack_process import sigbox


def bundle_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.sigstore.json")


def try_to_sign(box: Sigbox, file: Path, *options: str, token: str = "") -> subprocess.CompletedProcess[str]:
    identity = ("--identity-token", token or box.token())
    return sigbox(
        "sign-blob", file, "--bundle", bundle_of(file), "--trust-config", box.trust_config, *identity, *options
    )


def sign(box: Sigbox, file: Path, *options: str, token: str = "") -> Bundle:
    done = try_to_sign(box, file, *options, token=token)
    assert done.returncode == 0, done.stderr
    return parse_bundle(bundle_of(file).read_bytes())


def try_to_verify(box: Sigbox, file: Path, *trust: str | Path) -> subprocess.CompletedProcess[str]:
    who = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", box.issuer)
    return sigbox(
        "verify-blob", file, "--bundle", bundle_of(file), *(trust or ("--trust-config", box.trust_config)), *who
    )


def verify(box: Sigbox, file: Path) -> None:
    done = try_to_verify(box, file)
    assert done.returncode == 0, done.stderr
