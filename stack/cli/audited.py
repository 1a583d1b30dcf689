# SPDX-License-Identifier: Apache-2.0
"""Commands that change a stack: each is recorded before it is done, and before it is acknowledged (:mod:`stack.audit_trail`)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from sigcore.errors import NotFound, SigError
from stack.audit_trail import BEGUN, DONE, FAILED, Action, record
from stack.config import Home, Settings, home_at, load_settings
from stack.passphrase import find_passphrase

_OBJECT: Final[Mapping[str, tuple[str, ...]]] = {
    "init": ("url",),
    "user": ("email",),
    "client": ("name",),
    "issuer": ("url", "source"),
    "trust": ("role", "file"),
    "restore": ("file",),
    "witness": ("log",),
}
"""The options that name what it is done to; without any it is the stack as a whole."""


def run(name: str, options: argparse.Namespace, work: Callable[[argparse.Namespace], int]) -> int:
    """``work``, recorded as ``name`` with its action.

    1. Where there is no stack, ``work`` makes one, or says that there is none.
    2. It is recorded that it begins; where that cannot be, it is not done.
    3. It is done.
    4. It is recorded how it ended; where that cannot be, the command fails and says that it was done.

    Raises:
        Whatever ``work`` raises, and what :func:`stack.audit_trail.record` does.
    """
    settings = _settings(home_at(options.data))
    if name == "init" and (options.role or (settings is not None and home_at(options.data).tuf_root.exists())):
        return work(
            options
        )  # the folder of one role has no record; a stack that is there gets TLS certificates that are due
    action = Action.of(_name(name, options), _object(name, options))
    if settings is not None:
        record(_home(options), settings, action, BEGUN, datetime.now(UTC))  # 2
    try:
        code = work(options)  # 1 3
    except BaseException:
        _end(options, settings, action, FAILED)  # 4
        raise
    _end(options, settings or _settings(home_at(options.data)), action, FAILED if code else DONE)
    return code


def _end(options: argparse.Namespace, settings: Settings | None, action: Action, state: str) -> None:
    if settings is None:
        return
    try:
        record(_home(options), settings, action, state, datetime.now(UTC))
    except SigError as error:
        error.message = f"`{action.name}` {'was done' if state == DONE else state}, but {error.message}"
        raise


def _settings(home: Home) -> Settings | None:
    try:
        return load_settings(home)
    except NotFound:
        return None


def _home(options: argparse.Namespace) -> Home:
    """With the passphrase as it is said by then: `init` may have asked for it."""
    return replace(home_at(options.data), passphrase=find_passphrase(options.passphrase_file, os.environ))


def _name(name: str, options: argparse.Namespace) -> str:
    return " ".join(filter(None, (name, getattr(options, "action", None))))


def _object(name: str, options: argparse.Namespace) -> str:
    found = (getattr(options, option, None) for option in _OBJECT.get(name, ()))
    return next((str(value) for value in found if value), "the stack")
