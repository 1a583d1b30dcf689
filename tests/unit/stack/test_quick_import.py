# SPDX-License-Identifier: Apache-2.0
"""The server without the client: what is imported, and that the rest of aiohttp is there for whoever asks."""

from __future__ import annotations

import subprocess
import sys

from tests.stack_process import ROOT, environment

SCRIPT = """
import sys
ISSUERS = ("yaml", "ca.transport", "ca.discovery", "ca.fulcio_config", "ca.workflows", "ca.names")  # for those who configured some
from stack.quick_import import import_server
import_server()
from aiohttp import hdrs, web
assert "aiohttp.client" not in sys.modules and "aiohttp.connector" not in sys.modules
import stack.running
assert "aiohttp.client" not in sys.modules, "a module of the server imports aiohttp's client"
OURS = ("stack.personas", "stack.clients.table", "stack.web.front_page", "tlog.storage.sqlite", "tlog.anchor_file", "stack.pkcs11", "sigcore.pkcs11_uri")
OTHERS = ("jwt", "jinja2", "authlib", "prometheus_client", "cryptography.x509", "tuf", "sqlite_utils", "tomllib", "pkcs11")
for heavy in (*OTHERS, *OURS, *ISSUERS):
    assert heavy not in sys.modules, f"{heavy} is imported before anything answers"
import aiohttp
assert aiohttp.ClientSession.__module__ == "aiohttp.client"
assert aiohttp.web is web and aiohttp.hdrs is hdrs
assert aiohttp.__version__ != "3"
try:
    aiohttp.nonsense
except AttributeError:
    import_server()
    print("good")
"""


def test_the_server_starts_without_the_client_and_has_it_when_it_is_asked_for():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("good\n", 0), done.stderr
