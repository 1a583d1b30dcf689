# SPDX-License-Identifier: Apache-2.0
"""What other implementations say of our certificates, and what we make of theirs."""

from __future__ import annotations

import subprocess
import warnings
from datetime import timedelta

import pytest
from cryptography import x509 as oracle

from ca.authority import Authority
from ca.lint import lint
from ca.possession import SignedSubject
from ca.principal import Principal
from ca.profile import Profile
from sigcore import certify, extensions, fulcio, general_name, keys, precertificate, x509
from sigcore.algorithms import HashAlgorithm, KeyDetails
from sigcore.trustroot import AuthorityInstance, LogInstance, TrustedRoot, Validity, encode_trusted_root
from tests.unit.ca import fakes
from tests.unit.ca.public_leaves import public_leaves
from tests.unit.ca.tokens import MACHINES, NOW, claims, signed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its dependencies warn while they are imported
    models = pytest.importorskip("sigstore.models")
    trust = pytest.importorskip("sigstore._internal.trust")
    their_sct = pytest.importorskip("sigstore._internal.sct")
    errors = pytest.importorskip("sigstore.errors")

URL = "https://sigstore.example"
KEY = keys.generate_p256()
CHAIN = fakes.make_chain()
OPEN = Validity(NOW - timedelta(days=1), None)


async def issue(issuers, log, token, name):
    proof = SignedSubject(KEY.public_key(), keys.sign(KEY, name.encode()))
    authority = Authority(
        key=CHAIN.key, chain=CHAIN.certificates, issuers=issuers, log=log, log_key=log.key.public_key()
    )
    return (await authority.issue(token, proof, now=NOW)).chain


def trusted_root(log, tmp_path):
    """sigstore-python's view of a root that names our CA and this log."""
    spki = keys.encode_public_key(log.key.public_key())
    details = KeyDetails.PKIX_ECDSA_P256_SHA_256
    instance = LogInstance(URL, HashAlgorithm.SHA2_256, spki, details, OPEN, keys.key_id(spki))
    authority = AuthorityInstance("tests", "test ca", URL, CHAIN.certificates, OPEN)
    root = TrustedRoot((instance,), (authority,), (instance,), ())
    (tmp_path / "root.json").write_bytes(encode_trusted_root(root))
    return models.TrustedRoot.from_file(str(tmp_path / "root.json"))


@pytest.fixture(params=["person", "machine"])
def asked(request, issuer_key, machine_key):
    """A token, and the name in it."""
    if request.param == "person":
        return signed(issuer_key, claims()), "alice@example.com"
    import jwt  # noqa: PLC0415 - the hand-made tokens of these tests are RS256

    name = f"{MACHINES}/org/repo/.ci/build.yml@refs/heads/main"
    return jwt.encode(claims(iss=MACHINES, sub=name, email=None), machine_key, "ES256", {"kid": "es"}), name


async def test_sigstore_python_accepts_chain_and_sct(issuers, asked, tmp_path):
    log = fakes.FakeLog()
    leaf, *_ = map(oracle.load_der_x509_certificate, await issue(issuers, log, *asked))
    root = trusted_root(log, tmp_path)
    verifier = models_verifier(root)
    moment = timestamp(NOW.replace(microsecond=0))
    built = verifier._verify_chain_at_time(leaf, moment)
    assert [c.subject.rfc4514_string() for c in built] == [
        "CN=test intermediate,O=tests"
    ]  # every CA is an anchor there
    their_sct.verify_sct(leaf, built, root.ct_keyring(trust.KeyringPurpose.VERIFY))
    with pytest.raises(errors.CertValidationError):
        verifier._verify_chain_at_time(leaf, timestamp(NOW + timedelta(minutes=10, seconds=1)))


async def test_sigstore_python_refuses_the_sct_under_another_logs_key(issuers, asked, tmp_path):
    leaf, issuer, root = map(oracle.load_der_x509_certificate, await issue(issuers, fakes.FakeLog(), *asked))
    other = trusted_root(fakes.FakeLog(), tmp_path).ct_keyring(trust.KeyringPurpose.VERIFY)
    with pytest.raises(errors.VerificationError):
        their_sct.verify_sct(leaf, [issuer, root], other)


def models_verifier(root):
    from sigstore.verify import Verifier  # noqa: PLC0415 - after the warnings of its import were silenced above

    return Verifier(trusted_root=root)


def timestamp(moment):
    from sigstore._internal.timestamp import TimestampSource, TimestampVerificationResult  # noqa: PLC0415 - as above

    return TimestampVerificationResult(source=TimestampSource.TRANSPARENCY_SERVICE, time=moment)


async def test_openssl_verifies_the_chain_for_both_kinds_of_name(issuers, asked, tmp_path):
    files = [tmp_path / name for name in ("leaf.pem", "intermediate.pem", "root.pem")]
    for path, data in zip(files, await issue(issuers, fakes.FakeLog(), *asked), strict=True):
        path.write_text(x509.encode_certificate_pem(data))
    at = str(int(NOW.timestamp()))
    command = [
        "openssl",
        "verify",
        "-x509_strict",
        "-attime",
        at,
        "-CAfile",
        files[2],
        "-untrusted",
        files[1],
        files[0],
    ]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.endswith(": OK\n")
    late = [*command[:4], str(int(NOW.timestamp()) + 601), *command[5:]]
    assert "certificate has expired" in subprocess.run(late, capture_output=True, text=True, check=False).stderr


# --- the public Sigstore's certificates as oracle ---------------------------------------------------------
def test_our_profile_writes_what_the_public_fulcio_wrote(vectors):
    """Same values in, same extensions out, in the same order; key identifiers apart, which each CA computes its own way."""
    leaves = public_leaves(vectors)
    assert len(leaves) > 20
    arcs = set()
    for theirs in leaves:
        san, values, spki = general_name.parse_san(theirs), fulcio.parse_extensions(theirs), theirs.spki
        principal = Principal(san, san.value, values)
        tbs = Profile(CHAIN.issuer).draft(principal, spki, NOW).encode(certify.encode_extension(extensions.poison()))
        ours = lint(tbs, issuer=CHAIN.issuer, principal=principal, spki=spki, now=NOW)
        own = (extensions.SUBJECT_KEY_ID, extensions.AUTHORITY_KEY_ID, extensions.POISON, extensions.SCT_LIST)
        assert [e for e in ours.extensions if e.oid not in own] == [e for e in theirs.extensions if e.oid not in own]
        assert [e.oid for e in ours.extensions[:-1]] == [e.oid for e in theirs.extensions[:-1]]
        assert theirs.extensions[-1].oid == extensions.SCT_LIST
        assert theirs.not_after - theirs.not_before == timedelta(minutes=10)
        arcs |= {e.oid for e in ours.extensions if e.oid.startswith(f"{fulcio.ARC}.")}
    assert len(arcs) >= 20


def test_the_splice_of_the_sct_list_rebuilds_every_public_certificate(vectors):
    for leaf in public_leaves(vectors):
        (list_,) = (e for e in leaf.extensions if e.oid == extensions.SCT_LIST)
        assert (
            precertificate.with_sct_list(precertificate.precert_tbs(leaf), certify.encode_extension(list_)) == leaf.tbs
        )
        theirs = oracle.load_der_x509_certificate(leaf.der)
        assert precertificate.precert_tbs(leaf) == theirs.tbs_precertificate_bytes
