# SPDX-License-Identifier: Apache-2.0
"""Behind Debian's nginx, with the files of deploy/nginx: clients sign and verify, and no cache gives one answer for another."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Iterator

import pytest

from sigcore import merkle
from sigcore.errors import SigError
from tests.contract.rfc6962 import consistent
from tests.deploy.reverse_proxy import FILES, WAYS, Proxied, another_site, require_nginx, terminated
from tests.faults.writers import Sent
from tests.interop.conftest import require
from tests.interop.places import ALICE, MALLORY, Kind, Place, Tool, make_signed, refuse, succeed
from tests.interop.tools import PYTHON, SIGBOX, V3
from tests.stack_process import ROOT
from tests.unit.sigcore.v1_proposals import hashedrekord

pytestmark = pytest.mark.slow

IGNORES_THE_QUERY = ("$scheme$host$request_uri", "$host$uri")
_CACHING = "proxy_cache sigbox; proxy_cache_key $host$uri; proxy_cache_valid any 10m;"
CACHES_EVERYTHING = ("location / {", f"location / {{ {_CACHING} add_header X-Cache $upstream_cache_status always;")
SHOWS_ITSELF = ("proxy_cache_lock on;", "proxy_cache_lock on; add_header X-Cache $upstream_cache_status always;")
ENTRIES = 260
"""A full tile, and a little more."""


@pytest.fixture(scope="module", params=WAYS.values(), ids=WAYS)
def way(request, tmp_path_factory) -> Iterator[Proxied]:
    require_nginx()
    with request.param(tmp_path_factory.mktemp("way")) as proxied:
        yield proxied


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Iterator[Proxied]:
    """A stack with a full tile in its log, and three entries in the one of v1."""
    require_nginx()
    with terminated(tmp_path_factory.mktemp("filled")) as proxied:
        for _ in range(ENTRIES):
            request = urllib.request.Request(f"{proxied.direct}/api/v2/log/entries", Sent.make().request())
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert answer.status == 201
        for number in range(2):
            body = json.dumps(hashedrekord(b"%d" % number)).encode()
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(f"{proxied.direct}/api/v1/log/entries", body, headers)
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert answer.status == 201
        yield proxied


# --- clients -------------------------------------------------------------------------------------------
@pytest.mark.interop
@pytest.mark.parametrize("tool", [SIGBOX, PYTHON, V3], ids=lambda tool: tool.name.split()[0])
@pytest.mark.parametrize("kind", [Kind.MESSAGE_V2, Kind.MESSAGE_V1], ids=lambda kind: kind.label)
def test_clients_sign_and_verify_through_it(way: Proxied, tool: Tool, kind: Kind, tmp_path):
    require(tool)
    exported = (*way.environment, *(("REQUESTS_CA_BUNDLE", path) for _, path in way.environment))
    place = Place(way.stack, tmp_path, exported)
    signed = make_signed(tool, place, kind)
    succeed(tool.verify(signed, ALICE, way.stack.oidc_issuer))
    refuse(tool.verify(signed, MALLORY, way.stack.oidc_issuer))


def test_what_the_stack_says_of_itself_is_the_url_of_the_proxy(way: Proxied):
    status, body, _ = way.get(f"{way.stack.url}/auth/.well-known/openid-configuration")
    assert status == 200
    said = json.loads(body)
    endpoints = [value for name, value in said.items() if name.endswith(("_endpoint", "_uri", "issuer"))]
    assert len(endpoints) > 4
    assert all(value.startswith(f"{way.stack.url}/auth") for value in endpoints), endpoints


def test_paths_arrive_as_they_were_sent(way: Proxied):
    for path in (
        "/tuf/%2e%2e/sigbox.toml",
        "/tuf/targets/..%2f..%2fsigbox.toml",
        "//tuf/timestamp.json",
        "/tile/0/0000",
    ):
        assert way.get(way.stack.url + path)[0] in (400, 404), path


# --- caches (reliability L15) --------------------------------------------------------------------------
def test_full_tiles_and_metadata_come_from_the_cache_and_heads_never(filled: Proxied):
    with another_site(filled, SHOWS_ITSELF) as url:
        for path in ("/tile/0/000", "/api/v2/tile/entries/000", "/tuf/1.root.json"):
            answers = [filled.get(url + path) for _ in range(2)]
            assert [headers["x-cache"] for _, _, headers in answers] == ["MISS", "HIT"], path
            assert answers[0][1] == answers[1][1] == filled.get(filled.direct + path)[1]
        for path in ("/tuf/timestamp.json", "/tile/0/001.p/1"):
            answers = [filled.get(url + path) for _ in range(2)]
            assert [headers["x-cache"] for _, _, headers in answers] == ["MISS", "MISS"], path


QUERIES = (
    ("/ct/v1/get-entries?start=0&end=0", "/ct/v1/get-entries?start=7&end=0"),
    ("/ct/v1/get-sth-consistency?first=1&second=1", "/ct/v1/get-sth-consistency?first=0&second=1"),
    ("/ct/v1/get-entry-and-proof?leaf_index=0&tree_size=1", "/ct/v1/get-entry-and-proof?leaf_index=9&tree_size=1"),
    ("/api/v1/log/entries?logIndex=0", "/api/v1/log/entries?logIndex=77"),
    ("/api/v1/log/proof?lastSize=1", "/api/v1/log/proof?lastSize=9"),
    ("/api/v1/log/publicKey", "/api/v1/log/publicKey?treeID=7"),
    ("/search?q=alice%40example.com", "/search?q=bob%40example.com"),
    ("/search.json?index=0", "/search.json?index=1"),
    ("/auth/auth?client_id=sigstore", "/auth/auth?client_id=other"),
    ("/auth/device?user_code=A", "/auth/device?user_code=B"),
    ("/api/v2/configuration?x=1", "/api/v2/configuration?x=2"),
)


@pytest.mark.parametrize(("one", "other"), QUERIES)
@pytest.mark.parametrize("turned", [False, True], ids=["", "turned"])
def test_a_cache_that_ignores_the_query_gives_no_answer_for_another_l15(filled: Proxied, careless, one, other, turned):
    """Whatever is asked first, a refusal too, the next question goes to the stack."""
    for path in (other, one) if turned else (one, other):
        status, body, headers = filled.get(careless + path)
        assert headers["x-cache"] == "MISS", path
        assert headers["cache-control"] == "no-store", path
        direct = filled.get(filled.direct + path)
        assert status == direct[0], path
        assert len(body) == len(direct[1]), path


@pytest.fixture(scope="module")
def careless(filled: Proxied) -> Iterator[str]:
    with another_site(filled, IGNORES_THE_QUERY, CACHES_EVERYTHING, SHOWS_ITSELF) as url:
        yield url


def test_the_careless_cache_does_cache_what_it_may(filled: Proxied, careless):
    """Else the test above could not fail."""
    answers = [filled.get(f"{careless}/tile/0/000?{number}")[2]["x-cache"] for number in range(2)]
    assert answers[1] == "HIT"


def test_who_gets_a_proof_for_another_question_notices_l15(filled: Proxied):
    """A cache that even overrides what the stack says of storing: the log is not to blame, and the client must see it."""
    deaf = (CACHES_EVERYTHING[0], f"{CACHES_EVERYTHING[1]} proxy_ignore_headers Cache-Control;")

    def proof(url: str, first: int) -> list[bytes]:
        body = filled.get(f"{url}/api/v1/log/proof?firstSize={first}&lastSize=3")[1]
        return [bytes.fromhex(text) for text in json.loads(body)["hashes"]]

    with another_site(filled, IGNORES_THE_QUERY, deaf) as url:
        leaves = [merkle.hash_leaf(base64.b64decode(body)) for body in _bodies(filled, 3)]
        old = merkle.hash_node(leaves[0], leaves[1])
        new = merkle.hash_node(old, leaves[2])
        assert consistent(2, 3, old, new, proof(filled.direct, 2))
        first, wrong = proof(url, 1), proof(url, 2)
        assert first == wrong != proof(filled.direct, 2), "the cache gave the answer to another question"
        assert not consistent(2, 3, old, new, wrong)
        with pytest.raises(SigError):
            merkle.verify_consistency(first=2, second=3, first_root=old, second_root=new, proof=wrong)


def _bodies(proxied: Proxied, count: int) -> list[str]:
    """The bodies of the first entries of the Rekor v1 log."""
    bodies = []
    for index in range(count):
        ((_, entry),) = json.loads(proxied.get(f"{proxied.direct}/api/v1/log/entries?logIndex={index}")[1]).items()
        bodies.append(entry["body"])
    return bodies


# --- what is said about it -----------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["sigbox.conf", "pass-through.conf"])
def test_the_manual_shows_the_files_that_are_tested(name):
    manual = (ROOT / "docs" / "operating.md").read_text("utf-8")
    assert f"```nginx\n{(FILES / name).read_text('utf-8')}```" in manual
