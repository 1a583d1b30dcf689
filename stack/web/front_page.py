# SPDX-License-Identifier: Apache-2.0
"""What the front page says: this stack, its fingerprint, its logs, its trust root, and the lines for each client.

No script and no outside asset; the page is whole without colours, and on a telephone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Final

from sigcore.errors import SigError
from sigcore.language import ENGLISH, LANGUAGES, PARAMETER
from stack.clients.remote import Remote
from stack.clients.table import FIRST, GUIDES
from stack.config import Home, Settings
from stack.generations import load_generations
from stack.shards import all_shards
from stack.trust.documents import timestamp_url
from stack.trust.serving import downloads, fingerprint
from stack.trust.state import load_roles
from stack.turned_clock import time_in
from stack.web.console.language import translate
from stack.web.console.shelf import title_of
from tlog.published import Published

_ABOUT: Final = (
    "A private Sigstore of {organization} at {url}: certificates for identities, logs that anybody can check, timestamps, and the"
    " trust root."
)
_ELSEWHERE: Final = (
    "These lines can be pasted on another machine. Put the fingerprint into them that you got over another channel (a call, a letter, the"
    " person who runs the stack): whoever answers in place of this server shows you a page with another one."
)
_ENROLL: Final = "Where sigbox is installed, one line compares the fingerprint and sets up every client that is there:"
_CLIENTS: Final = (
    "After that, or without sigbox, client by client. They need a root that was compared first; everything else comes over TUF from that root on. On the"
    " machine of the stack, {command} prints more of them."
)
_DOWNLOADS: Final = (
    "Only {root} is covered by the fingerprint. Take the others so where you trust the connection, or compare them with what a client has"
    " fetched over TUF."
)
_PLACES: Final = (
    "{search}: who signed what, and when; or see {logs}. {inspect}. {flow}, or take the {lessons}. {operator}."
)
_LINKS: Final = {
    "search": "Search them",
    "logs": "their trees",
    "inspect": "Look into a bundle",
    "flow": "Watch a signature happen",
    "lessons": "lessons",
    "operator": "What its operator looks at",
}


@dataclass(frozen=True, slots=True)
class LogState:
    """One log as the page shows it; ``fault`` says why there is nothing to show."""

    name: str
    size: int = 0
    root: str = ""
    signed: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Front:
    """What the page shows. ``clients`` are (name, lines), ``services`` (name, URL), ``trust`` (role, version, days left)."""

    url: str
    organization: str
    untrusted: bool
    fingerprint: str
    logs: Sequence[LogState]
    trust: Sequence[tuple[str, int, int]]
    services: Sequence[tuple[str, str]]
    clients: Sequence[tuple[str, Sequence[str]]]
    enroll: str
    downloads: Sequence[str]


def describe(home: Home, settings: Settings, logs: Mapping[str, Published]) -> Front:
    """What the page says of this stack."""
    now, log, mirror = time_in(home), settings.at("log"), f"{settings.at('trust')}/tuf"
    remote = Remote(home, settings)
    newest = {shard.log: shard for shard in all_shards(load_generations(home))}
    return Front(
        url=settings.url,
        organization=settings.organization,
        untrusted=settings.ephemeral,
        fingerprint=fingerprint(home),
        logs=tuple(_log_state(title_of(name), log) for name, log in logs.items()),
        trust=tuple(
            (role.role, role.version, role.left(now) // timedelta(days=1)) for role in load_roles(home.tuf_repository)
        ),
        services=(
            ("Identity (OpenID Connect)", settings.issuer),
            ("Certificates (Fulcio)", f"{settings.at('ca')}/api/v2/signingCert"),
            ("Certificate log (RFC 6962)", f"{settings.at('ct')}{newest['ct'].prefix}/ct/v1/get-sth"),
            ("Signature log (Rekor v2)", f"{log}{newest['rekor'].prefix}/api/v2/checkpoint"),
            ("Signature log (Rekor v1)", f"{log}/api/v1/log"),
            ("Timestamps (RFC 3161)", timestamp_url(settings)),
            ("Trust root (TUF)", f"{mirror}/timestamp.json"),
            *(("Health", f"{url}/readyz") for url in dict.fromkeys((settings.url, *settings.services.values()))),
        ),
        clients=tuple((client, lines_for(client, remote)) for client in GUIDES),
        enroll=remote.enroll,
        downloads=tuple(f"{remote.origin}/{name}" for name in downloads(home)),
    )


def lines_for(client: str, remote: Remote) -> tuple[str, ...]:
    """What can be pasted on another machine; it names no file of this one."""
    found = GUIDES[client](remote)
    return replace(found, more=tuple(step for step in found.more if not step.local)).lines()


def _log_state(name: str, log: Published) -> LogState:
    try:
        head = log.head
    except SigError as error:
        return LogState(name, fault=error.message)
    if fault := log.damage or log.fault:
        return LogState(name, fault=f"takes no entries: {fault}")
    moment = datetime.fromtimestamp(head.timestamp_ms // 1000, UTC)
    return LogState(name, head.size, head.root.hex(), f"{moment:%Y-%m-%d %H:%M:%S} UTC")


# --- HTML --------------------------------------------------------------------------------------------
def render(front: Front, language: str = ENGLISH) -> str:
    """The page as HTML in ``language``; every value is escaped."""
    return _Sheet(language).page(front)


class _Sheet:
    """The page in one language."""

    def __init__(self, language: str) -> None:
        self._language = language

    def _(self, english: str, **values: str) -> str:
        """A text as HTML; so must its values be."""
        return escape(translate(self._language, english)).format(**values)

    def page(self, front: Front) -> str:
        """All of it."""
        _ = self._
        url, organization = escape(front.url), f"<strong>{escape(front.organization)}</strong>"
        return f"""<!doctype html>
