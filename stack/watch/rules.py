# SPDX-License-Identifier: Apache-2.0
"""``[[watch]]``: whom to look out for in the logs; ``[alerts]``: where it is told.

Members of each ``[[watch]]``:
    name: of the rule, in alerts and figures; letters, digits, ``-``, ``_`` and ``.``.
    identity: a name as certificates have it, or a pattern of it: ``*`` and ``**`` as in the policy file, and no regular expressions.
    issuer: the same for who vouches for it; any where it is absent.
    verdict: ``alarming`` (default): an entry with that identity and issuer is an alert; or ``expected``: the identity is expected
        from that issuer, and an alert from any other one.
    logs: which of ``ct``, ``rekor`` and ``rekor-v1``; all where it is absent.

Members of ``[alerts]``:
    webhook: the URL that alerts are posted to, http or https. Redirects are not followed.
    secret_file: holds the secret of their HMAC; files are looked for from the folder of the configuration.
    ca_file: PEM of the one authority that its TLS certificate is checked with; the system's where it is absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from client.policy.glob import Glob, parse_glob
from sigcore import limits
from sigcore.errors import Malformed, SigError
from sigcore.strict import Fields, shown
from sigcore.values import dataclass
from stack.files import load_file
from stack.rows import load_rows, toml_of
from stack.watch.matching import WatchRule, fold

WATCH: Final = "watch"
ALERTS: Final = "alerts"
LOGS: Final = ("ct", "rekor", "rekor-v1")
MOST_RULES: Final = 64
"""Each is held against every name of every entry."""
LEAST_SECRET: Final = 16
"""Bytes of a secret: what is shorter can be guessed from one alert."""
_MEMBERS: Final = ("name", "identity", "issuer", "verdict", "logs")
_ALERT_MEMBERS: Final = ("webhook", "secret_file", "ca_file")
_URL: Final = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?(?:/[!-~]*)?\Z",
    re.ASCII,
)
"""No user in it, no fragment, nothing that two parsers read differently before its path."""
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where alerts go. ``ca_file`` is empty for the system's authorities."""

    url: str
    secret: bytes
    ca_file: str = ""

    @property
    def host(self) -> str:
        """What may be shown of the URL: its path and query may be a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, slots=True)
class Watching:
    """What is looked out for, and where it is told; without a webhook it is shown and counted only."""

    rules: tuple[WatchRule, ...]
    webhook: Webhook | None = None


def load_watching(files: Iterable[Path]) -> Watching | None:
    """What the TOML ``files`` say, all rules together and the last webhook; None where they have no rule.

    Raises:
        NotFound, Malformed, Refused: a file or one that it names cannot be read, or says something that cannot be meant.
    """
    rules: tuple[WatchRule, ...] = ()
    webhook: Webhook | None = None
    for file in files:
        rules += load_rows(file, WATCH, _rule)
        webhook = _load_webhook(file) or webhook
    if len({rule.name for rule in rules}) != len(rules):
        raise Malformed("two rules of [[watch]] have the same name", "each needs one of its own")
    if len(rules) > MOST_RULES:
        raise Malformed(f"there are {len(rules)} rules of [[watch]], at most {MOST_RULES} are possible", "use patterns")
    return Watching(rules, webhook) if rules else None


def _rule(fields: Fields, _folder: Path) -> WatchRule:
    fields.only(*_MEMBERS)
    name, verdict = fields.text("name"), fields.optional_text("verdict", "alarming")
    if not _NAME.match(name):
        raise Malformed(f"name is {shown(name)}, expected letters, digits, -, _ and .")
    if verdict not in ("alarming", "expected"):
        raise Malformed(f"verdict is {shown(verdict)}", "expected alarming, or expected")
    if verdict == "expected" and "issuer" not in fields:
        raise Malformed("an expected identity has no issuer", "name who vouches for it: issuer")
    logs = fields.texts("logs", limit=len(LOGS)) if "logs" in fields else LOGS
    if not logs or not set(logs) <= set(LOGS):
        raise Malformed(f"logs is {shown(list(logs))}, expected some of {', '.join(LOGS)}")
    return WatchRule(
        name=name,
        identity=_pattern(fields, "identity"),
        issuer=_pattern(fields, "issuer") if "issuer" in fields else None,
        expected=verdict == "expected",
        logs=logs,
    )


def _pattern(fields: Fields, name: str) -> Glob:
    return Glob(fold(parse_glob(fields.text(name), what=name).text))


def _load_webhook(file: Path) -> Webhook | None:
    try:
        table = toml_of(load_file(file, what="the configuration", limit=limits.TOKEN_KEY_SET), "it").get(ALERTS)
        if table is None:
            return None
        if not isinstance(table, dict):
            raise Malformed(f"{ALERTS} is {shown(table)}, expected a table", f"write [{ALERTS}] above its members")
        return _webhook(Fields.of(table, ALERTS), file.parent)
    except SigError as error:
        raise type(error)(f"{file}: {error.message}", error.hint) from error


def _webhook(fields: Fields, folder: Path) -> Webhook:
    fields.only(*_ALERT_MEMBERS)
    url, ca_file = fields.text("webhook"), fields.optional_text("ca_file")
    if not _URL.match(url):
        # Not shown: a user's password, or a path that is a secret, would be in the journal.
        raise Malformed("webhook is not of the form http(s)://HOST[:PORT]/PATH", "host in small letters, no user")
    secret = load_file(folder / fields.text("secret_file"), what="the secret of the webhook", limit=limits.TEXT).strip()
    if len(secret) < LEAST_SECRET:
        raise Malformed(
            f"the secret of the webhook has {len(secret)} bytes, expected {LEAST_SECRET}", "openssl rand -hex 32"
        )
    return Webhook(url, secret, str(folder / ca_file) if ca_file else "")
