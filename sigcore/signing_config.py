# SPDX-License-Identifier: Apache-2.0
"""Whom a client asks: SigningConfig and ClientTrustConfig, and how services are chosen from them.

The same strictness as in :mod:`sigcore.trustroot`. A list of logs or timestamp authorities without its selector is refused,
and never written: sigstore-go dereferences the missing message.

Source: sigstore protobuf-specs ``sigstore_trustroot.proto``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Final

from sigcore import limits
from sigcore.errors import Malformed, Refused
from sigcore.strict import JSON, Fields, encode_time, shown
from sigcore.trustroot import (
    TrustedRoot,
    Validity,
    check_media_type,
    dump,
    read_trusted_root,
    read_validity,
    trusted_root_json,
    validity_json,
)
from sigcore.values import dataclass

SIGNING_CONFIG: Final = "application/vnd.dev.sigstore.signingconfig.v0.2+json"
TRUST_CONFIG: Final = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"


# --- values ----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Service:
    """A service that signing may ask."""

    url: str
    api_version: int
    validity: Validity
    operator: str = ""


class SelectorKind(Enum):
    """``ServiceSelector``; the value is the protobuf number."""

    ALL = 1
    ANY = 2
    EXACT = 3


@dataclass(frozen=True, slots=True)
class Selector:
    """How many of the listed services are asked; ``count`` only means something with EXACT."""

    kind: SelectorKind = SelectorKind.ANY
    count: int = 0


@dataclass(frozen=True, slots=True)
class SigningConfig:
    """The services that signing uses, version 0.2."""

    ca: tuple[Service, ...] = ()
    oidc: tuple[Service, ...] = ()
    rekor: tuple[Service, ...] = ()
    tsa: tuple[Service, ...] = ()
    rekor_selector: Selector = Selector()
    tsa_selector: Selector = Selector()


# --- parse -----------------------------------------------------------------------------------------
def parse_signing_config(data: bytes) -> SigningConfig:
    """A ``SigningConfig`` in proto-JSON, version 0.2.

    Raises:
        Malformed: not that, with the path of the member at fault.
    """
    return _signing_config(Fields.parse(data, what="the signing config", limit=limits.TRUSTED_ROOT, proto=True))


def parse_trust_config(data: bytes) -> tuple[TrustedRoot, SigningConfig]:
    """A ``ClientTrustConfig`` in proto-JSON: both of the above in one file (sigstore-python's ``--trust-config``).

    Raises:
        Malformed: not that, with the path of the member at fault.
    """
    fields = Fields.parse(data, what="the trust config", limit=limits.TRUSTED_ROOT, proto=True)
    fields.only("mediaType", "trustedRoot", "signingConfig")
    check_media_type(fields, TRUST_CONFIG)
    return read_trusted_root(fields.object("trustedRoot")), _signing_config(fields.object("signingConfig"))


def _signing_config(fields: Fields) -> SigningConfig:
    fields.only("mediaType", "caUrls", "oidcUrls", "rekorTlogUrls", "rekorTlogConfig", "tsaUrls", "tsaConfig")
    check_media_type(fields, SIGNING_CONFIG)
    ca, oidc, rekor, tsa = (
        tuple(map(_service, fields.objects(name, limit=limits.TRUST_INSTANCES)))
        for name in ("caUrls", "oidcUrls", "rekorTlogUrls", "tsaUrls")
    )
    return SigningConfig(
        ca=ca,
        oidc=oidc,
        rekor=rekor,
        tsa=tsa,
        rekor_selector=_selector(fields, "rekorTlogConfig", needed=bool(rekor)),
        tsa_selector=_selector(fields, "tsaConfig", needed=bool(tsa)),
    )


def _service(fields: Fields) -> Service:
    fields.only("url", "majorApiVersion", "validFor", "operator")
    version = fields.integer("majorApiVersion")
    if not 1 <= version < 2**31:
        raise Malformed(f"{fields.path}.majorApiVersion is {version}, expected 1 or more")
    url = fields.text("url")
    if not url.startswith(("https://", "http://")):
        raise Malformed(f"{fields.path}.url is {shown(url)}, expected an http or https URL")
    return Service(url, version, read_validity(fields.object("validFor")), fields.optional_text("operator"))


def _selector(fields: Fields, name: str, *, needed: bool) -> Selector:
    if not needed and name not in fields:
        return Selector()
    config = fields.object(name)
    config.only("selector", "count")
    kind = config.text("selector")
    if kind not in SelectorKind.__members__:
        raise Malformed(f"{config.path}.selector is {shown(kind)}, expected ALL, ANY or EXACT")
    count = config.integer("count") if "count" in config else 0
    if (kind == "EXACT" and not 1 <= count <= limits.TRUST_INSTANCES) or (kind != "EXACT" and count):
        raise Malformed(f"{config.path}.count is {count}, which does not go with the selector {kind}")
    return Selector(SelectorKind[kind], count)


# --- encode ----------------------------------------------------------------------------------------
def encode_signing_config(config: SigningConfig) -> bytes:
    """The TUF target ``signing_config.v0.2.json``."""
    return dump(_signing_config_json(config))


def encode_trust_config(root: TrustedRoot, config: SigningConfig) -> bytes:
    """Both in one ``ClientTrustConfig``."""
    return dump(
        {
            "mediaType": TRUST_CONFIG,
            "trustedRoot": trusted_root_json(root),
            "signingConfig": _signing_config_json(config),
        }
    )


def _signing_config_json(config: SigningConfig) -> dict[str, JSON]:
    return {
        "mediaType": SIGNING_CONFIG,
        "caUrls": [_service_json(service) for service in config.ca],
        "oidcUrls": [_service_json(service) for service in config.oidc],
        "rekorTlogUrls": [_service_json(service) for service in config.rekor],
        "rekorTlogConfig": _selector_json(config.rekor_selector),
        "tsaUrls": [_service_json(service) for service in config.tsa],
        "tsaConfig": _selector_json(config.tsa_selector),
    }


def _service_json(service: Service) -> dict[str, JSON]:
    return {
        "url": service.url,
        "majorApiVersion": service.api_version,
        "validFor": validity_json(service.validity),
        "operator": service.operator,
    }


def _selector_json(selector: Selector) -> dict[str, JSON]:
    return {"selector": selector.kind.name} | ({"count": selector.count} if selector.count else {})


# --- select ----------------------------------------------------------------------------------------
def select_services(
    services: Sequence[Service], selector: Selector, *, supported: Sequence[int], now: datetime, what: str = "services"
) -> tuple[Service, ...]:
    """The services to ask, newest first; ``what`` names them in the refusal.

    1. Keep the services that are valid at ``now`` and whose version is in ``supported``.
    2. Of these, keep the highest version only: a client never falls back to an older API.
    3. Sort by start, newest first; keep one service per operator.
    4. ALL: every one. EXACT: the first ``count``. ANY: the first (sigstore-go takes a random one; we want repeatable runs).

    Raises:
        Refused: none is left, or fewer than EXACT asks for.
    """
    usable = [s for s in services if s.api_version in supported and s.validity.covers(now)]
    highest = max((s.api_version for s in usable), default=0)
    newest = sorted((s for s in usable if s.api_version == highest), key=lambda s: s.validity.start, reverse=True)
    per_operator: dict[str, Service] = {}
    for service in newest:
        per_operator.setdefault(service.operator, service)
    chosen = tuple(per_operator.values())
    wanted = {SelectorKind.ALL: len(chosen) or 1, SelectorKind.ANY: 1, SelectorKind.EXACT: selector.count}[
        selector.kind
    ]
    if len(chosen) < wanted:
        raise Refused(
            f"{len(chosen)} of {len(services)} listed {what} can be used at {encode_time(now)}, {wanted} needed",
            f"the signing config must list one per operator, valid now, API version {' or '.join(map(str, supported))}",
        )
    return chosen[:wanted]
