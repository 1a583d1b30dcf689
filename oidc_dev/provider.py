# SPDX-License-Identifier: Apache-2.0
"""An OpenID provider: its name, its keys, its clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

from oidc_dev.claims import LIFETIME_S, Identity, make_claims
from oidc_dev.signing import KeyRing, mint
from sigcore.errors import Malformed
from sigcore.strict import shown
from sigcore.values import dataclass

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenID provider: its exact issuer string and its keys, which may be rotated while it runs."""

    issuer: str
    keys: KeyRing
    clock: Clock
    untrusted: bool = False
    """Of an ephemeral stack; its pages say so."""

    def __post_init__(self) -> None:
        url = urlsplit(self.issuer)
        if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
            raise Malformed(f"the issuer is {shown(self.issuer)}, expected an http(s) URL without query and fragment")
        if self.issuer.endswith("/"):
            raise Malformed(f"the issuer {shown(self.issuer)} ends in a slash", "clients compare it byte for byte")

    @property
    def origin(self) -> str:
        """Scheme, host and port, as a browser names where a page is from (RFC 6454 section 6.2)."""
        url = urlsplit(self.issuer)
        return f"{url.scheme}://{url.netloc}"

    @property
    def secure(self) -> bool:
        """Whether browsers reach it over TLS."""
        return self.issuer.startswith("https:")

    def token(
        self,
        identity: Identity,
        *,
        audience: str = "sigstore",
        lifetime_s: int = LIFETIME_S,
        now: datetime | None = None,
    ) -> str:
        """An ID token for ``identity``, valid for ``lifetime_s`` seconds from ``now``, else from this moment on."""
        now = now or self.clock()
        claims = make_claims(identity, issuer=self.issuer, audience=audience, now=now, lifetime_s=lifetime_s)
        return mint(claims, self.keys.signing)
