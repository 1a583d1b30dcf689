# SPDX-License-Identifier: Apache-2.0
"""What is asked of a start, and what it has ready when the event loop begins."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from oidc_dev.rules import LoginRules
from sigcore.values import dataclass
from stack.bootstrap import Material
from stack.config import Home, Settings
from stack.console_rules import ConsoleRules
from stack.elsewhere import Elsewhere
from stack.live_issuers import LiveIssuers
from stack.trust.first_publication import FirstPublication


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``sigbox up`` was asked for. ``home`` is None for an ephemeral stack, ``url`` None when it follows the port."""

    home: Home | None
    host: str
    port: int
    url: str | None
    control: bool
    config: Path | None
    ready_file: Path | None
    tls: str | None = None
    """``auto``, or ``CERT,KEY``; None serves plain HTTP."""
    seed: int | None = None
    log_format: str | None = None
    """``json`` or ``text``; None follows the terminal."""
    behind_proxy: bool = False
    workers: int | None = None
    """Processes that answer, beside one that commits; None for one process that does both."""
    database: str | None = None
    """Where the logs are kept; None for what the stack's settings say."""
    quota: int | None = None
    """Requests that one network may have signed in a minute; None for any number."""
    clock: datetime | None = None
    """When a stack for tests begins; None for now."""
    clock_stopped: bool = False
    """And it is always then."""
    accept_clock: bool = False
    """The clock is right, also where something was signed with a time that is still to come."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """A context that is ready to be served with.

    ``renew`` brings it up to new files, or makes them, when it is time; ``reload`` does so without making any; ``check`` raises
    when those in place are no good.
    """

    context: ssl.SSLContext
    renew: Callable[[datetime], None]
    reload: Callable[[datetime], None]
    check: Callable[[datetime], None]
    authority: Path | None
    """The certificate that clients must trust, when it is our own."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A data directory that can be served, and two things that are being made on the other core."""

    home: Home
    settings: Settings
    material: Material
    listener: socket.socket
    oidc_key: Future[rsa.RSAPrivateKey]
    tls: ServerTls | None
    publication: FirstPublication
    """Signs the TUF repository."""
    issuers: LiveIssuers
    """Those that were configured, beside the stack's own."""
    logins: LoginRules
    elsewhere: Elsewhere
    console: ConsoleRules
