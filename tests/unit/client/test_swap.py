# SPDX-License-Identifier: Apache-2.0
"""A genuine part of another bundle is the attack that every client has fallen for. No part may be exchanged."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.verify import verify_attestation, verify_blob
from client.verify.identity import IdentityPolicy
from sigcore import keys
from sigcore.bundle import MessageSignature, encode_bundle, parse_bundle
from sigcore.errors import SigError
from tests.unit.client.minisig import (
    ARTIFACT,
    ATTESTATIONS,
    EMAIL,
    ISSUER,
    MiniSigstore,
    digest_of,
    statement_about,
)

POLICY = IdentityPolicy(ISSUER, EMAIL)
SIGSTORE = MiniSigstore()
Path = tuple[str | int, ...]


def document(bundle) -> Any:
    return json.loads(encode_bundle(bundle))


def paths(node: Any, prefix: Path = ()) -> Iterator[Path]:
    """Every member and element, containers too, the root excepted."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*prefix, key)
        yield from paths(value, (*prefix, key))


def get(node: Any, path: Path) -> Any:
    for key in path:
        node = node[key]
    return node


def changed(tree: Any, path: Path, value: Any) -> Any:
    tree = copy.deepcopy(tree)
    get(tree, path[:-1])[path[-1]] = value
    return tree


def removed(tree: Any, path: Path) -> Any:
    tree = copy.deepcopy(tree)
    del get(tree, path[:-1])[path[-1]]
    return tree


def verify(tree: Any) -> None:
    bundle = parse_bundle(json.dumps(tree).encode())
    check = verify_blob if "messageSignature" in tree else verify_attestation
    check(bundle, digest_of(ARTIFACT), root=SIGSTORE.root, identity=POLICY)


OTHER_STATEMENT = statement_about(b"other", predicateType="https://example.com/p/v2")


def older(bundle) -> Any:
    chain = (SIGSTORE.ca.intermediate.der,)
    media_type = "application/vnd.dev.sigstore.bundle+json;version=0.2"
    return document(replace(bundle, media_type=media_type, intermediates=chain))


def _pairs() -> dict[str, tuple[Any, Any]]:
    other = MiniSigstore("other")
    for _ in range(5):
        SIGSTORE.log.append(b"so that no index and no size below is a number that the tests write")
        SIGSTORE.log_v1.grow(b"the same", "sig.example - 4242")
    key = keys.generate_p256()
    certificate = SIGSTORE.certify(key.public_key())
    # The log grows on, so that the proofs of the pairs have shapes of their own.
    return {
        "another artifact": (document(SIGSTORE.sign()), document(SIGSTORE.sign(b"other"))),
        "the same artifact": (document(SIGSTORE.sign()), document(SIGSTORE.sign())),
        "the same certificate": tuple(document(SIGSTORE.bundle(key, certificate)) for _ in "ab"),
        "the same certificate, another artifact": (
            document(SIGSTORE.bundle(key, certificate)),
            document(SIGSTORE.bundle(key, certificate, b"other")),
        ),
        "another Sigstore": (document(SIGSTORE.sign()), document(other.sign())),
        "v1": (document(SIGSTORE.sign_v1()), document(SIGSTORE.sign_v1())),
        "v1, another artifact": (document(SIGSTORE.sign_v1()), document(SIGSTORE.sign_v1(b"other"))),
        "v1, another Sigstore": (document(SIGSTORE.sign_v1()), document(other.sign_v1())),
        "v1, version 0.2": (older(SIGSTORE.sign_v1()), older(SIGSTORE.sign_v1())),
    } | {
        f"{kind}, {name}": (document(SIGSTORE.attest(kind)), document(SIGSTORE.attest(kind, statement)))
        for kind in ATTESTATIONS
        for name, statement in (("the same statement", None), ("another statement", OTHER_STATEMENT))
    }


PAIRS = _pairs()


@pytest.mark.parametrize("name", PAIRS)
def test_no_part_can_be_exchanged(name):
    ours, theirs = PAIRS[name]
    verify(ours)
    swapped = 0
    for path in paths(ours):
        try:
            value = get(theirs, path)
        except (KeyError, IndexError):
            continue
        if value == get(ours, path):
            continue
        with pytest.raises(SigError):
            verify(changed(ours, path, value))
        swapped += 1
    assert swapped >= 15, swapped


NOTHING = [None, 0, -1, 1, 2**63, 1.5, "", "0", "AA==", "\ud800", [], {}, [None], True, float("inf"), float("nan")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("another artifact", {"integratedTime", "inclusionPromise"}),
        ("v1", {"rfc3161Timestamps", "timestampVerificationData"}),
        ("v1, version 0.2", {"rfc3161Timestamps", "timestampVerificationData", "certificates"}),
        ("dsse 0.0.1, the same statement", {"rfc3161Timestamps", "timestampVerificationData", "keyid"}),
        ("intoto 0.0.2, the same statement", {"rfc3161Timestamps", "timestampVerificationData", "keyid"}),
        ("hashedrekord 0.0.2, the same statement", {"integratedTime", "inclusionPromise", "keyid"}),
    ],
)
def test_v11_no_part_can_be_left_out_or_emptied(name, expected):
    """A change is accepted only where protobuf says that it is none: the bundle that is read must be the same."""
    ours = PAIRS[name][0]
    original = meaning(ours)
    harmless = set()
    for path in paths(ours):
        trees = [removed(ours, path), *(changed(ours, path, value) for value in NOTHING)]
        for tree in trees:
            try:
                verify(tree)
            except SigError:
                continue
            assert meaning(tree) == original
            harmless.add(path[-1] if isinstance(path[-1], str) else path[-2])
    assert harmless == expected


def meaning(tree: Any) -> Any:
    """The bundle, without what nothing vouches for: intermediates that were brought along, and the hint that a key id is."""
    bundle = parse_bundle(json.dumps(tree).encode())
    content = bundle.content
    if not isinstance(content, MessageSignature):
        content = replace(content, signatures=tuple(replace(one, key_id="") for one in content.signatures))
    return replace(bundle, intermediates=(), content=content)


def test_lists_cannot_grow_with_rubbish():
    ours = PAIRS["another artifact"][0]
    for path in paths(ours):
        node = get(ours, path)
        if isinstance(node, list):
            for extra in (None, {}, "", "AA==", [], copy.deepcopy(node[0])[:10] if isinstance(node[0], str) else 0):
                with pytest.raises(SigError):
                    verify(changed(ours, path, [*node, extra]))


TREES = [PAIRS[name][0] for name in ("another artifact", "v1", "dsse 0.0.1, the same statement")]
TEXTS = [(tree, path) for tree in TREES for path in paths(tree) if isinstance(get(tree, path), str) and get(tree, path)]


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(TEXTS), st.data())
def test_no_character_can_be_changed(place, data):
    whole, path = place
    text = get(whole, path)
    position = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.sampled_from("A0=/+-_ \n\u2014\x00z") | st.characters(codec="utf-8"))
    if character == text[position]:
        return
    tree = changed(whole, path, text[:position] + character + text[position + 1 :])
    with pytest.raises(SigError):
        verify(tree)
