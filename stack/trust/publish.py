# SPDX-License-Identifier: Apache-2.0
"""``python -m stack.trust.publish DATA``: bring the TUF repository up to the trust documents, re-sign what grows old.

Run as a child process by the stack, at start and once an hour, and by ``sigbox trust refresh``: see
:mod:`stack.trust.repository` for the reason. Ends with 0 and prints the roles that were signed anew. With ``--force`` all but
the root are, with ``--rotate`` all of them get new keys; with ``--passphrase`` the first line of standard input is the passphrase of the keys, in hex.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sigcore import limits
from sigcore.errors import SigError
from sigcore.strict import parse_hex
from stack.bootstrap import load_ed25519
from stack.config import Home, Settings, load_settings
from stack.files import load_file
from stack.generations import Generations, load_generations
from stack.lock import held_patiently
from stack.seed import CREATED, LIFE
from stack.trust import tuf_keys
from stack.trust.delegated import DelegatedPolicy
from stack.trust.documents import encode_documents, load_public, save_documents, timestamp_url, unrotated
from stack.trust.repository import Repository, Target
from stack.trust.targets import CTFE, FULCIO, REKOR, TSA, carried_targets
from stack.trust.versions import POLICY, Versions
from stack.trust.windows import TooLate, check_in_time, settle, unpublished
from stack.turned_clock import time_in

_ROLE: Final = {FULCIO: "ca", REKOR: "log", CTFE: "ct"}
PATIENCE_S: Final = 10.0
"""Another publication takes a fraction of this."""
ATTEMPTS: Final = 4
"""At publications that come too late for the windows in them, because the disk is slow."""
Clock = Callable[[], datetime]


def publish(
    home: Home, now: datetime, *, force: bool = False, rotate: bool = False, clock: Clock | None = None
) -> tuple[str, ...]:
    """Publish the trust documents of ``home``; the answer names the roles that were signed.

    With ``rotate`` the four roles get new keys; a rotation that was interrupted is finished or forgotten first. ``clock`` tells how
    long it takes; without one, no time.

    Raises:
        Refused: another process is at it for too long, or as :meth:`~stack.trust.repository.Repository.publish`.
    """
    clock = clock or (lambda: now)
    roles, signed = unpublished(home), tuple[str, ...]()
    for left in reversed(range(ATTEMPTS)):
        try:
            with opened(home, clock, roles) as (settings, repository, targets):
                if rotate and not signed:
                    tuf_keys.make_coming(home, settings)
                    signed = replace(repository, coming=tuf_keys.load_coming(home)).rotate(targets, now)
                    tuf_keys.settle(home)
                else:
                    signed = repository.publish(targets, now, force=force) or signed
                repository.last_look()  # it may have taken long, with the last file
        except TooLate:
            if not left:
                raise
        else:
            break
    return signed


@contextmanager
def opened(
    home: Home, clock: Clock, roles: tuple[str, ...] | None = None
) -> Iterator[tuple[Settings, Repository, dict[str, Target]]]:
    """The repository of ``home`` with its keys, and its targets, for one publication at a time.

    The windows of old keys, of ``roles`` or where no client knows the next one, are settled (:mod:`stack.trust.windows`).

    Raises:
        Refused: another process is at it for too long.
    """
    settings = load_settings(home)
    with held_patiently(home.path / "tuf", PATIENCE_S):
        durable = not settings.ephemeral
        tuf_keys.settle(home)
        with unrotated(home, settings):  # the documents of one state
            roles = tuple({*(roles or ()), *unpublished(home)})
            rotated = settle(home, clock(), roles, durable=durable)
            policy, targets = load_policy(home), _targets_of(home, settings, rotated)
        repository = Repository(
            folder=home.tuf_repository,
            keys=tuf_keys.load_keys(home),
            versions=Versions(home.path / "anchor" / "tuf.json", durable=durable),
            durable=durable,
            policy=policy,
            root_expires=None if settings.seed is None else CREATED + LIFE,
            last_look=partial(check_in_time, rotated, roles, clock),
        )
        yield settings, repository, targets
        if rotated:
            with unrotated(home, settings):
                save_documents(home, load_public(home), settings)  # as they are published


def _targets_of(home: Home, settings: Settings, rotated: Generations) -> dict[str, Target]:
    """What is to be published. Of a stack that was rotated the files follow: until then they trust more, and send nobody there."""
    if not rotated:
        return load_targets(home, settings)
    public = load_public(home)
    save_documents(home, public, settings)
    return load_targets(home, settings, encode_documents(home, public, settings, publishing=True))


def load_targets(
    home: Home, settings: Settings, documents: Mapping[Path, bytes] = MappingProxyType({})
) -> dict[str, Target]:
    """Every target with its bytes, in the order of :func:`~stack.trust.targets.carried_targets`; from ``documents`` or the files."""
    return {
        carried.name: Target(
            documents.get(path := carried.path(home)) or load_file(path, what="the TUF target"),
            carried.usage,
            timestamp_url(settings) if carried.usage == TSA else settings.at(_ROLE.get(carried.usage, "trust")),
        )
        for carried in carried_targets(load_generations(home))
    }


def load_policy(home: Home) -> DelegatedPolicy | None:
    """The policy in ``public/`` with the key of its role; None where one of them is not here."""
    if not home.policy.exists() or not home.policy_key.exists():
        return None
    data = load_file(home.policy, what="the policy", limit=limits.POLICY)
    return DelegatedPolicy(data, load_ed25519(home, f"tuf/{POLICY}.key"))


def main(arguments: Sequence[str]) -> int:
    """Exit code of the child process."""
    line = sys.stdin.readline().rstrip("\n") if "--passphrase" in arguments else ""
    passphrase = parse_hex(line, what="the passphrase") if line else None
    try:
        home = Home(Path(arguments[0]), passphrase)
        force, rotate = "--force" in arguments, "--rotate" in arguments
        signed = publish(home, time_in(home), force=force, rotate=rotate, clock=partial(time_in, home))
    except (SigError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(" ".join(signed) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
