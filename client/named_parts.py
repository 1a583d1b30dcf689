# SPDX-License-Identifier: Apache-2.0
"""A trusted root made of the files that cosign's variables name: each says one part, and nothing else fills the gaps.

    SIGSTORE_ROOT_FILE              certificate authorities in PEM: roots and intermediates, in any order
    SIGSTORE_REKOR_PUBLIC_KEY       the key of a log of Rekor v1, PEM or DER; the log's name is not known with it
    SIGSTORE_CT_LOG_PUBLIC_KEY_FILE the key of a certificate log, PEM or DER
    SIGSTORE_TSA_CERTIFICATE_FILE   a timestamp authority in PEM: one leaf, intermediates, root

A part that is not named trusts nobody: what needs it is refused. Keys have no window here, certificates have their own.

Source: cosign ``pkg/cosign/env``, and where it reads them: ``fulcioroots``, ``tlog``, ``ctlog``, ``tsa``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from client.files import read_file
from client.root import read_trust_file
from client.verify.log import BY_KEY
from sigcore import chain, keys, limits, x509
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Malformed, SigError
from sigcore.trustroot import AuthorityInstance, LogInstance, TrustedRoot, Validity
from sigcore.x509 import Certificate

ROOTS: Final = "SIGSTORE_ROOT_FILE"
LOG: Final = BY_KEY.removeprefix("$")
CT_LOG: Final = "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE"
TSA: Final = "SIGSTORE_TSA_CERTIFICATE_FILE"
_ALWAYS: Final = Validity(datetime(1970, 1, 1, tzinfo=UTC))


def load_named_parts(environ: Mapping[str, str]) -> TrustedRoot:
    """The trusted root of the variables; a part whose variable is not set is empty.

    Raises:
        NotFound: no such file. Malformed: a file does not hold what it should.
    """
    roots, log, ct_log, tsa = (environ.get(name) for name in (ROOTS, LOG, CT_LOG, TSA))
    return TrustedRoot(
        logs=(_log(log, LOG),) if log else (),
        certificate_authorities=_certificate_authorities(roots) if roots else (),
        ct_logs=(_log(ct_log, CT_LOG),) if ct_log else (),
        timestamp_authorities=(_timestamp_authority(tsa),) if tsa else (),
    )


def _log(path: str, variable: str) -> LogInstance:
    what = f"the key of {variable}, {path}"
    data = read_file(path, what=what, limit=limits.PUBLIC_KEY)
    parse = keys.parse_public_key_pem if data.lstrip().startswith(b"-----") else keys.parse_public_key
    key = parse(data, what=what)
    spki = keys.encode_public_key(key)
    details = keys.default_details(key)
    return LogInstance(f"${variable}", HashAlgorithm.SHA2_256, spki, details, _ALWAYS, keys.key_id(spki))


def _certificates(path: str, variable: str) -> tuple[Certificate, ...]:
    what = f"the certificates of {variable}, {path}"
    return x509.parse_certificates_pem(read_trust_file(path, what), what=what)


def _certificate_authorities(path: str) -> tuple[AuthorityInstance, ...]:
    """Every certificate may have issued the signer's; each needs a way to a root of the same file."""
    certificates, made = _certificates(path, ROOTS), []
    for lowest in certificates:
        ways = list(_ways((lowest,), certificates))
        if not ways:
            raise _rootless(path, ROOTS, lowest)
        made += [_authority(way, ROOTS) for way in ways]
    return tuple(made)


def _timestamp_authority(path: str) -> AuthorityInstance:
    certificates = _certificates(path, TSA)
    issuers = {certificate.issuer for certificate in certificates}
    leaves = [certificate for certificate in certificates if certificate.subject not in issuers]
    if len(leaves) != 1:
        raise Malformed(
            f"{TSA}, {path}, has {len(leaves)} certificates that issued no other one, expected one leaf",
            "it is one authority: the certificate that signs timestamps, its intermediates, its root",
        )
    way = next(_ways((leaves[0],), certificates), None)
    if way is None:
        raise _rootless(path, TSA, leaves[0])
    return _authority(way, TSA)


def _ways(below: tuple[Certificate, ...], certificates: Sequence[Certificate]) -> Iterator[tuple[Certificate, ...]]:
    """From the last one up to a root, each certificate signed by the next. Several may have one name: keys rotate."""
    last = below[-1]
    if last.issuer == last.subject:
        yield below
        return
    for upper in certificates:
        if upper.subject == last.issuer and upper not in below and _is_signed(last, upper):
            yield from _ways((*below, upper), certificates)


def _is_signed(certificate: Certificate, issuer: Certificate) -> bool:
    try:
        chain.verify_signed_by(certificate, issuer)
    except SigError:
        return False
    return True


def _authority(way: tuple[Certificate, ...], variable: str) -> AuthorityInstance:
    root = way[-1].subject
    window = Validity(max(certificate.not_before for certificate in way))
    name, organization = x509.common_name(root), x509.organization(root)
    return AuthorityInstance(organization, name, f"${variable}", tuple(one.der for one in way), window)


def _rootless(path: str, variable: str, certificate: Certificate) -> Malformed:
    return Malformed(
        f"{variable}, {path}: no root in it has signed {x509.common_name(certificate.subject)!a}, be it over others",
        "put the whole chain into the file, up to the root",
    )
