# SPDX-License-Identifier: Apache-2.0
"""A stack that runs already: by its ready file, or by its URL and a trust config."""

from __future__ import annotations

import json
from pathlib import Path

from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import Fields
from stack.files import load_file
from stack.testing.box import Sigbox


def load_ready(path: Path, log: Path | None = None) -> Sigbox:
    """The stack that wrote the ready file ``path`` (``sigbox up --ready-file``) on this machine.

    Raises:
        NotFound: there is no such file: the stack is not ready yet, or has ended. Malformed: it is another file.
    """
    ready = Fields.parse(
        load_file(path, what="the ready file"), what=f"the ready file {path}", limit=limits.SERVICE_RESPONSE
    )
    tls_ca = ready.optional_text("tls_ca")
    return Sigbox(
        url=ready.text("url"),
        issuer=ready.text("oidc_issuer"),
        trust_config=Path(ready.text("trust_config")),
        trusted_root=Path(ready.text("trusted_root")),
        signing_config=Path(ready.text("signing_config")),
        tuf_mirror=ready.text("tuf_mirror"),
        timestamp_url=ready.text("timestamp_url"),
        tuf_root=Path(ready.text("tuf_root")),
        tls_ca=Path(tls_ca) if tls_ca else None,
        data=Path(ready.text("data")),
        log=log,
    )


def load_trust_config(url: str, path: Path, folder: Path, tls_ca: Path | None = None) -> Sigbox:
    """The stack at ``url``, which may be another machine, as the trust config ``path`` describes it.

    Its two parts are written to ``folder``. Its first TUF root and its data directory stay unknown: nothing is fetched.

    Raises:
        NotFound: there is no such file. Malformed: it is no trust config, or names no issuer or no timestamp authority.
    """
    whole = Fields.parse(
        load_file(path, what="the trust config"), what=f"the trust config {path}", limit=limits.SERVICE_RESPONSE
    )
    parts = {name: folder / f"{member}.json" for name, member in _PARTS.items()}
    for name, file in parts.items():
        file.write_text(json.dumps(whole.object(name).raw()), "utf-8")
    origin, services = url.rstrip("/"), whole.object("signingConfig")
    return Sigbox(
        url=origin,
        issuer=_first_url(services, "oidcUrls"),
        trust_config=path.absolute(),
        trusted_root=parts["trustedRoot"],
        signing_config=parts["signingConfig"],
        tuf_mirror=f"{origin}/tuf",
        timestamp_url=_first_url(services, "tsaUrls"),
        tls_ca=tls_ca,
    )


_PARTS = {"trustedRoot": "trusted_root", "signingConfig": "signing_config"}


def _first_url(services: Fields, member: str) -> str:
    urls = services.objects(member, limit=limits.TRUST_INSTANCES)
    if not urls:
        raise Malformed(f"{services.path} has no {member}", "give the trust_config.json that the stack wrote")
    return urls[0].text("url")
