# SPDX-License-Identifier: Apache-2.0
"""``[console]``: whether its pages ask for a login, and who may read them then.

Members:
    login: true: every page asks for a login with the stack's own provider; false where it is absent.
    domains: the mail domains of those who may read; with neither of the two, whoever can log in.
    subjects: email addresses or subjects of others who may read.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from oidc_dev.claims import Identity
from sigcore import limits
from sigcore.errors import Malformed, Refused, SigError
from sigcore.strict import Fields, shown
from sigcore.values import dataclass
from stack.files import load_file

TABLE: Final = "console"
_MEMBERS: Final = ("login", "domains", "subjects")
_LISTED: Final = 1000


@dataclass(frozen=True, slots=True)
class LoginDemand:
    """Who may read; both empty for whoever can log in. Domains are in small letters."""

    domains: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()

    def check(self, identity: Identity) -> None:
        """Refused: this one may not read. An address counts only where the provider vouches for it."""
        doubted = dict(identity.extra).get("email_verified") is False
        email = "" if doubted else identity.email
        if not self.domains and not self.subjects:
            return
        if ({email, identity.subject} - {""}) & set(self.subjects):
            return
        _, _, domain = email.rpartition("@")
        if not domain or domain.lower() not in self.domains:
            who = identity.email or identity.subject
            raise Refused(f"{shown(who)} may not read these pages", "whoever runs this stack says who may: [console]")


def load_login_demand(files: Iterable[Path]) -> LoginDemand | None:
    """What the last of the TOML ``files`` that has the table says; None where no login is asked for.

    Raises:
        NotFound, Malformed: a file cannot be read, or says something that cannot be meant.
    """
    found: LoginDemand | None = None
    for file in files:
        try:
            text = load_file(file, what="the configuration", limit=limits.TOKEN_KEY_SET)
            table = tomllib.loads(text.decode("utf-8")).get(TABLE)
            if table is not None:
                found = _demand(table)
        except (ValueError, RecursionError) as error:
            raise Malformed(f"{file} is not TOML: {error}") from error
        except SigError as error:
            raise type(error)(f"{file}: {error.message}", error.hint) from error
    return found


def _demand(table: object) -> LoginDemand | None:
    if not isinstance(table, dict):
        raise Malformed(f"{TABLE} is {shown(table)}, expected a table", f"write [{TABLE}] above its members")
    fields = Fields.of(table, TABLE)
    fields.only(*_MEMBERS)
    lists = {name: fields.texts(name, limit=_LISTED) if name in fields else () for name in ("domains", "subjects")}
    if "login" not in fields or not fields.boolean("login"):
        if any(lists.values()):
            raise Malformed("console says who may read, and asks for no login", "write login = true")
        return None
    for domain in lists["domains"]:
        if "@" in domain or "*" in domain or not domain:
            raise Malformed(f"domains has {shown(domain)}, expected what stands behind the @", 'as "corp.example"')
    return LoginDemand(tuple(domain.lower() for domain in lists["domains"]), lists["subjects"])
