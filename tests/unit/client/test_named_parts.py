# SPDX-License-Identifier: Apache-2.0
"""The four files that cosign's variables name make one trusted root, for verifying, and nothing fills what is missing."""

from __future__ import annotations

import json

import pytest

from client.named_parts import load_named_parts
from sigcore import keys, x509
from sigcore.bundle import encode_bundle
from sigcore.errors import Malformed, NotFound
from sigcore.trustroot import encode_trusted_root
from stack.cli import main
from tests.unit.client.minisig import ARTIFACT, EMAIL, ISSUER, MiniSigstore

WHO = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", ISSUER)
NAMES = (
    "SIGSTORE_ROOT_FILE",
    "SIGSTORE_REKOR_PUBLIC_KEY",
    "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE",
    "SIGSTORE_TSA_CERTIFICATE_FILE",
)
OTHERS = (
    "SIGBOX_TRUST_CONFIG",
    "SIGBOX_TRUSTED_ROOT",
    "SIGBOX_SIGNING_CONFIG",
    "SIGBOX_TUF",
    "SIGBOX_POLICY",
    "TUF_ROOT",
    "TUF_MIRROR",
)


def pem(*certificates: x509.Certificate) -> str:
    return "".join(x509.encode_certificate_pem(certificate.der) for certificate in certificates)


@pytest.fixture
def parts(sigstore, tmp_path, monkeypatch) -> dict[str, str]:
    """The four files, named by variables, and beside them a signed file; nothing else says what is trusted."""
    for name in OTHERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    texts = {
        "SIGSTORE_ROOT_FILE": pem(sigstore.ca.root, sigstore.ca.intermediate),
        "SIGSTORE_REKOR_PUBLIC_KEY": keys.encode_public_key_pem(sigstore.log_v1.key.public_key()),
        "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": keys.encode_public_key_pem(sigstore.ct_key.public_key()),
        "SIGSTORE_TSA_CERTIFICATE_FILE": pem(sigstore.tsa_leaf, sigstore.tsa.intermediate, sigstore.tsa.root),
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.pem").write_text(text)
        monkeypatch.setenv(name, f"{name}.pem")
    (tmp_path / "file").write_bytes(ARTIFACT)
    (tmp_path / "file.sigstore.json").write_bytes(encode_bundle(sigstore.sign_v1()))
    return {name: f"{name}.pem" for name in texts}


def verify(*more: str) -> int:
    return main(["verify-blob", "file", *WHO, *more])


def test_a_signature_is_verified_with_the_four_files(parts, capsys):
    assert verify("--json") == 0
    out, err = capsys.readouterr()
    assert "Verified OK" in err
    assert "$SIGSTORE_REKOR_PUBLIC_KEY" in out
    assert verify("--certificate-github-workflow-ref", "x") == 1


@pytest.mark.parametrize("name", NAMES[:3])
def test_a_part_that_is_not_named_trusts_nobody(parts, monkeypatch, capsys, name):
    monkeypatch.delenv(name)
    assert verify() == 1
    assert "trusted" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES[:3])
def test_a_part_of_another_instance_verifies_nothing(parts, tmp_path, name):
    other = MiniSigstore("other")
    texts = {
        "SIGSTORE_ROOT_FILE": pem(other.ca.intermediate, other.ca.root),
        "SIGSTORE_REKOR_PUBLIC_KEY": keys.encode_public_key_pem(other.log_v1.key.public_key()),
        "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": keys.encode_public_key_pem(other.ct_key.public_key()),
    }
    (tmp_path / parts[name]).write_text(texts[name])
    assert verify() == 1


def test_options_and_our_own_variables_come_before_the_parts(parts, sigstore, tmp_path, monkeypatch):
    (tmp_path / "root.json").write_bytes(encode_trusted_root(sigstore.root))
    (tmp_path / "other.json").write_bytes(encode_trusted_root(MiniSigstore("other").root))
    assert verify("--trusted-root", "other.json") == 1
    monkeypatch.setenv("SIGBOX_TRUSTED_ROOT", "other.json")
    assert verify() == 1
    assert verify("--trusted-root", "root.json") == 0


