# SPDX-License-Identifier: Apache-2.0
"""``sigbox trusted-root create`` and ``sigbox signing-config create``: our readers and sigstore-python's take what they make."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from sigcore import keys, x509
from sigcore.bundle import encode_bundle
from sigcore.signing_config import Selector, SelectorKind, encode_trust_config, parse_signing_config
from sigcore.trustroot import encode_trusted_root, parse_trusted_root
from stack.cli import main
from tests.unit.client.minisig import ARTIFACT, EMAIL, ISSUER, URL

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its dependencies warn while they are imported
    from sigstore import models

FROM = "start-time=2026-01-30T12:00:00Z"
HOST = "https://x.example"


@pytest.fixture
def folder(sigstore, tmp_path, monkeypatch):
    """Certificates and keys of a Sigstore, as its operator would hand them out."""
    monkeypatch.chdir(tmp_path)
    for name in ("SIGBOX_TRUST_CONFIG", "SIGBOX_TRUSTED_ROOT", "SIGBOX_SIGNING_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    tsa = (sigstore.tsa_leaf, sigstore.tsa.intermediate, sigstore.tsa.root)
    for name, chain in (("ca.pem", (sigstore.ca.intermediate, sigstore.ca.root)), ("tsa.pem", tsa)):
        Path(name).write_text("".join(x509.encode_certificate_pem(one.der) for one in chain))
    for name, key in (("ct.pub", sigstore.ct_key), ("v2.pub", sigstore.log.key), ("v1.pub", sigstore.log_v1.key)):
        Path(name).write_text(keys.encode_public_key_pem(key.public_key()))
    Path("trust.json").write_bytes(encode_trust_config(sigstore.root, sigstore.config))
    return tmp_path


def root(*more: str) -> tuple[str, ...]:
    return (
        *("trusted-root", "create", "--out", "made.json"),
        *("--fulcio", f"url={URL},certificate-chain=ca.pem"),
        *("--ctfe", f"url={URL}/ct,public-key=ct.pub,{FROM}"),
        *("--rekor", f"url={URL},public-key=v2.pub,{FROM}", "--rekor", f"url={URL},public-key=v1.pub,{FROM}"),
        *("--tsa", f"url={URL},certificate-chain=tsa.pem"),
        *more,
    )


def test_a_root_of_parts_verifies_what_that_instance_signed(folder, sigstore):
    assert main(root()) == 0
    made = parse_trusted_root(Path("made.json").read_bytes())
    assert [log.log_id for log in made.logs] == [sigstore.log.id, sigstore.log_v1.id]
    assert made.certificate_authorities[0].chain == sigstore.root.certificate_authorities[0].chain
    Path("file").write_bytes(ARTIFACT)
    who = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", ISSUER)
    for bundle in (sigstore.sign(), sigstore.sign_v1()):
        Path("b").write_bytes(encode_bundle(bundle))
        assert main(["verify-blob", "file", "--bundle", "b", "--trusted-root", "made.json", *who]) == 0


def test_sigstore_python_takes_the_root(folder):
    assert main(root()) == 0
    theirs = models.TrustedRoot.from_file("made.json")
    assert len(theirs.get_fulcio_certs()) == 2
    assert len(theirs.get_timestamp_authorities()) == 1


def test_the_default_services_come_first_and_can_be_left_out(folder, sigstore, capsys):
    capsys.readouterr()
    start = ("trusted-root", "create", "--with-default-services", "--trust-config", "trust.json")
    assert main(start) == 0
    assert capsys.readouterr().out.encode() == encode_trusted_root(sigstore.root)
    more = (
        "--no-default-tsa",
        "--no-default-fulcio",
        "--fulcio",
        f"url={HOST},certificate-chain=ca.pem,end-time=2030-01-01T00:00:00Z",
    )
    assert main([*start, *more]) == 0
    made = parse_trusted_root(capsys.readouterr().out.encode())
    assert [one.uri for one in made.certificate_authorities] == [HOST]
    assert made.certificate_authorities[0].validity.end is not None
    assert not made.timestamp_authorities
    assert made.logs == sigstore.root.logs


def test_the_origin_decides_the_id_of_an_ed25519_log(folder, sigstore):
    log = f"url={HOST},public-key=v2.pub,{FROM},origin=sig.example"
    assert main(["trusted-root", "create", "--rekor", log, "--out", "made.json"]) == 0
    assert parse_trusted_root(Path("made.json").read_bytes()).logs[0].log_id == sigstore.log.id


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "no service is named"),
        (("--fulcio", "url=http://x"), "has no certificate-chain"),
        (("--fulcio", "url=x,certificate-chain=ca.pem"), "expected an http or https URL"),
        (("--fulcio", "nonsense"), "expected KEY=VALUE"),
        (("--fulcio", f"url={HOST},url={HOST},certificate-chain=ca.pem"), "names url twice"),
        (("--ctfe", f"url={HOST},public-key=ct.pub"), "has no start-time"),
        (("--ctfe", f"url={HOST},public-key=ct.pub,start-time=yesterday"), "write it as"),
        (("--ctfe", f"url={HOST},public-key=none.pub,{FROM}"), "cannot be read"),
        (("--ctfe", f"url={HOST},public-key=ca.pem,{FROM}"), "the key ca.pem"),
        (("--rekor", f"url={HOST},public-key=ct.pub,{FROM},end-time=2020-01-01T00:00:00Z"), "end-time is before"),
    ],
)
def test_what_cannot_be_meant_ends_with_2(folder, capsys, given, message):
    assert main(["trusted-root", "create", *given]) == 2
    assert message in "".join(capsys.readouterr())


def test_a_chain_in_the_wrong_order_is_refused(folder, sigstore):
    pems = [x509.encode_certificate_pem(one.der) for one in (sigstore.ca.root, sigstore.ca.intermediate)]
    Path("ca.pem").write_text("".join(pems))
    assert main(root()) == 1
    assert not Path("made.json").exists()


# --- signing config ------------------------------------------------------------------------------------
def service(version: int, operator: str = "corp", url: str = HOST) -> str:
    return f"url={url},api-version={version},{FROM},operator={operator}"


def test_a_config_of_parts(folder):
    given = [
        *("--fulcio", service(1), "--oidc-provider", service(1), "--tsa", service(1), "--tsa-config", "ALL"),
        *("--rekor", service(2), "--rekor", service(2, "other"), "--rekor-config", "EXACT:2"),
    ]
    assert main(["signing-config", "create", *given, "--out", "made.json"]) == 0
    made = parse_signing_config(Path("made.json").read_bytes())
    assert made.rekor_selector == Selector(SelectorKind.EXACT, 2)
    assert made.tsa_selector == Selector(SelectorKind.ALL)
    assert [one.api_version for one in (*made.ca, *made.oidc, *made.rekor, *made.tsa)] == [1, 1, 2, 2, 1]
    theirs = models.SigningConfig.from_file("made.json")
    assert len(theirs.get_tlogs()) == 2
    assert len(theirs.get_tsas()) == 1


def test_a_config_from_a_base(folder, sigstore, capsys):
    assert (
        main(["signing-config", "create", "--with-default-services", "--trust-config", "trust.json", "--out", "base"])
        == 0
    )
    assert parse_signing_config(Path("base").read_bytes()) == sigstore.config
    capsys.readouterr()
    given = ("--base-config", "base", "--no-default-rekor", "--rekor", service(1), "--with-default-rekor-v2")
    assert main(["signing-config", "create", *given]) == 0
    made = parse_signing_config(capsys.readouterr().out.encode())
    assert [one.url for one in made.rekor] == [HOST]
    assert made.ca == sigstore.config.ca


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("--rekor", "url=x"),
        ("--rekor", service(3)),
        ("--rekor", service(1), "--rekor-config", "SOME"),
        ("--rekor", service(1), "--rekor-config", "EXACT"),
        ("--rekor", service(1), "--rekor-config", "EXACT:2"),
        ("--rekor", service(1), "--rekor-config", "ANY:1"),
        ("--rekor", service(1), "--rekor-config", f"EXACT:{'9' * 5000}"),
        ("--rekor", service(1, url="ftp://x")),
        ("--base-config", "none"),
        ("--base-config", "trust.json", "--with-default-services"),
        ("--base-config", "trust.json"),
    ],
)
def test_a_config_that_cannot_be_meant_ends_with_2(folder, given):
    assert main(["signing-config", "create", *given]) == 2


def test_the_documents_are_json_for_people(folder):
    assert main(root()) == 0
    text = Path("made.json").read_text()
    assert text.endswith("}\n")
    assert json.loads(text)["mediaType"].startswith("application/vnd.dev.sigstore.trustedroot")
