# SPDX-License-Identifier: Apache-2.0
"""What a stack says of itself: its trusted root and its signing config, from its public material.

Source: sigstore protobuf-specs ``sigstore_trustroot.proto``.
"""

from __future__ import annotations

from collections.abc import Sequence

from sigcore import note, signing_config, trustroot, x509
from sigcore.algorithms import HashAlgorithm
from sigcore.keys import default_details, encode_public_key, key_id, parse_public_key
from stack.bootstrap import Material
from stack.config import Home, Settings
from stack.files import save_file

CA_API = 1
"""Fulcio's major version is 1 although its path says v2."""
OIDC_API = 1
REKOR_V1_API, REKOR_V2_API = 1, 2
TSA_API = 1


def timestamp_url(settings: Settings) -> str:
    """The whole URL: sigstore-go and sigstore-python post to exactly what is published."""
    return f"{settings.url}/api/v1/timestamp"


def trusted_root(material: Material, settings: Settings) -> trustroot.TrustedRoot:
    """Every key that counts, valid from the stack's creation on. The v1 log comes first: sigstore-python asks the first one."""
    rekor_key, rekor_v1_spki = material.rekor_key.public_key(), encode_public_key(material.rekor_v1_key.public_key())
    return trustroot.TrustedRoot(
        logs=(
            _log(settings, rekor_v1_spki, key_id(rekor_v1_spki)),
            _log(settings, encode_public_key(rekor_key), note.note_key(settings.host, rekor_key).id),
        ),
        ct_logs=(_log(settings, material.ct_spki, key_id(material.ct_spki)),),
        certificate_authorities=(_authority(settings, material.ca_chain, settings.url),),
        timestamp_authorities=(_authority(settings, material.tsa_chain, timestamp_url(settings)),),
    )


def _log(settings: Settings, spki: bytes, log_id: bytes) -> trustroot.LogInstance:
    return trustroot.LogInstance(
        base_url=settings.url,
        hash=HashAlgorithm.SHA2_256,
        key=spki,
        details=default_details(parse_public_key(spki)),
        validity=_since_creation(settings),
        log_id=log_id,
        operator=settings.organization,
    )


def _authority(settings: Settings, chain: Sequence[x509.Certificate], uri: str) -> trustroot.AuthorityInstance:
    root = chain[-1]
    return trustroot.AuthorityInstance(
        organization=x509.organization(root.subject),
        common_name=x509.common_name(root.subject),
        uri=uri,
        chain=tuple(certificate.der for certificate in chain),
        validity=_since_creation(settings),
        operator=settings.organization,
    )


def _since_creation(settings: Settings) -> trustroot.Validity:
    return trustroot.Validity(start=settings.created, end=None)


def services(settings: Settings) -> signing_config.SigningConfig:
    """Where to sign. One operator and ANY: every client picks the same service.

    Of the two logs that is v2: sigstore-go and sigstore-python take the highest version, sigstore-js the first of those that
    began last.
    """

    def service(url: str, version: int) -> tuple[signing_config.Service, ...]:
        return (signing_config.Service(url, version, _since_creation(settings), settings.organization),)

    one = signing_config.Selector(signing_config.SelectorKind.ANY)
    return signing_config.SigningConfig(
        ca=service(settings.url, CA_API),
        oidc=service(settings.issuer, OIDC_API),
        rekor=service(settings.url, REKOR_V2_API) + service(settings.url, REKOR_V1_API),
        tsa=service(timestamp_url(settings), TSA_API),
        rekor_selector=one,
        tsa_selector=one,
    )


def save_documents(home: Home, material: Material, settings: Settings) -> None:
    """Write the three trust documents to ``public/``."""
    root, config = trusted_root(material, settings), services(settings)
    for path, data in (
        (home.trusted_root, trustroot.encode_trusted_root(root)),
        (home.signing_config, signing_config.encode_signing_config(config)),
        (home.trust_config, signing_config.encode_trust_config(root, config)),
    ):
        save_file(path, data, durable=not settings.ephemeral)
