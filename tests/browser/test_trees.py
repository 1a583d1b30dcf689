# SPDX-License-Identifier: Apache-2.0
"""The trees and proofs that pages show are those of others: sigstore-python's verification, and RFC 6962 word by word in the tests.

What is compared is read from the pages as Chromium shows them, hashes that their scripts computed included.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser, Page
from sigstore._internal.merkle import verify_merkle_inclusion
from sigstore.errors import VerificationError

from tests.browser import hostile
from tests.browser.chromium import visitor
from tests.stack_process import RunningStack, running_stack
from tests.unit.tlog.conftest import naive_path, naive_root

SIZE = 21
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Grown:
    """A log of SIZE entries, and the bytes of each."""

    stack: RunningStack
    leaves: list[bytes]


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grown]:
    with running_stack(tmp_path_factory.mktemp("trees"), "--ephemeral") as stack:
        for number in range(1, SIZE):
            assert hostile.submit(stack, hostile.certificate("a@example.com", 3 * number), number) == number
        yield Grown(stack, [leaf(stack, index) for index in range(SIZE)])


def leaf(stack: RunningStack, index: int) -> bytes:
    with _OPENER.open(f"{stack.url}/entries/rekor/{index}.json", timeout=60) as answer:
        return base64.b64decode(json.load(answer)["leaf"])


def texts(page: Page, selector: str) -> list[bytes]:
    """The hashes that stand in the page."""
    return [bytes.fromhex(text) for text in page.locator(selector).all_inner_texts()]


def of_sigstore_python(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> None:
    """Its own verification. Raises VerificationError."""
    told = SimpleNamespace(log_index=index, tree_size=size, hashes=proof, root_hash=root)
    verify_merkle_inclusion(SimpleNamespace(_inner=SimpleNamespace(inclusion_proof=told, canonicalized_body=leaf)))  # type: ignore[arg-type]  # all that it reads


def test_the_proof_of_every_entry_is_that_of_an_independent_tree_and_holds_for_sigstore_python(
    browser: Browser, grown: Grown
):
    """As the server says it, and as the browser computed it: siblings, and each hash on the way up."""
    root = naive_root(grown.leaves)
    with visitor(browser) as tab, visitor(browser, java_script_enabled=False) as plain:
        for index, data in enumerate(grown.leaves):
            address = f"{grown.stack.url}/entries/rekor/{index}"
            plain.page.goto(address)
            tab.page.goto(address)
            tab.page.locator("#path.drawn").wait_for()
            expected = naive_path(index, grown.leaves)
            assert texts(plain.page, "#path code") == expected == texts(tab.page, "#path .other")
            assert texts(plain.page, "#root") == [root]
            climbed = texts(tab.page, "#path .hash")
            assert climbed[0] == naive_root([data])
            assert climbed[-1] == root
            of_sigstore_python(data, index, SIZE, texts(tab.page, "#path .other"), climbed[-1])


def test_sigstore_python_refuses_what_a_page_does_not_show(grown: Grown):
    """The comparison can fail."""
    proof, root = naive_path(5, grown.leaves), naive_root(grown.leaves)
    of_sigstore_python(grown.leaves[5], 5, SIZE, proof, root)
    for changed in (
        (grown.leaves[4], 5, proof, root),
        (grown.leaves[5], 4, proof, root),
        (grown.leaves[5], 5, proof[1:], root),
    ):
        with pytest.raises(VerificationError):
            of_sigstore_python(changed[0], changed[1], SIZE, changed[2], changed[3])


@pytest.mark.parametrize(
    ("leaf_index", "size"), [(0, 1), (2, 3), (4, 7), (9, 16), (0, 17), (16, 17), (12, SIZE), (20, SIZE)]
)
def test_every_node_that_is_drawn_is_that_of_an_independent_tree(
    browser: Browser, grown: Grown, leaf_index: int, size: int
):
    leaves = grown.leaves[:size]
    with visitor(browser) as tab:
        page = tab.page
        page.goto(f"{grown.stack.url}/logs/rekor?leaf={leaf_index}&size={size}")
        drawn = page.locator(".tree g").evaluate_all(
            "all => all.map(one => [one.querySelector('title').textContent, one.classList[0]])"
        )
        proof = texts(page, ".path >> nth=0 >> code")
    path, lit = naive_path(leaf_index, leaves), set()
    for title, role in drawn:
        found = re.fullmatch(r"\[(\d+), (\d+)\) ([0-9a-f]{64})", title)
        assert found, title
        low, high, hash_ = int(found[1]), int(found[2]), bytes.fromhex(found[3])
        assert hash_ == naive_root(leaves[low:high])
        assert (role == "lit") == (low <= leaf_index < high)
        assert (role == "proof") == (hash_ in path)
        lit |= {(low, high)} if role == "lit" else set()
    assert {(leaf_index, leaf_index + 1), (0, size)} <= lit
    assert proof == path
    of_sigstore_python(leaves[leaf_index], leaf_index, size, proof, naive_root(leaves))


def naive_consistency(first: int, leaves: list[bytes], *, whole: bool = True) -> list[bytes]:
    """RFC 6962 section 2.1.2, word by word: SUBPROOF(m, D[n], b)."""
    size = len(leaves)
    if first == size:
        return [] if whole else [naive_root(leaves)]
    split = 1 << (size - 1).bit_length() - 1
    if first <= split:
        return [*naive_consistency(first, leaves[:split], whole=whole), naive_root(leaves[split:])]
    return [*naive_consistency(first - split, leaves[split:], whole=False), naive_root(leaves[:split])]


def test_every_proof_that_nothing_was_taken_away_is_that_of_an_independent_tree(browser: Browser, grown: Grown):
    with visitor(browser, java_script_enabled=False) as tab:
        for second in (1, 2, 7, 8, SIZE):
            for first in {1, second // 2 or 1, second - 1 or 1, second}:
                tab.page.goto(f"{grown.stack.url}/logs/rekor?first={first}&second={second}")
                proof = texts(tab.page, ".path >> nth=-1 >> code")
                roots = texts(tab.page, "#roots code")
                assert proof == naive_consistency(first, grown.leaves[:second])
                assert roots == [naive_root(grown.leaves[:first]), naive_root(grown.leaves[:second])]
