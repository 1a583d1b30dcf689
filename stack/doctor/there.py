# SPDX-License-Identifier: Apache-2.0
"""What can be seen of a stack from where its clients are: over its URL, with what is trusted here. One signature is made.

Each check is what a client will run into, before it does: the name that does not resolve, the certificate that is not trusted,
the clock that is off, keys that are not those of the trusted root, metadata that has expired.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from client.identity import IdentityToken
from client.sign import Signing, choose_services, sign_blob
from client.transport import ServiceRefused, Transport, call
from client.trust import Trust
from client.tsa import request_timestamp
from client.verify import verify_blob
from client.verify.identity import IdentityPolicy, read_signer
from sigcore import keys, limits, timestamp
from sigcore.checkpoint import verify_checkpoint
from sigcore.errors import Refused, SigError, Unavailable
from sigcore.note import note_key
from sigcore.strict import Fields, encode_time, shown
from sigcore.trustroot import LogInstance
from sigcore.values import dataclass
from sigcore.x509 import parse_certificate, parse_certificates_pem
from stack.config import is_loopback
from stack.doctor.finding import Check, Skipped, Warned
from stack.trust.state import root_state
from stack.witness_rows import WitnessRow

CLOCK_WARNING: Final = timedelta(seconds=5)
CLOCK_FAILURE: Final = timedelta(seconds=60)
AUDIENCE: Final = "sigstore"
DUE: Final = {"timestamp": timedelta(hours=6), "snapshot": timedelta(hours=12)}
"""The running stack signs these anew long before; the others are warned of 90 days ahead."""
WARNING: Final = timedelta(days=90)
_JSON: Final = {"Accept": "application/json"}
_TEXT: Final = b"signed by sigbox doctor"


@dataclass(frozen=True, slots=True)
class There:
    """A stack as a client sees it.

    Args:
        url: its origin, where its trust root is served.
        trust: what is trusted here, and the services that it names.
        transport: how to get there.
        clock: the time of day here.
        token: makes the identity that signs; None where there is none.
        nobody: why there is none; empty where nothing shall be signed.
        mirror: where the TUF repository is; None where nobody has said it.
        others: URLs of roles that the signing config does not name.
        witnesses, quorum: whom the log asks for cosignatures, and how many it must have.
    """

    url: str
    trust: Trust
    transport: Transport
    clock: Callable[[], datetime]
    token: Callable[[], IdentityToken] | None = None
    nobody: str = "nobody to sign as"
    mirror: str | None = ""
    others: tuple[str, ...] = ()
    witnesses: tuple[WitnessRow, ...] = ()
    quorum: int = 0

    @property
    def origins(self) -> tuple[str, ...]:
        """Where its roles are: one origin, or several in a split stack."""
        config, now = self.trust.config, self.clock()
        services = (*config.oidc, *config.ca, *config.rekor, *config.tsa)
        named = (origin_of(service.url) for service in services if service.validity.covers(now))
        return tuple(dict.fromkeys((self.url, *named, *self.others)))

    @property
    def authority(self) -> str:
        """The URL of the certificate authority."""
        now = self.clock()
        return next((one.url.rstrip("/") for one in self.trust.config.ca if one.validity.covers(now)), self.url)


def origin_of(url: str) -> str:
    """Its scheme, host and port."""
    return "/".join(url.split("/", 3)[:3])


async def _get(there: There, url: str, service: str) -> bytes:
    return await call(there.transport, "GET", url, service=service, headers=_JSON)


async def _get_json(there: There, url: str, service: str) -> Fields:
    return Fields.parse(await _get(there, url, service), what=f"the answer of {service}", limit=limits.SERVICE_RESPONSE)


# --- the way there -----------------------------------------------------------------------------------
async def name(there: There) -> str:
    """DNS, of each host that clients are sent to."""
    said = []
    for url in there.origins:
        host, port = urlsplit(url).hostname or "", urlsplit(url).port
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)
        except OSError as error:
            raise Unavailable(
                f"the name {shown(host)} does not resolve: {error.strerror or error}",
                "put it into DNS or /etc/hosts; every client machine needs it",
            ) from error
        said.append(f"{host} is {', '.join(sorted({str(one[4][0]) for one in found}))}")
    return "; ".join(dict.fromkeys(said))


async def connection(there: There) -> str:
    """TCP, TLS, HTTP, to each process."""
    for url in there.origins:
        await _get(there, f"{url}/healthz", "the stack")
    for parts in map(urlsplit, there.origins):
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise Warned(
                f"{parts.geturl()} answers without TLS: whoever is on the way sees tokens and can use them",
                "start it with --tls auto, or with --tls CERT,KEY",
            )
    return f"{', '.join(there.origins)} {'answer' if len(there.origins) > 1 else 'answers'}"


async def roles(there: There) -> str:
    """What each role says of itself."""
    ready, wrong = dict[str, None](), []
    for url in there.origins:
        answer = await there.transport.request(
            "GET", f"{url}/readyz", headers=_JSON, body=None, limit=limits.SERVICE_RESPONSE
        )
        states = Fields.parse(answer.body, what="the answer of /readyz", limit=limits.SERVICE_RESPONSE).object("roles")
        ready |= dict.fromkeys(states.names())
        wrong += [f"{role}: {states.text(role)}" for role in states.names() if states.text(role) != "ok"]
    if wrong:
        raise Refused("; ".join(wrong), "the log of the stack says more; sigbox fsck looks into its logs")
    return f"ready: {', '.join(ready)}"


# --- identity and certificates -----------------------------------------------------------------------
async def issuers(there: There) -> str:
    """The OpenID provider, and that the authority takes its tokens."""
    accepted = {
        row.text("issuerUrl"): row.optional_text("audience")
        for row in (await _get_json(there, f"{there.authority}/api/v2/configuration", "the authority")).objects(
            "issuers", limit=limits.TRUST_INSTANCES
        )
        if "issuerUrl" in row
    }
    for service in there.trust.config.oidc:
        document = await _get_json(there, f"{service.url}/.well-known/openid-configuration", "the OpenID provider")
        if document.text("issuer") != service.url:
            raise Refused(
                f"the provider at {service.url} calls itself {shown(document.text('issuer'))}",
                "the issuer must be the URL that clients are given, byte for byte: set --url to it",
            )
        await _get(there, document.text("jwks_uri"), "the OpenID provider")
        if service.url not in accepted:
            raise Refused(
                f"the authority takes no tokens of {service.url}, it takes those of {', '.join(accepted)}",
                "add it: sigbox issuer add",
            )
        if accepted[service.url] not in ("", AUDIENCE):
            raise Refused(
                f"the authority demands the audience {accepted[service.url]!a}, clients ask for {AUDIENCE!a}",
                f"configure the audience {AUDIENCE!a}",
            )
    return f"{len(accepted)} issuers, audience {AUDIENCE}"


async def authority(there: There) -> str:
    """That the certificate authority is the one that is trusted."""
    pem = await _get(there, f"{there.authority}/api/v1/rootCert", "the authority")
    served = {one.der for one in parse_certificates_pem(pem)}
    for trusted in there.trust.root.certificate_authorities:
        if trusted.validity.covers(there.clock()) and served == set(trusted.chain):
            return f"the chain of {parse_certificate(trusted.chain[-1]).serial:x} is the trusted one"
    raise Refused(
        "the authority has another chain than the trusted root here",
        "another stack, or a trusted root from before a rotation: sigbox initialize again",
    )


async def log_keys(there: There) -> str:
    """That each signature log signs with the key that is trusted for it."""
    now, known = there.clock(), there.trust.root.logs
    found = []
    for service in there.trust.config.rekor:
        if not service.validity.covers(now):
            continue
        log_id = await (_v2_id if service.api_version == 2 else _v1_id)(there, service.url, known)
        found.append(f"v{service.api_version} {log_id.hex()[:16]}")
    if not found:
        raise Skipped("the signing config names no signature log")
    return f"key ids {', '.join(found)} are the trusted ones"


async def _v1_id(there: There, url: str, known: tuple[LogInstance, ...]) -> bytes:
    pem = await _get(there, f"{url}/api/v1/log/publicKey", "the Rekor v1 log")
    log_id = keys.key_id(keys.encode_public_key(keys.parse_public_key_pem(pem, what="the log's key")))
    if log_id not in {log.log_id for log in known}:
        raise _foreign(f"the Rekor v1 log at {url} has the key id {log_id.hex()}")
    return log_id


async def _v2_id(there: There, url: str, known: tuple[LogInstance, ...]) -> bytes:
    note = (await _get(there, f"{url}/api/v2/checkpoint", "the Rekor v2 log")).decode("utf-8", "replace")
    host = urlsplit(url).hostname or ""
    for log in known:
        try:
            verify_checkpoint(note, note_key(host, log.public_key()))
        except SigError:
            continue
        return log.log_id
    raise _foreign(f"the checkpoint of the Rekor v2 log at {url} is signed by none of the trusted logs")


def _foreign(message: str) -> Refused:
    return Refused(message, "another stack, or a trusted root from before a rotation: sigbox initialize again")


# --- time --------------------------------------------------------------------------------------------
async def clock(there: There) -> str:
    """The clocks here and there, by a timestamp that is verified."""
    services = [one for one in there.trust.config.tsa if one.validity.covers(there.clock())]
    if not services:
        raise Skipped("the signing config names no timestamp authority")
    answer = await request_timestamp(there.transport, services[0].url, _TEXT, root=there.trust.root)
    off = timestamp.parse_response(answer).info.time - there.clock()
    said = f"the timestamp authority is {abs(off.total_seconds()):.1f} s {'ahead of' if off > timedelta() else 'behind'} here"
    if abs(off) > CLOCK_FAILURE:
        raise Refused(said, "set both clocks by NTP: certificates live ten minutes")
    if abs(off) > CLOCK_WARNING:
        raise Warned(said, "set both clocks by NTP")
    return said


async def metadata(there: There) -> str:
    """How long clients find the TUF metadata good."""
    if there.mirror is None:
        raise Skipped("no trust config says where the TUF repository is", "give --url, the one of the trust role")
    documents = await _documents(there)
    expiries = {role: document.time("expires") for role, document in documents.items()}
    for role, expires in expiries.items():
        left = expires - there.clock()
        said = f"the TUF role {role} {'expired' if left < timedelta() else 'expires'} {encode_time(expires)}"
        if left < timedelta():
            raise Refused(f"{said}: clients refuse it", _fix(role, documents[role]))
        if left < DUE.get(role, WARNING):
            raise Warned(said, f"{_fix(role, documents[role])}; a running stack signs timestamp and snapshot by itself")
    role, expires = min(expiries.items(), key=lambda pair: pair[1])
    return f"the first to expire is {role}, {encode_time(expires)}"


def _fix(role: str, document: Fields) -> str:
    return f"sign a new root: {root_state(document).next_root()}" if role == "root" else "sigbox trust refresh"


async def _documents(there: There) -> dict[str, Fields]:
    """What each role says, from timestamp to root: each names the version of the next."""
    found, file = dict[str, Fields](), "timestamp.json"
    for role, following in (("timestamp", "snapshot"), ("snapshot", "targets"), ("targets", "")):
        document = await _role(there, file)
        found[role] = document
        if following:
            file = f"{document.object('meta').object(f'{following}.json').integer('version')}.{following}.json"
    return found | {"root": await _newest_root(there)}


async def _role(there: There, file: str) -> Fields:
    return (await _get_json(there, f"{there.mirror or there.url}/tuf/{file}", "the TUF mirror")).object("signed")


async def _newest_root(there: There) -> Fields:
    """Roots are found by trying, as clients do (TUF specification, section 5.3)."""
    newest = await _role(there, "1.root.json")
    for version in range(2, limits.TRUST_INSTANCES):
        try:
            newest = await _role(there, f"{version}.root.json")
        except ServiceRefused:
            break
    return newest


# --- the whole way -----------------------------------------------------------------------------------
async def signature(there: There) -> str:
    """One real signature, verified as a stranger would."""
    if there.token is None:
        if not there.nobody:
            raise Skipped("not asked for", "leave --no-sign out")
        raise Skipped(there.nobody, "give --identity-token, or --data on the machine of the OpenID provider")
    digest, now = hashlib.sha256(_TEXT + there.url.encode()).digest(), there.clock()
    choose_services(there.trust.config, now, certify=True, rekor_version=None)
    token = there.token()
    bundle = await sign_blob(Signing(token, there.trust, there.transport), digest, now=now)
    signer = read_signer(parse_certificate(bundle.certificate or b""))
    policy = IdentityPolicy(issuer=signer.issuer, identity=signer.identity)
    verified = verify_blob(bundle, digest, root=there.trust.root, identity=policy)
    took = (there.clock() - now).total_seconds()
    return f"signed as {shown(verified.signer.identity)}, logged at index {bundle.log_entries[0].index}, verified: {took:.2f} s"


CHECKS: Final = (
    Check("name", name),
    Check("connection", connection, "name"),
    Check("roles", roles, "connection"),
    Check("issuers", issuers, "connection"),
    Check("authority", authority, "connection"),
    Check("log keys", log_keys, "connection"),
    Check("clock", clock, "connection"),
    Check("metadata", metadata, "connection"),
    Check("signature", signature, "roles", "issuers", "authority", "log keys", "clock"),
)
