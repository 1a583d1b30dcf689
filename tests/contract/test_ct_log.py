# SPDX-License-Identifier: Apache-2.0
"""The certificate log of a running stack, from outside: what RFC 6962 says a log answers, read by a reader of our own.

The certificates are the stack's own, issued over HTTP; the SCTs in them are checked by two other implementations.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sigstore._internal.sct import verify_sct
from sigstore._internal.trust import KeyringPurpose
from sigstore.errors import VerificationError
from sigstore.models import TrustedRoot

from tests.contract.rfc6962 import (
    PRECERT,
    Leaf,
    LogClient,
    consistent,
    read_leaf,
    signed_data_of_sct,
    verify_digitally_signed,
    verify_tree_head,
)
from tests.faults.audit import NaiveTree, fold_proof
from tests.stack_process import RunningStack, running_stack

ISSUED = 9
DER = serialization.Encoding.DER


@dataclass(frozen=True)
class World:
    """A stack that issued some certificates, each as (leaf, intermediate, root)."""

    log: LogClient
    key: ec.EllipticCurvePublicKey
    issued: list[list[x509.Certificate]]
    trusted_root: Path

    def leaves(self) -> list[Leaf]:
        size = self.log.get("get-sth")["tree_size"]
        return [read_leaf(one) for one in self.log.get("get-entries", start=0, end=size - 1)["entries"]]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    with running_stack(tmp_path_factory.mktemp("ct"), "--data", tmp_path_factory.mktemp("data") / "d") as stack:
        (log,) = json.loads(stack.trusted_root.read_bytes())["ctlogs"]
        key = serialization.load_der_public_key(base64.b64decode(log["publicKey"]["rawBytes"]))
        assert isinstance(key, ec.EllipticCurvePublicKey)
        issued = [issue(stack, f"person{number}@example.com") for number in range(ISSUED)]
        yield World(LogClient(stack.url), key, issued, stack.trusted_root)


def issue(stack: RunningStack, email: str) -> list[x509.Certificate]:
    """What Fulcio's API gives for a fresh key."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    proof = key.sign(email.encode(), ec.ECDSA(hashes.SHA256()))
    request = {
        "credentials": {"oidcIdentityToken": stack.token(email)},
        "publicKeyRequest": {
            "publicKey": {"algorithm": "ECDSA", "content": pem.decode()},
            "proofOfPossession": base64.b64encode(proof).decode(),
        },
    }
    asked = urllib.request.Request(
        f"{stack.url}/api/v2/signingCert", json.dumps(request).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=20) as answer:
        chain = json.load(answer)["signedCertificateEmbeddedSct"]["chain"]["certificates"]
    return [x509.load_pem_x509_certificate(one.encode()) for one in chain]


def sct_of(certificate: x509.Certificate) -> x509.certificate_transparency.SignedCertificateTimestamp:
    (sct,) = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    return sct


def spki_hash(certificate: x509.Certificate) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(certificate.public_key().public_bytes(DER, form)).digest()


# --- certificates and their entries ----------------------------------------------------------------------
def test_every_certificate_is_in_the_log_and_its_promise_is_that_of_the_entry(world: World):
    logged = {leaf.certificate: leaf for leaf in world.leaves() if leaf.entry_type == PRECERT}
    for leaf, intermediate, root in world.issued:
        sct, entry = sct_of(leaf), logged[leaf.tbs_precertificate_bytes]
        assert sct.version is x509.certificate_transparency.Version.v1
        assert sct.entry_type is x509.certificate_transparency.LogEntryType.PRE_CERTIFICATE
        assert entry.issuer_key_hash == spki_hash(intermediate)
        assert datetime.fromtimestamp(entry.timestamp / 1000, UTC).replace(tzinfo=None) == sct.timestamp
        data = signed_data_of_sct(entry.timestamp, entry.issuer_key_hash, leaf.tbs_precertificate_bytes)
        world.key.verify(sct.signature, data, ec.ECDSA(sct.signature_hash_algorithm))
        precertificate = x509.load_der_x509_certificate(entry.chain[0])
        assert precertificate.extensions.get_extension_for_class(x509.PrecertPoison).critical
        assert precertificate.serial_number == leaf.serial_number
        assert list(entry.chain[1:]) == [intermediate.public_bytes(DER), root.public_bytes(DER)]
        precertificate.verify_directly_issued_by(intermediate)


