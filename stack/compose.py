# SPDX-License-Identifier: Apache-2.0
"""The only place where services are made: read it as the architecture.

token -> ca -> ct           certificate with its SCT
signature -> tsa            when
certificate + signature -> rekor        where everybody can see it: v2, or v1 for clients that ask for it
tuf                         whose keys count
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

import ca.http
import oidc_dev.http
import tlog.ct
import tlog.rekor_v1
import tlog.rekor_v2
import tsa.http
from ca.authority import Authority
from ca.issuers import OWN, Issuer, IssuerTable
from ca.ports import CertificateLog, KeySet
from oidc_dev.machines import SqliteMachines
from oidc_dev.parts import Directory
from oidc_dev.provider import Provider
from oidc_dev.rules import LoginRules
from oidc_dev.store import SqliteAccounts
from sigcore import keys
from sigcore.values import dataclass
from sigcore.x509 import Certificate, parse_certificate
from stack import control, health, metrics
from stack.bootstrap import Chained, Material, PublicMaterial
from stack.config import Home, Settings
from stack.edge import Edge, make_edge_app
from stack.elsewhere import Elsewhere
from stack.figures import Figures
from stack.issuers import FEDERATED
from stack.last_time import make_timekeeper
from stack.live_issuers import LiveIssuers
from stack.oidc_keys import OwnKeys, following, load_ring, seal_of
from stack.personas import issuer_rows
from stack.room import watch_room
from stack.service import During, Service, working
from stack.trust import serving
from stack.upkeep import published
from stack.web import front
from stack.web.console.routes import Console
from stack.web.console.shelf import Shelf
from tlog.anchor import Anchor, MemoryAnchor
from tlog.anchor_file import FileAnchor
from tlog.ct import CertificateLogService
from tlog.log import Log
from tlog.rekor_v2 import RekorV2
from tlog.signature_log import RekorV1
from tlog.storage.base import LogStore
from tlog.storage.memory import MemoryStore
from tlog.storage.search_index import MemoryIndex, SearchIndex, SqliteIndex
from tlog.storage.sqlite import SqliteStore
from tsa.authority import TimestampAuthority

if TYPE_CHECKING:  # all of aiohttp, for an authority that stands alone
    from stack.remote_log import RemoteLog

Clock = Callable[[], datetime]
REMOTE_PATIENCE_S: Final = 4.5
"""For a log elsewhere, with all tries: sigstore-js waits 5 s for a certificate."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a role adds to a process.

    Attributes:
        routes: where it answers.
        checks: what readiness asks, by name.
        logs: those that it keeps, by the folder that holds them.
        services: started in this order, stopped in the other.
    """

    routes: Sequence[web.RouteDef]
    checks: Mapping[str, health.Check] = MappingProxyType({})
    logs: Mapping[str, Log] = MappingProxyType({})
    services: Sequence[Service] = ()


@asynccontextmanager
async def compose(
    home: Home,
    settings: Settings,
    material: Material,
    oidc_key: rsa.RSAPrivateKey,
    issuers: LiveIssuers,
    clock: Clock,
    *,
    control_api: bool,
    edge: Edge,
    checks: Mapping[str, health.Check],
    logins: LoginRules | None = None,
    elsewhere: Elsewhere | None = None,
) -> AsyncIterator[tuple[web.Application, Figures]]:
    """Every role on one origin, and the figures about it; the logs are open inside the ``async with``.

    ``issuers`` are others whose tokens count.
    """
    provider = make_provider(home, settings, oidc_key, clock)
    directory = _directory(home, logins or LoginRules(), elsewhere or Elsewhere(), provider)
    own = own_issuer(provider)
    ct = _ct(home, settings, material.ct_key, material.ca_chain[-1], clock)
    table = issuers.table(own, issuer_rows(own) if control_api else ())
    authority = _authority((material.ca_key, material.ca_chain), table, ct, material.ct_key.public_key())
    kept = (_ct_part(ct), log_part(home, settings, (material.rekor_key, material.rekor_v1_key), clock))
    logs = {name: log for part in kept for name, log in part.logs.items()}
    if not settings.ephemeral:
        watch_room(home.path, logs)
    parts = (
        _oidc_part(home, settings, provider, directory),
        _ca_part(authority, clock),
        *kept,
        tsa_part(home, settings, (material.tsa_key, material.tsa_chain), clock),
        trust_part(home, settings, logs),
        console_part(home, settings, _shelves(logs, material.public), control=control_api),
        *([Part(control.make_routes(provider, directory))] if control_api else []),
    )
    async with assembled(parts, home, edge, clock, checks) as made:
        yield made


@asynccontextmanager
async def assembled(
    parts: Sequence[Part], home: Home, edge: Edge, clock: Clock, checks: Mapping[str, health.Check]
) -> AsyncIterator[tuple[web.Application, Figures]]:
    """One application of ``parts``, with health and figures; what they keep is open inside the ``async with``."""
    answering: dict[str, health.Check] = {}
    logs: dict[str, Log] = {}
    app = make_edge_app(edge)
    for part in parts:
        app.add_routes(part.routes)
        answering |= part.checks
        logs |= part.logs
    figures = Figures(home, edge.traffic, logs, clock)
    app.add_routes(health.make_routes({**answering, **checks}, clock))
    app.add_routes(metrics.make_routes(figures))
    async with AsyncExitStack() as opened:
        for service in (service for part in parts for service in part.services):
            await service.start()
            opened.push_async_callback(service.stop)
        yield app, figures


# --- a part for each role: of `sigbox up` all of them, of `sigbox serve` one --------------------------------
def make_provider(home: Home, settings: Settings, key: rsa.RSAPrivateKey, clock: Clock) -> Provider:
    """The OpenID provider, with ``key`` to sign."""
    return Provider(settings.issuer, load_ring(home, key), clock, untrusted=settings.ephemeral)


def oidc_part(home: Home, settings: Settings, provider: Provider, logins: LoginRules, elsewhere: Elsewhere) -> Part:
    """``oidc``."""
    return _oidc_part(home, settings, provider, _directory(home, logins, elsewhere, provider))


def _oidc_part(home: Home, settings: Settings, provider: Provider, directory: Directory) -> Part:
    age = timedelta(seconds=directory.rules.key_s)
    follows = During(partial(following, home, settings, provider.keys, provider.clock, age))
    routes = oidc_dev.http.make_routes(provider, directory)
    return Part(routes, {"oidc": health.oidc_check(provider)}, services=(follows,))


def ca_part(
    ca_: Chained, issuers: LiveIssuers, own: Issuer, log: RemoteLog, log_key: keys.PublicKey, clock: Clock
) -> Part:
    """``ca``, whose log and provider are elsewhere."""
    part = _ca_part(_authority(ca_, issuers.table(own), log, log_key, patience_s=REMOTE_PATIENCE_S), clock)
    services = (During(log.open), During(partial(working, issuers.watch)))
    return replace(part, checks={**part.checks, "ct": log.check}, services=services)


def _ca_part(authority: Authority, clock: Clock) -> Part:
    chain = tuple(map(parse_certificate, authority.chain))
    return Part(ca.http.make_routes(authority, clock), {"ca": health.ca_check(chain)})


def ct_part(home: Home, settings: Settings, key: ec.EllipticCurvePrivateKey, root: Certificate, clock: Clock) -> Part:
    """``ct``, which takes what chains to ``root``."""
    return _ct_part(_ct(home, settings, key, root, clock))


def _ct_part(ct: CertificateLogService) -> Part:
    return Part(tlog.ct.make_routes(ct), {"ct": health.log_check(ct.log)}, {"ct": ct.log}, (ct,))


def log_part(
    home: Home, settings: Settings, secrets: tuple[ed25519.Ed25519PrivateKey, ec.EllipticCurvePrivateKey], clock: Clock
) -> Part:
    """``log``: Rekor v2 and v1, with the keys in ``secrets``."""
    rekor, rekor_v1 = _rekor(home, settings, secrets[0], clock), _rekor_v1(home, settings, secrets[1], clock)
    logs = {"rekor": rekor.log, "rekor-v1": rekor_v1.log}
    return Part(
        (*tlog.rekor_v2.make_routes(rekor), *tlog.rekor_v1.make_routes(rekor_v1)),
        {name: health.log_check(log) for name, log in logs.items()},
        logs,
        (rekor, rekor_v1),
    )


def tsa_part(home: Home, settings: Settings, tsa_: Chained, clock: Clock) -> Part:
    """``tsa``."""
    timestamps = _timestamps(home, settings, tsa_, clock)
    return Part(tsa.http.make_routes(timestamps, clock), {"tsa": health.tsa_check(timestamps)})


def trust_part(home: Home, settings: Settings, logs: Mapping[str, Log]) -> Part:
    """``trust``: the TUF repository and the front page, which shows ``logs``."""
    routes = (*serving.make_routes(home.tuf_repository), *front.make_routes(home, settings, logs))
    return Part(routes, {"trust": health.trust_check(home)})


def served_trust_part(home: Home, settings: Settings) -> Part:
    """``trust`` alone, with the publisher of its repository and without a log to show."""
    part = trust_part(home, settings, {})
    return replace(part, services=(During(partial(published, home)),))


def console_part(home: Home, settings: Settings, shelves: Mapping[str, Shelf], *, control: bool) -> Part:
    """The console, beside the logs that it shows."""
    console = Console(home, settings, shelves, control=control)
    return Part(console.make_routes(), services=(console,))


def _shelves(logs: Mapping[str, Log], material: PublicMaterial) -> dict[str, Shelf]:
    """The logs as the console shows them."""
    public = {"ct": material.ct_key, "rekor": material.rekor_key, "rekor-v1": material.rekor_v1_key}
    return {
        name: Shelf(name, front.NAMES[name], log, keys.encode_public_key(public[name])) for name, log in logs.items()
    }


def own_issuer(provider: Provider) -> Issuer:
    """The stack's own provider as a row of the CA's table, with the keys that it has at each moment: nothing is fetched."""
    return own_row(provider.issuer, OwnKeys(provider))


def own_row(issuer: str, key_set: KeySet) -> Issuer:
    """The row of the stack's own provider, wherever that runs."""
    return Issuer(issuer, key_set, kind=OWN, issuer_claim=FEDERATED)


