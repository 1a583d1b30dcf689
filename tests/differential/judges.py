# SPDX-License-Identifier: Apache-2.0
"""The clients as judges: each says of a case why it refuses, or nothing, which is to accept.

All of them read the same files, with the same trusted root and the same signer demanded, and none may use the network. cosign is
a process for each case; the Python library runs in this one; one process of the JavaScript library answers them all.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import rfc3161_client  # noqa: F401 - sigstore imports it when a bundle is verified; here it is no bundle's fault
from sigstore import dsse
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier, policy

from client.files import digest_file
from client.verify import verify_attestation, verify_blob
from client.verify.identity import IdentityPolicy
from client.verify.signed import ManagedKey, digest_algorithm
from sigcore.bundle import MessageSignature, parse_bundle
from sigcore.errors import SigError
from sigcore.keys import parse_public_key_pem
from sigcore.trustroot import parse_trusted_root
from tests.differential.cases import Case
from tests.interop.clients import COSIGN_V3, SIGSTORE_JS
from tests.interop.places import NOWHERE

LIMIT_S = 60


def sigbox(case: Case) -> str:
    """Ours, by the functions that the commands call."""
    try:
        bundle = parse_bundle(case.bundle)
        digest = digest_file(case.artifact, digest_algorithm(bundle))
        who = ManagedKey(parse_public_key_pem(case.key.read_bytes())) if case.key else _identity(case)
        verify = verify_blob if isinstance(bundle.content, MessageSignature) else verify_attestation
        verify(bundle, digest, root=parse_trusted_root(case.root.read_bytes()), identity=who)
    except SigError as error:
        return error.message
    return ""


def _identity(case: Case) -> IdentityPolicy:
    return IdentityPolicy(case.issuer, case.identity)


def sigstore_python(case: Case) -> str | None:
    """The official Python library, in the order of its command; it has no bare keys."""
    if case.key:
        return None
    who = policy.Identity(identity=case.identity, issuer=case.issuer)
    try:
        verifier = Verifier(trusted_root=TrustedRoot.from_file(str(case.root)))
        bundle = Bundle.from_json(case.bundle)
        data = case.artifact.read_bytes()
        if bundle._dsse_envelope is None:
            verifier.verify_artifact(data, bundle, who)
        else:
            _type, payload = verifier.verify_dsse(bundle, who)
            digest = hashlib.sha256(data).hexdigest()
            subjects = dsse.Statement(payload)._inner.subjects
            if not any(subject.digest.root.get("sha256") == digest for subject in subjects):
                return "the artifact is no subject"
    except Exception as error:  # noqa: BLE001 - whatever comes out of it, its command ends with another code than 0
        return f"{type(error).__name__}: {error}"[:300]
    return ""


def cosign(case: Case, file: Path) -> str:
    """cosign 3, a process."""
    who = (
        ("--key", case.key)
        if case.key
        else ("--certificate-identity", case.identity, "--certificate-oidc-issuer", case.issuer)
    )
    what: tuple[str | Path, ...] = ("verify-blob",)
    if _is_attestation(case):
        what = ("verify-blob-attestation", "--type", _predicate_type(case))
    command = (COSIGN_V3.installed(), *what, "--bundle", file, "--trusted-root", case.root, *who, case.artifact)
    done = subprocess.run(
        [*map(str, command)],
        env={"HOME": str(file.parent), "PATH": os.environ["PATH"], "HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["refused"])[-1][:300]


def _is_attestation(case: Case) -> bool:
    return b"dsseEnvelope" in case.bundle or b"dsse_envelope" in case.bundle


def _predicate_type(case: Case) -> str:
    """The one that the bundle's statement is of: what a user would ask for, who has read it."""
    try:
        envelope = json.loads(case.bundle)["dsseEnvelope"]
        return str(json.loads(base64.b64decode(envelope["payload"]))["predicateType"])
    except (ValueError, KeyError, TypeError):
        return PREDICATE_TYPE


PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
"""That of the suite's statements."""


def sigstore_js(cases: Iterable[tuple[Case, Path]]) -> list[str]:
    """The official JavaScript library; all cases by one process."""
    asked = [
        json.dumps(
            {
                "bundle": str(file),
                "artifact": str(case.artifact),
                "root": str(case.root),
                "identity": case.identity,
                "issuer": case.issuer,
                "key": str(case.key) if case.key else "",
            }
        )
        for case, file in cases
    ]
    done = subprocess.run(
        [str(SIGSTORE_JS.installed()), str(Path(__file__).with_name("judge.mjs"))],
        env={"PATH": os.environ["PATH"], "SIGSTORE_JS": str(SIGSTORE_JS.home)},
        input="\n".join(asked) + "\n",
        capture_output=True,
        text=True,
        timeout=10 * LIMIT_S,
        check=True,
    )
    answers = [str(json.loads(line)) for line in done.stdout.splitlines()]
    assert len(answers) == len(asked), done.stderr
    return answers


OFFICIAL = ("sigstore-python", "sigstore-js", "cosign")
Verdicts = dict[str, str | None]


def judge(cases: list[Case], folder: Path) -> list[Verdicts]:
    """What each client says of each case: its refusal, "" for accepted, None where it cannot be asked."""
    files = []
    for number, case in enumerate(cases):
        files.append(folder / f"{number}.sigstore.json")
        files[-1].write_bytes(case.bundle)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) + 1) as pool:
        js = pool.submit(sigstore_js, list(zip(cases, files, strict=True)))
        go = pool.map(cosign, cases, files)
        rows: list[Verdicts] = [{"sigbox": sigbox(case), "sigstore-python": sigstore_python(case)} for case in cases]
        for row, ours, theirs in zip(rows, js.result(), go, strict=True):
            row |= {"sigstore-js": ours, "cosign": theirs}
    return rows
