# SPDX-License-Identifier: Apache-2.0
"""The only place where services are made: read it as the architecture.

token -> ca -> ct           certificate with its SCT
signature -> tsa            when
certificate + signature -> rekor        where everybody can see it: v2, or v1 for clients that ask for it
tuf                         whose keys count
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

import ca.http
import oidc_dev.http
import tlog.ct
import tlog.rekor_v1
import tlog.rekor_v2
import tsa.http
from ca.authority import Authority
from ca.issuers import OWN, Issuer, IssuerTable
from oidc_dev.machines import SqliteMachines
from oidc_dev.parts import Directory
from oidc_dev.provider import Provider
from oidc_dev.rules import LoginRules
from oidc_dev.store import SqliteAccounts
from sigcore import keys
from stack import control, health, metrics
from stack.bootstrap import Material
from stack.config import Home, Settings
from stack.edge import Edge, make_edge_app
from stack.elsewhere import Elsewhere
from stack.figures import Figures
from stack.issuers import FEDERATED
from stack.last_time import make_timekeeper
from stack.live_issuers import LiveIssuers
from stack.oidc_keys import OwnKeys, following, load_ring, seal_of
from stack.personas import issuer_rows
from stack.trust import serving
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

Clock = Callable[[], datetime]


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
    provider = Provider(settings.issuer, load_ring(home, oidc_key), clock, untrusted=settings.ephemeral)
    directory = _directory(home, logins or LoginRules(), elsewhere or Elsewhere(), provider)
    ct = _ct(home, settings, material, clock)
    rekor = _rekor(home, settings, material, clock)
    rekor_v1 = _rekor_v1(home, settings, material, clock)
    own = own_issuer(provider)
    authority = _authority(material, issuers.table(own, issuer_rows(own) if control_api else ()), ct)
    timestamps = _timestamps(home, settings, material, clock)
    logs = {"ct": ct.log, "rekor": rekor.log, "rekor-v1": rekor_v1.log}
    figures = Figures(home, edge.traffic, logs, clock)
    app = make_edge_app(edge)
    app.add_routes(oidc_dev.http.make_routes(provider, directory))
    app.add_routes(ca.http.make_routes(authority, clock))
    app.add_routes(tlog.ct.make_routes(ct))
    app.add_routes(tlog.rekor_v2.make_routes(rekor))
    app.add_routes(tlog.rekor_v1.make_routes(rekor_v1))
    app.add_routes(tsa.http.make_routes(timestamps, clock))
    app.add_routes(serving.make_routes(home.tuf_repository))
    answering = health.make_checks(home, provider, material.ca_chain, logs, timestamps)
    app.add_routes(health.make_routes({**answering, **checks}, clock))
    app.add_routes(metrics.make_routes(figures))
    app.add_routes(front.make_routes(home, settings, logs))
    console = Console(home, settings, _shelves(logs, material), control=control_api)
    app.add_routes(console.make_routes())
    if control_api:
        app.add_routes(control.make_routes(provider, directory))
    async with AsyncExitStack() as opened:
        for log in (ct, rekor, rekor_v1):
            await log.start()
            opened.push_async_callback(log.stop)
        await console.start()
        opened.push_async_callback(console.stop)
        await opened.enter_async_context(following(home, settings, provider.keys, clock))
        yield app, figures


def _shelves(logs: Mapping[str, Log], material: Material) -> dict[str, Shelf]:
    """The logs as the console shows them."""
    public: dict[str, keys.PublicKey] = {
        "ct": material.ct_key.public_key(),
        "rekor": material.rekor_key.public_key(),
        "rekor-v1": material.rekor_v1_key.public_key(),
    }
    return {
        name: Shelf(name, front.NAMES[name], log, keys.encode_public_key(public[name])) for name, log in logs.items()
    }


def own_issuer(provider: Provider) -> Issuer:
    """The stack's own provider as a row of the CA's table, with the keys that it has at each moment: nothing is fetched."""
    return Issuer(provider.issuer, OwnKeys(provider), kind=OWN, issuer_claim=FEDERATED)


def _directory(home: Home, logins: LoginRules, elsewhere: Elsewhere, provider: Provider) -> Directory:
    return Directory(
        SqliteAccounts(home.accounts),
        SqliteMachines(home.accounts),
        elsewhere.broker,
        elsewhere.federation(provider.issuer),
        rules=logins,
        seal=lambda: seal_of(home),
    )


def _authority(material: Material, issuers: IssuerTable, log: CertificateLogService) -> Authority:
    return Authority(
        key=material.ca_key,
        chain=tuple(certificate.der for certificate in material.ca_chain),
        issuers=issuers,
        log=log,
        log_key=material.ct_key.public_key(),
    )


def _timestamps(home: Home, settings: Settings, material: Material, clock: Clock) -> TimestampAuthority:
    return TimestampAuthority.of(
        material.tsa_key,
        material.tsa_chain,
        now=clock(),
        timekeeper=make_timekeeper(home.path / "anchor" / "tsa.time", durable=not settings.ephemeral),
    )


# --- the logs: one engine, a tree and a key each -------------------------------------------------------------
def _ct(home: Home, settings: Settings, material: Material, clock: Clock) -> CertificateLogService:
    return CertificateLogService(
        *_kept(home, settings, "ct"),
        origin=f"{settings.host}/ct",
        key=material.ct_key,
        roots=(material.ca_chain[-1].der,),
        clock=clock,
    )


def _rekor(home: Home, settings: Settings, material: Material, clock: Clock) -> RekorV2:
    return RekorV2(
        *_kept(home, settings, "rekor"),
        origin=settings.host,
        key=material.rekor_key,
        clock=clock,
        dsse=settings.rekor_v2_dsse,
    )


def _rekor_v1(home: Home, settings: Settings, material: Material, clock: Clock) -> RekorV1:
    return RekorV1(
        *_kept(home, settings, "rekor-v1"),
        _index(home, settings, "rekor-v1"),
        host=settings.host,
        key=material.rekor_v1_key,
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
