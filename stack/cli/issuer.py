# SPDX-License-Identifier: Apache-2.0
"""Whose tokens the CA accepts beside those of your stack's own provider.

`add` and `remove` work on the data directory; a running stack takes the change up within two seconds. `test` takes a token and
says which row it belongs to and what the certificate would say, or why there would be none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from ca.issuers import CHALLENGE_CLAIMS, OWN, Issuer, IssuerTable, PinnedKeys
from ca.principal import make_principal
from ca.token import Claims, verify_token
from sigcore import fulcio, limits
from sigcore.errors import Malformed
from sigcore.strict import JSON, parse_time
from stack.bootstrap import load_oidc_key
from stack.cli.placing import add_data_option, add_passphrase_option, unlocked
from stack.cli.usage import Usage, adding
from stack.config import Home, home_at, load_settings
from stack.files import load_file
from stack.issuer_file import (
    Document,
    add_rows,
    keep_key_set,
    load_document,
    load_foreign,
    remove_row,
    save_document,
)
from stack.issuers import FEDERATED, Accepted, load_issuers
from stack.live_issuers import issuer_files, load_all
from stack.lock import alone
from stack.oidc_keys import load_ring

EXAMPLES = """\
examples:
  sigbox issuer add https://gitlab.corp.example --kind gitlab-pipeline --allow 'https://gitlab.corp.example/build/**'
  sigbox issuer add https://kubernetes.default.svc --kind kubernetes --jwks cluster.jwks      nothing is fetched
  sigbox issuer add https://idp.corp.example/realms/dev --kind email --ca-file corp-ca.pem --deny 'root@*'
  sigbox issuer add --from fulcio-config.yaml
  sigbox issuer list --json
  sigbox issuer test "$(cat token.jwt)"
  sigbox issuer remove https://gitlab.corp.example"""


class Report(TypedDict):
    """What ``test`` says."""

    row: str
    kind: str
    subjectAlternativeName: dict[str, str]
    proofOfPossessionSigns: str
    extensions: list[dict[str, str]]


