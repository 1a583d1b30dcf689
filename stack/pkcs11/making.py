# SPDX-License-Identifier: Apache-2.0
"""The keys of a role in its token: made there, or found; and found again from the files beside which a key would lie."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from sigcore import keys
from sigcore.errors import NotFound, Refused
from sigcore.pkcs11_uri import KeyUri, parse_key_uri
from stack.pkcs11.key import TokenKey, explained, find_private, selected
from stack.pkcs11.module import Module, module_at, said
from stack.role_keys import check_curve, is_derived, load_public_half, suffix_of


class TokenSource:
    """Where the keys of ``role`` are, as :class:`stack.seed.KeySource` for keys in memory.

    Args:
        role: a folder of the data directory.
        text: the URI of ``[keys]``.
    """

    def __init__(self, role: str, text: str) -> None:
        self._role = role
        self._uri = parse_key_uri(text)

    def uri_of(self, name: str, number: int = 1) -> KeyUri:
        """Of the key ``name`` (``root``, ``intermediate``, ``leaf``, ``log``) of generation ``number``. Refused: as ``beside``."""
        return self._uri.beside(suffix_of(self._role, name, number))

    @property
    def place(self) -> str:
        """As people are told of it."""
        return self._uri.place

    def signing_key(self, name: str, number: int = 1) -> TokenKey:
        """The key, made where there is none: it can sign and do nothing else, and never leaves the token.

        Raises:
            NotFound, Refused, Unavailable: as :meth:`stack.pkcs11.module.Module.session`, or a key is there that cannot be used.
        """
        key = open_key(self.uri_of(name, number), make=True)
        check_curve(self._role, key.public_key(), f"{key.uri.name} in {key.uri.place}")
        key.prove()
        return key

    def load(self, folder: Path, name: str) -> TokenKey:
        """The key whose public half is in ``folder``. NotFound, Malformed: that is missing or damaged. Nothing is opened."""
        public, number = load_public_half(folder, name)
        return TokenKey(self.uri_of(name, number), public)


def open_key(uri: KeyUri, *, make: bool) -> TokenKey:
    """The key at ``uri`` with the public half that the token has; where there is none, it is made if ``make`` says so.

    Raises:
        NotFound, Refused, Unavailable: as :meth:`stack.pkcs11.module.Module.session`, or a key is there that cannot be used.
    """
    module = module_at(uri.module)
    with module.held():
        module.close()  # a session that only reads may be open
        try:
            public = module.tried(partial(_found_or_made if make else _found, uri, module))
        except Exception as error:
            raise explained(uri, error) from error
        finally:
            module.close()
    return TokenKey(uri, public)


def check_uris(rows: Mapping[str, str]) -> None:
    """Raises Refused where two roles would sign with one key: clients tell logs apart by their keys."""
    uris = {role: parse_key_uri(text) for role, text in rows.items()}
    for (role, uri), (other, theirs) in permutations(uris.items(), 2):
        same = (uri.token, uri.serial) == (theirs.token, theirs.serial)
        if same and (uri == theirs or is_derived(uri.object, theirs.object)):
            hint = "give each role a label that is not another's with -root, -intermediate or a number behind it"
            raise Refused(f"{role} and {other} would have one key, {theirs.name}", hint)


def _found_or_made(uri: KeyUri, module: Module) -> ec.EllipticCurvePublicKey:
    session = module.session(uri, writable=True)
    try:
        find_private(uri, session)
    except NotFound:
        _generate(uri, session)
    return _public_half(uri, session)


def _found(uri: KeyUri, module: Module) -> ec.EllipticCurvePublicKey:
    session = module.session(uri)
    find_private(uri, session)
    return _public_half(uri, session)


def _generate(uri: KeyUri, session: Any) -> None:
    import pkcs11  # noqa: PLC0415 - an extra, which the session was opened with
    from pkcs11.util.ec import encode_named_curve_parameters  # noqa: PLC0415 - the same

    has = pkcs11.Attribute
    private = {has.SENSITIVE: True, has.EXTRACTABLE: False, has.SIGN: True, has.DERIVE: False}
    curve = {has.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
    try:
        parameters = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
        parameters.generate_keypair(
            store=True,
            label=uri.object or None,
            id=uri.id or uri.object.encode(),
            capabilities=pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY,
            private_template=private,
        )
    except pkcs11.PKCS11Error as error:
        hint = "make it with the token's own tools: ECDSA on P-256, with a public key beside it"
        raise Refused(f"{uri.place} does not make {uri.name}: {said(error)}", hint) from error


def _public_half(uri: KeyUri, session: Any) -> ec.EllipticCurvePublicKey:
    """From the public key object beside the private one: EC_PARAMS names the curve, EC_POINT is the point in an OCTET STRING."""
    import pkcs11  # noqa: PLC0415 - as in _generate
    from pkcs11.util.ec import encode_ec_public_key  # noqa: PLC0415 - the same

    found = list(session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY} | selected(uri)))
    if len(found) != 1:
        raise NotFound(
            f"{uri.place} has {len(found)} public keys beside {uri.name}, expected one",
            "write its public key there, with the same label and id",
        )
    public = keys.parse_public_key(encode_ec_public_key(found[0]), what=f"the public half of {uri.name}")
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise Refused(f"the public half of {uri.name} is no ECDSA key", "write its own one there")
    return public