def test_the_parts_come_before_what_cosign_keeps_and_after_what_sigbox_keeps(parts, tmp_path, capsys):
    other = encode_trusted_root(MiniSigstore("other").root)
    cosigns, ours = tmp_path / ".sigstore" / "root", tmp_path / ".cache" / "sigbox" / "tuf"
    for place in (cosigns / "m.example", ours):
        (place / "targets").mkdir(parents=True)
        (place / "targets" / "trusted_root.json").write_bytes(other)
    (cosigns / "remote.json").write_text(json.dumps({"mirror": "https://m.example"}))
    for role in ("timestamp", "snapshot", "targets"):
        (cosigns / "m.example" / f"{role}.json").write_text('{"signed": {"expires": "2999-01-01T00:00:00Z"}}')
    assert verify() == 0
    (ours / "cache.json").write_text(json.dumps({"mirror": "https://m.example", "expires": "2999-01-01T00:00:00Z"}))
    assert verify() == 1
    assert "trust is that of the last `sigbox initialize`" in capsys.readouterr().err


def test_the_log_cannot_be_asked_where_nobody_has_said_where_it_is(parts, capsys):
    assert verify("--online") == 2
    assert "nothing says where the log of $SIGSTORE_REKOR_PUBLIC_KEY is" in capsys.readouterr().err


def test_signing_needs_more_than_the_parts(parts, capsys):
    assert main(["sign-blob", "file", "--identity-token", "x.y.z"]) == 2
    assert "there is nothing to trust" in capsys.readouterr().err


def test_keys_may_be_der_and_certificates_in_any_order(parts, sigstore, tmp_path):
    for name, key in (
        ("SIGSTORE_REKOR_PUBLIC_KEY", sigstore.log_v1.key),
        ("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", sigstore.ct_key),
    ):
        (tmp_path / parts[name]).write_bytes(keys.encode_public_key(key.public_key()))
    other = MiniSigstore("other").ca
    several = pem(other.root, sigstore.ca.intermediate, other.intermediate, sigstore.ca.root)
    (tmp_path / parts["SIGSTORE_ROOT_FILE"]).write_text(several)
    assert verify() == 0


def test_a_timestamp_authority_is_found_whatever_the_order(parts, sigstore, tmp_path):
    (tmp_path / parts["SIGSTORE_TSA_CERTIFICATE_FILE"]).write_text(
        pem(sigstore.tsa.root, sigstore.tsa_leaf, sigstore.tsa.intermediate)
    )
    [made] = load_named_parts(parts).timestamp_authorities
    assert made.chain == sigstore.root.timestamp_authorities[0].chain


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("SIGSTORE_ROOT_FILE", "intermediate", "put the whole chain into the file"),
        ("SIGSTORE_ROOT_FILE", "nine", "has more than 8 certificates"),
        ("SIGSTORE_ROOT_FILE", "nonsense", "SIGSTORE_ROOT_FILE"),
        ("SIGSTORE_TSA_CERTIFICATE_FILE", "two", "has 2 certificates that issued no other one"),
        ("SIGSTORE_TSA_CERTIFICATE_FILE", "leaf", "put the whole chain into the file"),
        ("SIGSTORE_REKOR_PUBLIC_KEY", "nonsense", "SIGSTORE_REKOR_PUBLIC_KEY"),
        ("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", "nonsense", "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE"),
    ],
)
def test_a_file_that_is_not_what_its_variable_says_is_refused(parts, sigstore, tmp_path, capsys, name, text, message):
    tsa = sigstore.tsa
    texts = {
        "intermediate": pem(sigstore.ca.intermediate),
        "nine": pem(*[sigstore.ca.root] * 9),
        "nonsense": "nonsense",
        "two": pem(sigstore.tsa_leaf, tsa.intermediate, tsa.root, MiniSigstore("other").tsa_leaf),
        "leaf": pem(sigstore.tsa_leaf),
    }
    (tmp_path / parts[name]).write_text(texts[text])
    with pytest.raises(Malformed, match=message):
        load_named_parts(parts)
    assert verify() == 1
    assert message in capsys.readouterr().err


def test_a_file_that_is_not_there_is_said_so(parts, tmp_path):
    (tmp_path / parts["SIGSTORE_REKOR_PUBLIC_KEY"]).unlink()
    with pytest.raises(NotFound, match="the key of SIGSTORE_REKOR_PUBLIC_KEY"):
        load_named_parts(parts)
    assert verify() == 2


def test_a_checkpoint_by_another_key_is_refused_whatever_name_it_has(parts, sigstore, tmp_path, capsys):
    document = json.loads((tmp_path / "file.sigstore.json").read_text())
    entry = document["verificationMaterial"]["tlogEntries"][0]
    checkpoint = entry["inclusionProof"]["checkpoint"]
    other = MiniSigstore("other").sign_v1()
    checkpoint["envelope"] = other.log_entries[0].proof.checkpoint
    (tmp_path / "file.sigstore.json").write_text(json.dumps(document))
    assert verify("--json") == 1
    assert json.loads(capsys.readouterr().out)[0]["step"] == "checkpoint"
