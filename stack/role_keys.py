# SPDX-License-Identifier: Apache-2.0
"""How the keys of a role are named where they are kept outside of files, and which of them a role takes.

``[keys]`` of the settings has one reference for a role. The key that signs has that name. Further ones have names that begin with it:
``-root`` and ``-intermediate`` for what stands above it, ``-2`` and so on for its later generations.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from sigcore import keys
from sigcore.errors import Malformed, Refused
from sigcore.keys import PublicKey
from stack.files import load_file

_SIGNS: Final = {"ca": "intermediate", "tsa": "leaf"}
"""The key of an authority that signs for others; of a log it is ``log``."""
_CURVES: Final = ("secp256r1", "secp384r1")
"""Of an authority; a log has the first."""


def suffix_of(role: str, name: str, number: int) -> str:
    """What stands behind the name of the role's key: for ``name`` (``root``, ``intermediate``, ``leaf``, ``log``), generation ``number``."""
    level = "" if name == _SIGNS.get(role, "log") else f"-{name}"
    return level + (f"-{number}" if number > 1 else "")


def is_derived(name: str, other: str) -> bool:
    """Whether ``other`` is ``name``, or could be a further key of it."""
    return re.fullmatch(rf"{re.escape(name)}(-root|-intermediate)?(-\d+)?", other) is not None


def check_curve(role: str, public: PublicKey, what: str) -> ec.EllipticCurvePublicKey:
    """``public`` if ``role`` may sign with it. Refused: it is of another kind; ``what`` says which and where."""
    curves = _CURVES if role in _SIGNS else _CURVES[:1]
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name not in curves:
        found = f"on the curve {public.curve.name}" if isinstance(public, ec.EllipticCurvePublicKey) else "no ECDSA key"
        raise Refused(
            f"{what} is {found}, expected {' or '.join(curves)}", "name a key that is, or one that is not there yet"
        )
    return public


def load_public_half(folder: Path, name: str) -> tuple[ec.EllipticCurvePublicKey, int]:
    """The public half in ``folder`` of a key that is kept elsewhere, and its generation.

    Raises:
        NotFound, Malformed: it is missing or damaged.
    """
    path = folder / f"{name}.pub"
    public = keys.parse_public_key_pem(load_file(path, what="the public half of a key kept elsewhere"), what=str(path))
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise Malformed(f"{path} is no ECDSA key", "restore it from a backup")
    return public, int(folder.name) if folder.name.isdigit() else 1
