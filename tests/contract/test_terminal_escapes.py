# SPDX-License-Identifier: Apache-2.0
"""W01c: what others wrote into certificates, bundles, statements and trusted roots reaches no terminal as more than text."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sigcore import x509
from sigcore.strict import encode_base64
from tests.browser import hostile
from tests.stack_process import RunningStack, running_stack, sigbox

HOSTILE = "a\x1b[2J\x1b]0;title\x07\x9b31m\x08\x7f\r\nforged: line\u202e\u2066\u200b\x85\u2028@example.com"
UGLY = HOSTILE.replace("/", "")
NAMES = ("--certificate-identity", "a@example.com", "--certificate-oidc-issuer", "https://issuer.example")


@dataclass(frozen=True, slots=True)
class Material:
    """A stack, and files of somebody who means harm."""

    stack: RunningStack
    folder: Path

    def file(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Material]:
    folder = tmp_path_factory.mktemp("terminal")
    with running_stack(folder, "--ephemeral") as stack:
        (folder / "file").write_text("content")
        (folder / "predicate").write_text('{"a": 1}')
        trust = ("--trust-config", stack.trust_config, "--identity-token", stack.token("a@example.com"))
        for command, name, more in (
            ("sign-blob", "blob", ()),
            ("attest-blob", "statement", ("--predicate", folder / "predicate")),
        ):
            done = sigbox(command, folder / "file", "--bundle", folder / name, *more, *trust)
            assert done.returncode == 0, done.stderr
            bad = hostile.forged(json.loads((folder / name).read_bytes()), HOSTILE)
            (folder / f"bad-{name}").write_text(json.dumps(bad))
        (folder / "bad-root").write_text(
            json.dumps(hostile.rooted(json.loads(stack.trusted_root.read_bytes()), HOSTILE))
        )
        (folder / "bad.pem").write_text(x509.encode_certificate_pem(hostile.certificate(HOSTILE, 1)))
        (folder / UGLY).write_text("content")
        (folder / "token").write_text(stack.token("a@example.com"))
        (folder / "bad-kind").write_text(json.dumps({"mediaType": HOSTILE, HOSTILE: encode_base64(b"x")}))
        yield Material(stack, folder)


COMMANDS = {
    "bundle inspect": ("bundle", "inspect", "{bad-blob}"),
    "bundle inspect, statement": ("bundle", "inspect", "{bad-statement}"),
    "bundle inspect, no bundle": ("bundle", "inspect", "{bad-kind}"),
    "verify-blob": ("verify-blob", "{file}", "--bundle", "{bad-blob}", *NAMES),
    "verify-blob, a root that is not good": (
        "verify-blob",
        "{file}",
        "--bundle",
        "{blob}",
        *NAMES,
        "--trusted-root",
        "{bad-root}",
    ),
    "verify-blob --explain": ("verify-blob", "{file}", "--bundle", "{bad-blob}", *NAMES, "--explain"),
    "verify-blob --json": ("verify-blob", "{file}", "--bundle", "{bad-blob}", *NAMES, "--json"),
    "attestation": ("verify-blob-attestation", "{file}", "--bundle", "{bad-statement}", *NAMES, "--explain"),
    "names on the command line": ("verify-blob", "{file}", "--bundle", "{blob}", NAMES[0], HOSTILE, NAMES[2], HOSTILE),
    "a file of that name": ("verify-blob", HOSTILE, "--bundle", HOSTILE, *NAMES),
    "policy learn": ("policy", "learn", "{bad-blob}"),
    "signing a file of that name": ("sign-blob", "{ugly}", "--identity-token", "{token}"),
    "token": ("token", "--data", "{data}", "--email", HOSTILE),
    "user add": ("user", "add", "--data", "{data}", "--email", HOSTILE),
    "trusted-root create": ("trusted-root", "create", "--fulcio", "certificate-chain={bad.pem}"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_nothing_that_others_wrote_moves_the_cursor_or_forges_a_line_w01c(material: Material, command: tuple[str, ...]):
    names = {f"{{{path.name}}}": str(path) for path in material.folder.iterdir()} | {"{data}": str(material.stack.data)}
    names |= {"{ugly}": UGLY, "{token}": f"@{material.file('token')}"}
    words = [next((word.replace(name, path) for name, path in names.items() if name in word), word) for word in command]
    trusted = (
        words
        if "--trusted-root" in words or "verify" not in words[0]
        else [*words, "--trust-config", str(material.stack.trust_config)]
    )
    done = sigbox(*trusted)
    said = done.stdout + done.stderr
    assert said, "it says something"
    wrong = {
        character
        for character in said
        if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") and character != "\n"
    }
    assert wrong == set()
    assert "\nforged: line" not in said
    assert "Traceback" not in said