_TEXTS = ("subject-domain", "trust-domain", "issuer-claim", "ci-provider", "jwks-uri", "jwks-host")
_ONE = "one JSON document on standard output"
_ROW_NAMES = {"trust-domain": "spiffe-trust-domain"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox issuer``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_row_arguments(actions.add_parser("add", help="accept one more issuer", allow_abbrev=False))
    show = actions.add_parser("list", help="every issuer that is accepted", allow_abbrev=False)
    test = actions.add_parser("test", help="what a token would get, or why nothing", allow_abbrev=False)
    test.add_argument("token", metavar="TOKEN", help="the token; @FILE reads it from a file, - from standard input")
    test.add_argument("--at", metavar="TIME", help="judge it at this time (RFC 3339) instead of now")
    add_passphrase_option(test)
    for reading in (show, test):
        reading.add_argument("--json", action="store_true", help=_ONE)
        reading.add_argument("--config", metavar="FILE", type=Path, help="as that of sigbox up, if it has one")
        add_data_option(reading)
    remove = actions.add_parser("remove", help="accept an issuer no longer", allow_abbrev=False)
    remove.add_argument("url", metavar="URL", help="the issuer or pattern, as list shows it")
    remove.add_argument("--json", action="store_true", help=_ONE)
    add_data_option(remove)
    add_passphrase_option(remove)


def _add_row_arguments(add: argparse.ArgumentParser) -> None:
    option = add.add_argument
    option("url", metavar="URL", nargs="?", help="the exact iss of its tokens; * stands for a part that varies")
    option("--kind", metavar="K", choices=list(CHALLENGE_CLAIMS), help=f"one of {', '.join(CHALLENGE_CLAIMS)}")
    option("--audience", metavar="A", default="sigstore", help="the exact aud (default: sigstore)")
    option("--jwks", metavar="FILE", type=Path, help="its public keys; they are copied, and nothing is fetched")
    option("--jwks-uri", metavar="URL", help="where its keys are, instead of what discovery says")
    option("--jwks-host", metavar="HOST", help="a host beside its own that discovery may name")
    option(
        "--ca-file", metavar="FILE", type=Path, help="the one authority (PEM) that its TLS certificate is checked with"
    )
    option("--bearer-file", metavar="FILE", type=Path, help="a token that it wants to see, as in Kubernetes")
    option("--subject-domain", metavar="D", help="kind uri: https://HOST of every sub; username: the host")
    option("--trust-domain", metavar="D", help="kind spiffe: the trust domain")
    option("--issuer-claim", metavar="PATH", help="kind email: where the real issuer stands, for example $.a.b")
    option("--ci-provider", metavar="NAME", help="kind ci-provider: templates that --from brought")
    option("--value", metavar="K=V", action="append", default=[], help="a value for templates that no claim changes")
    option("--allow", metavar="GLOB", action="append", default=[], help="names that may be certified (default: all)")
    option("--deny", metavar="GLOB", action="append", default=[], help="names that may not")
    option("--skip-email-verification", action="store_true", help="kind email: email_verified may be absent")
    option("--private-addresses", action="store_true", help="hosts of a pattern may be in a private network")
    option("--from", metavar="FILE", type=Path, dest="source", help="all rows and templates of a Fulcio configuration")
    option("--json", action="store_true", help=_ONE)
    add_data_option(add)
    add_passphrase_option(add)


def run(options: argparse.Namespace) -> int:
    """Do it; the result goes to standard output, what was done to standard error."""
    if options.action == "test":
        _test(options)
        return 0
    try:
        {"add": _add, "list": _list, "remove": _remove}[options.action](options)
    except Malformed as error:  # of the command line or a file: nobody's token was judged
        raise Usage(error.message, error.hint) from error
    return 0


# --- add, remove ---------------------------------------------------------------------------------------
def _add(options: argparse.Namespace) -> None:
    home = home_at(options.data)
    load_settings(home)
    added = _foreign(options) if options.source else _row(home, options)
    with alone(home.issuers.parent), adding():
        document = load_document(home)
        add_rows(document, added)
        save_document(home, document)
    names = [url for section in ("oidc-issuers", "meta-issuers") for url in added.get(section, {})]
    _say(f"accepted from now on: {', '.join(names)}; a running stack takes it up within two seconds")
    if options.json:
        print(json.dumps({"action": "add", "issuers": names}, indent=2))


def _foreign(options: argparse.Namespace) -> Document:
    if options.url:
        raise Malformed("--from brings whole rows", "leave the URL out")
    load_issuers(options.source)  # what is misspelt in it must not just be left out
    text = load_file(options.source, what="the configuration", limit=limits.TOKEN_KEY_SET)
    return load_foreign(options.source, text)


def _row(home: Home, options: argparse.Namespace) -> Document:
    if not options.url or not options.kind:
        raise Malformed("an issuer has a URL and a kind", "for example: sigbox issuer add https://HOST --kind email")
    row: dict[str, JSON] = {"type": options.kind, "client-id": options.audience}
    for name in _TEXTS:
        if value := getattr(options, name.replace("-", "_")):
            row[_ROW_NAMES.get(name, name)] = value
    for name in ("skip-email-verification", "private-addresses"):
        if getattr(options, name.replace("-", "_")):
            row[name] = True
    for name in ("allow", "deny"):
        if patterns := getattr(options, name):
            row[name] = patterns
    if options.value:
        row["values"] = dict(_value(text) for text in options.value)
    if options.jwks:
        row["jwks"] = keep_key_set(home, options.jwks)
    if options.ca_file:
        row["ca-cert"] = load_file(options.ca_file, what="the TLS authority", limit=limits.TEXT, pipe=True).decode(
            "latin-1"
        )
    if options.bearer_file:
        row["bearer-file"] = str(options.bearer_file.absolute())
    return {"meta-issuers" if "*" in options.url else "oidc-issuers": {options.url: row}}


def _value(text: str) -> tuple[str, JSON]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Malformed(f"--value is {text!r}, expected NAME=VALUE", "for example --value url=https://git.corp.example")
    return name, value


def _remove(options: argparse.Namespace) -> None:
    home = home_at(options.data)
    with alone(home.issuers.parent):
        document = load_document(home)
        remove_row(document, options.url)
        save_document(home, document)
    _say(f"no longer accepted: {options.url}; a running stack takes it up within two seconds")
    if options.json:
        print(json.dumps({"action": "remove", "issuers": [options.url]}, indent=2))


# --- list, test ----------------------------------------------------------------------------------------
def _list(options: argparse.Namespace) -> None:
    home = home_at(options.data)
    own = Issuer(load_settings(home).issuer, kind=OWN)
    found = load_all(issuer_files(home, options.config))
    patterns = (replace(pattern.issuer, keys=pattern.keys_of(pattern.issuer.url)) for pattern in found.patterns)
    rows = [_described(issuer, own) for issuer in (own, *found.issuers, *patterns)]
    if options.json:
        print(json.dumps({"issuers": rows}, indent=2))
        return
    width = max(len(str(row["issuer"])) for row in rows)
    for row in rows:
        print(f"{row['issuer']:<{width}}  {row['kind']:<20}  aud={row['audience']}  keys={row['keys']}")


def _described(issuer: Issuer, own: Issuer) -> dict[str, object]:
    pinned = issuer is own or isinstance(issuer.keys, PinnedKeys)
    return {
        "issuer": issuer.url,
        "kind": "its own" if issuer is own else issuer.kind,
        "audience": issuer.audience,
        "keys": "pinned" if pinned else "discovery",
        "allow": list(issuer.names.allow) if issuer.names else [],
        "deny": list(issuer.names.deny) if issuer.names else [],
    }


def _test(options: argparse.Namespace) -> None:
    home = unlocked(options)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")  # why keys could not be fetched
    now = _moment(options.at)
    found = load_all(issuer_files(home, options.config))
    table = IssuerTable((_own(home, now), *found.issuers), found.patterns)
    claims = asyncio.run(verify_token(_token(options.token), table, now=now))
    principal = make_principal(claims)
    report: Report = {
        "row": _matched(claims, found),
        "kind": claims.issuer.kind,
        "subjectAlternativeName": {"type": type(principal.san).__name__, "value": principal.san.value},
        "proofOfPossessionSigns": principal.subject,
        "extensions": _named(principal.extensions),
    }
    if options.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        _print(report)


def _moment(given: str | None) -> datetime:
    try:
        return parse_time(given, what="--at") if given else datetime.now(UTC)
    except Malformed as error:
        raise Usage(error.message, error.hint) from error


def _own(home: Home, now: datetime) -> Issuer:
    keys = load_ring(home, load_oidc_key(home)).published(now)
    return Issuer(load_settings(home).issuer, PinnedKeys(keys.items()), kind=OWN, issuer_claim=FEDERATED)


def _matched(claims: Claims, found: Accepted) -> str:
    """The row as it is written: an issuer, or the pattern that it matches."""
    url = claims.issuer.url
    exact = claims.issuer.kind == OWN or url in {issuer.url for issuer in found.issuers}
    return url if exact else next(p.issuer.url for p in found.patterns if p.matches(url))


def _named(values: fulcio.FulcioExtensions) -> list[dict[str, str]]:
    """The extensions in the order of the certificate."""
    names = {fulcio.oid_of(field.name): field.name for field in fields(values)}
    found = ((extension.oid, names.get(extension.oid, "issuer")) for extension in fulcio.encode_extensions(values))
    return [{"oid": oid, "name": name, "value": getattr(values, name)} for oid, name in found]


def _print(report: Report) -> None:
    print(f"row        {report['row']} ({report['kind']})")
    print(f"name       {report['subjectAlternativeName']['type']} {report['subjectAlternativeName']['value']}")
    print(f"signs      {report['proofOfPossessionSigns']}")
    for extension in report["extensions"]:
        print(f"{extension['oid']:<26} {extension['name']:<40} {extension['value']}")


def _token(text: str) -> str:
    if text == "-":
        return sys.stdin.read(limits.IDENTITY_TOKEN + 2).strip()
    if text.startswith("@"):
        data = load_file(Path(text[1:]), what="the token", limit=limits.IDENTITY_TOKEN + 2, pipe=True)
        return data.decode("ascii", "replace").strip()
    return text


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
