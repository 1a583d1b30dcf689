# SPDX-License-Identifier: Apache-2.0
"""The ceremony of a root that people sign: propose the next one, and take it in when enough of them have signed.

1. :func:`propose` makes the next root on the server: other keys, another threshold, a later expiry. The server's own root key signs
   it if there is one here that counts.
2. People sign the file where their keys are (:func:`stack.trust.proposal.sign_proposal`), each a copy or all the same one.
3. :func:`accept` takes the copies, and publishes the root if old and new threshold are met.

The server is trusted with nothing in this: it can propose what it likes, and clients follow what was signed.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from securesystemslib.signer import CryptoSigner, Key
from tuf.api.metadata import Metadata, Root

from sigcore.errors import Refused
from stack.bootstrap import load_ed25519
from stack.config import Home, load_settings
from stack.lock import held_patiently
from stack.trust import tuf_keys
from stack.trust.lifetimes import LIFETIME
from stack.trust.proposal import (
    AGAIN,
    SERVER,
    Proposal,
    check_root,
    check_signatures,
    load_root,
    merge,
    name_of,
    named,
    sign_proposal,
)
from stack.trust.publish import PATIENCE_S, opened
from stack.trust.state import load_state
from stack.trust.versions import ROLES
from stack.turned_clock import time_in

SHORTEST_ID: Final = 8
"""So many digits of a key's id name it."""


@dataclass(frozen=True, slots=True)
class Change:
    """What the next root shall have that the one before has not."""

    add: tuple[Key, ...] = ()
    remove: tuple[str, ...] = ()
    """Key ids, or their first digits, or the names of the owners."""
    threshold: int | None = None
    life: timedelta | None = None
    """From now on; None takes a root's usual life, and never an earlier end than before."""
    new_online_keys: bool = False
    """Targets, snapshot and timestamp get other keys, which the server makes."""


def current_root(home: Home) -> Metadata[Root]:
    """The root in force. Errors: as :func:`~stack.trust.state.load_state`."""
    return load_root(home.tuf_repository / f"{load_state(home).roles[0].version}.root.json")


def propose(home: Home, change: Change, now: datetime) -> Proposal:
    """The next root of ``home``; signed by the server's root key where that counts, and by nobody else.

    Raises:
        Refused: it could not follow, or nothing could follow it.
    """
    before = current_root(home)
    after = deepcopy(before.signed)
    after.version += 1
    usual = max(after.expires, now.replace(microsecond=0) + LIFETIME[Root.type])
    after.expires = usual if change.life is None else now.replace(microsecond=0) + change.life
    for wanted in change.remove:
        after.revoke_key(_find(after, wanted).keyid, Root.type)
    for key in change.add:
        _add(after, key)
    after.roles[Root.type].threshold = change.threshold or after.roles[Root.type].threshold
    check_root(before.signed, after, now)
    if change.new_online_keys:
        settings = load_settings(home)
        with held_patiently(home.path / "tuf", PATIENCE_S):
            tuf_keys.make_proposed(home, settings)
            for role, made in tuf_keys.load_proposed(home).items():
                for identifier in tuple(after.roles[role].keyids):
                    after.revoke_key(identifier, role)
                after.add_key(CryptoSigner(made).public_key, role)
    proposal = Proposal(before, Metadata(after))
    _sign_here(home, proposal)
    return proposal


def accept(home: Home, copies: tuple[Proposal, ...], now: datetime) -> tuple[str, ...]:
    """Publish the root that ``copies`` propose; the answer names the roles that were signed.

    Raises:
        Refused: too few have signed, a signature does not fit, or it does not follow the root in force. Nothing is changed then.
    """
    merged = merge(copies)
    with opened(home, partial(time_in, home)) as (settings, repository, targets):
        proposal = Proposal(current_root(home), merged.after)
        check_signatures(proposal)
        check_root(proposal.before.signed, proposal.after.signed, now)
        if missing := " and ".join(shortfalls(proposal)):
            raise Refused(f"too few have signed: {missing}", "sigbox trust root sign FILE --key KEY")
        coming = _coming(home, proposal)
        if coming:
            tuf_keys.stage_proposed(home, settings)
        signed = replace(repository, coming=coming).accept(proposal.after, targets, now)
        tuf_keys.settle(home)
        tuf_keys.forget_proposed(home)
    return signed