def _directory(home: Home, logins: LoginRules, elsewhere: Elsewhere, provider: Provider) -> Directory:
    return Directory(
        SqliteAccounts(home.accounts),
        SqliteMachines(home.accounts),
        elsewhere.broker,
        elsewhere.federation(provider.issuer),
        rules=logins,
        seal=lambda: seal_of(home),
    )


def _authority(
    secret: Chained, issuers: IssuerTable, log: CertificateLog, log_key: keys.PublicKey, *, patience_s: float = 10
) -> Authority:
    key, chain = secret
    return Authority(
        key=key,
        chain=tuple(certificate.der for certificate in chain),
        issuers=issuers,
        log=log,
        log_key=log_key,
        patience_s=patience_s,
    )


def _timestamps(home: Home, settings: Settings, secret: Chained, clock: Clock) -> TimestampAuthority:
    return TimestampAuthority.of(
        *secret,
        now=clock(),
        timekeeper=make_timekeeper(home.path / "anchor" / "tsa.time", durable=not settings.ephemeral),
    )


# --- the logs: one engine, a tree and a key each -------------------------------------------------------------
def _ct(
    home: Home, settings: Settings, key: ec.EllipticCurvePrivateKey, root: Certificate, clock: Clock
) -> CertificateLogService:
    return CertificateLogService(
        *_kept(home, settings, "ct"),
        origin=f"{settings.host_of('ct')}/ct",
        key=key,
        roots=(root.der,),
        clock=clock,
    )


