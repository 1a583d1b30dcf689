# SPDX-License-Identifier: Apache-2.0
"""A16: the authority dies when the log has the precertificate and nobody has the certificate. The log is the table of what was intended:
it holds, durably and before the final signature exists, the whole TBSCertificate with serial number, name and key.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtensionOID

from tests.contract.rfc6962 import LogClient, read_leaf
from tests.faults.certificates import certificate_request
from tests.interop.places import ALICE
from tests.stack_process import READY_S, ROOT, STOP_S, environment, running_stack, sigbox

pytestmark = [pytest.mark.faults, pytest.mark.slow]

CRASH = 9
DYING = f"""
import os, sys
import ca.authority
ca.authority._Signer.finish = lambda *_: os._exit({CRASH})
from stack.cli import main
sys.exit(main())
"""
"""``sigbox``, whose authority is gone in the moment when it would sign the final certificate."""


def die_while_signing(folder: Path) -> bytes:
    """The key (SPKI, in PEM) that a certificate was asked for, of a stack that died over it."""
    ready, data = folder / "dying.json", folder / "data"
    options = ("up", "--listen", "127.0.0.1:0", "--data", str(data), "--ready-file", str(ready))
    process = subprocess.Popen([sys.executable, "-c", DYING, *options], cwd=ROOT, env=environment())
    try:
        deadline = time.monotonic() + READY_S
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        token = sigbox("token", "--data", data, "--email", ALICE).stdout.strip()
        body, pem = certificate_request(token, ALICE)
        url = json.loads(ready.read_bytes())["url"]
        with pytest.raises((urllib.error.URLError, http.client.HTTPException, ConnectionError)):
            urllib.request.urlopen(f"{url}/api/v2/signingCert", body, timeout=STOP_S)
        assert process.wait(STOP_S) == CRASH
    finally:
        process.kill()
        process.wait(STOP_S)
    return pem


def test_a16_a_certificate_that_was_never_given_stands_in_the_log_whole(tmp_path: Path):
    asked = die_while_signing(tmp_path)
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        status, found, _ = LogClient(stack.url).call("get-entries", start=0, end=9)
    assert status == 200
    leaves = [leaf for leaf in map(read_leaf, found["entries"]) if leaf.issuer_key_hash]
    intents = [(leaf, x509.load_der_x509_certificate(leaf.chain[0])) for leaf in leaves]
    (mine,) = [
        (leaf, precert)
        for leaf, precert in intents
        if precert.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        == asked
    ]
    leaf, precert = mine
    names = precert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.RFC822Name) == [ALICE]
    assert precert.extensions.get_extension_for_oid(ExtensionOID.PRECERT_POISON).critical
    serial = precert.serial_number.to_bytes(20, "big").lstrip(b"\0")
    assert serial in leaf.certificate, "what the log signed for is the TBSCertificate, serial number and all"
    assert ALICE.encode() in leaf.certificate
