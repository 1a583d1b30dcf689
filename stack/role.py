# SPDX-License-Identifier: Apache-2.0
"""One role as a process of its own: what it was asked for, and its part of the stack from its own folder and ``public/``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import ec

from sigcore import keys, trustroot
from sigcore.errors import Refused
from sigcore.x509 import parse_certificate
from stack import bootstrap, compose
from stack.announced import announced, pending
from stack.config import Home, Settings
from stack.config_file import ISSUERS_ONLY
from stack.console_rules import load_console_rules
from stack.elsewhere import load_elsewhere
from stack.files import load_file, make_folder
from stack.generations import LOGS, Generations, folder_of, load_generations, number_of
from stack.live_issuers import LiveIssuers, issuer_files
from stack.login_rules import load_login_rules
from stack.own_keys import key_set, publishing
from stack.part import Part
from stack.service import During
from stack.shards import Shard, shards_of
from stack.trust.documents import load_public, save_documents, unrotated

if TYPE_CHECKING:
    from stack.workers.crew import Reached
    from tlog.mirror import Mirror


@dataclass(frozen=True, slots=True)
class RolePlan:
    """What ``sigbox serve`` was asked for.

    Attributes:
        ct_log_url: where the certificate log is, for the authority and the console; None where clients find it.
        log_url: where the signature logs are, for the console; the same.
        database: where logs are kept; None for what the settings say.
        oidc_jwks: a file or URL with the keys of the stack's provider; None for the file that the provider writes.
        tls: ``auto`` or ``CERT,KEY``; None serves plain HTTP.
        workers: processes that answer, beside one that commits; None for one process that does both.
        quota: requests that one network may have signed in a minute; None for any number.
        accept_clock: the clock is right, also where something was signed with a time that is still to come.
    """

    role: str
    home: Home
    host: str
    port: int
    config: Path | None
    ready_file: Path | None
    tls: str | None
    log_format: str | None
    ct_log_url: str | None
    oidc_jwks: str | None
    log_url: str | None = None
    database: str | None = None
    workers: int | None = None
    accept_clock: bool = False
    quota: int | None = None

    @property
    def tables(self) -> list[Path]:
        """The files with tables about logins and other providers."""
        return [file for file in (self.home.settings_file, self.config) if file and file.suffix not in ISSUERS_ONLY]


Clock = Callable[[], datetime]


def make_part(plan: RolePlan, settings: Settings, clock: Clock) -> Part:
    """The part of the plan's role; its secrets are read here, and no other role's.

    Raises:
        NotFound, Malformed, Refused: a file is missing, damaged, readable by others, or of another stack than ``public/``.
    """
    return _MAKERS[plan.role](plan, settings, clock)


def make_front_part(plan: RolePlan, settings: Settings, clock: Clock, reached: Reached) -> Part:
    """What a worker answers of the plan's role, one of :data:`stack.config.SHARED`. Errors: as :func:`make_part`."""
    home = plan.home
    if plan.role == "log":
        return compose.log_front_part(home, settings, _log_secrets(home), reached.logs)
    if plan.role == "ct":
        return compose.ct_front_part(home, settings, _ct_secret(home), load_public(home).ca_chain, clock, reached.logs)
    if plan.role == "tsa":
        return compose.tsa_part(home, settings, _tsa_secret(home), clock, reached.floors["tsa"])
    return make_part(plan, settings, clock)


def _oidc(plan: RolePlan, settings: Settings, clock: Clock) -> Part:
    home = plan.home
    provider = compose.make_provider(home, settings, bootstrap.oidc_key(home, settings), clock)
    part = compose.oidc_part(home, settings, provider, load_login_rules(plan.tables), load_elsewhere(plan.tables))
    for_the_authority = During(partial(publishing, provider, home.own_key_set, clock))
    return replace(part, services=(*part.services, for_the_authority))


def _ca(plan: RolePlan, settings: Settings, clock: Clock) -> Part:
    # Deferred: it imports all of aiohttp, which no other role needs.
    from stack.remote_log import RemoteLog  # noqa: PLC0415 - see the line above
    from stack.tls import trusting_own  # noqa: PLC0415 - the same

    home = plan.home
    known = announced(home, load_generations(home))  # with a key that nobody knows yet nothing is signed
    ca = bootstrap.load_ca(home, folder_of(home, "ca", number_of(known, "ca")))
    _check_published(home, "ca", ca[0].public_key())
    bootstrap.prove(ca[0])
    issuers = LiveIssuers(issuer_files(home, plan.config))
    own = compose.own_row(settings.issuer, key_set(settings, plan.oidc_jwks, home))
    log_key, tree = load_public(home, known).ct_key, shards_of(known, "ct")[-1]
    _check_published(home, "ct", log_key)
    log = RemoteLog(plan.ct_log_url or settings.at("ct"), log_key, tree, tls=trusting_own(home))
    return compose.ca_part(home, settings, ca, issuers, own, log, log_key, clock)


def _ct(plan: RolePlan, settings: Settings, clock: Clock) -> Part:
    return compose.ct_part(plan.home, settings, _ct_secret(plan.home), load_public(plan.home).ca_chain, clock)


def _ct_secret(home: Home) -> ec.EllipticCurvePrivateKey:
    key = bootstrap.load_ecdsa(home, shards_of(load_generations(home), "ct")[-1].key_file)
    _check_published(home, "ct", key.public_key())
    bootstrap.prove(key)
    return key


