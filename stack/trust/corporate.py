# SPDX-License-Identifier: Apache-2.0
"""Whether a certificate that came back from a corporate PKI can stand where the stack's own one would: pure.

It is asked before anything is changed, as strictly as the strictest client asks it later: Go's verifier, OpenSSL below sigstore-python,
sigstore-js, and ours. Each defect has its message: what was found, what is needed, what to ask the PKI for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509 as other_reader

from sigcore import chain, der, extensions, keys, limits, signatures, x509
from sigcore.errors import Malformed, NotFound, Refused, SigError
from sigcore.patterns import pattern
from sigcore.strict import encode_time, shown
from sigcore.values import dataclass
from sigcore.x509 import Certificate

PURPOSES: Final = {"ca": x509.EKU_CODE_SIGNING, "tsa": x509.EKU_TIME_STAMPING}
LEAST: Final = timedelta(days=2)
"""A certificate that ends sooner is refused: an authority for timestamps does not start in its last day."""
SHORT: Final = timedelta(days=180)
"""One that ends sooner is told of."""
_NAMES: Final = {
    x509.EKU_CODE_SIGNING: "codeSigning",
    x509.EKU_TIME_STAMPING: "timeStamping",
    extensions.ANY_EXTENDED_KEY_USAGE: "any",
    "1.3.6.1.5.5.7.3.1": "serverAuth",
    "1.3.6.1.5.5.7.3.2": "clientAuth",
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.9": "OCSPSigning",
    "1.2.840.113549.1.1.4": "md5WithRSAEncryption",
    "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
    "1.2.840.113549.1.1.10": "RSASSA-PSS",
    "1.2.840.10045.4.1": "ecdsa-with-SHA1",
}
_PEM: Final = pattern(rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


@dataclass(frozen=True, slots=True)
class Judged:
    """A chain that is good: what signs first, the corporate root last; until when all of it is; and what to say beside."""

    chain: tuple[Certificate, ...]
    until: datetime
    notes: tuple[str, ...]


def certificates_in(data: bytes, *, what: str) -> tuple[Certificate, ...]:
    """The certificates of a file as a PKI gives it: PEM with any text around the blocks, or one in DER; each once.

    Raises:
        Malformed: there is none, or one that cannot be read.
    """
    if b"PRIVATE KEY-----" in data:
        raise Malformed(
            f"{what} holds a private key", "give certificates alone here; whose key it is, it goes to --key"
        )
    blocks = _PEM.findall(data)
    if not blocks:
        if data.startswith(b"\x30") and b"-----BEGIN" not in data:
            return (_from_der(data, what),)
        raise Malformed(*_no_certificate(data, what))
    if len(blocks) > 4 * limits.CHAIN_CERTIFICATES:
        raise Malformed(f"{what} has {len(blocks)} certificates", "leave those from the issued one to the root")
    found = [x509.parse_certificate_pem(block, what=f"certificate {n} of {what}") for n, block in enumerate(blocks, 1)]
    return tuple(dict.fromkeys(found))


def _from_der(data: bytes, what: str) -> Certificate:
    try:
        return x509.parse_certificate(data, what=what)
    except Malformed as error:
        raise Malformed(f"{what} is neither PEM nor one certificate in DER", _PKCS7.format(what)) from error


_PKCS7: Final = "of a PKCS #7 file (.p7b): openssl pkcs7 -inform DER -print_certs -in {} -out chain.pem"


def _no_certificate(data: bytes, what: str) -> tuple[str, str]:
    if b"CERTIFICATE REQUEST-----" in data:
        return f"{what} is a request, expected the certificate", "send it to the PKI, and give here what comes back"
    if b"BEGIN PKCS7" in data:
        return f"{what} is PKCS #7", _PKCS7.format(what).replace("-inform DER ", "")
    return f"{what} holds no certificate", "give PEM: -----BEGIN CERTIFICATE-----"


def judge(
    role: str, given: Sequence[Certificate], spki: bytes, now: datetime, former: Sequence[Certificate] = ()
) -> Judged:
    """The chain among ``given`` for the key ``spki`` of ``role``, judged.

    1. One certificate is for that key.
    2. Each is signed by the next by an algorithm and a key that every client takes, up to a root that signed itself, which is there.
    3. No certificate has name constraints, which our client and others do not read; each has a name that all can read.
    4. Those above the first are CAs that may sign certificates for the role's purpose, as many levels down as there are.
    5. The first is what the role needs: an issuing CA, or the signer of timestamps.
    6. All are valid now and long enough, and the first does not end after those above it.
    7. The first has a name that no former one had with another key.
    8. What is left is asked of the readers themselves: ours and the one below sigstore-python.

    Raises:
        NotFound, Malformed, Refused: the first of these that does not hold.
    """
    own = _own(given, spki)  # 1
    path = _climb(own, given)  # 2
    for certificate in path:
        _check_names(certificate)  # 3
    for level, issuer in enumerate(path[1:], 1 if role == "ca" else 0):
        _check_issuer(issuer, PURPOSES[role], level)  # 4
    (_check_issuing if role == "ca" else _check_signer)(own)  # 5
    until = _check_times(path, now)  # 6
    for one in former:
        if one.subject == own.subject and one.spki != own.spki:  # 7
            message = f"{_called(own)} has the name of a certificate of before, with another key"
            raise Refused(message, "readers look issuers up by name: ask for the subject of the request")
    _ask_readers(path, PURPOSES[role] if role == "ca" else "", now)  # 8
    return Judged(path, until, tuple(_notes(path, given, until, now)))


# --- 1 2: the path -----------------------------------------------------------------------------------
def _own(given: Sequence[Certificate], spki: bytes) -> Certificate:
    own = [certificate for certificate in given if certificate.spki == spki]
    if not own:
        found = ", ".join(map(_called, given))
        hint = "give the certificate that the PKI issued for this request; another request was another key"
        raise Refused(f"none of the certificates is for the key that was requested; found {found}", hint)
    if len(own) > 1:
        raise Refused(
            f"{len(own)} certificates are for the key that was requested", "leave the newest one in the files"
        )
    if own[0].issuer == own[0].subject:
        hint = "ask the PKI to sign the request with its own key"
        raise Refused(f"{_called(own[0])} is self-signed, expected a certificate below a corporate CA", hint)
    return own[0]


def _climb(own: Certificate, given: Sequence[Certificate]) -> tuple[Certificate, ...]:
    path = [own]
    while path[-1].issuer != path[-1].subject:
        _check_algorithm(path[-1])
        path.append(_issuer_of(path[-1], [one for one in given if one not in path]))
        if len(path) == limits.CHAIN_CERTIFICATES:
            message = f"the chain has {len(path)} certificates or more, clients take {limits.CHAIN_CERTIFICATES - 1}"
            raise Refused(message, "ask for a certificate that is nearer to the root")
    _check_algorithm(path[-1])
    _check_key(path[-1])
    _verify(path[-1], path[-1], "the certificate of the root may be damaged: ask for it again")
    for certificate in path:
        _check_key(certificate)
    return tuple(path)


def _issuer_of(certificate: Certificate, others: Sequence[Certificate]) -> Certificate:
    named = [one for one in others if one.subject == certificate.issuer]
    if not named:
        wanted = _text(certificate.issuer)
        hint = f"ask the PKI for the certificate of {wanted}, and for each above it up to the root; give them too"
        raise NotFound(f"the issuer of {_called(certificate)}, {wanted}, is not in the files", hint)
    hint = (
        f"ask the PKI for the certificate of {_text(certificate.issuer)} whose key signed it: it may have been renewed"
    )
    for candidate in named[:-1]:
        try:
            _check_key(candidate)
            _verify(certificate, candidate, hint)
        except SigError:
            continue
        return candidate
    _check_key(named[-1])
    _verify(certificate, named[-1], hint)
    return named[-1]


def _check_algorithm(certificate: Certificate) -> None:
    algorithm = certificate.signature_algorithm
    if algorithm in _TAKEN:
        return
    oid = der.Reader(algorithm, "the signature algorithm").enter().oid()
    hint = "ask for a signature with SHA-256, SHA-384 or SHA-512, by ECDSA or RSA PKCS #1 v1.5, or Ed25519"
    if _NAMES.get(oid) == "RSASSA-PSS":
        hint += "; of a Microsoft CA: AlternateSignatureAlgorithm=0 in its CAPolicy.inf"
    raise Refused(f"{_called(certificate)} is signed with {_NAMES.get(oid, oid)}, which not every client takes", hint)


_TAKEN: Final = frozenset(
    {
        signatures.ECDSA_WITH_SHA256,
        signatures.ECDSA_WITH_SHA384,
        signatures.ECDSA_WITH_SHA512,
        signatures.RSA_WITH_SHA256,
        signatures.RSA_WITH_SHA384,
        signatures.RSA_WITH_SHA512,
        signatures.ED25519,
    }
)


def _check_key(certificate: Certificate) -> None:
    try:
        keys.check_strength(certificate.public_key(), what=f"the key of {_called(certificate)}")
    except SigError as error:
        hint = "ask for a path of ECDSA on P-256, P-384 or P-521, RSA of 2048, 3072 or 4096 bits, or Ed25519"
        raise type(error)(f"{_called(certificate)} is no good: {error.message}", hint) from error


def _verify(certificate: Certificate, issuer: Certificate, hint: str) -> None:
    what = "the signature"
    try:
        algorithm, key = certificate.signature_algorithm, issuer.public_key()
        signatures.verify(algorithm, key, certificate.signature, certificate.tbs, what=what)
    except SigError as error:
        message = f"{_called(certificate)} is not signed by the key of {_called(issuer)} that is in the files"
        raise Refused(f"{message}: {error.message}", hint) from error


# --- 3 4 5: what each may do -------------------------------------------------------------------------
def _check_names(certificate: Certificate) -> None:
    if certificate.extension(extensions.NAME_CONSTRAINTS) is not None:
        message = f"{_called(certificate)} has name constraints, which our client refuses and others may not read"
        hint = "certificates for signers name e-mail addresses and URIs: ask for a path without nameConstraints"
        raise Refused(message, hint)
    try:
        named = x509.common_name(certificate.subject) or x509.organization(certificate.subject)
    except Malformed as error:
        hint = "ask for names in UTF8String or PrintableString (RFC 5280 section 4.1.2.4)"
        raise Refused(f"{_called(certificate)} has a subject that cannot be read: {error.message}", hint) from error
    if not named:
        hint = "ask for a common name, as the request has it"
        raise Refused(f"{_called(certificate)} has neither a common name nor an organization", hint)


def _check_authority(issuer: Certificate, ask: str) -> None:
    constraints = extensions.parse_basic_constraints(issuer)
    if constraints is None or not constraints.ca:
        raise Refused(f"{_called(issuer)} is no CA (basicConstraints), and has to issue certificates", ask)
    if not constraints.critical:
        raise Refused(f"{_called(issuer)} has basicConstraints that are not critical", ask)
    usages = extensions.parse_key_usage(issuer)
    if usages is not None and "keyCertSign" not in usages:
        raise Refused(f"{_called(issuer)} may not sign certificates: its keyUsage is {', '.join(sorted(usages))}", ask)


def _check_issuer(issuer: Certificate, purpose: str, level: int) -> None:
    """``level``: how many CAs stand below it."""
    _check_authority(
        issuer, "ask for a path of CAs whose basicConstraints are critical and whose keyUsage is keyCertSign"
    )
    _check_purpose(issuer, purpose)
    constraints = extensions.parse_basic_constraints(issuer)
    allowed = None if constraints is None else constraints.path_length
    if allowed is not None and allowed < level:
        message = (
            f"{_called(issuer)} allows {allowed} CAs below it (pathLenConstraint), with this one there are {level}"
        )
        raise Refused(message, "ask to be issued by a CA that may have CAs below it")


def _check_purpose(issuer: Certificate, purpose: str) -> None:
    found = extensions.parse_extended_key_usage(issuer)
    if found is not None and not {purpose, extensions.ANY_EXTENDED_KEY_USAGE} & set(found):
        message = (
            f"{_called(issuer)} may issue for {_listed(found)} only (extendedKeyUsage), needed is {_NAMES[purpose]}"
        )
        hint = f"purposes are checked on every level: ask for a CA without extendedKeyUsage, or with {_NAMES[purpose]}"
        raise Refused(message, hint)


def _check_issuing(own: Certificate) -> None:
    """An issuing CA, with a keyUsage: OpenSSL asks for it."""
    ask = "ask for the template of a subordinate CA: basicConstraints critical, CA:TRUE, pathlen:0; keyUsage keyCertSign, cRLSign"
    _check_authority(own, ask)
    if extensions.parse_key_usage(own) is None:
        raise Refused(f"{_called(own)} has no keyUsage", ask)
    _check_purpose(own, x509.EKU_CODE_SIGNING)


def _check_signer(own: Certificate) -> None:
    """RFC 3161 section 2.3."""
    constraints = extensions.parse_basic_constraints(own)
    if constraints is not None and constraints.ca:
        hint = "ask for a certificate of an end entity, as the request has it"
        raise Refused(f"{_called(own)} is a CA, expected the signer of timestamps", hint)
    usages = extensions.parse_key_usage(own) or frozenset()
    if "digitalSignature" not in usages or "keyCertSign" in usages:
        found = ", ".join(sorted(usages)) or "absent"
        raise Refused(f"{_called(own)} is not for signatures: its keyUsage is {found}", "ask for digitalSignature")
    found_purposes = extensions.parse_extended_key_usage(own) or ()
    if found_purposes != (x509.EKU_TIME_STAMPING,):
        message = f"{_called(own)} is for {_listed(found_purposes) or 'no purpose'} (extendedKeyUsage), needed is timeStamping alone"
        raise Refused(
            message, "ask for extendedKeyUsage = critical, timeStamping and nothing else (RFC 3161 section 2.3)"
        )
    usage = own.extension(extensions.EXTENDED_KEY_USAGE)
    if usage is None or not usage.critical:
        hint = "ask for extendedKeyUsage = critical, timeStamping (RFC 3161 section 2.3)"
        raise Refused(f"{_called(own)} has an extendedKeyUsage that is not critical", hint)


# --- 6: times ----------------------------------------------------------------------------------------
def _check_times(path: Sequence[Certificate], now: datetime) -> datetime:
    """The first end of all."""
    for certificate in path:
        if now < certificate.not_before:
            start = encode_time(certificate.not_before)
            hint = "compare the clocks, or accept it then"
            raise Refused(f"{_called(certificate)} is valid from {start}, the clock says {encode_time(now)}", hint)
        if now > certificate.not_after:
            end = encode_time(certificate.not_after)
            raise Refused(f"{_called(certificate)} expired at {end}", "ask for one that is valid")
    own, until = path[0], min(certificate.not_after for certificate in path)
    if until - now < LEAST:
        first = next(certificate for certificate in path if certificate.not_after == until)
        message = f"{_called(first)} ends {encode_time(until)}, in {(until - now) // timedelta(hours=1)} hours"
        raise Refused(message, f"at least {LEAST.days} days are needed: ask for years")
    if own.not_after > until:
        message = (
            f"{_called(own)} ends {encode_time(own.not_after)}, after a CA above it, which ends {encode_time(until)}"
        )
        raise Refused(message, "what it issues then is refused: ask for one that ends before its issuers do")
    return until


# --- 8: the readers ----------------------------------------------------------------------------------
def _ask_readers(path: Sequence[Certificate], purpose: str, now: datetime) -> None:
    hint = "ask for a certificate without it"
    try:
        for certificate, issuer in zip(path, (*path[1:], path[-1]), strict=True):
            chain.verify_signed_by(certificate, issuer)
            other_reader.load_der_x509_certificate(certificate.der).extensions  # noqa: B018 - reads them
            chain.check_extensions(certificate)
        if not purpose:
            chain.verify_chain(path[0], path[1:-1], path[-1:], at=now, eku=x509.EKU_TIME_STAMPING)
    except SigError as error:
        raise type(error)(error.message, error.hint or hint) from error
    except ValueError as error:
        raise Malformed(f"cryptography, which sigstore-python reads by, refuses the chain: {error}", hint) from error


def _notes(path: Sequence[Certificate], given: Sequence[Certificate], until: datetime, now: datetime) -> list[str]:
    notes = []
    if until - now < SHORT:
        notes.append(f"it is good for {(until - now).days} days only, until {encode_time(until)}: ask for years")
    if stray := [one for one in given if one not in path]:
        notes.append(f"not needed, and left out: {', '.join(map(_called, stray))}")
    return notes


# --- words -------------------------------------------------------------------------------------------
def _listed(purposes: Sequence[str]) -> str:
    return ", ".join(_NAMES.get(one, one) for one in purposes)


def _called(certificate: Certificate) -> str:
    return f"the certificate {_text(certificate.subject)}"


def _text(name: bytes) -> str:
    """The name as a person reads it, quoted where it is odd."""
    try:
        found = x509.common_name(name) or x509.organization(name)
    except Malformed:
        found = ""
    return shown(found) if found else "without a name"
