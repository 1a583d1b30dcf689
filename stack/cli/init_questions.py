# SPDX-License-Identifier: Apache-2.0
"""What `sigbox init` asks a person at a terminal: six questions, each of them an option and a variable too.

1. What an option or a variable answers already is not asked; with any but the directory given, nothing is.
2. An empty answer takes what stands in brackets; one that cannot be used is said, and asked for again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sigcore.errors import Malformed, Refused, SigError
from sigcore.strict import shown
from stack.config import DEFAULT_DATA, Home, home_at, key_uris, parse_organization, parse_url
from stack.files import save_file
from stack.passphrase import VARIABLE as PASSPHRASE
from stack.passphrase import find_passphrase

DEFAULT_URL: Final = "http://localhost:7780"
NONE: Final = "none"
AUTO: Final = "auto"
NUMBERS: Final = {5: "Five", 6: "Six"}
VARIABLES: Final = {
    "url": "SIGBOX_URL",
    "organization": "SIGBOX_ORGANIZATION",
    "tls": "SIGBOX_TLS",
    "login": "SIGBOX_LOGIN",
}
"""Those of the directory and the passphrase are read by whoever needs these."""


def complete(options: argparse.Namespace, environ: Mapping[str, str], *, ask: bool) -> None:
    """Take what no option says from the environment, and where that says nothing and ``ask`` from the person at the terminal.

    Raises:
        Malformed: an answer that cannot be used. Refused: the terminal was closed.
    """
    for name, variable in VARIABLES.items():
        setattr(options, name, getattr(options, name) or environ.get(variable) or None)
    if ask and _may_ask(options, environ):
        _ask(options, environ)
    options.tls = None if options.tls == NONE else options.tls
    options.login = None if options.login == NONE else options.login
    if options.tls and not (options.url or "https:").startswith("https:"):
        raise Malformed(f"--tls serves HTTPS, but the URL is {options.url}", "give an https URL")
    check_tls(options.tls or NONE)
    if options.login:
        login_row(options.login)


def check_tls(text: str) -> None:
    """Raises Malformed where ``text`` is neither ``auto`` nor ``none`` nor two files."""
    if text not in (AUTO, NONE):
        # Deferred: only for files of the operator's.
        from stack.tls import TlsFiles  # noqa: PLC0415 - see the line above

        TlsFiles.given(text)


def default_url(options: argparse.Namespace) -> str:
    """Where clients find the stack when nothing else is said."""
    return DEFAULT_URL.replace("http:", "https:") if options.tls else DEFAULT_URL


def keys_of(options: argparse.Namespace) -> dict[str, str]:
    """``--key``. Errors: as :func:`stack.config.key_uris`, and Malformed where a role is given twice."""
    rows: dict[str, str] = {}
    for text in options.key:
        role, _, uri = text.partition("=")
        if role in rows:
            raise Malformed(f"--key is given twice for {role}", "a role has one URI")
        rows[role] = uri
    return key_uris(rows) if rows else {}


def login_row(text: str) -> dict[str, str | list[str]]:
    """``ISSUER,CLIENT_ID,DOMAIN[,DOMAIN...]`` as a row of ``[[upstreams]]``.

    Raises:
        Malformed: it cannot be one.
    """
    # Deferred: most stacks have no such row.
    from oidc_dev.upstream import Upstream  # noqa: PLC0415 - see the line above
    from stack.outside import Fetcher  # noqa: PLC0415 - the same

    parts = [part.strip() for part in text.split(",")]
    try:
        host = (urlsplit(parts[0]).hostname or "")[:40]
    except ValueError:  # brackets without an address
        host = ""
    if not host or len(parts) < 2:
        raise Malformed(f"the provider is {shown(text)}, expected ISSUER,CLIENT_ID,MAIL-DOMAIN[,MAIL-DOMAIN...]")
    issuer, client_id, *domains = parts
    Upstream("company", host, issuer, client_id, Fetcher(host), tuple(domains))
    return {"name": "company", "label": host, "issuer": issuer, "client_id": client_id, "domains": domains}


def add_login(home: Home, text: str) -> None:
    """Write the row into the settings file, unless that has such a table already. Errors: as :func:`login_row`."""
    before = home.settings_file.read_bytes()
    if b"[[upstreams]]" not in before:
        save_file(home.settings_file, before + _login_table(text).encode())


def _login_table(text: str) -> str:
    rows = (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in login_row(text).items())
    return "\n".join(("", "[[upstreams]]", *rows, ""))


# --- at a terminal -------------------------------------------------------------------------------------
def _may_ask(options: argparse.Namespace, environ: Mapping[str, str]) -> bool:
    given = [getattr(options, name) for name in ("yes", "service", "key", "passphrase_file", *VARIABLES)]
    return not any(given) and not environ.get(PASSPHRASE) and sys.stdin.isatty() and sys.stderr.isatty()


def _ask(options: argparse.Namespace, environ: Mapping[str, str]) -> None:
    asked = 5 if options.data or environ.get("SIGBOX_DATA") else 6
    sys.stderr.write(f"A new stack. {NUMBERS[asked]} questions; Enter takes what stands in brackets.\n\n")
    if asked == 6:
        options.data = Path(_answer("In which directory shall its keys and logs lie?", DEFAULT_DATA, _empty_directory))
    options.tls = _answer("HTTPS? auto: with an authority of its own; or CERT,KEY.", NONE, _tls)
    url, least = default_url(options) if options.tls != NONE else DEFAULT_URL, options.tls != NONE
    answer = _answer("How will clients reach it? The URL is part of what they will trust.", url, _url_of(https=least))
    options.url = None if answer == url else answer
    name = f"sigbox {urlsplit(answer).hostname}"
    answer = _answer("Which organization shall stand in its certificates?", name, parse_organization)
    options.organization = None if answer == name else answer
    options.login = _answer("Through which provider do people log in? ISSUER,CLIENT_ID,MAIL-DOMAIN", NONE, _login)
    path = _answer("Encrypt its keys? A file with a passphrase; every start needs it.", NONE, _passphrase_file)
    options.passphrase_file = None if path == NONE else Path(path)


def _answer(question: str, default: str, check: Callable[[str], str]) -> str:
    while True:
        sys.stderr.write(f"{question}\n  [{default}] ")
        sys.stderr.flush()
        text = sys.stdin.readline()
        if not text:
            raise Refused("the questions were not answered", "give --yes to take the defaults")
        try:
            answer = check(text.strip() or default)
        except SigError as error:
            sys.stderr.write(f"  {error.message}\n")
            continue
        sys.stderr.write("\n")
        return answer


def _empty_directory(text: str) -> str:
    folder = home_at(text).path
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(f"{folder} is there already, and not empty")
    return text


def _url_of(*, https: bool) -> Callable[[str], str]:
    def check(text: str) -> str:
        url = parse_url(text)
        if https and not url.startswith("https:"):
            raise Malformed(f"the URL is {shown(url)}, expected https://HOST[:PORT] with that answer before")
        return url

    return check


def _tls(text: str) -> str:
    check_tls(text)
    return text


def _login(text: str) -> str:
    if text != NONE:
        login_row(text)
    return text


def _passphrase_file(text: str) -> str:
    if text != NONE:
        find_passphrase(Path(text), {})
    return text