def test_sigstore_python_verifies_every_sct(world: World):
    keyring = TrustedRoot.from_file(str(world.trusted_root)).ct_keyring(KeyringPurpose.VERIFY)
    for leaf, *chain in world.issued:
        verify_sct(leaf, chain, keyring)


def test_no_sct_holds_for_another_certificate(world: World):
    """The control of the two tests above."""
    (first, *chain), (second, *_) = world.issued[:2]
    (entry,) = [one for one in world.leaves() if one.certificate == first.tbs_precertificate_bytes]
    data = signed_data_of_sct(entry.timestamp, entry.issuer_key_hash, second.tbs_precertificate_bytes)
    with pytest.raises(InvalidSignature):
        world.key.verify(sct_of(first).signature, data, ec.ECDSA(hashes.SHA256()))
    keyring = TrustedRoot.from_file(str(world.trusted_root)).ct_keyring(KeyringPurpose.VERIFY)
    with pytest.raises(VerificationError):
        verify_sct(first, chain[::-1], keyring)  # bound to the key of another issuer


# --- tree heads and proofs ---------------------------------------------------------------------------------
def test_the_tree_head_is_signed_and_is_that_of_the_entries(world: World):
    head = world.log.get("get-sth")
    tree = NaiveTree([leaf.raw for leaf in world.leaves()])
    assert head["tree_size"] == len(tree.leaves) >= ISSUED + 1
    assert verify_tree_head(world.key, head) == tree.root(head["tree_size"])
    assert head["timestamp"] >= max(leaf.timestamp for leaf in world.leaves())


def test_every_leaf_is_proved_in_every_tree_that_has_it(world: World):
    tree = NaiveTree([leaf.raw for leaf in world.leaves()])
    for size in range(1, len(tree.leaves) + 1):
        for index in range(size):
            name = base64.b64encode(tree.leaves[index]).decode()
            found = world.log.get("get-proof-by-hash", hash=name, tree_size=size)
            path = [base64.b64decode(one) for one in found["audit_path"]]
            assert found["leaf_index"] == index
            assert fold_proof(tree.leaves[index], index, size, path) == tree.root(size)
    size = len(tree.leaves)
    for index, leaf in enumerate(world.leaves()):
        entry = world.log.get("get-entry-and-proof", leaf_index=index, tree_size=size)
        path = [base64.b64decode(one) for one in entry["audit_path"]]
        assert fold_proof(tree.leaves[index], index, size, path) == tree.root(size)
        assert read_leaf(entry) == leaf


def test_every_two_trees_are_consistent(world: World):
    tree = NaiveTree([leaf.raw for leaf in world.leaves()])
    for first, second in itertools.combinations(range(1, len(tree.leaves) + 1), 2):
        answer = world.log.get("get-sth-consistency", first=first, second=second)["consistency"]
        proof = [base64.b64decode(one) for one in answer]
        assert consistent(first, second, tree.root(first), tree.root(second), proof)
        assert not consistent(first, second, tree.root(first), tree.root(second - 1), proof)
    assert world.log.get("get-sth-consistency", first=5, second=5) == {"consistency": []}


# --- ranges --------------------------------------------------------------------------------------------------
def test_a_range_that_ends_beyond_the_tree_is_cut_and_one_that_begins_there_is_refused(world: World):
    size = world.log.get("get-sth")["tree_size"]
    assert len(world.log.get("get-entries", start=0, end=10**9)["entries"]) == size
    assert len(world.log.get("get-entries", start=size - 1, end=size - 1)["entries"]) == 1
    assert len(world.log.get("get-entries", start=2, end=4)["entries"]) == 3
    for query in (
        {"start": size, "end": size},
        {"start": 3, "end": 2},
        {"start": -1, "end": 2},
        {"start": 0},
        {"start": 0, "end": "1_0"},
        {"start": 0, "end": 2**63},
    ):
        status, answer, headers = world.log.call("get-entries", **query)
        assert status == 400, query
        assert headers["Content-Type"].startswith("application/json")
        assert answer["success"] is False
        assert answer["error_message"]