def shortfalls(proposal: Proposal) -> Iterator[str]:
    """What is missing still, of the root in force and of the next one."""
    standing = proposal.standing()
    for which, result in (("in force", standing.first), ("proposed", standing.second)):
        if result.missing:
            others = ", ".join(sorted(map(named, result.unsigned.values())))
            yield f"the root {which} needs {result.missing} more of {others}"


def changes(proposal: Proposal, now: datetime) -> Iterator[str]:
    """What the next root changes, a line each, and in the end what it leaves."""
    before, after = proposal.before.signed, proposal.after.signed
    old, new = (set(root.roles[Root.type].keyids) for root in (before, after))
    yield f"root version {before.version} -> {after.version}, to sign: sha256 {proposal.digest}"
    yield from (f"adds    {named(after.keys[one])}, {after.keys[one].scheme}" for one in sorted(new - old))
    yield from (f"removes {named(before.keys[one])}, {before.keys[one].scheme}" for one in sorted(old - new))
    renamed = [one for one in sorted(new & old) if name_of(before.keys[one]) != name_of(after.keys[one])]
    yield from (
        f"calls   {named(before.keys[one])} {name_of(after.keys[one]) or SERVER} from now on" for one in renamed
    )
    for role in ROLES[1:]:
        if (before.roles[role].keyids, before.roles[role].threshold) != (
            after.roles[role].keyids,
            after.roles[role].threshold,
        ):
            yield f"other keys for {role}: {' '.join(one[:16] for one in after.roles[role].keyids)}"
    were, are = before.roles[Root.type].threshold, after.roles[Root.type].threshold
    yield f"signatures needed: {were} of {len(old)}" + (f" -> {are} of {len(new)}" if (were, old) != (are, new) else "")
    yield f"expires {before.expires:%Y-%m-%d} -> {after.expires:%Y-%m-%d}, in {(after.expires - now).days} days"
    yield f"keys of the next root: {', '.join(sorted(named(after.keys[one]) for one in new))}"


def _find(root: Root, wanted: str) -> Key:
    """The key of the root role that a name, an id or its first digits mean."""
    owned = [root.keys[identifier] for identifier in root.roles[Root.type].keyids]
    found = [
        key
        for key in owned
        if wanted == (name_of(key) or SERVER) or (len(wanted) >= SHORTEST_ID and key.keyid.startswith(wanted.lower()))
    ]
    if len(found) != 1:
        said = "no key" if not found else f"{len(found)} keys"
        hint = f"give a name or {SHORTEST_ID} digits of an id: {', '.join(sorted(map(named, owned)))}"
        raise Refused(f"{said} of the root is {wanted!a}", hint)
    return found[0]


def _add(root: Root, key: Key) -> None:
    if key.keyid in root.keys:
        raise Refused(f"the root names the key {key.keyid[:16]} already", "each person has a key of his own")
    root.add_key(key, Root.type)


def _sign_here(home: Home, proposal: Proposal) -> None:
    """With the server's root key, where it is here and one of the roots names it."""
    if (home.path / "tuf" / f"{Root.type}.key").exists():
        key = load_ed25519(home, f"tuf/{Root.type}.key")
        standing = proposal.standing()
        if CryptoSigner(key).public_key.keyid in standing.unsigned:
            sign_proposal(proposal, key)


def _coming(home: Home, proposal: Proposal) -> tuf_keys.Keys:
    """The proposed keys of the online roles that the next root names; none where it leaves them as they are.

    Raises:
        Refused: it names keys for a role that are not here, or wants more signatures than one.
    """
    before, after = proposal.before.signed, proposal.after.signed
    changed = [role for role in ROLES[1:] if before.roles[role].keyids != after.roles[role].keyids]
    here = tuf_keys.load_proposed(home) if changed else {}
    for role in ROLES[1:]:
        known = set(before.roles[role].keyids)
        if role in here:
            known = {CryptoSigner(here[role]).public_key.keyid}
        if after.roles[role].threshold != 1 or not known.intersection(after.roles[role].keyids):
            raise Refused(f"the proposed root names a key for {role} that is not here", AGAIN)
    return here
