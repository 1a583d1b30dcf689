# SPDX-License-Identifier: Apache-2.0
"""sigstore-js, unmodified: its command attests and verifies over TUF, its libraries sign on either log.

What every reader must refuse is in ``test_matrix.py``.
"""

from __future__ import annotations

import base64
import json
import re
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.interop.places import ALICE, CONTENT, MALLORY, Done, Kind, Place, Signed, make_signed, refuse, succeed
from tests.interop.tools import PYTHON, SigstoreJs
from tests.stack_process import RunningStack, running_stack

pytestmark = [pytest.mark.interop, pytest.mark.slow]


def material(signed: Signed) -> dict[str, object]:
    return dict(signed.content()["verificationMaterial"])


def by_library(js: SigstoreJs, signed: Signed, identity: str = ALICE, **options: object) -> Done:
    """Verify as a program does. Identities are regular expressions there."""
    stack = signed.place.stack
    wanted = {
        "bundle": str(signed.bundle),
        "file": None if signed.kind.dsse else str(signed.artifact),
        "options": {
            "tufMirrorURL": stack.tuf_mirror,
            "tufRootPath": str(stack.tuf_root),
            "tufCachePath": str(signed.place.folder / "library-tuf"),
            "certificateIssuer": stack.oidc_issuer,
            "certificateIdentityEmail": re.escape(identity),
            **options,
        },
    }
    return js.script(signed.place, "verify.mjs", wanted)


# --- the command ------------------------------------------------------------------------------------------
def test_the_command_trusts_once_attests_and_verifies(sigstore_js: SigstoreJs, place: Place):
    stack = place.stack
    succeed(sigstore_js.command(place, "initialize", "--mirror", stack.tuf_mirror, "--root", stack.tuf_root))
    artifact = place.artifact()
    signed = Signed(place, artifact, place.folder / "bundle.json", Kind.INTOTO_V1)
    done = sigstore_js.attest(place, place.statement(artifact), signed.bundle, "--tsa-server-url", stack.url)
    succeed(done)
    entry = signed.entry()
    assert f"{stack.url}/api/v1/log/entries?logIndex={entry['logIndex']}" in done.stdout + done.stderr
    assert material(signed)["timestampVerificationData"]

    check = ("verify", signed.bundle, "--tuf-mirror-url", stack.tuf_mirror, "--certificate-issuer", stack.oidc_issuer)
    succeed(sigstore_js.command(place, *check, "--certificate-identity-email", re.escape(ALICE)))
    refuse(sigstore_js.command(place, *check, "--certificate-identity-email", re.escape(MALLORY)), because="got alice@")


def test_a_mirror_that_is_not_of_the_first_root_is_refused(
    sigstore_js: SigstoreJs, place: Place, stranger: RunningStack
):
    trust = ("--mirror", place.stack.tuf_mirror, "--root", stranger.tuf_root)
    refuse(sigstore_js.command(place, "initialize", *trust))


def test_the_log_keeps_the_statement_that_the_command_attested(sigstore_js: SigstoreJs, place: Place):
    """Beside the entry, not in it: wire.md 4.6."""
    signed = make_signed(sigstore_js, place, Kind.INTOTO_V1)
    url = f"{place.stack.url}/api/v1/log/entries?logIndex={signed.entry()['logIndex']}"
    with build_opener(ProxyHandler({})).open(url, timeout=20) as answer:
        (entry,) = json.loads(answer.read()).values()
    assert base64.b64decode(entry["attestation"]["data"]) == place.statement(signed.artifact).read_bytes()
    assert "payload" not in json.loads(base64.b64decode(entry["body"]))["spec"]["content"]["envelope"]


# --- the libraries, Rekor v1 ---------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [Kind.MESSAGE_V1, Kind.DSSE_V1], ids=lambda kind: kind.label)
def test_the_library_signs_on_v1_with_a_promise(sigstore_js: SigstoreJs, place: Place, kind: Kind):
    signed = make_signed(sigstore_js, place, kind)
    assert signed.entry()["inclusionPromise"]["signedEntryTimestamp"]
    assert not material(signed)["timestampVerificationData"], "its time is that of the promise"
    succeed(by_library(sigstore_js, signed))
    refuse(by_library(sigstore_js, signed, MALLORY), because="UNTRUSTED_SIGNER_ERROR")


def test_a_changed_promise_is_refused(sigstore_js: SigstoreJs, place: Place):
    signed = make_signed(sigstore_js, place, Kind.MESSAGE_V1)
    bundle = signed.content()
    (entry,) = bundle["verificationMaterial"]["tlogEntries"]
    entry["integratedTime"] = str(int(entry["integratedTime"]) + 1)
    signed.bundle.write_text(json.dumps(bundle))
    refuse(by_library(sigstore_js, signed), because="inclusion promise could not be verified")


@pytest.mark.parametrize("logged", [True, False])
def test_a_timestamp_is_asked_for_in_json(sigstore_js: SigstoreJs, place: Place, logged: bool):  # noqa: FBT001 - a parameter
    """With a log entry, and in the place of one."""
    signed = Signed(place, place.artifact(), place.folder / "bundle.json", Kind.MESSAGE_V1)
    succeed(sigstore_js.write(place, signed.artifact, signed.bundle, tsa=place.stack.url, tlog=logged))
    assert material(signed)["timestampVerificationData"]
    assert ("tlogEntries" in material(signed)) == logged
    threshold = {} if logged else {"tlogThreshold": 0}
    succeed(by_library(sigstore_js, signed, **threshold))
    signed.artifact.write_bytes(CONTENT + b".")
    refuse(by_library(sigstore_js, signed, **threshold))


# --- the libraries, as the signing config says ------------------------------------------------------------------
@pytest.mark.parametrize("kind", [Kind.MESSAGE_V2, Kind.DSSE_V2], ids=lambda kind: kind.label)
def test_the_signing_config_leads_to_v2(sigstore_js: SigstoreJs, place: Place, kind: Kind):
    """It sends an attestation as ``dsseRequestV002``; that is logged as the hash of what was signed: wire.md 5.2."""
    signed = make_signed(sigstore_js, place, kind)
    assert "integratedTime" not in signed.entry() or signed.entry()["integratedTime"] == "0"
    assert material(signed)["timestampVerificationData"], "v2 gives no time"
    succeed(by_library(sigstore_js, signed))
    refuse(by_library(sigstore_js, signed, MALLORY))


@pytest.mark.parametrize("kind", [Kind.MESSAGE_V1, Kind.MESSAGE_V2], ids=lambda kind: kind.label)
def test_the_very_first_user_entry_of_a_fresh_log(sigstore_js: SigstoreJs, tmp_path, kind: Kind):
    with running_stack(tmp_path, "--ephemeral") as fresh:
        signed = make_signed(sigstore_js, Place(fresh, tmp_path), kind)
        entry = signed.entry()
        assert entry["logIndex"] == entry["inclusionProof"]["logIndex"] == "1"
        for reader in (sigstore_js, PYTHON):
            succeed(reader.verify(signed, ALICE, fresh.oidc_issuer))