@pytest.mark.parametrize(
    ("name", "query", "status"),
    [
        ("get-sth-consistency", {"first": 2, "second": 10**9}, 400),
        ("get-sth-consistency", {"first": 3, "second": 2}, 400),
        ("get-proof-by-hash", {"hash": base64.b64encode(bytes(32)).decode(), "tree_size": 2}, 404),
        ("get-proof-by-hash", {"hash": "AAAA", "tree_size": 2}, 400),
        ("get-proof-by-hash", {"hash": "not base64!", "tree_size": 2}, 400),
        ("get-entry-and-proof", {"leaf_index": 10**9, "tree_size": 2}, 400),
        ("get-entry-and-proof", {"leaf_index": 0, "tree_size": 10**9}, 400),
        ("get-entry-and-proof", {"leaf_index": 0}, 400),
    ],
)
def test_questions_without_an_answer(world: World, name: str, query: dict[str, object], status: int):
    found, answer, _ = world.log.call(name, **query)
    assert found == status, answer
    assert answer["success"] is False


# --- adding ----------------------------------------------------------------------------------------------------
def test_the_accepted_root_is_that_of_the_authority(world: World):
    (root,) = world.log.get("get-roots")["certificates"]
    assert base64.b64decode(root) == world.issued[0][2].public_bytes(DER)


def test_anybody_may_log_a_certificate_again_and_gets_one_promise(world: World):
    chain = [one.public_bytes(DER) for one in world.issued[0]]
    (status, first), (_, second) = world.log.add("add-chain", chain), world.log.add("add-chain", chain[:2])
    assert status == 200, first
    assert first == second
    assert (first["sct_version"], first["extensions"]) == (0, "")
    (entry,) = [leaf for leaf in world.leaves() if leaf.certificate == chain[0]]
    assert (entry.entry_type, entry.timestamp, list(entry.chain)) == (0, first["timestamp"], chain[1:])
    verify_digitally_signed(
        world.key, first["signature"], entry.raw
    )  # section 3.2: the same bytes, but for their names


def test_a_precertificate_again_gets_the_promise_that_is_in_the_certificate(world: World):
    leaf, *_ = world.issued[3]
    (entry,) = [one for one in world.leaves() if one.certificate == leaf.tbs_precertificate_bytes]
    status, sct = world.log.add("add-pre-chain", entry.chain)
    assert status == 200, sct
    assert sct["timestamp"] == entry.timestamp
    assert base64.b64decode(sct["signature"])[4:] == sct_of(leaf).signature


def foreign_chain(like: list[x509.Certificate]) -> list[bytes]:
    """A chain of another authority that has the names of ours."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    subjects = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")]), like[1].subject, like[2].subject]
    now, made = datetime.now(UTC), []
    for level, subject in enumerate(subjects):
        above = min(level + 1, 2)
        builder = x509.CertificateBuilder(
            subjects[above], subject, keys[level].public_key(), x509.random_serial_number()
        )
        builder = builder.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
        builder = builder.add_extension(x509.BasicConstraints(ca=level > 0, path_length=None), critical=True)
        if level == 0:
            builder = builder.add_extension(x509.PrecertPoison(), critical=True)
        made.append(builder.sign(keys[above], hashes.SHA256()).public_bytes(DER))
    return made


def test_chains_that_do_not_lead_to_that_root_are_refused(world: World):
    size = world.log.get("get-sth")["tree_size"]
    ours, foreign = [one.public_bytes(DER) for one in world.issued[0]], foreign_chain(world.issued[0])
    (entry,) = [one for one in world.leaves() if one.certificate == world.issued[0][0].tbs_precertificate_bytes]
    precertificate = entry.chain[0]
    for name, chain in {
        "another authority of the same name": foreign,
        "its leaf under our chain": [foreign[0], *ours[1:]],
        "its root left out": foreign[:2],
        "its leaf alone": foreign[:1],
        "in the wrong order": [precertificate, ours[2], ours[1]],
        "an issuer left out": [precertificate, ours[2]],
        "a final certificate": ours,
        "a changed signature": [precertificate[:-1] + bytes([precertificate[-1] ^ 1]), *ours[1:]],
        "bytes after it": [precertificate + b"\0", *ours[1:]],
        "nothing": [],
        "no certificate": [b"junk"],
    }.items():
        status, answer = world.log.add("add-pre-chain", chain)
        assert status == 400, name
        assert answer["error_message"], name
    assert world.log.add("add-chain", [precertificate, *ours[1:]])[0] == 400
    assert world.log.get("get-sth")["tree_size"] == size


def test_l05_a_body_beyond_the_limit_is_too_large(world: World):
    status, answer, _ = world.log.call("add-chain", b'{"chain":["' + b"A" * 3_000_000 + b'"]}')
    assert status == 413, answer
