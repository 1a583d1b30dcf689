# SPDX-License-Identifier: Apache-2.0
"""``python -m stack.trust.publish DATA``: bring the TUF repository up to the trust documents, re-sign what grows old.

Run as a child process by the stack, at start and once an hour: see :mod:`stack.trust.repository` for the reason.
Ends with 0 and prints the roles that were signed anew.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from sigcore.errors import SigError
from stack.bootstrap import load_ed25519
from stack.config import Home, load_settings
from stack.files import load_file
from stack.seed import CREATED, LIFE
from stack.trust.repository import ROLES, Repository


def publish(home: Home, now: datetime) -> tuple[str, ...]:
    """Publish the trust documents of ``home``; the answer names the roles that were signed."""
    settings = load_settings(home)
    repository = Repository(
        folder=home.tuf_repository,
        keys={role: load_ed25519(home.path / "tuf" / f"{role}.key") for role in ROLES},
        durable=not settings.ephemeral,
        root_expires=None if settings.seed is None else CREATED + LIFE,
    )
    targets = {
        "trusted_root.json": load_file(home.trusted_root, what="the trusted root"),
        "signing_config.v0.2.json": load_file(home.signing_config, what="the signing config"),
    }
    return repository.publish(targets, now)


def main() -> int:
    """Exit code of the child process."""
    try:
        signed = publish(Home(Path(sys.argv[1])), datetime.now(UTC))
    except (SigError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(" ".join(signed) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
