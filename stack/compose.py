# SPDX-License-Identifier: Apache-2.0
"""The only place where services are made: read it as the architecture.

token -> ca -> ct           certificate with its SCT
signature -> tsa            when
certificate + signature -> rekor        where everybody can see it: v2, or v1 for clients that ask for it
tuf                         whose keys count
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

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
from sigcore.errors import Refused
from sigcore.floor import Floor
from sigcore.note import note_key
from sigcore.x509 import Certificate, parse_certificate
from stack import health
from stack.bootstrap import Chained, Material, load_ca, load_oidc_key, load_tsa
from stack.config import Home, Settings
from stack.console_rules import ConsoleRules
from stack.control_part import control_part, control_table, make_orders, open_to_all
from stack.edge import Edge
from stack.elsewhere import Elsewhere
from stack.figures import Figures
from stack.generations import Generations, folder_of, load_generations, number_of
from stack.indexed_trees import IndexedTrees
from stack.issuers import FEDERATED
from stack.kept_logs import accept_all, accepted, make_ct, make_rekor, make_rekor_v1, make_writers
from stack.last_time import make_timekeeper, ticks_of
from stack.live_issuers import LiveIssuers
from stack.oidc_keys import OwnKeys, following, load_ring, seal_of
from stack.part import Part, assembled, assembled_front, take_in
from stack.room import watch_room
from stack.service import During, Service, working
from stack.shards import Shard, shards_of
from stack.succession import AHEAD, succeeding, succeeding_in
from stack.term import Term
from stack.trees import Trees
from stack.trust import serving
from stack.upkeep import published
from stack.web import front
from stack.web.console.around import Around
from stack.web.console.routes import Console
from stack.web.console.shelf import Shelf, shelf_of, shelves_of
from stack.witnessing import asking, given_part
from tlog.certificate_log import CertificateFront
from tlog.ct import CertificateLogService
from tlog.log import Log
from tlog.signature_log import FrontV1
from tlog.submission import Intake
from tsa.authority import Office, TimestampAuthority

if TYPE_CHECKING:  # all of aiohttp, for an authority that stands alone
    from stack.remote_log import RemoteLog
    from tlog.published import Published

Clock = Callable[[], datetime]
REMOTE_PATIENCE_S: Final = 4.5
"""For a log elsewhere, with all tries: sigstore-js waits 5 s for a certificate."""


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
    workers: bool = False,
    renew: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[tuple[web.Application, Figures]]:
    """Every role on one origin, and the figures about it; the logs are open inside the ``async with``.

    ``issuers`` are others whose tokens count; ``workers`` says that other processes answer most of what is asked; ``renew`` makes
    all of it anew.
    """
    provider = make_provider(home, settings, oidc_key, clock)
    rules, console = logins or LoginRules(), console or ConsoleRules()
    registered = console.registered(settings)
    directory = replace(_directory(home, rules, elsewhere or Elsewhere(), provider), registered=registered)
    directory = open_to_all(directory) if control_api else directory
    own = own_issuer(provider)
    ct = make_ct(home, settings, material.ct_key, material.ca_chain, clock)
    table = control_table(home, settings, issuers, own, clock) if control_api else issuers.table(own)
    chained = (material.ca_key, material.ca_chain)
    authority = _authority(settings, chained, table, ct.newest, material.ct_key.public_key())
    kept = (_ct_part(home, ct, clock), log_part(home, settings, (material.rekor_key, material.rekor_v1_key), clock))
    logs = {name: log for part in kept for name, log in part.logs.items()}
    asked: dict[str, health.Check] = {}
    watcher = console.watcher(home, settings, logs, clock)
    login = (console.login, registered, rules, directory.accounts) if console.login and registered else None
    around = Around(control_api, clock, asked, provider.keys, watcher, login)
    shown = console_part(home, settings, shelves_of(logs, material.public, load_generations(home)), around)
    for part in kept:
        take_in(part.trees, logs, shown.arrived)
    if not settings.ephemeral:
        watch_room(home.path, logs, [trees for part in kept for trees in part.trees])
    orders = make_orders(home, logs, lambda: ct.newest, clock, renew, workers=workers) if control_api else None
    parts = (
        _oidc_part(home, settings, provider, directory),
        _ca_part(home, authority, clock, lambda number, _key: ct.tree(number)),
        *kept,
        tsa_part(home, settings, (material.tsa_key, material.tsa_chain), clock),
        trust_part(home, settings, logs),
        shown,
        *([control_part(home, settings, provider, directory, orders)] if orders is not None else []),
    )
    asked |= {name: check for part in parts for name, check in (*part.checks.items(), *checks.items())}
    async with assembled(parts, home, edge, clock, checks) as made:
        if orders is not None:
            made[0].middlewares.extend(orders.middlewares)
        yield made


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
    home: Home,
    settings: Settings,
    ca_: Chained,
    issuers: LiveIssuers,
    own: Issuer,
    log: RemoteLog,
    log_key: keys.PublicKey,
    clock: Clock,
) -> Part:
    """``ca``, whose log and provider are elsewhere."""
    authority = _authority(settings, ca_, issuers.table(own), log, log_key, patience_s=REMOTE_PATIENCE_S)
    part = _ca_part(home, authority, clock, log.tree)
    services = (During(log.open), During(partial(working, issuers.watch)), *part.services)
    return replace(part, checks={**part.checks, "ct": log.check}, services=services)


def _ca_part(
    home: Home, authority: Authority, clock: Clock, log_of: Callable[[int, keys.PublicKey], CertificateLog]
) -> Part:
    """``log_of`` gives the tree of certificates with this number and key."""
    term = Term("ca", clock, authority.lifetime)

    def adopt(known: Generations) -> None:
        number = number_of(known, "ca")
        if number > 1 and known["ca"][-1].public != authority.chain:
            term.end(known["ca"][-2].validity.end)
            key, chain = load_ca(home, folder_of(home, "ca", number))
            authority.succeed(key, tuple(certificate.der for certificate in chain))
            term.renew()

    def log_to(known: Generations) -> None:
        number = number_of(known, "ct")
        if number > 1:
            log_key = keys.parse_public_key(known["ct"][-1].public[0])
            authority.log_to(log_of(number, log_key), log_key)

    def check(now: datetime) -> None:
        term()
        device_key.check(authority.key)
        health.ca_check(tuple(map(parse_certificate, authority.chain)))(now)

    follows = (
        During(partial(succeeding_in, home, "ca", adopt, clock, ahead=AHEAD)),
        During(partial(succeeding_in, home, "ct", log_to, clock, ahead=AHEAD)),
    )
    return Part(ca.http.make_routes(authority, term), {"ca": check}, services=follows)


def ct_part(
    home: Home, settings: Settings, key: ec.EllipticCurvePrivateKey, chain: Sequence[Certificate], clock: Clock
) -> Part:
    """``ct``, which takes what the authority with this ``chain`` has issued."""
    return _ct_part(home, make_ct(home, settings, key, chain, clock), clock)


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
    table = control_table(home, settings, issuers, own, clock) if control_api else issuers.table(own)
    roots, taken = accepted(settings, material.ca_chain)
    ct = CertificateFront(logs["ct"], key=material.ct_key, roots=roots, issuers=taken)
    follows = (During(partial(following, home, settings, provider.keys, clock)), _accepting(home, {1: ct}, clock))
    parts = (
        _ca_part(
            home,
            _authority(settings, (material.ca_key, material.ca_chain), table, ct, material.ct_key.public_key()),
            clock,
            lambda _number, _key: ct,  # a log is not rotated under workers
        ),
        tsa_part(home, settings, (material.tsa_key, material.tsa_chain), clock, floor),
        log_front_part(home, settings, (material.rekor_key, material.rekor_v1_key), logs),
        Part(elsewhere),
    )
    async with assembled_front((Part((), services=follows), *parts), home, edge, clock) as made:
        yield made


def _ct_part(home: Home, ct: Trees[CertificateLogService], clock: Clock) -> Part:
    return _trees_part(ct, _accepting(home, ct.served, clock))


def _trees_part(trees: Trees[Any] | IndexedTrees, *others: Service) -> Part:
    logs = trees.logs
    checks = {name: health.log_check(log) for name, log in logs.items()}
    return Part(trees.make_routes(), checks, logs, (trees,), (trees, *others))


def _accepting(home: Home, fronts: Mapping[int, CertificateFront], clock: Clock) -> Service:
    """``fronts`` take certificates of every authority that the stack has had, and of the next one as soon as it is there."""

    def adopt(rotated: Generations) -> None:
        for one in tuple(fronts.values()):
            accept_all(one, rotated)

    adopt(load_generations(home))
    return During(partial(succeeding, home, adopt, clock, wait=False))


def log_part(
    home: Home, settings: Settings, secrets: tuple[keys.PrivateKey, ec.EllipticCurvePrivateKey], clock: Clock
) -> Part:
    """``log``: Rekor v2 and v1, with the keys in ``secrets``."""
    asked, given = asking(settings), given_part(home, settings, clock)
    v2 = _trees_part(make_rekor(home, settings, secrets[0], clock, asked))
    v1 = _trees_part(make_rekor_v1(home, settings, secrets[1], clock))
    return Part(
        (*v2.routes, *v1.routes, *given.routes),
        {**v2.checks, **v1.checks},
        {**v2.logs, **v1.logs},
        (*v2.trees, *v1.trees),
        (*([asked] if asked else []), *v2.services, *v1.services, *given.services),
    )


def log_front_part(
    home: Home,
    settings: Settings,
    secrets: tuple[keys.PrivateKey, ec.EllipticCurvePrivateKey],
    logs: Mapping[str, Intake],
) -> Part:
    """What a worker answers of ``log``: entries, which go to ``logs``.

    Of a v1 log that was rotated none: the index that is promised counts all trees, which the sequencer's process has.
    """
    rotated = load_generations(home)
    newest = shards_of(rotated, "rekor")[-1]
    rekor_id = note_key(newest.origin(settings), secrets[0].public_key()).id
    kinds, writers = settings.entry_types, make_writers(home, settings)
    v2 = tlog.rekor_v2.Front(logs["rekor"], rekor_id, dsse=settings.rekor_v2_dsse, kinds=kinds, writers=writers)
    routes = tlog.rekor_v2.make_front_routes(v2, newest.prefix)
    if "rekor-v1" not in rotated:
        routes += tlog.rekor_v1.make_front_routes(FrontV1(logs["rekor-v1"], secrets[1], kinds, writers))
    return Part(routes)


def ct_front_part(
    home: Home,
    settings: Settings,
    key: ec.EllipticCurvePrivateKey,
    chain: Sequence[Certificate],
    clock: Clock,
    logs: Mapping[str, Intake],
) -> Part:
    """What a worker answers of ``ct``: chains, which go to ``logs``."""
    roots, issuers = accepted(settings, chain)
    front = CertificateFront(logs["ct"], key=key, roots=roots, issuers=issuers)
    newest = shards_of(load_generations(home), "ct")[-1]
    routes = tlog.ct.make_front_routes(front, newest.prefix)
    return Part(routes, services=(_accepting(home, {1: front}, clock),))


def tsa_part(home: Home, settings: Settings, tsa_: Chained, clock: Clock, floor: Floor | None = None) -> Part:
    """``tsa``; ``floor`` is the last time of a timestamp, where several processes make them."""
    office = Office(_timestamps(home, settings, tsa_, clock, floor))
    if settings.require_synchronised_clock:
        # Deferred: most stacks do without.
        from stack.kernel_clock import check_synchronised  # noqa: PLC0415 - see the line above

        office.check_clock = check_synchronised

    term = Term("tsa", clock)

    def adopt(known: Generations) -> None:
        number = number_of(known, "tsa")
        if number > 1 and known["tsa"][-1].public != tuple(one.der for one in office.authority.chain):
            term.end(known["tsa"][-2].validity.end)
            timekeeper, keyed = office.authority.timekeeper, load_tsa(home, folder_of(home, "tsa", number))
            office.authority = TimestampAuthority.of(*keyed, now=clock(), timekeeper=timekeeper)
            term.renew()

    def check(now: datetime) -> None:
        term()
        office.check_clock()
        health.tsa_check(office.authority)(now)

    follows = During(partial(succeeding_in, home, "tsa", adopt, clock, ahead=AHEAD))
    return Part(tsa.http.make_routes(office, term), {"tsa": check}, services=(follows,))


def trust_part(home: Home, settings: Settings, logs: Mapping[str, Log]) -> Part:
    """``trust``: the TUF repository and the front page, which shows ``logs``."""
    routes = (*serving.make_routes(home), *front.make_routes(home, settings, logs))
    return Part(routes, {"trust": health.trust_check(home)})


def served_trust_part(home: Home, settings: Settings) -> Part:
    """``trust`` alone, with the publisher of its repository and without a log to show."""
    part = trust_part(home, settings, {})
    return replace(part, services=(During(partial(published, home)),))


def console_part(home: Home, settings: Settings, shelves: Mapping[str, Shelf], around: Around) -> Part:
    """The console, beside the logs that it shows."""
    shelves = dict(shelves)
    console = Console(home, settings, shelves, around)

    def arrived(shard: Shard, log: Published) -> None:
        shelves[shard.name] = shelf_of(shard, log, load_generations(home))
        console.renew()
        if around.watcher is not None:
            around.watcher.follow(shard.name, log)

    services: tuple[Service, ...] = (*([around.watcher] if around.watcher else []), console)
    return Part(console.make_routes(), services=services, watcher=around.watcher, arrived=arrived)


# --- who answers for whom ------------------------------------------------------------------------------------
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
    settings: Settings,
    secret: Chained,
    issuers: IssuerTable,
    log: CertificateLog,
    log_key: keys.PublicKey,
    *,
    patience_s: float = 10,
) -> Authority:
    key, chain = secret
    return Authority(
        key=key,
        chain=tuple(certificate.der for certificate in chain),
        issuers=issuers,
        log=log,
        log_key=log_key,
        patience_s=patience_s,
        lifetime=timedelta(seconds=settings.certificate_lifetime_s),
    )


def _timestamps(
    home: Home, settings: Settings, secret: Chained, clock: Clock, floor: Floor | None
) -> TimestampAuthority:
    path, now = home.path / "anchor" / "tsa.time", clock()
    durable, accepted = not settings.ephemeral, settings.accept_clock
    keeper = make_timekeeper(path, now, durable=durable, floor=floor, accepted=accepted, ticks=ticks_of(clock))
    try:
        return TimestampAuthority.of(*secret, now=now, timekeeper=keeper)
    except Refused as error:
        error.hint = error.hint or "is the clock right? then make its successor: sigbox trust rotate tsa"
        raise
