# SPDX-License-Identifier: Apache-2.0
"""Faults of the TUF repository, all in ``timestamp.json`` (which everything else hangs on) or in a target."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

import orjson
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ed25519

from sigcore import canonical
from sigcore.errors import Refused
from sigcore.strict import JSON, encode_time, parse_hex
from stack.bootstrap import load_ed25519
from stack.faults.answers import altered, at_once, changing, document_of
from stack.faults.fault import Handler, Lie, Take
from stack.faults.means import Means
from stack.faults.parameters import Parameters
from stack.files import load_file

TIMESTAMP: Final = re.compile(r"/tuf/timestamp\.json\Z")
TARGET: Final = re.compile(r"/tuf/targets/.")


# --- pure: bytes of an answer in, bytes of an answer out ----------------------------------------------------
def wrong_signature(metadata: bytes) -> bytes:
    """Its first signature does not verify."""
    document = document_of(metadata)
    first = document["signatures"][0]
    first["sig"] = altered(parse_hex(first["sig"], what="a signature")).hex()
    return _encode(document)


def says(metadata: bytes, key: ed25519.Ed25519PrivateKey, **members: JSON) -> bytes:
    """Its signed part has other ``members``, and ``key`` has signed that: TUF signs canonical JSON (specification section 4.2.1)."""
    document = document_of(metadata)
    signed = document["signed"] | members
    signature = key.sign(canonical.encode(signed)).hex()
    signatures = [{**one, "sig": signature} for one in document["signatures"]]
    return _encode({"signatures": signatures, "signed": signed})


def expired(metadata: bytes, key: ed25519.Ed25519PrivateKey, moment: datetime) -> bytes:
    """It expired at ``moment``."""
    return says(metadata, key, expires=encode_time(moment.replace(microsecond=0)))


def version_of(metadata: bytes) -> int:
    """Which version it is."""
    version: int = document_of(metadata)["signed"]["version"]
    return version


def rolled_back(metadata: bytes, key: ed25519.Ed25519PrivateKey) -> bytes:
    """It is the version before. Refused: it is the first one."""
    version = version_of(metadata)
    if version == 1:
        raise Refused(
            "timestamp.json has version 1, and there is none before it", "sigbox trust refresh signs the next one"
        )
    return says(metadata, key, version=version - 1)


def _encode(document: object) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


# --- what the table names -------------------------------------------------------------------------------------
def signature(_means: Means, _parameters: Parameters) -> Lie:
    """See :func:`wrong_signature`."""
    return changing(TIMESTAMP, at_once(wrong_signature))


def expiry(means: Means, parameters: Parameters) -> Lie:
    """See :func:`expired`."""
    ago = timedelta(hours=parameters.hours_ago)
    return changing(TIMESTAMP, at_once(lambda metadata: expired(metadata, _key(means), means.clock() - ago)))


def rollback(means: Means, _parameters: Parameters) -> Lie:
    """See :func:`rolled_back`; refused here, too, and not by an answer."""
    rolled_back(_newest(means), _key(means))
    return changing(TIMESTAMP, at_once(lambda metadata: rolled_back(metadata, _key(means))))


def freeze(means: Means, _parameters: Parameters) -> Lie:
    """What was the newest state when the fault was switched on stays so: snapshot and targets are those that it names."""
    kept = _newest(means)
    return changing(TIMESTAMP, at_once(lambda _: kept))


def target(_means: Means, _parameters: Parameters) -> Lie:
    """Every target is one bit different from what was signed, and as long."""
    return changing(TARGET, at_once(altered))


def missing(_means: Means, _parameters: Parameters) -> Lie:
    """No target is there, whatever the metadata say."""

    async def lie(request: web.Request, handler: Handler, take: Take) -> web.StreamResponse:
        if not (TARGET.match(request.path) and take()):
            return await handler(request)
        return web.json_response({"code": 404, "message": "this answer is a fault that was asked for"}, status=404)

    return lie


def _key(means: Means) -> ed25519.Ed25519PrivateKey:
    return load_ed25519(means.home, "tuf/timestamp.key")


def _newest(means: Means) -> bytes:
    return load_file(means.home.tuf_repository / "timestamp.json", what="timestamp.json")
