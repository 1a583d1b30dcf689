# SPDX-License-Identifier: Apache-2.0
"""Faults of the certificate authority. Every certificate here is signed, and unless its SCT is the fault it is in the log, too.

So what is wrong is in the public log, as it would be if the authority really were misused: a monitor can be tested with it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final, TypeAlias

import orjson

from sigcore import certify, der, extensions, keys, precertificate, sct
from sigcore.general_name import Email
from sigcore.keys import PrivateKey
from sigcore.sct import SignedCertificateTimestamp
from sigcore.x509 import (
    EKU_CODE_SIGNING,
    Certificate,
    Extension,
    common_name,
    encode_certificate_pem,
    organization,
    parse_certificate,
    parse_certificates_pem,
)
from stack.bootstrap import load_ca
from stack.faults.answers import altered, changing, document_of
from stack.faults.fault import Lie
from stack.faults.means import Means
from stack.faults.parameters import Parameters

CERTIFICATES: Final = re.compile(r"/api/v[12]/signingCert\Z")
_EXTENSIONS: Final = der.context(3)
_VALIDITY: Final = 4
"""Its place among the fields of a TBSCertificate (RFC 5280 section 4.1)."""
Chain: TypeAlias = tuple[Certificate, ...]


# --- pure: certificates and their parts -----------------------------------------------------------------------
def of_another_time(tbs: bytes, certificate: Certificate, apart: timedelta) -> bytes:
    """The signed part of ``certificate``, valid as long, ``apart`` later."""
    fields = der.members(tbs)
    moments = (certificate.not_before + apart, certificate.not_after + apart)
    fields[_VALIDITY] = der.sequence(*map(der.time, moments))
    return der.sequence(*fields)


def of_another_name(tbs: bytes, identity: str) -> bytes:
    """The signed part, for the mailbox ``identity``."""
    return _with(tbs, extensions.subject_alternative_name(Email(identity)))


def _with(tbs: bytes, extension: Extension) -> bytes:
    """The signed part with ``extension`` in the place of that of its kind."""
    *fields, wrapped = der.members(tbs)
    (listed,) = der.members(wrapped, _EXTENSIONS)
    kind, other = der.oid(extension.oid), certify.encode_extension(extension)
    items = [other if der.members(one)[0] == kind else one for one in der.members(listed)]
    return der.sequence(*fields, der.tlv(_EXTENSIONS, der.sequence(*items)))


def with_stamp(tbs: bytes, stamp: SignedCertificateTimestamp, key: PrivateKey) -> Certificate:
    """The final certificate: ``tbs``, which has no SCT list, with one of ``stamp``, signed by ``key``."""
    listed = certify.encode_extension(extensions.sct_list(sct.encode_sct_list((stamp,))))
    return parse_certificate(certify.sign_tbs(precertificate.with_sct_list(tbs, listed), key))


def with_wrong_stamp(certificate: Certificate, key: PrivateKey) -> Certificate:
    """The SCT in it does not verify; the authority has signed it with ``key`` all the same."""
    (stamp, *_) = sct.embedded_scts(certificate)
    wrong = replace(stamp, signature=altered(stamp.signature))
    return with_stamp(precertificate.precert_tbs(certificate), wrong, key)


def of_a_stranger(chain: Chain) -> Chain:
    """An authority that has the same names but other keys has issued the leaf, whose signed part stays as it is.

    It claims the key identifier of the real one, so that the chain holds in itself and nothing but the keys tells them apart.
    """
    leaf, issuer, *_ = chain
    root_key, key = keys.generate_p256(), keys.generate_p256()
    root = parse_certificate(certify.make_root(root_key, _subject(chain[-1])))
    spki = keys.encode_public_key(key.public_key())
    made = certify.make_intermediate(root, root_key, spki, _subject(issuer), eku=EKU_CODE_SIGNING)
    claimed = issuer.extension(extensions.SUBJECT_KEY_ID)
    tbs = parse_certificate(made).tbs
    stranger = certify.sign_tbs(tbs if claimed is None else _with(tbs, claimed), root_key)
    return (parse_certificate(certify.sign_tbs(leaf.tbs, key)), parse_certificate(stranger), root)


def _subject(certificate: Certificate) -> certify.Subject:
    name = certificate.subject
    return certify.Subject(common_name(name), organization(name), certificate.not_before, certificate.not_after)


# --- pure: bytes of an answer in, bytes of an answer out ----------------------------------------------------
def chain_of(answer: bytes) -> Chain:
    """The chain in an answer of either API: JSON with PEM blocks in it, or these alone."""
    if answer.startswith(b"{"):
        listed = document_of(answer)["signedCertificateEmbeddedSct"]["chain"]["certificates"]
        return parse_certificates_pem("\n".join(listed))
    return parse_certificates_pem(answer)


def encode_chain(answer: bytes, chain: Chain) -> bytes:
    """``answer`` with another chain, in its own form."""
    blocks = [encode_certificate_pem(certificate.der).rstrip("\n") for certificate in chain]
    if answer.startswith(b"{"):
        return orjson.dumps({"signedCertificateEmbeddedSct": {"chain": {"certificates": blocks}}})
    return "\n".join(blocks).encode("ascii")


# --- what the table names -------------------------------------------------------------------------------------
def stamp(means: Means, _parameters: Parameters) -> Lie:
    """See :func:`with_wrong_stamp`."""

    async def change(chain: Chain) -> Chain:
        return (with_wrong_stamp(chain[0], load_ca(means.home)[0]), *chain[1:])

    return _issuing(change)


def validity(means: Means, parameters: Parameters) -> Lie:
    """A certificate that was good ``hours_ago``."""
    ago = -timedelta(hours=parameters.hours_ago)
    return _logged(means, lambda leaf: of_another_time(precertificate.precert_tbs(leaf), leaf, ago))


def identity(means: Means, parameters: Parameters) -> Lie:
    """A certificate for somebody else."""
    return _logged(means, lambda leaf: of_another_name(precertificate.precert_tbs(leaf), parameters.identity))


def chain(_means: Means, _parameters: Parameters) -> Lie:
    """See :func:`of_a_stranger`."""

    async def change(found: Chain) -> Chain:
        return of_a_stranger(found)

    return _issuing(change)


def _logged(means: Means, draft: Callable[[Certificate], bytes]) -> Lie:
    """The leaf is another one, which went the whole way: precertificate, log, certificate."""

    async def change(found: Chain) -> Chain:
        key, issuers = load_ca(means.home)
        tbs = draft(found[0])
        precert = certify.sign_tbs(
            precertificate.with_sct_list(tbs, certify.encode_extension(extensions.poison())), key
        )
        given = await means.ct().add_pre_chain((precert, *(issuer.der for issuer in issuers)))
        return (with_stamp(tbs, given, key), *found[1:])

    return _issuing(change)


def _issuing(change: Callable[[Chain], Awaitable[Chain]]) -> Lie:
    async def changed(answer: bytes) -> bytes:
        return encode_chain(answer, await change(chain_of(answer)))

    return changing(CERTIFICATES, changed)
