# SPDX-License-Identifier: Apache-2.0
"""``ca/issuers.yaml``: Fulcio's form, written by ``sigbox issuer``. A file that somebody wrote by hand is read and never rewritten.

Key sets are copied beside it, into ``ca/issuers/``, so that the data directory holds all that it needs.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from sigcore import limits
from sigcore.errors import Malformed, NotFound, Refused, SigError
from sigcore.strict import JSON, shown
from stack.config import Home
from stack.files import load_file, make_folder, save_file
from stack.issuers import load_issuers, parse_document

HEADER: Final = (
    "# Written by `sigbox issuer`, which keeps no comments and no other order. The form is that of Fulcio's own file.\n"
)
SECTIONS: Final = ("oidc-issuers", "meta-issuers", "ci-issuer-metadata")
KEY_SETS: Final = "issuers"
"""Folder of the key sets, beside the file."""

_FILES: Final = ("jwks", "ca-file", "bearer-file")
"""Members of a row that name files; they are ours, and have one spelling in what is taken over."""

Document = dict[str, dict[str, JSON]]


def load_document(home: Home) -> Document:
    """The file's content by section, with empty sections where there is nothing.

    Raises:
        Refused: it was not written by us. Malformed: it cannot be read.
    """
    sections: Document = {name: {} for name in SECTIONS}
    if not home.issuers.exists():
        return sections
    text = load_file(home.issuers, what="the issuers", limit=limits.TOKEN_KEY_SET)
    if not text.startswith(HEADER.encode()):
        raise Refused(f"{home.issuers} was written by hand", "edit it, or move it away; a running stack takes it up")
    document = parse_document(home.issuers, text)
    assert isinstance(document, dict) or document is None  # noqa: S101 - we wrote it, and wrote no list
    return sections | {name: section for name, section in (document or {}).items() if isinstance(section, dict)}


def load_foreign(file: Path, text: bytes) -> Document:
    """The sections of a configuration of Fulcio that are there, spelt as in its YAML; files that rows name are named from the root.

    Raises:
        Malformed: it cannot be read.
    """
    document = parse_document(file, text)
    if not isinstance(document, dict):
        raise Malformed(f"{file} is no configuration of Fulcio", f"expected {', '.join(SECTIONS)}")
    spelt = {name.replace("-", ""): name for name in SECTIONS}
    found: Document = {}
    for name, section in document.items():
        known = spelt.get(name.replace("-", "").lower())
        if known is not None and isinstance(section, dict):
            found[known] = {url: _rooted(row, file.parent) for url, row in section.items()}
    return found


def _rooted(row: JSON, folder: Path) -> JSON:
    if not isinstance(row, dict):
        return row
    files = {name: str(folder.absolute() / str(row[name])) for name in _FILES if name in row}
    return row | files


def save_document(home: Home, document: Document) -> None:
    """Write it, if what it says can be used; else the file stays as it is.

    Raises:
        Malformed, Refused, NotFound: as :func:`~stack.issuers.load_issuers`.
    """
    text = HEADER + "".join(_block(dict(document), ""))
    tried = home.issuers.with_name("issuers.new.yaml")
    save_file(tried, text.encode())
    try:
        load_issuers(tried)
    except SigError as error:
        error.message = error.message.removeprefix(f"{tried}, ")  # nobody has seen that file
        raise
    finally:
        tried.unlink()
    save_file(home.issuers, text.encode())


def add_rows(document: Document, added: Document) -> None:
    """Put ``added`` into ``document``.

    Raises:
        Refused: one of them is there already.
    """
    for section, rows in added.items():
        for name, row in rows.items():
            if name in document[section]:
                raise Refused(f"{shown(name, 200)} is there already", "remove it first: sigbox issuer remove")
            document[section][name] = row


def remove_row(document: Document, url: str) -> None:
    """Take the issuer or pattern ``url`` away; NotFound where there is none."""
    for section in ("oidc-issuers", "meta-issuers"):
        if document[section].pop(url, None) is not None:
            return
    raise NotFound(
        f"the issuers have no row {shown(url, 200)}", "sigbox issuer list shows them; settings and --config too"
    )


def keep_key_set(home: Home, file: Path) -> str:
    """Copy a key set into the data directory; the answer is its name as a row says it."""
    data = load_file(file, what="the issuer's key set", limit=limits.TOKEN_KEY_SET)
    folder = home.issuers.parent / KEY_SETS
    make_folder(folder)
    name = f"{hashlib.sha256(data).hexdigest()[:16]}.jwks"
    save_file(folder / name, data)
    return f"{KEY_SETS}/{name}"


def _block(value: dict[str, JSON], indent: str) -> list[str]:
    """Block style, every text in quotes: what is a text stays one for every reader of YAML."""
    lines: list[str] = []
    for name, member in value.items():
        if isinstance(member, dict) and member:
            lines += [f"{indent}{_word(name)}:\n", *_block(member, f"{indent}  ")]
        else:
            lines.append(f"{indent}{_word(name)}: {_word(member)}\n")
    return lines


def _word(value: JSON) -> str:
    return json.dumps(value, ensure_ascii=False)
