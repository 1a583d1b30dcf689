# SPDX-License-Identifier: Apache-2.0
"""What every client is asked about: the conformance suite's bundles, and changes to those that must verify.

The changes are drawn from a fixed seed, so that a difference that was found once is found again. Half of them are made in the
JSON (a member is gone, is another one, is that of another bundle), the other half inside of it: a bit in what base64 holds, a
number one further, another spelling of the same text.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from tests.property.mutate import ODD_JSON

ISSUER = "https://token.actions.githubusercontent.com"
IDENTITY = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/"
    ".github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)


@dataclass(frozen=True)
class Case:
    """One question: does ``bundle`` hold for ``artifact``? ``change`` is empty where the bundle is the suite's own."""

    name: str
    bundle: bytes
    artifact: Path
    root: Path
    identity: str
    issuer: str
    key: Path | None
    change: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the artifact, in hexadecimal."""
        return hashlib.sha256(self.artifact.read_bytes()).hexdigest()


def load_cases(suite: Path) -> list[Case]:
    """The suite's own, in the order of their names."""
    folder = suite / "bundle-verify"
    return [_load(case) for case in sorted(folder.iterdir()) if case.is_dir()]


def _load(case: Path) -> Case:
    def given(name: str, default: Path) -> Path:
        return case / name if (case / name).exists() else default

    def text(name: str, default: str) -> str:
        return (case / name).read_text().strip() if (case / name).exists() else default

    return Case(
        case.name,
        (case / "bundle.sigstore.json").read_bytes(),
        given("artifact", case.parent / "a.txt"),
        given("trusted_root.json", case.parent.parent / "production_trusted_root.json"),
        text("identity", IDENTITY),
        text("issuer", ISSUER),
        case / "key.pub" if (case / "key.pub").exists() else None,
    )


def mutants(cases: list[Case], count: int, seed: int) -> list[Case]:
    """``count`` changed bundles, taken in turn from those that must verify; no two are equal."""
    good, chance, made = accepted(cases), Random(seed), list[Case]()
    known = {bundle for case in good for bundle in (case.bundle, _dump(json.loads(case.bundle)))}
    while len(made) < count:
        case = good[len(made) % len(good)]
        change = chance.choice(CHANGES)
        bundle, where = change(case, chance.choice(good), chance)
        if bundle in known:
            continue
        known.add(bundle)
        what = f"{change.__name__} {where}"
        made.append(replace(case, name=f"{case.name} / {what}", bundle=bundle, change=what))
    return made


def other_questions(cases: list[Case]) -> list[Case]:
    """The good bundles beside another artifact, and with another signer, another issuer demanded."""
    made = []
    for case in accepted(cases):
        asked = {
            "another artifact": replace(case, artifact=case.root),
            "another identity": replace(case, identity=case.identity + "x"),
            "another issuer": replace(case, issuer=case.issuer + "/"),
        }
        made += [
            replace(one, name=f"{case.name} / {what}", change=what)
            for what, one in asked.items()
            if case.key is None or what == "another artifact"
        ]
    return made


def accepted(cases: list[Case]) -> list[Case]:
    """Those that must verify."""
    return [case for case in cases if not case.name.endswith("_fail")]


# --- changes: (case, another good one, chance) -> (bundle, where) -----------------------------------------
def removed(case: Case, _other: Case, chance: Random) -> tuple[bytes, str]:
    tree, holder, name, where = _pick(case, chance, lambda _value: True)
    del holder[name]
    return _dump(tree), where


def replaced(case: Case, _other: Case, chance: Random) -> tuple[bytes, str]:
    tree, holder, name, where = _pick(case, chance, lambda _value: True)
    odd = chance.choice(ODD_JSON)
    holder[name] = "a slot that nothing else fills"
    return _dump(tree).replace(b'"a slot that nothing else fills"', odd.encode()), f"{where} by {odd}"


def exchanged(case: Case, other: Case, chance: Random) -> tuple[bytes, str]:
    tree, holder, name, where = _pick(case, chance, lambda _value: True)
    theirs = dict(_places(json.loads(other.bundle)))
    if where in theirs:
        place, key = theirs[where]
        holder[name] = place[key]
    return _dump(tree), f"{where} by that of {other.name}"


