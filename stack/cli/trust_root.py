# SPDX-License-Identifier: Apache-2.0
"""``sigbox trust root``: the ceremony of a root that people sign (:mod:`stack.trust.ceremony`), a step for each command."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from securesystemslib.signer import Key
from tuf.api.metadata import Root

from sigcore import keys, limits
from sigcore.errors import Malformed
from sigcore.strict import encode_time
from stack.bootstrap import ENCRYPTED
from stack.cli.placing import unlocked
from stack.cli.usage import Usage
from stack.config import home_at, load_settings
from stack.files import SECRET, load_file, load_secret, save_file
from stack.passphrase import find_passphrase
from stack.trust.ceremony import Change, accept, changes, current_root, propose, shortfalls
from stack.trust.proposal import (
    SERVER,
    Proposal,
    SignerKey,
    check_before,
    check_root,
    check_signatures,
    key_of,
    load_proposal,
    load_root,
    name_of,
    save_proposal,
    sign_proposal,
)
from stack.trust.state import load_state

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}\Z", re.ASCII)


def run(options: argparse.Namespace) -> int:
    """Do the step that was asked for."""
    return _STEPS[options.step](options)


def _show(options: argparse.Namespace) -> int:
    home = home_at(options.data)
    load_settings(home)
    metadata = current_root(home)
    root, signatures = metadata.signed, metadata.signatures
    before = load_root(home.tuf_repository / f"{root.version - 1}.root.json").signed if root.version > 1 else None
    result = root.get_root_verification_result(before, metadata.signed_bytes, signatures)
    role, state = root.roles[Root.type], load_state(home).roles[0]
    if options.json:
        facts = {
            "version": root.version,
            "expires": encode_time(root.expires),
            "daysLeft": state.left(datetime.now(UTC)) // timedelta(days=1),
            "threshold": role.threshold,
            "keys": [_row(root.keys[one]) | {"signed": one in result.second.signed} for one in role.keyids],
            "signedBy": [_row(key) for key in result.signed.values()],
            "next": state.next_root(),
        }
        print(json.dumps(facts, indent=2))
        return 0
    print(
        f"root version {root.version}, good until {encode_time(root.expires)}; {role.threshold} of {len(role.keyids)} must sign"
    )
    for one in role.keyids:
        key = root.keys[one]
        print(f"  {one}  {key.scheme:<20}{name_of(key) or SERVER:<16}{'signed' if one in result.second.signed else ''}")
    for one, key in result.first.signed.items():
        if one not in role.keyids:
            print(f"  {one}  {key.scheme:<20}{name_of(key) or SERVER:<16}signed, and is out from this version on")
    print(f"the next one: {state.next_root()}")
    return 0


def _key(options: argparse.Namespace) -> int:
    """The private key is encrypted: it lives for years, and on a machine that others may find."""
    private: Path = options.file
    public = private.with_suffix(".pub")
    for path in (private, public):
        if path.exists() or private == public:
            raise Usage(f"{path} is already there", "give another FILE, such as alice.key")
    _owner(public)
    passphrase = find_passphrase(options.passphrase_file, {}) or _asked(twice=True)
    key: SignerKey = keys.generate_p256() if options.scheme == "p256" else ed25519.Ed25519PrivateKey.generate()
    pem = keys.encode_public_key_pem(key.public_key()).encode("ascii")
    save_file(private, keys.encode_private_key(key, passphrase), mode=SECRET)
    save_file(public, pem)
    made = key_of(pem, _owner(public), what=str(public))
    sys.stderr.write(f"wrote {private}: keep it, and a copy in another place; it never leaves your hands\n")
    if options.json:
        print(json.dumps({"privateKey": str(private), "publicKey": str(public)} | _row(made), indent=2))
    else:
        print(f"hand in {public}: {made.scheme}, key id {made.keyid}")
    return 0


def _propose(options: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    added = tuple(
        key_of(load_file(path, what="the public key", limit=limits.PUBLIC_KEY), _owner(path), what=str(path))
        for path in options.add
    )
    life = None if options.expires_in is None else timedelta(days=options.expires_in)
    change = Change(added, tuple(options.remove), options.threshold, life, options.new_online_keys)
    proposal = propose(unlocked(options), change, now)
    save_proposal(proposal, options.out)
    role = proposal.after.signed.roles[Root.type]
    if role.threshold == len(role.keyids):
        sys.stderr.write(f"all {role.threshold} keys are needed: when one is lost, no root can follow this one\n")
    _tell(options, options.out, proposal, now)
    return 0


def _sign(options: argparse.Namespace) -> int:
    now, proposal = datetime.now(UTC), load_proposal(options.file)
    check_before(proposal)
    check_signatures(proposal)
    check_root(proposal.before.signed, proposal.after.signed, now)
    key = _opened(options)
    sys.stderr.writelines(f"{line}\n" for line in changes(proposal, now))
    if not options.yes:
        _confirm()
    sign_proposal(proposal, key)
    save_proposal(proposal, options.file)
    _tell(options, options.file, proposal, now, changed=False)
    return 0


def _accept(options: argparse.Namespace) -> int:
    home = unlocked(options)
    load_settings(home)
    copies = tuple(load_proposal(path) for path in (options.file, *options.copies))
    signed = accept(home, copies, datetime.now(UTC))
    root = load_state(home).roles[0]
    if options.json:
        facts = {"version": root.version, "expires": encode_time(root.expires), "signed": list(signed)}
        print(json.dumps(facts, indent=2))
    else:
        print(
            f"root version {root.version} is published, good until {encode_time(root.expires)}; clients walk there by themselves"
        )
    own = home.path / "tuf" / "root.key"
    if own.exists() and all(root.names):
        sys.stderr.write(
            f"{own} is out: destroy it and each copy, for whoever starts from an older root would still follow it\n"
        )
    return 0


# --- what they share ---------------------------------------------------------------------------------
def _tell(options: argparse.Namespace, path: Path, proposal: Proposal, now: datetime, *, changed: bool = True) -> None:
    """What is proposed, and what is missing still."""
    missing, lines = list(shortfalls(proposal)), list(changes(proposal, now))
    if options.json:
        facts = {
            "file": str(path),
            "version": proposal.after.signed.version,
            "sha256": proposal.digest,
            "signedBy": [_row(key) for key in proposal.standing().signed.values()],
            "missing": missing,
            "changes": lines,
        }
        print(json.dumps(facts, indent=2))
        return
    print("\n".join((*(lines if changed else ()), *missing)))
    following = "each: sigbox trust root sign" if missing else "enough have signed: sigbox trust root accept"
    print(f"{following} {path.name}{' --key KEY' if missing else ''}")


def _row(key: Key) -> dict[str, object]:
    return {"id": key.keyid, "scheme": key.scheme, "name": name_of(key) or None}


def _owner(path: Path) -> str:
    """The name of the file is that of the key's owner.

    Raises:
        Usage: it has characters that a name has not.
    """
    if not _NAME.match(path.stem):
        raise Usage(f"{path.stem!a} is no name for the owner of a key", "name the file for example alice.pub")
    return path.stem


def _opened(options: argparse.Namespace) -> SignerKey:
    """The key in ``--key``, under a passphrase or without one."""
    pem = load_secret(options.key, what="the key")
    passphrase = None
    if pem.startswith(ENCRYPTED):
        passphrase = find_passphrase(options.passphrase_file, os.environ) or _asked()
    key = keys.parse_private_key(pem, passphrase, what=str(options.key))
    if not isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
        raise Malformed(f"{options.key} is an RSA key, which signs no root", "make one: sigbox trust root key FILE")
    return key


def _asked(*, twice: bool = False) -> bytes:
    if not sys.stdin.isatty():
        raise Usage("the key has a passphrase, and there is no terminal to ask for it", "give --passphrase-file FILE")
    first = getpass.getpass("passphrase of the key: ")
    if not first or (twice and getpass.getpass("again: ") != first):
        raise Usage("no passphrase, or two different ones", "try again")
    return first.encode("utf-8")


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise Usage("nobody is there to read what changes", "--yes signs without asking")
    sys.stderr.write("sign this? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Usage("nothing was signed")


_STEPS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "show": _show,
    "key": _key,
    "propose": _propose,
    "sign": _sign,
    "accept": _accept,
}
