# SPDX-License-Identifier: Apache-2.0
"""The front page: what this stack is, its fingerprint, and the lines for each client. No script, no outside asset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from aiohttp import web

from stack.clients.table import GUIDES, guide
from stack.config import Home, Settings
from stack.trust.documents import timestamp_url
from stack.trust.serving import fingerprint


@dataclass(frozen=True, slots=True)
class Front:
    """What the page shows. ``clients`` are (name, lines); ``services`` are (name, URL)."""

    title: str
    untrusted: bool
    fingerprint: str
    services: Sequence[tuple[str, str]]
    clients: Sequence[tuple[str, Sequence[str]]]


STYLE: Final = """\
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --warn: #b3261e; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; white-space: nowrap; }
code, pre { font: 14px/1.5 ui-monospace, monospace; }
td code { overflow-wrap: anywhere; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: .75rem; overflow-x: auto; }
.warn { border-left: 4px solid var(--warn); padding: .5rem .75rem; background: var(--soft); }
"""


def make_routes(home: Home, settings: Settings) -> list[web.RouteDef]:
    """The page and its style sheet."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(
            text=render(describe(home, settings)), content_type="text/html", headers={"Cache-Control": "no-cache"}
        )

    async def style(_request: web.Request) -> web.Response:
        return web.Response(text=STYLE, content_type="text/css")

    return [web.get("/", page), web.get("/style.css", style)]


def describe(home: Home, settings: Settings) -> Front:
    """What the page says of this stack."""
    url = settings.url
    return Front(
        title="sigbox",
        untrusted=settings.ephemeral,
        fingerprint=fingerprint(home),
        services=(
            ("Identity (OpenID Connect issuer)", settings.issuer),
            ("Certificates (Fulcio v2)", f"{url}/api/v2/signingCert"),
            ("Certificate log (RFC 6962)", f"{url}/ct/v1/get-sth"),
            ("Signature log (Rekor v2)", f"{url}/api/v2/checkpoint"),
            ("Signature log (Rekor v1)", f"{url}/api/v1/log"),
            ("Timestamps (RFC 3161)", timestamp_url(settings)),
            ("Trust root (TUF)", f"{url}/tuf/timestamp.json"),
        ),
        clients=tuple((client, guide(client, home, settings).lines()) for client in GUIDES),
    )


def render(front: Front) -> str:
    """The page as HTML; every value is escaped."""
    rows = "\n".join(
        f"<tr><th scope=row>{escape(name)}</th><td><code>{escape(url)}</code></td></tr>" for name, url in front.services
    )
    clients = "\n".join(
        f"<h2>{escape(name)}</h2>\n<pre><code>{escape(chr(10).join(lines))}</code></pre>"
        for name, lines in front.clients
    )
    warning = (
        "<p class=warn><strong>UNTRUSTED.</strong> This stack is ephemeral: its keys and logs end with its process.</p>"
        if front.untrusted
        else ""
    )
    return f"""<!doctype html>
<html lang=en>
<head>
<meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<title>{escape(front.title)}</title>
<link rel=stylesheet href=/style.css>
</head>
<body>
<h1>{escape(front.title)}</h1>
<p>A private Sigstore: certificates for identities, logs that anybody can check, timestamps, and the trust root.</p>
{warning}
<h2>Root fingerprint</h2>
<p>SHA-256 of the first TUF root. Compare it over a way that you trust before you use this stack.</p>
<pre><code>{escape(front.fingerprint)}</code></pre>
<h2>Services</h2>
<table>
{rows}
</table>
{clients}
</body>
</html>
"""
