# SPDX-License-Identifier: Apache-2.0
"""What docs/operating.md tells an operator and his PKI to type, typed: beside a stack that serves, and then signs below the corporate root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from sigcore.x509 import common_name, parse_certificates_pem
from tests.contract.test_rotation import ALICE, issuer_of, sign, wait
from tests.corporate_pki import Pki
from tests.missing import missing
from tests.stack_process import RunningStack, running_stack, sigbox

pytestmark = pytest.mark.slow

OPERATING = (Path(__file__).resolve().parents[2] / "docs" / "operating.md").read_text("utf-8")


def commands() -> list[str]:
    """Those of the section, in their order, with the lines that continue them."""
    section = OPERATING.split("\n## Below a corporate root\n", 1)[1].split("\n## ", 1)[0]
    blocks = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    return re.findall(r"^\$ ((?:.*\\\n)*.*)$", "\n".join(blocks), re.MULTILINE)


def test_the_steps_of_the_manual_lead_below_the_corporate_root(tmp_path: Path):
    if shutil.which("openssl") is None:
        missing("openssl is absent; on Debian: apt-get install openssl")
    pki = Pki(tmp_path)
    pki.root("root", "4096")
    pki.below("policy", "root", "P-384")
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        sign(stack, tmp_path / "before")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        typed = [command.replace("/srv/sigbox", str(stack.data)) for command in commands()]
        assert sum(command.startswith("sigbox trust accept") for command in typed) == 3
        for command in typed:
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                cwd=tmp_path,
                env={"PATH": path, "HOME": str(tmp_path)},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stderr}"
        issuer = common_name(pki.certificate("ca").subject)
        assert issuer == "ACME Sigstore CA 2"
        names = (tmp_path / f"after-{number}" for number in count())
        signed = [tmp_path / "before"]

        def signs_below_it() -> bool:
            signed.append(next(names))
            return issuer_of(sign(stack, signed[-1])) == issuer

        wait(signs_below_it)
        wait(lambda: pki.certificate("tsa") in parse_certificates_pem(ask(stack, "/api/v1/timestamp/certchain")))
        signed.append(next(names))
        sign(stack, signed[-1])
        who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
        done = sigbox("verify-blob", *signed, *who, "--trust-config", stack.trust_config)
        assert done.returncode == 0, done.stderr
        left = dict(
            re.findall(r'certificate_expires_in_seconds\{role="(\w+)"\} (\S+)', ask(stack, "/metrics").decode())
        )
        assert {role: float(text) // 86400 for role, text in left.items()} == {"ca": 1824, "tsa": 1824}


def ask(stack: RunningStack, path: str) -> bytes:
    with build_opener(ProxyHandler({})).open(f"{stack.url}{path}", timeout=20) as answer:
        found: bytes = answer.read()
        return found
