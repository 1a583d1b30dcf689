# SPDX-License-Identifier: Apache-2.0
"""What a stack says of itself: its trusted root and its signing config, from its public material.

Source: sigstore protobuf-specs ``sigstore_trustroot.proto``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sigcore import note, signing_config, trustroot, x509
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Malformed, Refused, SigError
from sigcore.keys import (
    PublicKey,
    default_details,
    encode_public_key,
    encode_public_key_pem,
    key_id,
    parse_public_key,
    parse_public_key_pem,
)
from stack.announced import announced, opened
from stack.bootstrap import PublicMaterial
from stack.config import Home, Settings
from stack.files import load_file, make_folder, save_file
from stack.generations import Generation, Generations, load_generations, path_of
from stack.lock import alone
from stack.shards import Shard, shards_of
from stack.trust.targets import former_target

CA_API = 1
"""Fulcio's major version is 1 although its path says v2."""
OIDC_API = 1
REKOR_V1_API, REKOR_V2_API = 1, 2
TSA_API = 1
_FORMER: Final = ((slice(-1), "fulcio_intermediate_v1.crt.pem"), (slice(-1, None), "fulcio_v1.crt.pem"))
"""The part of the chain, and the target of which each generation has one."""


def timestamp_url(settings: Settings) -> str:
    """The whole URL: sigstore-go and sigstore-python post to exactly what is published."""
    return f"{settings.at('tsa')}/api/v1/timestamp"


def trusted_root(
    material: PublicMaterial, settings: Settings, rotated: Generations = MappingProxyType({})
) -> trustroot.TrustedRoot:
    """Every key that counts or did, each in its window: from the stack's creation on where nothing was ``rotated``.

    Those that sign come first, and the v1 log before v2: sigstore-python asks the first one.
    """
    return trustroot.TrustedRoot(
        logs=(
            *_trees(settings, "rekor-v1", rotated, material.rekor_v1_key),
            *_trees(settings, "rekor", rotated, material.rekor_key),
        ),
        ct_logs=_trees(settings, "ct", rotated, material.ct_key),
        certificate_authorities=authorities(material, settings, rotated),
        timestamp_authorities=_authorities(settings, rotated.get("tsa"), material.tsa_chain, timestamp_url(settings)),
    )


def authorities(
    material: PublicMaterial, settings: Settings, rotated: Generations
) -> tuple[trustroot.AuthorityInstance, ...]:
    """The stack's certificate authority in all of its generations, newest first."""
    return _authorities(settings, rotated.get("ca"), material.ca_chain, settings.at("ca"))


def _authorities(
    settings: Settings, rotated: Sequence[Generation] | None, chain: Sequence[x509.Certificate], uri: str
) -> tuple[trustroot.AuthorityInstance, ...]:
    """Newest first."""
    if rotated is None:
        return (_authority(settings, chain, uri, _since_creation(settings)),)
    return tuple(_authority(settings, chain_of(one), uri, one.validity) for one in reversed(rotated))


def chain_of(generation: Generation) -> tuple[x509.Certificate, ...]:
    """The certificates of an authority's generation."""
    return tuple(x509.parse_certificate(der, what="a certificate of a generation") for der in generation.public)


def _trees(settings: Settings, log: str, rotated: Generations, newest: PublicKey) -> tuple[trustroot.LogInstance, ...]:
    """Newest first."""
    first = Generation(_since_creation(settings), (encode_public_key(newest),))
    rows = []
    for shard, one in zip(shards_of(rotated, log), rotated.get(log, (first,)), strict=True):
        (spki,) = one.public
        # The id of a log of Rekor v2 covers its name, too.
        named = log == "rekor"
        log_id = note.note_key(shard.origin(settings), parse_public_key(spki)).id if named else key_id(spki)
        url = f"{settings.at('ct' if log == 'ct' else 'log')}{shard.prefix}"
        rows.append(_log(settings, url, spki, log_id, one.validity))
    return tuple(reversed(rows))


def _log(
    settings: Settings, url: str, spki: bytes, log_id: bytes, validity: trustroot.Validity
) -> trustroot.LogInstance:
    return trustroot.LogInstance(
        base_url=url,
        hash=HashAlgorithm.SHA2_256,
        key=spki,
        details=default_details(parse_public_key(spki)),
        validity=validity,
        log_id=log_id,
        operator=settings.organization,
    )


def _authority(
    settings: Settings, chain: Sequence[x509.Certificate], uri: str, validity: trustroot.Validity
) -> trustroot.AuthorityInstance:
    root = chain[-1]
    return trustroot.AuthorityInstance(
        organization=x509.organization(root.subject),
        common_name=x509.common_name(root.subject),
        uri=uri,
        chain=tuple(certificate.der for certificate in chain),
        validity=validity,
        operator=settings.organization,
    )


def _since_creation(settings: Settings) -> trustroot.Validity:
    return trustroot.Validity(start=settings.created, end=None)