def _logs(plan: RolePlan, settings: Settings, clock: Clock) -> Part:
    return compose.log_part(plan.home, settings, _log_secrets(plan.home), clock)


def _log_secrets(home: Home) -> tuple[keys.PrivateKey, ec.EllipticCurvePrivateKey]:
    rotated = load_generations(home)
    v2 = bootstrap.load_rekor(home, shards_of(rotated, "rekor")[-1].key_file)
    v1 = bootstrap.load_ecdsa(home, shards_of(rotated, "rekor-v1")[-1].key_file)
    for key in (v2, v1):
        _check_published(home, "log", key.public_key())
        bootstrap.prove(key)
    return v2, v1


def _tsa(plan: RolePlan, settings: Settings, clock: Clock) -> Part:
    return compose.tsa_part(plan.home, settings, _tsa_secret(plan.home), clock)


def _tsa_secret(home: Home) -> bootstrap.Chained:
    number = number_of(announced(home, load_generations(home)), "tsa")
    tsa = bootstrap.load_tsa(home, folder_of(home, "tsa", number))
    _check_published(home, "tsa", tsa[0].public_key())
    bootstrap.prove(tsa[0])
    return tsa


def _trust(plan: RolePlan, settings: Settings, _clock: Clock) -> Part:
    """The one role that writes ``public/``, from what is there and the settings: no key but those of TUF is needed."""
    with unrotated(plan.home, settings):
        save_documents(plan.home, load_public(plan.home), settings)
    return compose.served_trust_part(plan.home, settings)


def _console(plan: RolePlan, settings: Settings, clock: Clock) -> Part:
    """The console, which has no key and follows the logs as anybody could, with their keys from the trust root."""
    # Deferred: it imports all of aiohttp.
    from client.transport import AiohttpTransport  # noqa: PLC0415 - see the line above
    from stack.followed import Following, followed_check, make_mirrors  # noqa: PLC0415 - the same
    from stack.tls import trusting_own  # noqa: PLC0415 - the same
    from stack.web import front  # noqa: PLC0415 - the same
    from stack.web.console.around import Around  # noqa: PLC0415 - the same
    from stack.web.console.shelf import shelves_of  # noqa: PLC0415 - the same

    home, public, rules = plan.home, load_public(plan.home), load_console_rules(plan.tables)
    if rules.login is not None:
        hint = "let a reverse proxy ask for it, or serve the console with sigbox up"
        raise Refused("[console] asks for a login, which takes the provider in the same process", hint)
    for role, key in (("ct", public.ct_key), ("log", public.rekor_key), ("log", public.rekor_v1_key)):
        _check_published(home, role, key)
    folder = home.folder_of("console")
    make_folder(folder)
    places = {"ct": plan.ct_log_url or settings.at("ct"), "log": plan.log_url or settings.at("log")}
    transport = AiohttpTransport(tls=trusting_own(home))
    rotated = load_generations(home)

    def make(found: Generations) -> dict[str, Mirror]:
        return make_mirrors(folder, settings, public, found, places, transport, clock)

    def arrived(name: str, mirror: Mirror) -> None:
        checks[name] = followed_check(mirror)
        part.arrived(Shard.of(name), mirror)

    mirrors = make(rotated)
    checks = {name: followed_check(mirror) for name, mirror in mirrors.items()}
    around = Around(clock=clock, checks=checks, watcher=rules.watcher(home, settings, mirrors, clock))
    part = compose.console_part(home, settings, shelves_of(mirrors, public, rotated), around)
    routes = (*front.make_routes(home, settings, mirrors), *part.routes)
    follows = Following(home, mirrors, make, transport, clock, arrived)
    return replace(part, routes=routes, checks=checks, services=(follows, *part.services))


_MAKERS: Final[Mapping[str, Callable[[RolePlan, Settings, Clock], Part]]] = {
    "oidc": _oidc,
    "ca": _ca,
    "ct": _ct,
    "log": _logs,
    "tsa": _tsa,
    "trust": _trust,
    "console": _console,
}


def _check_published(home: Home, role: str, key: keys.PublicKey) -> None:
    """What is signed with a key that the trust root does not name would be refused by everybody.

    A log's key that is not published yet may wait: its tree is open before clients are told of it.

    Raises:
        Refused: it names another one.
    """
    root = trustroot.parse_trusted_root(load_file(home.trusted_root, what="the trusted root"))
    known = {
        "ca": {_spki(authority) for authority in root.certificate_authorities},
        "ct": {log.key for log in root.ct_logs},
        "log": {log.key for log in root.logs},
        "tsa": {_spki(authority) for authority in root.timestamp_authorities},
    }[role]
    rotated = load_generations(home)
    waiting = {rotated[log][-1].public[0] for log in pending(home, rotated) if log in LOGS}
    if keys.encode_public_key(key) not in known | waiting:
        raise Refused(
            f"the key of {role} in {home.path} is not in {home.trusted_root}: nothing that it signs would count",
            "take both from one stack; where a rotation was interrupted, finish it: sigbox trust refresh",
        )


def _spki(authority: trustroot.AuthorityInstance) -> bytes:
    return parse_certificate(authority.chain[0], what="the trusted root's authority").spki
