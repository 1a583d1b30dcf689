# SPDX-License-Identifier: Apache-2.0
"""``[login]``: what a password costs, how long a session lasts, and how long one key signs.

Members:
    passes: passes of argon2id over 19 MiB, 12 where it is absent: from 100 ms on. Hashes of before are made anew at the next login.
    idle_minutes: a session that is not used for so long ends; 15 where it is absent.
    session_hours: and one that is used ends then; 8 where it is absent. 0: every login asks for the password.
    key_days: the key of identity tokens is changed at this age; 90 where it is absent. 0: by hand only.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from oidc_dev.rules import LoginRules
from sigcore import limits
from sigcore.errors import Malformed, SigError
from sigcore.strict import shown
from stack.files import load_file

TABLE: Final = "login"
_MEMBERS: Final = {
    "passes": ("passes", 1),
    "idle_minutes": ("idle_s", 60),
    "session_hours": ("session_s", 3600),
    "key_days": ("key_s", 86400),
}
"""Member -> field, and how much of its unit is one of the member's."""


def load_login_rules(files: Iterable[Path]) -> LoginRules:
    """What the TOML files say, each over those before it.

    Raises:
        NotFound, Malformed: a file cannot be read, or says something that is no rule.
    """
    found: dict[str, int] = {}
    for file in files:
        try:
            found |= _fields(_table(file))
            LoginRules(**found)
        except SigError as error:
            raise type(error)(f"{file}: {error.message}", error.hint) from error
    return LoginRules(**found)


def _table(file: Path) -> object:
    text = load_file(file, what="the configuration", limit=limits.TOKEN_KEY_SET)
    if TABLE.encode() not in text:
        return {}
    import tomllib  # noqa: PLC0415 - 4 ms that a stack without such a table does without

    try:
        return tomllib.loads(text.decode("utf-8")).get(TABLE, {})
    except (ValueError, RecursionError) as error:
        raise Malformed(f"it is not TOML: {error}") from error


def _fields(table: object) -> dict[str, int]:
    if not isinstance(table, dict):
        raise Malformed(f"{TABLE} is {shown(table)}, expected a table", f"write [{TABLE}] above its members")
    found = {}
    for name, value in table.items():
        if name not in _MEMBERS:
            raise Malformed(f"{TABLE} has the unknown member {shown(name)}", f"known: {', '.join(_MEMBERS)}")
        if type(value) is not int:
            raise Malformed(f"{name} is {shown(value)}, expected a whole number")
        field, unit = _MEMBERS[name]
        found[field] = value * unit
    return found
