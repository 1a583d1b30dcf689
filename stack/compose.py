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
from cryptography.hazmat.primitives.asymmetric import ec, rsa

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
from sigcore import device_key, keys
from sigcore.floor import Floor
from sigcore.note import note_key
from sigcore.values import dataclass
from sigcore.x509 import Certificate, parse_certificate
from stack import health, metrics
from stack.bootstrap import Chained, Material, PublicMaterial, load_ca, load_oidc_key, load_tsa
from stack.config import Home, Settings
from stack.console_rules import ConsoleRules
from stack.edge import Edge, make_edge_app
from stack.elsewhere import Elsewhere
from stack.figures import Figures
from stack.generations import Generations, load_generations
from stack.issuers import FEDERATED
from stack.last_time import make_timekeeper
from stack.live_issuers import LiveIssuers
from stack.oidc_keys import OwnKeys, following, load_ring, seal_of
from stack.room import watch_room
from stack.service import During, Service, working
from stack.succession import succeeding
from stack.trust import serving
from stack.upkeep import published
from stack.web import front
from stack.web.console.around import Around
from stack.web.console.routes import Console
from stack.web.console.shelf import NAMES, Shelf
from tlog.anchor import Anchor, MemoryAnchor
from tlog.certificate_log import CertificateFront
from tlog.ct import CertificateLogService
from tlog.log import Log
from tlog.rekor_v2 import RekorV2
from tlog.signature_log import FrontV1, RekorV1
from tlog.storage.base import LogStore
from tlog.storage.memory import MemoryStore
from tlog.storage.search_index import MemoryIndex, SearchIndex, SqliteIndex
from tlog.submission import Intake
from tsa.authority import Office, TimestampAuthority