def services(
    settings: Settings,
    rekor: Sequence[int] = (REKOR_V2_API, REKOR_V1_API),
    rotated: Generations = MappingProxyType({}),
) -> signing_config.SigningConfig:
    """Where to sign; ``rekor`` are the API versions of the logs to list.

    One operator, ANY, one start for all: every client picks the same service. Of the two logs that is v2: sigstore-go and
    sigstore-python take the highest version that they know, sigstore-js the first of those that began last. A client that
    knows version 1 only drops the other and takes v1.

    Of the trees of v2 each has its window; where two of them hold, the one that began last counts, which for sigstore-python is
    the last one of the list.
    """

    def service(url: str, version: int, validity: trustroot.Validity | None = None) -> signing_config.Service:
        window = validity or _since_creation(settings)
        return signing_config.Service(url, version, window, settings.organization)

    def logs(version: int) -> Iterator[signing_config.Service]:
        windows = [one.validity for one in rotated.get("rekor", ())] if version == REKOR_V2_API else []
        for number, window in enumerate(windows or [None], 1):
            yield service(f"{settings.at('log')}{Shard('rekor', number).prefix}", version, window)

    one = signing_config.Selector(signing_config.SelectorKind.ANY)
    return signing_config.SigningConfig(
        ca=(service(settings.at("ca"), CA_API),),
        oidc=(service(settings.issuer, OIDC_API),),
        rekor=tuple(one for version in rekor for one in logs(version)),
        tsa=(service(timestamp_url(settings), TSA_API),),
        rekor_selector=one,
        tsa_selector=one,
    )


def public_keys(material: PublicMaterial, rotated: Generations = MappingProxyType({})) -> dict[str, bytes]:
    """Every public key and certificate as a PEM file, by name: the TUF targets of the first generation, and what a split stack's roles need.

    Of an authority for certificates also the chains before, each under its number, and all of them in ``fulcio_chain.pem``; of
    the certificate log and of Rekor v1 the keys before, likewise.
    """
    former = {number: chain_of(one) for number, one in enumerate(rotated.get("ca", ())[:-1], 1)}
    issuers, root = _pems(material.ca_chain[:-1]), _pem(material.ca_chain[-1])
    tsa_leaf, tsa_issuers, tsa_root = (
        _pem(material.tsa_chain[0]),
        _pems(material.tsa_chain[1:-1]),
        _pem(material.tsa_chain[-1]),
    )
    return {
        "fulcio_v1.crt.pem": root,
        "fulcio.crt.pem": root,
        "fulcio_intermediate_v1.crt.pem": issuers,
        "fulcio_chain.pem": b"".join((issuers, root, *map(_pems, former.values()))),
        "rekor.pub": encode_public_key_pem(material.rekor_v1_key).encode("ascii"),
        "rekor_v2.pub": encode_public_key_pem(material.rekor_key).encode("ascii"),
        "ctfe.pub": encode_public_key_pem(material.ct_key).encode("ascii"),
        "tsa_leaf.crt.pem": tsa_leaf,
        **({"tsa_intermediate_0.crt.pem": tsa_issuers} if tsa_issuers else {}),
        "tsa_root.crt.pem": tsa_root,
        "tsa_chain.pem": tsa_leaf + tsa_issuers + tsa_root,
        **{
            former_target(name, number): _pems(chain[part])
            for number, chain in former.items()
            for part, name in _FORMER
        },
        **{
            former_target(name, number): encode_public_key_pem(parse_public_key(one.public[0])).encode("ascii")
            for log, name in (("ct", "ctfe.pub"), ("rekor-v1", "rekor.pub"))
            for number, one in enumerate(rotated.get(log, ())[:-1], 1)
        },
    }


def load_public(home: Home, known: Generations | None = None) -> PublicMaterial:
    """What :func:`save_documents` has written to ``public/keys``: enough to write the documents anew. With the newest keys, or the last ``known`` ones.

    Raises:
        NotFound, Malformed: a file is missing or damaged.
    """

    def certificates(name: str) -> tuple[x509.Certificate, ...]:
        found = x509.parse_certificates_pem(_read(home, name).decode("latin-1"), what=name)
        if not _is_chain(found):
            message = f"{home.keys / name} holds {len(found)} certificates, which are not the chain of one generation"
            raise Malformed(message, f"{path_of(home)} may be lost: restore public/generations.json from a backup")
        return found

    def tree_key(log: str, name: str) -> PublicKey:
        return parse_public_key(rotated[log][-1].public[0]) if log in rotated else load_public_key(home, name)

    rotated = load_generations(home) if known is None else known
    return PublicMaterial(
        ca_chain=chain_of(rotated["ca"][-1]) if "ca" in rotated else certificates("fulcio_chain.pem"),
        tsa_chain=chain_of(rotated["tsa"][-1]) if "tsa" in rotated else certificates("tsa_chain.pem"),
        ct_key=tree_key("ct", "ctfe.pub"),
        rekor_key=tree_key("rekor", "rekor_v2.pub"),
        rekor_v1_key=tree_key("rekor-v1", "rekor.pub"),
    )


