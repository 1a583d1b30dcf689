# SPDX-License-Identifier: Apache-2.0
"""``python -m stack.trust.publish DATA``: bring the TUF repository up to the trust documents, re-sign what grows old.

Run as a child process by the stack, at start and once an hour, and by ``sigbox trust refresh``: see
:mod:`stack.trust.repository` for the reason. Ends with 0 and prints the roles that were signed anew. With ``--force`` all but
the root are, with ``--rotate`` all of them get new keys; with ``--passphrase`` the first line of standard input is the passphrase of the keys, in hex.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from sigcore import limits
from sigcore.errors import SigError
from sigcore.strict import parse_hex
from stack.bootstrap import load_ed25519
from stack.config import Home, Settings, load_settings
from stack.files import load_file
from stack.generations import load_generations
from stack.lock import held_patiently
from stack.seed import CREATED, LIFE
from stack.trust import tuf_keys
from stack.trust.delegated import DelegatedPolicy
from stack.trust.documents import timestamp_url, unrotated
from stack.trust.repository import Repository, Target
from stack.trust.targets import CTFE, FULCIO, REKOR, TSA, carried_targets
from stack.trust.versions import POLICY, Versions
from stack.turned_clock import time_in

_ROLE: Final = {FULCIO: "ca", REKOR: "log", CTFE: "ct"}
PATIENCE_S: Final = 10.0
"""Another publication takes a fraction of this."""


def publish(home: Home, now: datetime, *, force: bool = False, rotate: bool = False) -> tuple[str, ...]:
    """Publish the trust documents of ``home``; the answer names the roles that were signed.

    With ``rotate`` the four roles get new keys; a rotation that was interrupted is finished or forgotten first.

    Raises:
        Refused: another process is at it for too long, or as :meth:`~stack.trust.repository.Repository.publish`.
    """
    with opened(home) as (settings, repository, targets):
        if not rotate:
            return repository.publish(targets, now, force=force)
        tuf_keys.make_coming(home, settings)
        signed = replace(repository, coming=tuf_keys.load_coming(home)).rotate(targets, now)
        tuf_keys.settle(home)
        return signed


@contextmanager
def opened(home: Home) -> Iterator[tuple[Settings, Repository, dict[str, Target]]]:
    """The repository of ``home`` with its keys, and its targets, for one publication at a time.

    Raises:
        Refused: another process is at it for too long.
    """
    settings = load_settings(home)
    with held_patiently(home.path / "tuf", PATIENCE_S):
        durable = not settings.ephemeral
        tuf_keys.settle(home)
        with unrotated(home, settings):  # the documents of one state
            policy, targets = load_policy(home), load_targets(home, settings)
        repository = Repository(
            folder=home.tuf_repository,
            keys=tuf_keys.load_keys(home),
            versions=Versions(home.path / "anchor" / "tuf.json", durable=durable),
            durable=durable,
            policy=policy,
            root_expires=None if settings.seed is None else CREATED + LIFE,
        )
        yield settings, repository, targets


def load_targets(home: Home, settings: Settings) -> dict[str, Target]:
    """Every target with its bytes, in the order of :func:`~stack.trust.targets.carried_targets`."""
    return {
        carried.name: Target(
            load_file(carried.path(home), what="the TUF target"),
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
        signed = publish(home, time_in(home), force="--force" in arguments, rotate="--rotate" in arguments)
    except (SigError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(" ".join(signed) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
