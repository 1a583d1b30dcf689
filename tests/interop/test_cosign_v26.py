# SPDX-License-Identifier: Apache-2.0
"""cosign v2.6, unmodified, with its classic flags: Fulcio v1, the SCT checked while signing, Rekor v1 with its promise (SET).

What every reader must refuse of bundles of the new kind is in ``test_matrix.py``.
"""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.places import ALICE, CONTENT, MALLORY, PREDICATE_TYPE, Done, Kind, Place, Signed, refuse, succeed
from tests.interop.tools import Cosign
from tests.stack_process import RunningStack, running_stack

pytestmark = [pytest.mark.interop, pytest.mark.slow]

PEM = "-----BEGIN {0}-----\n{1}\n-----END {0}-----\n"


@dataclass(frozen=True, slots=True)
class Classic:
    """What cosign 2 writes: its old bundle, and signature, certificate and timestamp as files."""

    cosign: Cosign
    place: Place
    artifact: Path

    def file(self, name: str) -> Path:
        return self.place.folder / name

    def services(self) -> tuple[str, ...]:
        url = self.place.stack.url
        return ("--fulcio-url", url, "--rekor-url", url, "--oidc-issuer", self.place.stack.oidc_issuer)

    def sign(self, *options: str | Path, **environment: str) -> Done:
        outputs = ("--bundle", "bundle.json", "--output-signature", "sig", "--output-certificate", "crt")
        token = ("--identity-token", self.place.stack.token(ALICE))
        return self.cosign.run(
            self.place, "sign-blob", "--yes", *self.services(), *token, *outputs, *options, self.artifact, **environment
        )

    def verify(self, *options: str | Path, identity: str = ALICE, issuer: str = "", **environment: str) -> Done:
        """With the bundle, unless ``options`` say with what."""
        policy = (
            "--certificate-identity",
            identity,
            "--certificate-oidc-issuer",
            issuer or self.place.stack.oidc_issuer,
        )
        what = options or ("--bundle", "bundle.json")
        log = ("--rekor-url", self.place.stack.url)
        return self.cosign.run(self.place, "verify-blob", *log, *policy, *what, self.artifact, **environment)


@pytest.fixture
def classic(cosign_v2: Cosign, place: Place) -> Classic:
    """A home that trusts the stack over TUF, and a file to sign."""
    cosign_v2.trust(place)
    return Classic(cosign_v2, place, place.artifact())


# --- signing -------------------------------------------------------------------------------------------
def test_it_signs_with_urls_alone_and_checks_the_sct(classic: Classic):
    done = classic.sign()
    succeed(done)
    assert "Successfully verified SCT" in done.stderr
    assert "tlog entry created with index" in done.stderr
    succeed(classic.verify())
    refuse(classic.verify(identity=MALLORY), because="none of the expected identities matched")
    refuse(
        classic.verify(issuer=f"{classic.place.stack.oidc_issuer}/"), because="none of the expected identities matched"
    )
    classic.artifact.write_bytes(CONTENT + b".")
    refuse(classic.verify())


def test_an_sct_of_another_log_ends_the_signing(classic: Classic, stranger: RunningStack):
    """The check is real: with the key of another CT log there is no signature."""
    other = keys(stranger, classic.place.folder)
    refuse(classic.sign(SIGSTORE_CT_LOG_PUBLIC_KEY_FILE=str(other["ct"])), because="SCT")
    assert not classic.file("bundle.json").exists()


def test_the_very_first_user_entry_of_a_fresh_log(cosign_v2: Cosign, tmp_path: Path):
    with running_stack(tmp_path, "--ephemeral") as fresh:
        place = Place(fresh, tmp_path)
        cosign_v2.trust(place)
        first = Classic(cosign_v2, place, place.artifact())
        done = first.sign()
        succeed(done)
        assert "tlog entry created with index: 1" in done.stderr
        succeed(first.verify())


# --- the promise ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("member", ["integratedTime", "logIndex", "logID", "body", "SignedEntryTimestamp"])
def test_the_promise_covers_each_member_of_the_old_bundle(classic: Classic, member: str):
    check = ("--bundle", "bundle.json", "--offline")
    succeed(classic.sign())
    succeed(classic.verify(*check))
    bundle = json.loads(classic.file("bundle.json").read_bytes())
    rekor = bundle["rekorBundle"]
    holder = rekor if member == "SignedEntryTimestamp" else rekor["Payload"]
    holder[member] = changed(holder[member])
    classic.file("bundle.json").write_text(json.dumps(bundle))
    refuse(classic.verify(*check))


def changed(value: object) -> object:
    """Another value of the same type and form."""
    if isinstance(value, int):
        return value + 1
    text = str(value)
    if len(text) == 64:
        return f"{text[:-1]}{'0' if text[-1] != '0' else '1'}"
    data = bytearray(base64.b64decode(text))
    data[-2] ^= 1
    return base64.b64encode(data).decode()