def _as_of(material: PublicMaterial, rotated: Generations) -> PublicMaterial:
    """``material`` with the last key of each role in ``rotated``."""

    def chain(role: str, newest: tuple[x509.Certificate, ...]) -> tuple[x509.Certificate, ...]:
        return chain_of(rotated[role][-1]) if role in rotated else newest

    def key(log: str, newest: PublicKey) -> PublicKey:
        return parse_public_key(rotated[log][-1].public[0]) if log in rotated else newest

    return PublicMaterial(
        ca_chain=chain("ca", material.ca_chain),
        tsa_chain=chain("tsa", material.tsa_chain),
        ct_key=key("ct", material.ct_key),
        rekor_key=key("rekor", material.rekor_key),
        rekor_v1_key=key("rekor-v1", material.rekor_v1_key),
    )


def _is_chain(found: Sequence[x509.Certificate]) -> bool:
    """That each names the next as its issuer, and the last one, alone, itself."""
    linked = all(below.issuer == above.subject for below, above in pairwise(found))
    return linked and len(found) > 1 and [one.issuer == one.subject for one in found].index(True) == len(found) - 1


def load_public_key(home: Home, name: str) -> PublicKey:
    """The key in the file ``name`` of ``public/keys``. Errors: as :func:`load_public`."""
    return parse_public_key_pem(_read(home, name))


def _read(home: Home, name: str) -> bytes:
    return load_file(home.keys / name, what="the public file")


def _pem(certificate: x509.Certificate) -> bytes:
    return x509.encode_certificate_pem(certificate.der).encode("ascii")


def _pems(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(map(_pem, certificates))


@contextmanager
def unrotated(home: Home, settings: Settings) -> Iterator[None]:
    """Nobody rotates a key of the stack, or writes its documents, for the length of a block; the next one waits.

    Who reads keys and writes documents of them does both in it: documents of the keys from before a rotation, written after it, would
    take the new ones out of the trust root.
    """
    make_folder(home.public, 0o755, durable=not settings.ephemeral)
    with alone(home.public):
        yield


def encode_documents(
    home: Home, material: PublicMaterial, settings: Settings, *, publishing: bool = False
) -> dict[Path, bytes]:
    """The trust documents of ``public/`` and the keys of ``public/keys/``, by the files that they belong into.

    Where a rotation is not published, they let clients trust the next key already, say of none that it ends, and send nobody to what
    others cannot know. With ``publishing`` they are what it is about to be.
    """
    every = load_generations(home)
    rotated = every if publishing else announced(home, every)
    trusted = opened(every, rotated)
    root, config = trusted_root(material, settings, trusted), services(settings, rotated=rotated)
    pems = public_keys(_as_of(material, rotated), rotated)
    if rotated != every:
        name = "fulcio_chain.pem"  # the one file that has room for all
        pems[name] = public_keys(material, every)[name]
    return {
        home.trusted_root: trustroot.encode_trusted_root(root),
        home.signing_config: signing_config.encode_signing_config(config),
        home.signing_config_v1: signing_config.encode_signing_config(services(settings, (REKOR_V1_API,))),
        home.signing_config_v2: signing_config.encode_signing_config(services(settings, (REKOR_V2_API,), rotated)),
        home.trust_config: signing_config.encode_trust_config(root, config),
        **{home.keys / name: pem for name, pem in pems.items()},
    }


def save_documents(home: Home, material: PublicMaterial, settings: Settings) -> None:
    """Write what :func:`encode_documents` makes; what is there already is left alone.

    The caller has loaded ``material`` within :func:`unrotated`, and is there still.

    Raises:
        Refused: a key that is published would be no longer.
    """
    make_folder(home.keys, 0o755, durable=not settings.ephemeral)
    documents = encode_documents(home, material, settings)
    _check_nothing_lost(home, documents[home.trusted_root])
    for path, data in documents.items():
        if not path.exists() or path.read_bytes() != data:
            save_file(path, data, durable=not settings.ephemeral)


def _check_nothing_lost(home: Home, root: bytes) -> None:
    """That each key of the trusted root that is there is in the next one, too: none is ever taken out."""
    if not home.trusted_root.exists() or (before := home.trusted_root.read_bytes()) == root:
        return
    try:
        published = trustroot.parse_trusted_root(before)
    except SigError:
        return  # damaged: it is written anew
    if lost := _keys_of(published) - _keys_of(trustroot.parse_trusted_root(root)):
        names = ", ".join(sorted(hashlib.sha256(key).hexdigest()[:16] for key in lost))
        raise Refused(
            f"{home.trusted_root} publishes keys that are neither in {home.path} nor in {path_of(home)}: SHA-256 {names}",
            "restore public/generations.json and the keys from one backup; what they signed would no longer be trusted",
        )


def _keys_of(root: trustroot.TrustedRoot) -> set[bytes]:
    authorities = (*root.certificate_authorities, *root.timestamp_authorities)
    return {log.key for log in (*root.logs, *root.ct_logs)} | {one.chain[0] for one in authorities}