def doubled(case: Case, _other: Case, chance: Random) -> tuple[bytes, str]:
    tree, holder, name, where = _pick(case, chance, lambda value: isinstance(value, list) and bool(value))
    holder[name] = holder[name] + holder[name][:1]
    return _dump(tree), where


def flipped(case: Case, _other: Case, chance: Random) -> tuple[bytes, str]:
    tree, holder, name, where = _pick(case, chance, lambda value: _decoded(value) is not None)
    data = bytearray(_decoded(holder[name]) or b"")
    position, bit = chance.randrange(len(data)), chance.randrange(8)
    data[position] ^= 1 << bit
    holder[name] = base64.b64encode(data).decode()
    return _dump(tree), f"{where} bit {bit} of byte {position}"


def counted_on(case: Case, _other: Case, chance: Random) -> tuple[bytes, str]:
    tree, holder, name, where = _pick(case, chance, lambda value: isinstance(value, str) and value.isdecimal())
    holder[name] = str(int(holder[name]) + chance.choice((-1, 1)))
    return _dump(tree), where


def respelled(case: Case, _other: Case, chance: Random) -> tuple[bytes, str]:
    tree, holder, name, where = _pick(case, chance, lambda value: _decoded(value) is not None)
    text, how = holder[name], chance.choice(("url alphabet", "no padding", "line break", "blank", "loose bits"))
    holder[name] = {
        "url alphabet": text.replace("+", "-").replace("/", "_"),
        "no padding": text.rstrip("="),
        "line break": text[:20] + "\n" + text[20:],
        "blank": text + " ",
        "loose bits": text[:-2] + chr(ord(text[-2]) + 1) + "="
        if text.endswith("=") and text[-2] in "AEIMQUYcgk"
        else text,
    }[how]
    return _dump(tree), f"{where}: {how}"


def retold(case: Case, _other: Case, chance: Random) -> tuple[bytes, str]:
    """The same document in other words, or with a few too many."""
    text = _dump(json.loads(case.bundle))
    how = chance.choice(("indented", "a member twice", "a strange member", "a byte order mark", "a tail", "snake case"))
    told = {
        "indented": json.dumps(json.loads(case.bundle), indent=chance.randrange(1, 9)).encode(),
        "a member twice": text.replace(b'{"mediaType":', b'{"mediaType": "x", "mediaType":', 1),
        "a strange member": text[:-1] + b', "strange": %d}' % chance.randrange(1000),
        "a byte order mark": b"\xef\xbb\xbf" + text,
        "a tail": text + chance.choice((b"{}", b"\0", b"x")),
        "snake case": text.replace(b"verificationMaterial", b"verification_material"),
    }[how]
    return told, how


CHANGES: tuple[Callable[[Case, Case, Random], tuple[bytes, str]], ...] = (
    *(removed, removed, replaced, replaced, exchanged, exchanged, exchanged),
    *(doubled, flipped, flipped, flipped, counted_on, respelled, retold),
)
"""What is written more often is drawn more often."""


def _dump(tree: Any) -> bytes:
    return json.dumps(tree).encode()


def _places(node: Any, path: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Each member and element, containers too: where it is, and (container, name)."""
    if isinstance(node, dict | list):
        for name in node if isinstance(node, dict) else range(len(node)):
            where = f"{path}.{name}" if path else str(name)
            yield where, (node, name)
            yield from _places(node[name], where)


def _pick(case: Case, chance: Random, suits: Callable[[Any], bool]) -> tuple[Any, Any, Any, str]:
    tree = copy.deepcopy(json.loads(case.bundle))
    where, (holder, name) = chance.choice([one for one in _places(tree) if suits(one[1][0][one[1][1]])])
    return tree, holder, name, where


def _decoded(value: Any) -> bytes | None:
    if not isinstance(value, str) or len(value) < 24 or value.isdecimal():
        return None
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        return None