if TYPE_CHECKING:  # all of aiohttp, for an authority that stands alone
    from stack.remote_log import RemoteLog
    from stack.watch.watcher import Watcher
    from tlog.published import Published

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
        watcher: that one of them which follows watch rules.
    """

    routes: Sequence[web.RouteDef]
    checks: Mapping[str, health.Check] = MappingProxyType({})
    logs: Mapping[str, Log] = MappingProxyType({})
    services: Sequence[Service] = ()
    watcher: Watcher | None = None


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
    console: ConsoleRules | None = None,
) -> AsyncIterator[tuple[web.Application, Figures]]:
    """Every role on one origin, and the figures about it; the logs are open inside the ``async with``.

    ``issuers`` are others whose tokens count.
    """
    provider = make_provider(home, settings, oidc_key, clock)
    rules, console = logins or LoginRules(), console or ConsoleRules()
    registered = console.registered(settings)
    directory = replace(_directory(home, rules, elsewhere or Elsewhere(), provider), registered=registered)
    own = own_issuer(provider)
    ct = _ct(home, settings, material.ct_key, material.ca_chain[-1], clock)
    table = issuers.table(own, _persona_rows(own) if control_api else ())
    authority = _authority((material.ca_key, material.ca_chain), table, ct, material.ct_key.public_key())
    kept = (_ct_part(home, ct, clock), log_part(home, settings, (material.rekor_key, material.rekor_v1_key), clock))
    logs = {name: log for part in kept for name, log in part.logs.items()}
    asked: dict[str, health.Check] = {}
    watcher = console.watcher(home, settings, logs, clock)
    login = (console.login, registered, rules, directory.accounts) if console.login and registered else None
    around = Around(control_api, clock, asked, provider.keys, watcher, login)
    if not settings.ephemeral:
        watch_room(home.path, logs)
    parts = (
        _oidc_part(home, settings, provider, directory),
        _ca_part(home, authority, clock),
        *kept,
        tsa_part(home, settings, (material.tsa_key, material.tsa_chain), clock),
        trust_part(home, settings, logs),
        console_part(home, settings, shelves_of(logs, material.public), around),
        *([_control_part(provider, directory)] if control_api else []),
    )
    asked |= {name: check for part in parts for name, check in (*part.checks.items(), *checks.items())}
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
    watcher = next((part.watcher for part in parts if part.watcher), None)
    figures = Figures(home, edge.traffic, logs, clock, watcher=watcher)
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
    home: Home, ca_: Chained, issuers: LiveIssuers, own: Issuer, log: RemoteLog, log_key: keys.PublicKey, clock: Clock
) -> Part:
    """``ca``, whose log and provider are elsewhere."""
    authority = _authority(ca_, issuers.table(own), log, log_key, patience_s=REMOTE_PATIENCE_S)
    part = _ca_part(home, authority, clock)
    services = (During(log.open), During(partial(working, issuers.watch)), *part.services)
    return replace(part, checks={**part.checks, "ct": log.check}, services=services)


def _ca_part(home: Home, authority: Authority, clock: Clock) -> Part:
    def adopt(rotated: Generations) -> None:
        if "ca" in rotated:
            key, chain = load_ca(home)
            authority.succeed(key, tuple(certificate.der for certificate in chain))

    def check(now: datetime) -> None:
        device_key.check(authority.key)
        health.ca_check(tuple(map(parse_certificate, authority.chain)))(now)

    follows = During(partial(succeeding, home, adopt, clock))
    return Part(ca.http.make_routes(authority, clock), {"ca": check}, services=(follows,))


def ct_part(home: Home, settings: Settings, key: ec.EllipticCurvePrivateKey, root: Certificate, clock: Clock) -> Part:
    """``ct``, which takes what chains to ``root``."""
    return _ct_part(home, _ct(home, settings, key, root, clock), clock)


@asynccontextmanager
async def compose_front(
    home: Home,
    settings: Settings,
    material: Material,
    issuers: LiveIssuers,
    clock: Clock,
    *,
    logs: Mapping[str, Intake],
    floor: Floor,
    elsewhere: Sequence[web.RouteDef],
    control_api: bool,
    edge: Edge,
) -> AsyncIterator[tuple[web.Application, Figures]]:
    """What a worker answers itself: certificates, timestamps and entries, which go to ``logs``; the rest is ``elsewhere``.

    ``floor`` is the last time of a timestamp.
    """
    provider = make_provider(home, settings, load_oidc_key(home), clock)
    own = own_issuer(provider)
    table = issuers.table(own, _persona_rows(own) if control_api else ())
    ct = CertificateFront(logs["ct"], key=material.ct_key, roots=(material.ca_chain[-1].der,))
    rekor_id = note_key(settings.host_of("log"), material.rekor_key.public_key()).id
    rekor = tlog.rekor_v2.Front(logs["rekor"], rekor_id, dsse=settings.rekor_v2_dsse)
    rekor_v1 = FrontV1(logs["rekor-v1"], material.rekor_v1_key)
    parts = (
        _ca_part(
            home, _authority((material.ca_key, material.ca_chain), table, ct, material.ct_key.public_key()), clock
        ),
        tsa_part(home, settings, (material.tsa_key, material.tsa_chain), clock, floor),
        Part((*tlog.rekor_v2.make_front_routes(rekor), *tlog.rekor_v1.make_front_routes(rekor_v1))),
        Part(elsewhere),
    )
    follows = (During(partial(following, home, settings, provider.keys, clock)), _accepting(home, ct, clock))
    app = make_edge_app(edge)
    for part in parts:
        app.add_routes(part.routes)
    async with AsyncExitStack() as opened:
        for service in (*follows, *(service for part in parts for service in part.services)):
            await service.start()
            opened.push_async_callback(service.stop)
        yield app, Figures(home, edge.traffic, {}, clock)


def _ct_part(home: Home, ct: CertificateLogService, clock: Clock) -> Part:
    follows = _accepting(home, ct, clock)
    return Part(tlog.ct.make_routes(ct), {"ct": health.log_check(ct.log)}, {"ct": ct.log}, (ct, follows))


def _accepting(home: Home, ct: CertificateFront, clock: Clock) -> Service:
    """``ct`` takes certificates of every authority that the stack has had, and of the next one as soon as it is there."""

    def adopt(rotated: Generations) -> None:
        for one in rotated.get("ca", ()):
            ct.accept(one.public[-1])

    adopt(load_generations(home))
    return During(partial(succeeding, home, adopt, clock, wait=False))


def log_part(
    home: Home, settings: Settings, secrets: tuple[keys.PrivateKey, ec.EllipticCurvePrivateKey], clock: Clock
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


def tsa_part(home: Home, settings: Settings, tsa_: Chained, clock: Clock, floor: Floor | None = None) -> Part:
    """``tsa``; ``floor`` is the last time of a timestamp, where several processes make them."""
    office = Office(_timestamps(home, settings, tsa_, clock, floor))

    def adopt(rotated: Generations) -> None:
        if "tsa" in rotated:
            timekeeper = office.authority.timekeeper
            office.authority = TimestampAuthority.of(*load_tsa(home), now=clock(), timekeeper=timekeeper)

    def check(now: datetime) -> None:
        health.tsa_check(office.authority)(now)

    follows = During(partial(succeeding, home, adopt, clock))
    return Part(tsa.http.make_routes(office, clock), {"tsa": check}, services=(follows,))


def trust_part(home: Home, settings: Settings, logs: Mapping[str, Log]) -> Part:
    """``trust``: the TUF repository and the front page, which shows ``logs``."""
    routes = (*serving.make_routes(home.tuf_repository), *front.make_routes(home, settings, logs))
    return Part(routes, {"trust": health.trust_check(home)})


def served_trust_part(home: Home, settings: Settings) -> Part:
    """``trust`` alone, with the publisher of its repository and without a log to show."""
    part = trust_part(home, settings, {})
    return replace(part, services=(During(partial(published, home)),))


def console_part(home: Home, settings: Settings, shelves: Mapping[str, Shelf], around: Around) -> Part:
    """The console, beside the logs that it shows."""
    console = Console(home, settings, shelves, around)
    services: tuple[Service, ...] = (*([around.watcher] if around.watcher else []), console)
    return Part(console.make_routes(), services=services, watcher=around.watcher)


def _control_part(provider: Provider, directory: Directory) -> Part:
    # Deferred: few stacks have it.
    from stack import control  # noqa: PLC0415 - see the line above

    return Part(control.make_routes(provider, directory))


def _persona_rows(own: Issuer) -> tuple[Issuer, ...]:
    from stack.personas import issuer_rows  # noqa: PLC0415 - as the control API, which they belong to

    return issuer_rows(own)


def shelves_of(logs: Mapping[str, Published], material: PublicMaterial) -> dict[str, Shelf]:
    """The logs as the console shows them."""
    public = {"ct": material.ct_key, "rekor": material.rekor_key, "rekor-v1": material.rekor_v1_key}
    return {name: Shelf(name, NAMES[name], log, keys.encode_public_key(public[name])) for name, log in logs.items()}


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


def _timestamps(
    home: Home, settings: Settings, secret: Chained, clock: Clock, floor: Floor | None
) -> TimestampAuthority:
    path, durable = home.path / "anchor" / "tsa.time", not settings.ephemeral
    return TimestampAuthority.of(*secret, now=clock(), timekeeper=make_timekeeper(path, durable=durable, floor=floor))


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


def _rekor(home: Home, settings: Settings, key: keys.PrivateKey, clock: Clock) -> RekorV2:
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
    # Deferred: what lasts does not matter to what ends with its process.
    from tlog.anchor_file import FileAnchor  # noqa: PLC0415 - see the line above

    anchor = FileAnchor(home.path / "anchor" / f"{role}.checkpoint")
    if settings.database:
        from stack.database import shared_store  # noqa: PLC0415 - its driver is an extra

        return shared_store(home, settings, role), anchor
    from tlog.storage.sqlite import SqliteStore  # noqa: PLC0415 - as the anchor

    return SqliteStore(home.path / role / "log.db"), anchor


def _index(home: Home, settings: Settings, role: str) -> SearchIndex:
    """Where a log's search index is kept; it can be made anew, so nothing remembers it."""
    return MemoryIndex() if settings.ephemeral else SqliteIndex(home.path / role / "search.db")
