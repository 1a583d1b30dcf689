# SPDX-License-Identifier: Apache-2.0
"""What the provider takes from elsewhere: people of other providers (``[[upstreams]]``), jobs of CI systems (``[[brokered]]``).

Most stacks have neither, and pay for neither at their start.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from oidc_dev.ports import Broker
from sigcore import limits
from sigcore.errors import Malformed
from sigcore.values import dataclass
from stack.files import load_file

if TYPE_CHECKING:
    from oidc_dev.federation import Federation
    from oidc_dev.upstream import Upstream
    from stack.broker import Brokered


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What the configuration names; each of it may be nothing."""

    upstreams: tuple[Upstream, ...] = ()
    broker: Broker | None = None

    def federation(self, issuer: str) -> Federation | None:
        """The logins through others, for the provider ``issuer``."""
        if not self.upstreams:
            return None
        from oidc_dev.federation import Federation  # noqa: PLC0415 - see the module
        from stack.outside import Reader  # noqa: PLC0415 - the same

        return Federation(issuer, self.upstreams, Reader())


def load_elsewhere(files: Iterable[Path]) -> Elsewhere:
    """What the TOML ``files`` name, all together.

    Raises:
        NotFound, Malformed, Refused: a file cannot be read, or a row is not one that could be meant.
    """
    upstreams: tuple[Upstream, ...] = ()
    brokered: tuple[Brokered, ...] = ()
    for file in files:
        text = load_file(file, what="the configuration", limit=limits.TOKEN_KEY_SET)
        if b"upstreams" in text:
            from stack.upstreams import load_upstreams  # noqa: PLC0415 - see the module

            upstreams += load_upstreams(file)
        if b"brokered" in text:
            from stack.broker import load_brokered  # noqa: PLC0415 - see the module

            brokered += load_brokered(file)
    if len({upstream.name for upstream in upstreams}) != len(upstreams):
        raise Malformed("two upstreams have the same name", "each needs one of its own")
    if not brokered:
        return Elsewhere(upstreams)
    from stack.broker import JobBroker  # noqa: PLC0415 - see the module

    return Elsewhere(upstreams, JobBroker(brokered))
