# SPDX-License-Identifier: Apache-2.0
"""Verification clients: one test for each way in which one of them was deceived, by its code in docs/advisories.md.

Only what no other test looks at stands here; the document names the others.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from client.sign import Signing, sign_blob
from client.verify import verify_attestation, verify_blob, verify_own
from client.verify.identity import IdentityPolicy
from client.verify.signed import ManagedKey
from sigcore import keys
from sigcore.bundle import MessageSignature, encode_bundle, parse_bundle
from sigcore.errors import Malformed, SigError
from sigcore.trustroot import encode_trusted_root
from stack.cli import main
from tests.stack_process import environment
from tests.unit.client.minisig import (
    ARTIFACT,
    ATTESTATIONS,
    EMAIL,
    ISSUER,
    NOW,
    MiniSigstore,
    MiniTransport,
    digest_of,
    statement_about,
)
from tests.unit.client.policies import policy
from tests.unit.client.test_sign import TOKEN
from tests.unit.client.test_swap import NOTHING, PAIRS, SIGSTORE, changed, get, meaning, paths

ROOT = Path(__file__).resolve().parents[2]
WHO = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", ISSUER)
POLICY = IdentityPolicy(ISSUER, EMAIL)
KEY = keys.generate_p256()
MEDIA = "application/vnd.dev.sigstore.bundle+json;version="


@pytest.fixture(scope="module")
def sigstore() -> MiniSigstore:
    return MiniSigstore()


@pytest.fixture
def folder(sigstore, tmp_path, monkeypatch):
    """A working directory with a trusted root, a file, and nothing in the environment that names trust."""
    for name in ("SIGBOX_TRUST_CONFIG", "SIGBOX_TRUSTED_ROOT", "SIGBOX_SIGNING_CONFIG", "SIGBOX_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root.json").write_bytes(encode_trusted_root(sigstore.root))
    (tmp_path / "file").write_bytes(ARTIFACT)
    return tmp_path


def run(bundle, *arguments: str, command: str = "verify-blob") -> int:
    data = bundle if isinstance(bundle, bytes) else encode_bundle(bundle)
    Path("bundle").write_bytes(data)
    return main([command, "file", "--bundle", "bundle", "--trusted-root", "root.json", *arguments])


# --- V01, V02: a genuine part of something else ----------------------------------------------------------
@pytest.mark.parametrize("part", ["signature", "digest", "signer", "entry"])
@pytest.mark.parametrize("version", ["0.1", "0.2", "0.3"])
@pytest.mark.parametrize("managed", [False, True], ids=["identity", "key"])
def test_v01_no_part_of_another_bundle_in_any_version_under_any_kind_of_trust(sigstore, managed, version, part):
    key, other = (KEY, keys.generate_p256()) if managed else (None, None)
    media_type = MEDIA + version if version != "0.3" else None
    ours, theirs = sigstore.sign_v1(key=key), sigstore.sign_v1(b"another artifact", key=other)
    if media_type:
        ours = replace(ours, media_type=media_type)
    expected = ManagedKey(KEY.public_key()) if managed else POLICY
    verify_blob(parse_bundle(encode_bundle(ours)), digest_of(ARTIFACT), root=sigstore.root, identity=expected)
    content, digest = ours.content, digest_of(ARTIFACT)
    if part == "signature":
        ours = replace(ours, content=replace(content, signature=theirs.content.signature))
    elif part == "digest":
        ours = replace(ours, content=replace(content, digest=theirs.content.digest))
    elif part == "entry":
        ours = replace(ours, log_entries=theirs.log_entries)
    elif managed:
        expected = ManagedKey(other.public_key())
    else:
        ours = replace(ours, certificate=theirs.certificate)
    with pytest.raises(SigError):
        verify_blob(parse_bundle(encode_bundle(ours)), digest, root=sigstore.root, identity=expected)


def test_v02_an_entry_of_another_signature_is_refused_on_the_command_line(sigstore, folder, capsys):
    assert run(replace(sigstore.sign(), log_entries=sigstore.sign().log_entries), *WHO) == 1
    assert "not about this signature" in capsys.readouterr().err


@pytest.mark.parametrize("position", [1, 3])
def test_v02_identity_and_issuer_count_although_there_is_a_bundle(sigstore, folder, position):
    who = [*WHO]
    who[position] += "x"
    assert run(sigstore.sign(), *WHO) == 0
    assert run(sigstore.sign(), *who) == 1


def test_v02_what_is_no_bundle_needs_no_option_to_be_refused(sigstore, folder):
    for data in (b"", b"{}", b"[]", encode_bundle(sigstore.sign())[:-40]):
        assert run(data, *WHO) == 1


def test_v02_an_entry_that_does_not_verify_is_no_success(sigstore, folder, capsys):
    bundle = sigstore.sign()
    (entry,) = bundle.log_entries
    assert run(replace(bundle, log_entries=(replace(entry, body=entry.body + b" "),)), *WHO) == 1
    assert "Verified OK" not in capsys.readouterr().err


# --- V03, V04: what is attested, and about what -----------------------------------------------------------
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not json",
        b"[]",
        json.dumps({"_type": "https://in-toto.io/Statement/v1", "subject": []}).encode(),
        statement_about(ARTIFACT, predicateType=None),
        statement_about(ARTIFACT, predicateType=""),
        statement_about(ARTIFACT, predicate=7),
        statement_about(ARTIFACT, predicate=[1]),
    ],
)
@pytest.mark.parametrize("kind", ["dsse 0.0.1", "hashedrekord 0.0.2"])
def test_v03_a_signed_payload_that_is_no_statement_is_refused(sigstore, kind, payload):
    bundle = sigstore.attest(kind, payload)
    with pytest.raises(SigError):
        verify_attestation(bundle, digest_of(ARTIFACT), root=sigstore.root, identity=POLICY)


def test_v04_no_verification_answers_with_a_status_that_could_be_dropped():
    """A ``verify_`` function of ours returns what it has verified, or nothing; a refusal is raised."""
    found = 0
    for path in sorted([*(ROOT / "client").rglob("*.py"), *(ROOT / "sigcore").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("verify"):
                found += 1
                assert ast.unparse(node.returns) not in ("bool", "int", "bool | None"), f"{path}: {node.name}"
    assert found > 30


@pytest.mark.parametrize("digest", [b"", b"\0" * 32, digest_of(ARTIFACT)[:31]])
def test_v04_the_digest_in_the_bundle_is_compared_though_the_signature_is_right(sigstore, digest):
    bundle = sigstore.sign()
    bundle = replace(bundle, content=replace(bundle.content, digest=digest))
    with pytest.raises(SigError):
        verify_blob(bundle, digest_of(ARTIFACT), root=sigstore.root, identity=POLICY)


# --- V06, V23: nothing that is demanded can be left out ----------------------------------------------------
def test_v06_an_unsigned_time_inside_the_certificate_s_life_is_no_time(sigstore):
    bundle = sigstore.sign_v1()
    (entry,) = bundle.log_entries
    for moved in (0, 1, 60):
        bare = replace(entry, promise=None, integrated_time=entry.integrated_time + moved)
        with pytest.raises(SigError, match="nothing says when it was signed"):
            verify_own(replace(bundle, log_entries=(bare,)), digest_of(ARTIFACT), root=sigstore.root)


@pytest.mark.parametrize("kind", ["logs", "certificate_authorities", "ct_logs", "timestamp_authorities"])
def test_v23_a_trusted_root_without_a_part_verifies_nothing_that_needs_it(sigstore, kind):
    with pytest.raises(SigError):
        verify_blob(sigstore.sign(), digest_of(ARTIFACT), root=replace(sigstore.root, **{kind: ()}), identity=POLICY)


# --- V09, V10: counts ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("threshold", [0, -1, 1.5, "1", True, 3, 2**63, None])
def test_v09_a_threshold_is_a_whole_number_that_can_be_met(threshold):
    rule = {"match": {"file": "*"}, "allow": ["alice", "bob"], "threshold": threshold}
    with pytest.raises(Malformed, match=r"threshold|integer beyond 64 bits|number"):
        policy(artifacts=[rule])


def test_v09_two_promises_of_one_certificate_log_are_of_one_log(sigstore):
    """No threshold counts them: the report names each with its log, and they have one source."""
    verified = verify_blob(sigstore.sign(scts=2), digest_of(ARTIFACT), root=sigstore.root, identity=POLICY)
    assert len(verified.scts) == 2
    assert len({sct.source for sct in verified.scts}) == 1


@pytest.mark.parametrize("member", ["tlogEntries", "rfc3161Timestamps"])
def test_v10_too_many_parts_are_refused_before_the_first_is_read(sigstore, member):
    document = json.loads(encode_bundle(sigstore.sign()))
    material = document["verificationMaterial"]
    holder = material if member == "tlogEntries" else material["timestampVerificationData"]
    holder[member] = ["not even an object"] * 33
    with pytest.raises(Malformed, match="33 elements, the limit is 32"):
        parse_bundle(json.dumps(document).encode())


def test_v10_a_huge_bundle_costs_neither_time_nor_memory():
    data = b'{"mediaType":"' + b"x" * 50_000_000 + b'"}'
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(Malformed, match="the limit is"):
        parse_bundle(data)
    took, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 0.2
    assert peak < 1 << 20


# --- V11, V12: whatever is in a bundle, the answer is a refusal ----------------------------------------------
@pytest.mark.parametrize(
    "name", ["another artifact", "v1", "v1, version 0.2", *(f"{kind}, the same statement" for kind in ATTESTATIONS)]
)
def test_v11_every_node_by_every_odd_value_is_a_typed_refusal_or_the_same_bundle(name, folder, capsys):
    (folder / "root.json").write_bytes(encode_trusted_root(SIGSTORE.root))
    whole = PAIRS[name][0]
    command = "verify-blob" if "messageSignature" in whole else "verify-blob-attestation"
    cases = refused = 0
    for path in paths(whole):
        for odd in (*NOTHING, -(2**63), 10**400, "null", [[]], {"": None}, False, "A" * 70_000):
            tree = changed(whole, path, odd)
            if odd == get(whole, path):
                continue
            code = run(json.dumps(tree).encode(), *WHO, command=command)
            err = capsys.readouterr().err
            assert code in (0, 1), (path, odd)
            assert "Traceback" not in err
            assert "internal error" not in err, (path, odd, err)
            assert code == 1 or meaning(tree) == meaning(whole), (path, odd)
            cases, refused = cases + 1, refused + code
    print(f"{name}: {cases} cases, {refused} refused")
    assert cases >= 650, "seven bundles: more than 4,500 in all"


def test_v12_a_bundle_without_certificates_ends_with_1(sigstore, folder):
    document = json.loads(encode_bundle(sigstore.sign()))
    for given in (
        {"certificate": None},
        {"x509CertificateChain": {"certificates": []}},
        {"certificate": {"rawBytes": ""}},
    ):
        document["verificationMaterial"].pop("certificate", None)
        assert (
            run(
                json.dumps(document | {"verificationMaterial": document["verificationMaterial"] | given}).encode(), *WHO
            )
            == 1
        )


# --- V13, V14, V15: who is asked for what -------------------------------------------------------------------
@pytest.mark.parametrize("version", [1, 2])
async def test_v13_a_log_is_never_asked_for_its_own_key(sigstore, version):
    transport = MiniTransport(sigstore)
    await sign_blob(Signing(TOKEN, sigstore.trust, transport, version), digest_of(ARTIFACT), now=NOW)
    assert transport.seen
    assert not [path for path, _, _ in transport.seen if "key" in path.lower()]


def test_v14_a_key_in_the_bundle_is_nobody(sigstore, folder, capsys):
    assert run(sigstore.sign_v1(key=KEY), *WHO) == 1
    assert "bare key, which has no identity" in capsys.readouterr().err
    (folder / "other.pub").write_text(keys.encode_public_key_pem(keys.generate_p256().public_key()))
    assert run(sigstore.sign_v1(key=KEY), "--key", "other.pub") == 1


def test_v15_an_option_that_nobody_knows_is_an_error(sigstore, folder, capsys):
    for option in ("--certificate-oid=1", "--certificate-identit", "--insecure-ignore-tlog", "--offline=maybe"):
        assert run(sigstore.sign(), *WHO, option) == 2
        said = capsys.readouterr().err
        assert "unrecognized arguments" in said or "of cosign is not taken here" in said


def test_v15_nothing_in_the_current_directory_is_read_unless_it_is_named(sigstore, folder):
    """Trust, configuration and code of whoever wrote the directory; the audit hook hears every file that is opened."""
    here = folder / "hostile"
    here.mkdir()
    for name in (".config", "sigstore.toml", "sigbox.toml", ".netrc", "policy.json", "trusted_root.json", ".env"):
        (here / name).write_text("{}")
    for name in ("sitecustomize.py", "json.py", "client.py", "stack.py", "cryptography.py"):
        (here / name).write_text("raise SystemExit(0)\n")
    Path("bundle").write_bytes(encode_bundle(sigstore.sign()))
    code = (
        "import sys; opened = []\n"
        # A number is a descriptor whose file was heard by its name before; Python writes its own .pyc files that way.
        "heard = lambda event, given: event == 'open' and not isinstance(given[0], int)\n"
        "sys.addaudithook(lambda event, given: opened.append(str(given[0])) if heard(event, given) else None)\n"
        "from stack.cli import main; code = main(sys.argv[1:])\n"
        "bad = [name for name in opened if 'hostile' in name or not name.startswith('/') and name != 'nothing']\n"
        "print(bad); sys.exit(code or 9 * bool(bad))"
    )
    arguments = (
        "verify-blob",
        folder / "file",
        "--bundle",
        folder / "bundle",
        "--trusted-root",
        folder / "root.json",
        *WHO,
    )
    variables = {"SSL_CERT_FILE": str(here / ".netrc"), "HOME": str(here), "XDG_CONFIG_HOME": str(here)}
    command = [sys.executable, "-P", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=here, env=environment(**variables), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# --- V22: signatures of nobody --------------------------------------------------------------------------------
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def signature(*numbers: bytes, tail: bytes = b"") -> bytes:
    inner = b"".join(b"\x02" + bytes((len(number),)) + number for number in numbers)
    return b"\x30" + bytes((len(inner),)) + inner + tail


def number(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


GOOD = keys.sign(KEY, ARTIFACT)


@pytest.mark.parametrize("other", ["signed", 0, 1])
@pytest.mark.parametrize("odd", [0, ORDER, ORDER + 1, -1, -ORDER, 2**256, 2**264])
@pytest.mark.parametrize("place", [0, 1])
def test_v22_numbers_that_no_signature_has(place, odd, other):
    length = GOOD[3]
    numbers = [GOOD[4 : 4 + length], GOOD[6 + length :]]
    if other != "signed":
        numbers[1 - place] = number(other)
    numbers[place] = number(odd)
    refused_signature(signature(*numbers))


@pytest.mark.parametrize("change", ["padded", "tail", "long length", "empty", "one number", "three numbers", "raw"])
def test_v22_other_encodings_of_a_good_signature(change):
    length = GOOD[3]
    r, s = GOOD[4 : 4 + length], GOOD[6 + length :]
    plain = [int.from_bytes(part, "big").to_bytes(32, "big") for part in (r, s)]
    refused_signature(
        {
            "padded": signature(b"\0" + r, s),
            "tail": signature(r, s, tail=b"\0"),
            "long length": b"\x30\x81" + GOOD[1:],
            "empty": b"",
            "one number": signature(r),
            "three numbers": signature(r, s, s),
            "raw": b"".join(plain),
        }[change]
    )


def refused_signature(data: bytes) -> None:
    keys.verify(KEY.public_key(), GOOD, ARTIFACT, what="the signature")
    with pytest.raises(SigError):
        keys.verify(KEY.public_key(), data, ARTIFACT, what="the signature")
    digest = digest_of(ARTIFACT)
    bundle = MiniSigstore().sign_v1(key=KEY)
    assert isinstance(bundle.content, MessageSignature)
    with pytest.raises(SigError):
        verify_own(
            replace(bundle, content=replace(bundle.content, signature=data)),
            digest,
            root=SIGSTORE.root,
            key=ManagedKey(KEY.public_key()),
        )
