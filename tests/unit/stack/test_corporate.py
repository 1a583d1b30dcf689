# SPDX-License-Identifier: Apache-2.0
"""What a corporate PKI may hand back, and what it may not: each defect by its own message; and the way from a request to a generation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import BasicConstraints, CertificateBuilder, Name, NameAttribute, SubjectKeyIdentifier
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from sigcore.errors import SigError
from sigcore.x509 import Certificate
from stack.trust.corporate import certificates_in, judge
from tests.corporate_pki import ISSUING, POLICY, ROOT, SIGNER, Pki

NOW = datetime.now(UTC).replace(microsecond=0)
LATER = timedelta(hours=1)
"""However slow the machine is, all that was issued for these tests is valid then."""


@dataclass(frozen=True, slots=True)
class World:
    """A PKI with a root and a policy authority, and a request of ours."""

    pki: Pki
    request: Path

    @property
    def spki(self) -> bytes:
        return self.given("own")[0].spki

    def given(self, *names: str) -> tuple[Certificate, ...]:
        return tuple(self.pki.certificate(name) for name in names)

    def issued(self, name: str, issuer: str = "policy", **options: object) -> str:
        self.pki.issue(self.request, name, issuer, **options)  # type: ignore[arg-type]  # as they are
        return name


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    pki = Pki(tmp_path_factory.mktemp("pki"))
    pki.root("root", "P-384")
    pki.below("policy", "root", "P-384")
    made = World(pki, pki.request("own-key", subject="/CN=Signing"))
    made.issued("own")
    return made


# --- the refusals ------------------------------------------------------------------------------------
Case = Callable[[World], Sequence[str]]
"""Makes certificates, and names the ones that are handed in."""


def _issued(name: str, **options: object) -> Case:
    return lambda world: (world.issued(name, **options), "policy", "root")


def _below(name: str, **options: object) -> Case:
    """Another policy authority with a defect, and what it issues."""

    def make(world: World) -> Sequence[str]:
        world.pki.below(name, "root", **options)  # type: ignore[arg-type]  # as they are
        return (world.issued(f"below-{name}", name), name, "root")

    return make


def _root(name: str, kind: str = "P-256", *, issue: Sequence[str] = ("-sha256",), **options: object) -> Case:
    """Another root with a defect, which issues at once."""

    def make(world: World) -> Sequence[str]:
        world.pki.root(name, kind, **options)  # type: ignore[arg-type]  # as they are
        return (world.issued(f"below-{name}", name, options=issue), name)

    return make


def _stranger(world: World) -> Sequence[str]:
    world.pki.issue(world.pki.request("stranger"), "of-a-stranger", "policy")
    return ("of-a-stranger", "policy", "root")


def _self_signed(world: World) -> Sequence[str]:
    signer = ("-signkey", "own-key.key", "-extfile", "own.ext", "-days", "365", "-out", "self.pem")
    world.pki.openssl("x509", "-req", "-in", world.request, *signer)
    return ("self",)


def _namesake(world: World) -> Sequence[str]:
    world.pki.below("renewed", "root", subject="/C=JP/O=ACME/CN=ACME policy")
    return ("own", "renewed", "root")


def _twice(world: World) -> Sequence[str]:
    return (world.issued("again"), "own", "policy", "root")


def _pathless(world: World) -> Sequence[str]:
    world.pki.below("narrow", "root", extensions=POLICY.replace("pathlen:1", "pathlen:0"))
    return (world.issued("below-narrow", "narrow"), "narrow", "root")


def _nameless(world: World) -> Sequence[str]:
    world.pki.openssl("req", "-new", "-key", "own-key.key", "-subj", "/", "-out", "nameless.csr")
    world.pki.issue(world.pki.folder / "nameless.csr", "nameless", "policy")
    return ("nameless", "policy", "root")


def _of_former_days(world: World) -> Sequence[str]:
    """A root whose name is a BMPString, as Windows 2000 wrote it."""
    key, old = ec.generate_private_key(ec.SECP256R1()), NameAttribute(NameOID.COMMON_NAME, "Root", _ASN1Type.BMPString)
    builder = CertificateBuilder(Name([old]), Name([old]), key.public_key(), 7, NOW, NOW + timedelta(days=7300))
    builder = builder.add_extension(SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    root = builder.add_extension(BasicConstraints(ca=True, path_length=None), critical=True).sign(key, SHA256())
    folder, pem = world.pki.folder, Encoding.PEM
    (folder / "former-days.pem").write_bytes(root.public_bytes(pem))
    (folder / "former-days.key").write_bytes(key.private_bytes(pem, PrivateFormat.PKCS8, NoEncryption()))
    return (world.issued("below-former-days", "former-days"), "former-days")


NO_CA = ISSUING.replace("CA:TRUE, pathlen:0", "CA:FALSE")
REFUSALS: dict[str, tuple[Case, str, str]] = {
    "another key": (_stranger, "none of the certificates is for the key that was requested", "issued for this request"),
    "two for our key": (_twice, "2 certificates are for the key", "leave the newest"),
    "self-signed": (_self_signed, "is self-signed, expected a certificate below", "sign the request with its own key"),
    "no policy authority": (lambda _: ("own", "root"), "is not in the files", "certificate of 'ACME policy'"),
    "no root": (lambda _: ("own", "policy"), "is not in the files", "certificate of 'ACME root'"),
    "issuer renewed with another key": (_namesake, "is not signed by the key of", "may have been renewed"),
    "no CA": (_issued("no-ca", extensions=NO_CA), "is no CA (basicConstraints)", "template of a subordinate CA"),
    "not critical": (
        _issued("soft", extensions=ISSUING.replace("critical, CA", "CA")),
        "basicConstraints that are not critical",
        "CA:TRUE",
    ),
    "keyUsage without keyCertSign": (
        _issued("no-sign", extensions=ISSUING.replace("keyCertSign, cRLSign", "digitalSignature")),
        "may not sign certificates: its keyUsage is digitalSignature",
        "keyUsage keyCertSign",
    ),
    "no keyUsage": (
        _issued("no-usage", extensions=ISSUING.replace("keyUsage = critical, keyCertSign, cRLSign\n", "")),
        "has no keyUsage",
        "keyUsage keyCertSign",
    ),
    "own purpose": (
        _issued("for-tls", extensions=ISSUING.replace("codeSigning", "serverAuth")),
        "may issue for serverAuth only (extendedKeyUsage), needed is codeSigning",
        "without extendedKeyUsage",
    ),
    "purpose of the policy authority": (
        _below("tls", extensions=f"{POLICY}extendedKeyUsage = serverAuth, clientAuth\n"),
        "may issue for serverAuth, clientAuth only",
        "checked on every level",
    ),
    "purpose of the root": (
        _root("mail", extensions=f"{ROOT}extendedKeyUsage = emailProtection\n"),
        "may issue for emailProtection only",
        "checked on every level",
    ),
    "path too short": (
        _pathless,
        "allows 0 CAs below it (pathLenConstraint), with this one there are 1",
        "issued by a CA",
    ),
    "policy authority is no CA": (
        _below("leaf", extensions=POLICY.replace("CA:TRUE, pathlen:1", "CA:FALSE")),
        "is no CA (basicConstraints), and has to issue",
        "path of CAs",
    ),
    "name constraints": (
        _issued("named", extensions=f"{ISSUING}nameConstraints = critical, permitted;DNS:corp.example\n"),
        "has name constraints",
        "e-mail addresses and URIs",
    ),
    "name constraints above": (
        _below("named-above", extensions=f"{POLICY}nameConstraints = permitted;email:corp.example\n"),
        "has name constraints",
        "e-mail addresses and URIs",
    ),
    "no name": (_nameless, "has neither a common name nor an organization", "as the request has it"),
    "a name of former days": (_of_former_days, "has a subject that cannot be read", "in UTF8String"),
    "critical policies": (
        _issued("policies", extensions=f"{ISSUING}certificatePolicies = critical, 1.2.3.4\n"),
        "has the critical extension 2.5.29.32",
        "without it",
    ),
    "SHA-1": (_issued("sha1", options=("-sha1",)), "signed with ecdsa-with-SHA1", "with SHA-256"),
    "SHA-1 of the root": (
        _root("old", "2048", options=("-sha1",)),
        "signed with sha1WithRSAEncryption",
        "with SHA-256",
    ),
    "RSASSA-PSS": (
        _root("pss", "2048", issue=("-sha256", "-sigopt", "rsa_padding_mode:pss")),
        "signed with RSASSA-PSS",
        "AlternateSignatureAlgorithm=0",
    ),
    "weak key": (_root("weak", "1024"), "is RSA with 1024 bits", "RSA of 2048"),
    "foreign curve": (_root("bitcoin", "secp256k1"), "is no good: ", "P-256, P-384"),
    "ends too soon": (_issued("soon", days=1), "ends 2", "at least 2 days"),
    "ends after its issuer": (_issued("long", days=4000), "after a CA above it", "ends before its issuers"),
}


@pytest.mark.parametrize("case", REFUSALS, ids=str)
def test_what_clients_would_refuse_is_refused_with_what_to_ask_for(world: World, case: str):
    make, said, hint = REFUSALS[case]
    with pytest.raises(SigError) as caught:
        judge("ca", world.given(*make(world)), world.spki, NOW + LATER)
    assert said in caught.value.message
    assert hint in caught.value.hint


def test_every_refusal_has_words_of_its_own():
    """But those of one defect at two levels."""
    said = {case: said for case, (_, said, _) in REFUSALS.items()}
    same = {pair for pair in combinations(said, 2) if said[pair[0]] == said[pair[1]]}
    assert same == {("no policy authority", "no root"), ("name constraints", "name constraints above")}


@pytest.mark.parametrize(
    ("moment", "said"),
    [(NOW - timedelta(days=1), "is valid from"), (NOW + timedelta(days=1826), "'Signing' expired at")],
)
def test_a_chain_counts_while_all_of_it_is_valid(world: World, moment: datetime, said: str):
    with pytest.raises(SigError, match=said):
        judge("ca", world.given("own", "policy", "root"), world.spki, moment)


def test_a_name_of_before_is_refused_with_another_key(world: World):
    """Readers that look an issuer up by its name would find two."""
    world.pki.issue(world.pki.request("former", subject="/CN=Signing"), "former", "policy")
    given = world.given("own", "policy", "root")
    with pytest.raises(SigError, match="name of a certificate of before"):
        judge("ca", given, world.spki, NOW + LATER, world.given("former"))
    assert judge("ca", given, world.spki, NOW + LATER, world.given("own")).chain == given


WITHOUT = {
    "purpose": ISSUING.replace("extendedKeyUsage = codeSigning\n", ""),
    "path length": ISSUING.replace(", pathlen:0", ""),
    "purpose, but any": ISSUING.replace("codeSigning", "anyExtendedKeyUsage"),
}


@pytest.mark.parametrize("kind", WITHOUT)
def test_an_authority_without_limits_is_good(world: World, kind: str):
    name = world.issued(f"no-{kind.split(maxsplit=1)[0]}-{len(kind)}", extensions=WITHOUT[kind])
    assert judge("ca", world.given("root", name, "policy"), world.spki, NOW + LATER).chain[0] == world.given(name)[0]


def test_roots_of_every_kind_that_clients_take_are_good(world: World):
    for kind, digest in (("3072", "-sha256"), ("4096", "-sha512"), ("P-521", "-sha512"), ("Ed25519", "")):
        options = (digest,) if digest else ()
        given = world.given(*_root(f"of-{kind}", kind, options=options, issue=options)(world))
        assert judge("ca", given, world.spki, NOW + LATER).chain == given


def test_what_is_short_or_not_needed_is_told(world: World):
    name = world.issued("short", days=100)
    world.pki.root("another")
    notes = judge("ca", world.given(name, "another", "policy", "root"), world.spki, NOW + LATER).notes
    assert [note.split(":")[0].split(",")[0] for note in notes] == ["it is good for 99 days only", "not needed"]
    assert "'ACME another'" in notes[1]


SIGNER_REFUSALS = {
    "a CA": (ISSUING.replace("codeSigning", "timeStamping"), "is a CA, expected the signer"),
    "another purpose beside": (SIGNER.replace("timeStamping", "timeStamping, codeSigning"), "timeStamping alone"),
    "purpose not critical": (SIGNER.replace("critical, timeStamping", "timeStamping"), "not critical"),
    "no purpose": (SIGNER.replace("extendedKeyUsage = critical, timeStamping\n", ""), "for no purpose"),
    "for encryption": (SIGNER.replace("digitalSignature", "keyEncipherment"), "not for signatures"),
}


@pytest.mark.parametrize("case", SIGNER_REFUSALS)
def test_the_signer_of_timestamps_is_what_rfc_3161_asks_for(world: World, case: str):
    extensions, said = SIGNER_REFUSALS[case]
    name = world.issued(f"tsa-{case.replace(' ', '-')}", extensions=extensions)
    with pytest.raises(SigError, match=said):
        judge("tsa", world.given(name, "policy", "root"), world.spki, NOW + LATER)
    world.issued("tsa", extensions=SIGNER)
    assert judge("tsa", world.given("tsa", "policy", "root"), world.spki, NOW + LATER).until > NOW


# --- what a PKI's files look like --------------------------------------------------------------------
def test_text_around_the_blocks_is_read_past_and_der_is_taken(world: World):
    folder = world.pki.folder
    world.pki.openssl("x509", "-in", "own.pem", "-text", "-out", "own.txt")
    world.pki.openssl("x509", "-in", "own.pem", "-outform", "DER", "-out", "own.cer")
    text, der = (folder / "own.txt").read_bytes(), (folder / "own.cer").read_bytes()
    windows = text.replace(b"\n", b"\r\n")
    for data in (text, windows, der, text + text):
        assert certificates_in(data, what="it") == world.given("own")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own-key.key", "holds a private key"),
        ("own-key.csr", "is a request, expected the certificate"),
        ("own.p7b", "is neither PEM nor one certificate in DER"),
        ("own.p7b.pem", "is PKCS #7"),
        ("own.ext", "holds no certificate"),
    ],
)
def test_another_file_is_named_for_what_it_is(world: World, name: str, said: str):
    world.pki.openssl("crl2pkcs7", "-nocrl", "-certfile", "own.pem", "-outform", "DER", "-out", "own.p7b")
    world.pki.openssl("crl2pkcs7", "-nocrl", "-certfile", "own.pem", "-out", "own.p7b.pem")
    with pytest.raises(SigError, match=said):
        certificates_in((world.pki.folder / name).read_bytes(), what="it")