<html lang={self._language}>
<head>
<meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<title>{_("sigbox at {url}", url=url)}</title>
<link rel=stylesheet href=/style.css>
<link rel=icon href=/icon.svg>
</head>
<body>
<header>
<p class=languages>{self._others()}</p>
<h1>sigbox</h1>
<p>{_(_ABOUT, organization=organization, url=f"<code>{url}</code>")}</p>
{self._warning() if front.untrusted else ""}
</header>
<main>
<h2>{_("Root fingerprint")}</h2>
<p>{_("SHA-256 of the first TUF root. Compare it over a way that you trust before you use this stack.")}</p>
<pre class=print><code>{escape(front.fingerprint)}</code></pre>
{self._logs(front.logs)}<h2>{_("Trust root")}</h2>
<table>
<thead><tr><th scope=col>{_("TUF role")}<th scope=col>{_("Version")}<th scope=col>{_("Good for")}</thead>
{chr(10).join(self._trust_row(*row) for row in front.trust)}
</table>
<h2>{_("Use it")}</h2>
<p>{_(_ELSEWHERE)}</p>
<p>{_(_ENROLL)}</p>
<pre tabindex=0><code>{escape(front.enroll)}</code></pre>
<p>{_(_CLIENTS, command="<code>sigbox env</code>")}</p>
{chr(10).join(_client(name, lines) for name, lines in front.clients)}
<h2>{_("Downloads")}</h2>
<p>{_(_DOWNLOADS, root="<code>root.json</code>")}</p>
<ul>
{chr(10).join(map(_download, front.downloads))}
</ul>
<h2>{_("Services")}</h2>
<table>
{chr(10).join(self._service_row(*row) for row in front.services)}
</table>
</main>
</body>
</html>
"""

    def _others(self) -> str:
        return " ".join(
            f"<a href='/?{PARAMETER}={name}' hreflang={name} lang={name} rel=alternate>{escape(title)}</a>"
            for name, title in LANGUAGES.items()
            if name != self._language
        )

    def _warning(self) -> str:
        said = self._("This stack is ephemeral: its keys and logs end with its process.")
        return f"<p class=warn><strong>UNTRUSTED.</strong> {said}</p>"

    def _logs(self, logs: Sequence[LogState]) -> str:
        """Nothing where they are served by other processes: there is no search then."""
        if not logs:
            return ""
        _ = self._
        links = {name: f"<a href=/{name}>{_(text)}</a>" for name, text in _LINKS.items()}
        return f"""<h2>{_("Logs")}</h2>
<p>{_(_PLACES, **links)}</p>
<table class=logs>
<thead><tr><th scope=col>{_("Log")}<th scope=col>{_("Entries")}<th scope=col>{_("Last signed")}<th scope=col>{_("Root hash")}</thead>
{chr(10).join(map(self._log_row, logs))}
</table>
"""

    def _log_row(self, log: LogState) -> str:
        _ = self._
        if log.fault:
            return f"<tr><th scope=row>{_(log.name)}<td colspan=3 class=bad lang=en>{escape(log.fault)}"
        return (
            f'<tr><th scope=row>{_(log.name)}<td class=number data-name="{_("Entries")}">{log.size:,}'
            f'<td class=whole data-name="{_("Last signed")}">{escape(log.signed)}'
            f'<td data-name="{_("Root hash")}"><code>{escape(log.root)}</code>'
        )

    def _trust_row(self, role: str, version: int, days_left: int) -> str:
        left = self._("{days} days", days=f"{days_left:,}") if days_left >= 0 else self._("expired: clients refuse it")
        mark = "" if days_left >= 0 else " class=bad"
        return f"<tr><th scope=row>{escape(role)}<td class=number>{version}<td{mark}>{left}"

    def _service_row(self, name: str, url: str) -> str:
        return f"<tr><th scope=row>{self._(name)}<td><code>{escape(url)}</code>"


def _download(url: str) -> str:
    return f"<li><a href=/{escape(url.rpartition('/')[2])}><code>{escape(url)}</code></a>"


def _client(name: str, lines: Sequence[str]) -> str:
    opened = " open" if name == FIRST[0] else ""
    text = escape("\n".join(lines))
    return f"<details{opened}><summary>{escape(name)}</summary>\n<pre tabindex=0><code>{text}</code></pre></details>"
