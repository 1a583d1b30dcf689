# SPDX-License-Identifier: Apache-2.0
"""An authority below a corporate one, by files that go from hand to hand: a key and a request here, a certificate back.

1. ``trust request`` makes the key of the next generation, in ``ROLE/requested/N`` or in the token, and a request for it. Nobody uses the key.
   Asked again, it writes a request for the same key.
2. The PKI issues the certificate, whenever it does.
3. ``trust accept`` judges what came back (:mod:`stack.trust.corporate`); then it is a rotation as any other, but that its generation is
   this key with these certificates. Interrupted before the moment of the rotation, the request is there still; after it, the same
   command, ``trust refresh`` or the next start finish.
4. The request's folder goes.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from sigcore import certification_request, certify, extensions, keys, x509
from sigcore.errors import NotFound, Refused
from sigcore.values import dataclass
from sigcore.x509 import Certificate, Extension
from stack.authorities import SIGNERS, Keep, is_issued, make_signer, name_of, save_issued
from stack.bootstrap import keep_for, load_ca, load_ecdsa, load_tsa
from stack.config import Home, Settings
from stack.files import make_folder
from stack.generations import current_folder, load_generations, number_of
from stack.trust.corporate import Judged, judge
from stack.trust.documents import unrotated
from stack.trust.rotation import Rotated, resume, rotate_authority

_WANTED: Final[dict[str, tuple[Extension, ...]]] = {
    "ca": (
        extensions.basic_constraints(ca=True, path_length=0),
        extensions.key_usage("keyCertSign", "cRLSign"),
        extensions.extended_key_usage(x509.EKU_CODE_SIGNING),
    ),
    "tsa": (
        extensions.key_usage("digitalSignature"),
        extensions.extended_key_usage(x509.EKU_TIME_STAMPING, critical=True),
    ),
}
_ROLES: Final = {"ca": "certificate authority", "tsa": "timestamp authority"}


@dataclass(frozen=True, slots=True)
class Pending:
    """A key that waits for its certificate, and the generation that it will be."""

    number: int
    key: ec.EllipticCurvePrivateKey

    @property
    def spki(self) -> bytes:
        """Its public half."""
        return keys.encode_public_key(self.key.public_key())


def is_corporate(home: Home, role: str) -> bool:
    """Whether the generation that signs was issued elsewhere, as far as can be seen here."""
    return is_issued(current_folder(home, role))


def is_waiting(home: Home, role: str) -> bool:
    """Whether a request of ``role`` was made, and nothing was accepted."""
    return _folder(home, role).exists()


def successor(home: Home, role: str) -> str:
    """The command that begins the next generation of ``role``."""
    return f"sigbox trust {'request' if is_corporate(home, role) else 'rotate'} {role}"


# --- request -----------------------------------------------------------------------------------------
def request(home: Home, settings: Settings, role: str, subject: str = "") -> tuple[str, Pending]:
    """Step 1: the request in PEM, and its key, made where none waits.

    ``subject`` is as :func:`sigcore.certification_request.subject_name` reads it, or empty for one of the stack's names.

    Raises:
        NotFound, Malformed, Refused: the role is not here, the stack is ephemeral, or the subject is no name.
    """
    if settings.ephemeral:
        hint = "its keys end with it, and say UNTRUSTED: give --data of a stack that lasts"
        raise Refused(f"{home.path} is the directory of an ephemeral stack, which no PKI should vouch for", hint)
    (load_ca if role == "ca" else load_tsa)(home)  # the role is here
    name = certification_request.subject_name(subject) if subject else b""
    with unrotated(home, settings):
        _sweep(home, role)
        pending = _load(home, role) or _make(home, settings, role)
    name = name or certify.name(name_of(_ROLES[role], settings, pending.number), settings.organization)
    wanted = (*_WANTED[role], extensions.subject_key_id(pending.spki))
    return certification_request.encode_request_pem(name, pending.key, wanted), pending


def withdraw(home: Home, role: str) -> None:
    """Forget the request of ``role``, where there is one: a key in a token stays there. Half of one is never left."""
    draft = _draft(home, role)
    shutil.rmtree(draft, ignore_errors=True)
    if is_waiting(home, role):
        _folder(home, role).rename(draft)
        shutil.rmtree(draft, ignore_errors=True)


def _make(home: Home, settings: Settings, role: str) -> Pending:
    number = number_of(load_generations(home), role) + 1
    key = make_signer(role, settings, number)
    draft = _draft(home, role)
    shutil.rmtree(draft, ignore_errors=True)
    for folder in (draft, draft / str(number)):
        make_folder(folder)
    keep_for(home, settings).save_keys(draft / str(number), {SIGNERS[role]: key})
    draft.rename(_folder(home, role))
    make_folder(_folder(home, role))
    return Pending(number, key)


def _folder(home: Home, role: str) -> Path:
    return home.path / role / "requested"


def _draft(home: Home, role: str) -> Path:
    return home.path / role / "requested.draft"


def _load(home: Home, role: str) -> Pending | None:
    found = sorted(_folder(home, role).glob("*/"))
    if not found:
        return None
    name = f"{found[0].relative_to(home.path)}/{SIGNERS[role]}.key"
    return Pending(int(found[0].name), load_ecdsa(home, name))


def _sweep(home: Home, role: str) -> None:
    """Step 4, also of an acceptance that was interrupted before it."""
    pending = _load(home, role)
    if pending is None or pending.spki == _newest(home, role):
        withdraw(home, role)


def _newest(home: Home, role: str) -> bytes:
    """The key of the generation that signs."""
    rows = load_generations(home).get(role)
    if rows:
        return x509.parse_certificate(rows[-1].public[0]).spki
    return (load_ca if role == "ca" else load_tsa)(home)[1][0].spki


# --- accept ------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Acceptance:
    """What would be accepted: judged, and not yet done. ``done`` says that the newest generation is that already."""

    role: str
    key: ec.EllipticCurvePrivateKey
    judged: Judged
    number: int
    done: bool = False


def consider(
    home: Home,
    role: str,
    given: Sequence[Certificate],
    now: datetime,
    own: ec.EllipticCurvePrivateKey | None = None,
) -> Acceptance:
    """Judge ``given``, and change nothing. ``own`` is a key that was made elsewhere, instead of one that waits here.

    Raises:
        NotFound, Malformed, Refused: there is no request, or as :func:`stack.trust.corporate.judge`.
    """
    (current, chain), rotated = (load_ca if role == "ca" else load_tsa)(home), load_generations(home)
    pending, number = _load(home, role), number_of(rotated, role)
    key = own or (pending.key if pending else None)
    taken = current if any(one.spki == chain[0].spki for one in given) and is_corporate(home, role) else None
    if taken is not None and (key is None or _spki(key) == chain[0].spki):
        judged = judge(role, given, chain[0].spki, now)
        if judged.chain != chain:
            hint = "other certificates for the same key are another generation: sigbox trust request makes its key"
            raise Refused("the key of these certificates signs already, under others", hint)
        return Acceptance(role, taken, judged, number, done=True)
    if key is None or (own is not None and pending is not None and _spki(own) != pending.spki):
        raise _no_request(home, role, pending)
    former = [x509.parse_certificate(row.public[0]) for row in rotated.get(role, ())] or [chain[0]]
    if any(_spki(key) == one.spki for one in former):
        raise Refused("the key was one of this stack's before", "each generation has a key of its own")
    return Acceptance(role, key, judge(role, given, _spki(key), now, former), number + 1)


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return keys.encode_public_key(key.public_key())


def _no_request(home: Home, role: str, pending: Pending | None) -> NotFound | Refused:
    if pending is not None:
        hint = f"accept its certificate, or forget it: remove {_folder(home, role)}"
        return Refused(f"a request of {role} waits for its certificate, and --key is another key", hint)
    hint = f"sigbox trust request {role} -o {role}.csr makes one; or give the key of the certificates as --key"
    return NotFound(f"{home.path} has no request of {role} that waits for a certificate", hint)


def accept(home: Home, settings: Settings, acceptance: Acceptance, now: datetime) -> Rotated | None:
    """Step 3 and 4, but for the TUF repository, which the caller has published; None where it was done before, and is finished now.

    Raises:
        Refused: keys were rotated meanwhile. Others as :func:`stack.trust.rotation.rotate_authority`.
    """
    role, done = acceptance.role, None
    if acceptance.done:
        resume(home, settings)
    else:

        def make(folder: Path, _settings: Settings, keep: Keep, _since: datetime, number: int) -> None:
            if number != acceptance.number:
                raise Refused(f"{role} was rotated meanwhile", "run it again")
            save_issued(folder, role, keep, acceptance.key, acceptance.judged.chain)

        done = rotate_authority(home, settings, role, now, make)
        newest = load_generations(home)[role][-1].public
        if newest != tuple(one.der for one in acceptance.judged.chain):
            raise Refused(f"an interrupted rotation of {role} was finished first", "run it again: it was not lost")
    _sweep(home, role)
    return done
