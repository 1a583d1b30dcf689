# SPDX-License-Identifier: Apache-2.0
"""A09: a final certificate is its precertificate but for poison and SCT, whatever was asked for.

``SIGBOX_TEST_CERTIFICATES`` says how many certificates are asked for at random: 10,000 in CI (half a minute), 300 by hand.
"""

from __future__ import annotations

import os
import random
from datetime import timedelta

import jwt
import pytest
from cryptography import x509 as oracle
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ca.authority import Authority
from ca.issuers import CHALLENGE_CLAIMS, Issuer, IssuerTable, PinnedKeys
from ca.possession import SignedSubject, SigningRequest
from sigcore import keys, precertificate, sct, x509
from tests.chance import chosen_seed
from tests.unit.ca import fakes
from tests.unit.ca.test_csr import pem, request
from tests.unit.ca.test_workflows import ROWS
from tests.unit.ca.tokens import NOW

COUNT = int(os.environ.get("SIGBOX_TEST_CERTIFICATES", "10000" if os.environ.get("CI") else "300"))
POISON = oracle.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.3")
SCT_LIST = oracle.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
SIGNER = keys.generate_p256()
PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"
TEXT = PLAIN + " !\"#$&'()*+,/:;<=>?@[]^`{|}~\u00e9\u30ea\U0001f600"


class Clocked(fakes.FakeLog):
    """Its clock is a second off, this way or that."""

    def stamp(self, entry):
        return sct.sign_sct(entry, round(NOW.timestamp() * 1000) + random.randint(-1000, 1000), self.key)


@pytest.fixture(scope="module")
def log():
    return Clocked()


@pytest.fixture(scope="module")
def authority(log):
    chain = fakes.make_chain()
    table = IssuerTable(
        Issuer(kind=kind, keys=PinnedKeys([("k", SIGNER.public_key())]), **row) for kind, (row, *_) in ROWS.items()
    )
    return Authority(key=chain.key, chain=chain.certificates, issuers=table, log=log, log_key=log.key.public_key())


REQUESTED = [
    *(keys.generate_p256() for _ in range(4)),
    ec.generate_private_key(ec.SECP384R1()),
    ec.generate_private_key(ec.SECP521R1()),
    ed25519.Ed25519PrivateKey.generate(),
    rsa.generate_private_key(65537, 2048),
]
CSRS = {key: pem(request(key)) for key in REQUESTED[:4]}


def claims_of(kind, chance):
    """Claims of that kind, with other texts where any text will do."""
    _, claims, _, _, _ = ROWS[kind]
    made = dict(claims)
    text = "".join(chance.choices(TEXT, k=chance.randint(1, 40))).strip() or "x"
    word = "".join(chance.choices(PLAIN[:62], k=chance.randint(1, 40)))
    if kind in ("email", "chainguard-identity") and chance.random() < 0.7:
        made |= {"email": f"{word}@{chance.choice('abc')}.example", "email_verified": True}
    if kind == "uri":
        made["sub"] = f"https://ci.example.com/{word}"
    elif kind == "username":
        made["sub"] = word
    elif kind == "spiffe":
        made["sub"] = f"spiffe://prod.example/{word}"
    elif kind == "kubernetes":
        name = word.lower()
        made |= {
            "sub": f"system:serviceaccount:build:{name}",
            "kubernetes.io": {"namespace": "build", "serviceaccount": {"name": name}},
        }
    else:
        for name in ("workflow", "environment", "ref", "cause", "scm_ref", "event_name"):
            if name in made or chance.random() < 0.1:
                made[name] = text
        segment = f"{text.replace('?', '').replace('/', '')}x"  # of a path: what a name is made of
        made |= {name: segment for name in ("pipeline_name", "job") if name in made}
        if "job_workflow_ref" in made:
            made["job_workflow_ref"] = f"org/app/w.yml@refs/heads/{segment}"
    return made


def asked(chance):
    """(token, proof) of a request at random."""
    kind = chance.choice(list(ROWS))
    now = int(NOW.timestamp())
    made = claims_of(kind, chance) | {"iss": ROWS[kind][0]["url"], "aud": "sigstore"}
    made |= {"iat": now - chance.randint(0, 3600), "exp": now + chance.randint(0, 3600)}
    token = jwt.encode(made, SIGNER, "ES256", {"kid": "k"})
    key = chance.choice(REQUESTED)
    if key in CSRS and chance.random() < 0.3:
        return token, SigningRequest(CSRS[key])
    signs_email = kind == "chainguard-identity" and "email" in made
    name = made["email" if signs_email else CHALLENGE_CLAIMS[kind]]
    return token, SignedSubject(key.public_key(), keys.sign(key, name.encode()))


def listed(certificate, last):
    """Everything that a certificate says but its last extension and its signature."""
    *rest, final = certificate.extensions
    assert final.oid == last
    head = (certificate.serial_number, certificate.issuer, certificate.subject, certificate.signature_algorithm_oid)
    dates = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    return head, dates, certificate.public_key(), [(e.oid, e.critical, e.value.public_bytes()) for e in rest]


async def test_final_certificates_are_their_precertificates_but_for_poison_and_sct(authority, log):
    seed = chosen_seed()
    print(f"seed {seed}, {COUNT} certificates")
    chance = random.Random(seed)
    random.seed(seed)
    serials = set()
    for number in range(COUNT):
        now = NOW + timedelta(milliseconds=chance.randint(0, 999))
        token, proof = asked(chance)
        final_der = (await authority.issue(token, proof, now=now)).chain[0]
        ((precert_der, issuer_der, _),) = log.chains
        log.chains.clear()
        final, precert = map(x509.parse_certificate, (final_der, precert_der))
        entry = precertificate.precert_entry(precert, x509.parse_certificate(issuer_der).spki)
        assert precertificate.precert_tbs(final) == entry.tbs
        if number % 10 == 0:  # and so says somebody else, who takes longer
            theirs, logged = map(oracle.load_der_x509_certificate, (final_der, precert_der))
            assert theirs.tbs_precertificate_bytes == entry.tbs
            assert listed(theirs, SCT_LIST) == listed(logged, POISON)
        serials.add(final.serial)
    assert len(serials) == COUNT
