# SPDX-License-Identifier: Apache-2.0
"""Local accounts: who may log in on the page of your stack's OpenID provider.

It works on the data directory; a running stack sees the change at once. With --url it asks a stack that was started with
--control to add the account. Passwords are asked for, or read from a file or from standard input, never taken from the command
line.
"""

from __future__ import annotations

import argparse
import getpass
import json
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from oidc_dev.accounts import Account
from oidc_dev.mailbox import parse_email
from oidc_dev.store import SqliteAccounts, account_exists
from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import encode_time
from stack.cli.placing import add_data_option, add_passphrase_option, unlocked
from stack.cli.usage import adding
from stack.config import home_at, load_settings
from stack.files import load_file

EXAMPLES = """\
examples:
  sigbox user add --email alice@example.com                     asks for the password twice
  sigbox user add --email alice@example.com --password-file F   the first line of F; - is standard input
  sigbox user passwd --email alice@example.com
  sigbox user list --json
  sigbox user totp --email alice@example.com                    one-time codes from now on; prints the secret
  sigbox user totp --email alice@example.com --off
  sigbox user disable --email alice@example.com                 sessions end at once; enable lets it in again
  sigbox user remove --email alice@example.com"""
STANDARD_INPUT = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox user``."""
    about = (
        "add an account; list them all; passwd: give it another password; disable it, and enable it again; totp: ask for "
        "one-time codes from now on; remove it"
    )
    actions = ("add", "list", "passwd", "disable", "enable", "totp", "remove")
    parser.add_argument("action", choices=actions, metavar="ACTION", help=about)
    parser.add_argument(
        "--email", metavar="E", help="the account; its email stands in certificates as it is written here"
    )
    where = parser.add_mutually_exclusive_group()
    add_data_option(where)
    where.add_argument("--url", metavar="URL", help="add: URL of a stack that was started with --control")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--password-file", metavar="FILE", help="read the password from the first line of FILE, or of - "
    )
    source.add_argument("--password-stdin", action="store_true", help="the same as --password-file -")
    parser.add_argument(
        "--unverified", action="store_true", help="add: tokens say email_verified false, so the CA will refuse them"
    )
    parser.add_argument("--off", action="store_true", help="totp: ask for one-time codes no longer")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    add_passphrase_option(parser)


def run(options: argparse.Namespace) -> int:
    """Do it; what was done is said on standard error, the list goes to standard output."""
    if options.url:
        return _done(options, _ask(options))
    home = home_at(options.data)
    load_settings(home)
    accounts = SqliteAccounts(home.accounts)
    if options.action == "list":
        if options.email:
            raise Malformed("sigbox user list shows all accounts", "leave --email out")
        _print(accounts.list(), as_json=options.json)
        return 0
    email = _email(options)
    _ACTIONS[options.action](accounts, email, options)
    return _done(options, email)


def _done(options: argparse.Namespace, email: str) -> int:
    """The document of an action whose result is that it was done; a secret has one of its own."""
    if options.json and (options.action != "totp" or options.off):
        print(json.dumps({"action": options.action, "email": email}, indent=2))
    return 0


def _add(accounts: SqliteAccounts, email: str, options: argparse.Namespace) -> None:
    with adding():
        if accounts.find(email):  # before somebody thinks of a password
            raise account_exists(email)
        hashed = _new_hash(options)
        accounts.add(Account(email, hashed, not options.unverified, datetime.now(UTC).replace(microsecond=0)))
    _say(f"{email} may log in")


def _change(accounts: SqliteAccounts, email: str, options: argparse.Namespace) -> None:
    account = accounts.set_password(email, _new_hash(options))
    _say(f"changed the password of {account.email}")


def _remove(accounts: SqliteAccounts, email: str, _options: argparse.Namespace) -> None:
    _say(f"removed the account of {accounts.remove(email).email}; tokens that it has live ten minutes at most")


def _disable(accounts: SqliteAccounts, email: str, _options: argparse.Namespace) -> None:
    account = accounts.set_disabled(email, disabled=True)
    _say(f"{account.email} is locked out; tokens that it has live ten minutes at most")


def _enable(accounts: SqliteAccounts, email: str, _options: argparse.Namespace) -> None:
    _say(f"{accounts.set_disabled(email, disabled=False).email} may log in")


def _one_time(accounts: SqliteAccounts, email: str, options: argparse.Namespace) -> None:
    """Another secret each time; the one before is no good any more."""
    if options.off:
        _say(f"{accounts.set_one_time(email, b'').email} logs in with its password alone")
        return
    # Deferred: only here a key of the stack is needed.
    from oidc_dev import totp  # noqa: PLC0415 - see the line above
    from stack.oidc_keys import seal_of  # noqa: PLC0415 - the same

    home = unlocked(options)
    settings, known, secret = load_settings(home), accounts.find(email), secrets.token_bytes(totp.SECRET)
    account = accounts.set_one_time(email, seal_of(home, settings).seal(secret, of=known.key if known else email))
    address = totp.encode_address(secret, email=account.email, issuer=f"sigbox {settings.host}")
    if options.json:
        print(json.dumps({"email": account.email, "secret": totp.encode_secret(secret), "address": address}, indent=2))
        return
    _say(
        f"{account.email} needs a one-time code from now on; type this secret into its authenticator, or the address as a QR code"
    )
    print(f"{totp.encode_secret(secret)}\n{address}")


_ACTIONS: Final = {
    "add": _add,
    "passwd": _change,
    "disable": _disable,
    "enable": _enable,
    "totp": _one_time,
    "remove": _remove,
}


def _ask(options: argparse.Namespace) -> str:
    # Deferred: HTTP is needed on this branch only.
    from stack.cli.asking import ask_control  # noqa: PLC0415 - see the line above

    if options.action != "add":
        raise Malformed(f"sigbox user {options.action} works on the data directory", "give --data instead of --url")
    body = {"email": _email(options), "password": _read_password(options), "verified": not options.unverified}
    email = ask_control(options.url, "user", json.dumps(body).encode())
    _say(f"{email} may log in")
    return email


def _email(options: argparse.Namespace) -> str:
    if not options.email:
        raise Malformed(f"sigbox user {options.action} needs an account", "name it with --email")
    return parse_email(options.email)


# --- passwords -----------------------------------------------------------------------------------------
def _new_hash(options: argparse.Namespace) -> str:
    # Deferred: argon2 takes 25 ms to import, and `list` hashes nothing.
    from oidc_dev.passwords import Passwords  # noqa: PLC0415 - see the line above
    from stack.login_rules import load_login_rules  # noqa: PLC0415 - the same

    rules = load_login_rules([home_at(options.data).settings_file])
    return Passwords(rules.passes).hash(_read_password(options))


def _read_password(options: argparse.Namespace) -> str:
    source = STANDARD_INPUT if options.password_stdin else options.password_file
    if source == STANDARD_INPUT:
        return _first_line(sys.stdin.buffer.readline(limits.PASSWORD + 2), "standard input")
    if source:
        data = load_file(Path(source), what="the password file", limit=limits.TEXT, pipe=True)
        return _first_line(data, source)
    if not sys.stdin.isatty():
        raise Malformed("there is no terminal to ask for the password", "give --password-file FILE or --password-stdin")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise Malformed("the two passwords differ", "try again")
    return password


def _first_line(data: bytes, source: str) -> str:
    line = data.split(b"\n", 1)[0].removesuffix(b"\r")
    if not line:
        raise Malformed(f"the first line of {source} is empty, expected a password")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"the password in {source} is not UTF-8") from error


# --- output --------------------------------------------------------------------------------------------
def _print(accounts: tuple[Account, ...], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "email": a.email,
                "verified": a.verified,
                "created": encode_time(a.created),
                "disabled": a.disabled,
                "totp": bool(a.one_time),
            }
            for a in accounts
        ]
        print(json.dumps({"accounts": rows}, indent=2))
        return
    if not accounts:
        _say("no account; make one with: sigbox user add --email you@example.com")
    width = max((len(a.email) for a in accounts), default=0)
    for account in accounts:
        marks = {"unverified": not account.verified, "disabled": account.disabled, "totp": bool(account.one_time)}
        state = ", ".join(mark for mark, is_so in marks.items() if is_so)
        print(f"{account.email:<{width}}  {encode_time(account.created)}  {state}".rstrip())


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