def test_without_a_bundle_it_asks_the_log(classic: Classic):
    """It finds the entry by what it would propose: ``retrieve`` of wire.md 4.1."""
    succeed(classic.sign())
    detached = ("--signature", "sig", "--certificate", "crt")
    succeed(classic.verify(*detached))
    refuse(classic.verify(*detached, identity=MALLORY))
    classic.artifact.write_bytes(CONTENT + b".")
    refuse(classic.verify(*detached))


def test_the_same_entry_again_is_answered_with_the_first_one(classic: Classic):
    """An RSA signature is the same each time: the log answers 409 and where the entry is, and cosign goes there."""
    cosign, place, key = classic.cosign, classic.place, {"COSIGN_PASSWORD": "of no use to anybody"}
    subprocess.run(["openssl", "genrsa", "-out", classic.file("rsa.pem"), "2048"], capture_output=True, check=True)
    succeed(cosign.run(place, "import-key-pair", "--key", "rsa.pem", "--output-key-prefix", "rsa", **key))

    def logged() -> dict[str, object]:
        sign = ("sign-blob", "--yes", "--key", "rsa.key", "--rekor-url", place.stack.url, "--bundle", "bundle.json")
        succeed(cosign.run(place, *sign, classic.artifact, **key))
        return dict(json.loads(classic.file("bundle.json").read_bytes())["rekorBundle"]["Payload"])

    assert logged() == logged()
    check = ("verify-blob", "--key", "rsa.pub", "--rekor-url", place.stack.url, "--bundle", "bundle.json")
    succeed(cosign.run(place, *check, classic.artifact))


def test_a_signature_that_was_never_logged_is_not_found(classic: Classic):
    succeed(classic.sign("--tlog-upload=false"))
    refuse(classic.verify("--signature", "sig", "--certificate", "crt"))


def test_a_timestamp_is_asked_for_and_checked(classic: Classic):
    stamp = ("--rfc3161-timestamp", "stamp.json")
    succeed(classic.sign("--timestamp-server-url", f"{classic.place.stack.url}/api/v1/timestamp", *stamp))
    check = ("--bundle", "bundle.json", "--use-signed-timestamps", *stamp)
    succeed(classic.verify(*check))
    text = json.loads(classic.file("stamp.json").read_bytes())
    text["SignedRFC3161Timestamp"] = changed(text["SignedRFC3161Timestamp"])
    classic.file("stamp.json").write_text(json.dumps(text))
    refuse(classic.verify(*check))


# --- keys by files ------------------------------------------------------------------------------------------
def test_keys_by_files_do_without_tuf(cosign_v2: Cosign, place: Place, stranger: RunningStack):
    """A home that was never initialised: every key comes by its variable, as in an air-gapped network."""
    offline = Classic(cosign_v2, place, place.artifact())
    trust = variables(keys(place.stack, place.folder))
    done = offline.sign(**trust)
    succeed(done)
    assert "Successfully verified SCT" in done.stderr
    check = ("--bundle", "bundle.json", "--offline")
    succeed(offline.verify(*check, **trust))
    foreign = variables(keys(stranger, place.folder))
    for name, path in foreign.items():
        refuse(offline.verify(*check, **{**trust, name: path}))


def keys(stack: RunningStack, folder: Path) -> dict[str, Path]:
    """The certificates and keys of a stack as PEM files, from its trusted root."""
    root = json.loads(stack.trusted_root.read_bytes())
    (authority,) = root["certificateAuthorities"]
    chain = authority["certChain"]["certificates"]
    texts = {
        "root": "".join(PEM.format("CERTIFICATE", certificate["rawBytes"]) for certificate in chain),
        "rekor": PEM.format("PUBLIC KEY", root["tlogs"][0]["publicKey"]["rawBytes"]),
        "ct": PEM.format("PUBLIC KEY", root["ctlogs"][0]["publicKey"]["rawBytes"]),
    }
    paths = {name: folder / f"{name}-{stack.process.pid}.pem" for name in texts}
    for name, path in paths.items():
        path.write_text(texts[name])
    return paths


def variables(paths: dict[str, Path]) -> dict[str, str]:
    return {
        "SIGSTORE_ROOT_FILE": str(paths["root"]),
        "SIGSTORE_REKOR_PUBLIC_KEY": str(paths["rekor"]),
        "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": str(paths["ct"]),
    }


# --- attestations -------------------------------------------------------------------------------------------
def test_it_attests_with_classic_flags_and_a_statement_of_its_own(classic: Classic):
    cosign, place = classic.cosign, classic.place
    what = (
        "--predicate",
        place.predicate(),
        "--type",
        PREDICATE_TYPE,
        "--new-bundle-format",
        "--bundle",
        "bundle.json",
    )
    token = ("--identity-token", place.stack.token(ALICE))
    done = cosign.run(place, "attest-blob", "--yes", *classic.services(), *token, *what, classic.artifact)
    succeed(done)
    assert "Successfully verified SCT" in done.stderr
    signed = Signed(place, classic.artifact, classic.file("bundle.json"), Kind.DSSE_V1)
    assert signed.entry()["inclusionPromise"]["signedEntryTimestamp"]
    succeed(cosign.verify(signed, ALICE, place.stack.oidc_issuer))
    refuse(cosign.verify(signed, MALLORY, place.stack.oidc_issuer))