def _rekor(home: Home, settings: Settings, key: ed25519.Ed25519PrivateKey, clock: Clock) -> RekorV2:
    return RekorV2(
        *_kept(home, settings, "rekor"),
        origin=settings.host_of("log"),
        key=key,
        clock=clock,
        dsse=settings.rekor_v2_dsse,
    )


def _rekor_v1(home: Home, settings: Settings, key: ec.EllipticCurvePrivateKey, clock: Clock) -> RekorV1:
    return RekorV1(
        *_kept(home, settings, "rekor-v1"),
        _index(home, settings, "rekor-v1"),
        host=settings.host_of("log"),
        key=key,
        clock=clock,
    )


def _kept(home: Home, settings: Settings, role: str) -> tuple[LogStore, Anchor]:
    """Where a log is kept, and where its last checkpoint is remembered."""
    if settings.ephemeral:
        return MemoryStore(), MemoryAnchor()
    return SqliteStore(home.path / role / "log.db"), FileAnchor(home.path / "anchor" / f"{role}.checkpoint")


def _index(home: Home, settings: Settings, role: str) -> SearchIndex:
    """Where a log's search index is kept; it can be made anew, so nothing remembers it."""
    return MemoryIndex() if settings.ephemeral else SqliteIndex(home.path / role / "search.db")
