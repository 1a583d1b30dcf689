# SPDX-License-Identifier: Apache-2.0
"""What may stand as an email in an account: a plain mailbox (RFC 5321 section 4.1.2). Pure."""

from __future__ import annotations

import re
from typing import Final

from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import shown

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAILBOX: Final = re.compile(rf"(?=.{{1,64}}@){_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)*(?![0-9]+\Z){_LABEL}\Z", re.ASCII)
"""Dot-string "@" Domain: what a certificate authority will write into a certificate."""


def parse_email(text: str) -> str:
    """``text`` as it is, if it is a plain mailbox of at most ``limits.IDENTITY`` characters.

    Raises:
        Malformed: names it.
    """
    if len(text) > limits.IDENTITY or not _MAILBOX.match(text):
        raise Malformed(f"the email is {shown(text)}, expected a plain ASCII mailbox", "for example alice@example.com")
    return text
