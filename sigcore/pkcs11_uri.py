# SPDX-License-Identifier: Apache-2.0
"""The URI of a key in a PKCS#11 token, as a signing service needs it.

``pkcs11:token=LABEL;object=LABEL?module-path=/FILE&pin-source=file:/FILE``

Left out, and refused: attributes that say nothing about which key it is, a library by name (it would be looked for in a place
that we do not know), and a PIN in the URI or from a command: what stands in settings and process lists is no secret.

Source: RFC 7512 sections 2.3 (grammar), 2.4 (comparison: by the decoded value), 2.5.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from sigcore import limits
from sigcore.errors import Malformed, Refused
from sigcore.strict import shown
from sigcore.values import dataclass

SCHEME: Final = "pkcs11:"
EXAMPLE: Final = (
    "pkcs11:token=sigbox;object=ca?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/sigbox/pin"
)
_PATH_VALUE: Final = re.compile(r"(?:[\w.~:\[\]@!$'()*+,=&-]|%[0-9A-Fa-f]{2})+\Z", re.ASCII)
_QUERY_VALUE: Final = re.compile(r"(?:[\w.~:\[\]@!$'()*+,=/?|-]|%[0-9A-Fa-f]{2})+\Z", re.ASCII)
_PATH: Final = ("token", "serial", "object", "id", "type")
_QUERY: Final = ("module-path", "pin-source")
_REFUSED: Final = {
    "pin-value": "a PIN in the URI is read by whoever reads settings or process lists: put it into a file, pin-source=file:/...",
    "module-name": "name the library by its path: module-path=/...",
    "slot-id": "slots get other numbers: name the token by its label or its serial number",
}
_SAFE: Final = ":[]@!$'()*+,="
"""What need not be written as ``%XX`` in both parts of the URI."""


@dataclass(frozen=True, slots=True)
class KeyUri:
    """Which key: ``module`` and ``pin_file`` are absolute paths; of ``token`` (label) and ``serial``, and of ``object`` (label) and
    ``id`` (CKA_ID), at least one each is given.
    """

    module: str
    pin_file: str
    token: str = ""
    serial: str = ""
    object: str = ""
    id: bytes = b""

    @property
    def place(self) -> str:
        """The token, as people are told of it."""
        return f"the token {shown(self.token)}" if self.token else f"the token with the serial number {self.serial}"

    @property
    def name(self) -> str:
        """The key in it, the same."""
        return f"the key {shown(self.object)}" if self.object else f"the key with the id {self.id.hex()}"

    def beside(self, suffix: str) -> KeyUri:
        """Another key of the same token, whose label is this one's and ``suffix``.

        Raises:
            Refused: the URI gives no label to begin from.
        """
        if not suffix:
            return self
        if not self.object:
            raise Refused(
                f"{self.name} is named by its id, but the role has several keys in the token",
                "give object=LABEL: the other keys have labels that begin with it",
            )
        return KeyUri(self.module, self.pin_file, self.token, self.serial, self.object + suffix)


def parse_key_uri(text: str) -> KeyUri:
    """Read the URI; see the module for what it must have.

    Raises:
        Malformed: it is no such URI, or does not say which key. Refused: it holds a PIN, or asks for something left out.
    """
    if not text.startswith(SCHEME) or len(text) > limits.KEY_URI:
        # Never shown whole: there may be a PIN in it.
        raise Malformed(f"the key is no URI that begins with {SCHEME}", f"for example {EXAMPLE}")
    path, _, query = text.removeprefix(SCHEME).partition("?")
    found = _attributes(path, ";", _PATH_VALUE, _PATH) | _attributes(query, "&", _QUERY_VALUE, _QUERY)
    label = {name: _text(name, found.get(name, b"")) for name in ("token", "serial", "object")}
    if not (label["token"] or label["serial"]):
        raise Malformed("the key's URI names no token", f"give token=LABEL or serial=NUMBER: {EXAMPLE}")
    if not (label["object"] or "id" in found):
        raise Malformed("the key's URI names no object", f"give object=LABEL or id=%XX...: {EXAMPLE}")
    if found.get("type", b"private") != b"private":
        raise Malformed(f"the key's URI has the type {shown(_text('type', found['type']))}, expected private or none")
    module = _file("module-path", found.get("module-path", b""))
    pin_file = _file("pin-source", found.get("pin-source", b""))
    return KeyUri(module, pin_file, label["token"], label["serial"], label["object"], found.get("id", b""))


def encode_key_uri(uri: KeyUri) -> str:
    """The URI of a key, in the order of :func:`parse_key_uri`."""
    named = {"token": uri.token, "serial": uri.serial, "object": uri.object}
    path = [f"{name}={quote(value, safe=_SAFE)}" for name, value in named.items() if value]
    path += ["id=" + "".join(f"%{byte:02X}" for byte in uri.id)] if uri.id else []
    query = f"module-path={quote(uri.module, safe=_SAFE + '/')}&pin-source=file:{quote(uri.pin_file, safe=_SAFE + '/')}"
    return f"{SCHEME}{';'.join(path)}?{query}"


def _attributes(part: str, between: str, form: re.Pattern[str], known: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for attribute in part.split(between) if part else ():
        name, equals, value = attribute.partition("=")
        if name in _REFUSED:
            raise Refused(f"the key's URI has the attribute {name}", _REFUSED[name])
        if name not in known:
            raise Malformed(f"the key's URI has the attribute {shown(name)}", f"expected {', '.join(_PATH + _QUERY)}")
        if name in found or not equals or not form.match(value):
            raise Malformed(f"the attribute {name} of the key's URI is given twice, or has no value of its form")
        found[name] = unquote_to_bytes(value)
    return found


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"the attribute {name} of the key's URI is not UTF-8") from error
    if not text.isprintable():
        raise Malformed(f"the attribute {name} of the key's URI has characters that cannot be shown")
    return text


def _file(name: str, value: bytes) -> str:
    """An absolute path, for ``pin-source`` also in the form ``file:/PATH`` or ``file:///PATH`` (RFC 8089)."""
    text = _text(name, value)
    path = re.sub(r"^file:(?://)?(?=/)", "", text) if name == "pin-source" else text
    if not path.startswith("/") or path.startswith("//"):
        expected = "module-path=/FILE" if name == "module-path" else "pin-source=file:/FILE"
        raise Malformed(f"the key's URI names no absolute path with {name}", f"give {expected}, for example {EXAMPLE}")
    return path
