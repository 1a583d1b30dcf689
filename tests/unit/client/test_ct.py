# SPDX-License-Identifier: Apache-2.0
"""Following a certificate log: what is handed out was led to a head that the log has signed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from client.logs.certificates import LoggedCertificate, read_logged
from client.logs.choice import choose_ct_log
from client.logs.ct import CertificateLog
from client.logs.matching import Watched, is_match, match_json, match_line
from client.logs.seen import Forked, SeenHeads, follow
from client.policy.glob import parse_glob
from client.transport import Response
from sigcore import keys, merkle, precertificate, sct, x509
from sigcore.algorithms import HashAlgorithm, KeyDetails
from sigcore.errors import Malformed, NotFound, Refused, SigError
from sigcore.sct import SignedCertificateTimestamp, X509Entry
from sigcore.strict import encode_base64
from sigcore.trustroot import LogInstance, TrustedRoot, Validity
from tests.unit.client.minilog import NOW, MiniLog
from tests.unit.client.minisig import EMAIL, ISSUER, MiniSigstore

URL = "http://ct.example/2026"
TIME_MS = 1_770_000_000_123


def leaf(number: int) -> bytes:
    return sct.encode_leaf(X509Entry(b"no certificate %d" % number), TIME_MS)


@dataclass
class Served:
    """A certificate log in memory; ``change`` may put another answer in place of any, ``page`` is the most that it gives."""

    leaves: list[bytes]
    page: int = 1000
    key: keys.PrivateKey = field(default_factory=keys.generate_p256)
    change: Callable[[str, dict[str, object]], dict[str, object]] = lambda _what, answer: answer
    asked: list[str] = field(default_factory=list)

    @property
    def log(self) -> MiniLog:
        return MiniLog("ct.example", self.key, self.leaves)

    def instance(self) -> LogInstance:
        spki = keys.encode_public_key(self.key.public_key())
        details = KeyDetails.PKIX_ECDSA_P256_SHA_256
        return LogInstance(URL, HashAlgorithm.SHA2_256, spki, details, Validity(NOW), keys.key_id(spki))

    def reader(self) -> CertificateLog:
        return CertificateLog(self, f"{URL}/", self.instance())

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, limit: int
    ) -> Response:
        assert (method, dict(headers), body) == ("GET", {}, None)
        parts = urlsplit(url)
        what = parts.path.removeprefix("/2026/ct/v1/")
        self.asked.append(what)
        query = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
        data = json.dumps(self.change(what, self.answer(what, query))).encode()
        assert len(data) <= limit
        return Response(200, data)

    def answer(self, what: str, query: dict[str, int]) -> dict[str, object]:
        log = self.log
        if what == "get-sth":
            return self.head()
        if what == "get-sth-consistency":
            return {"consistency": b64s(merkle.consistency_proof(query["first"], query["second"], log.node)) or None}
        if what == "get-entry-and-proof":
            path = merkle.inclusion_proof(query["leaf_index"], query["tree_size"], log.node)
            return {
                "leaf_input": encode_base64(self.leaves[query["leaf_index"]]),
                "extra_data": "",
                "audit_path": b64s(path),
            }
        end = min(query["end"] + 1, query["start"] + self.page)
        rows = [{"leaf_input": encode_base64(one), "extra_data": ""} for one in self.leaves[query["start"] : end]]
        return {"entries": rows}

    def head(self, **changes: object) -> dict[str, object]:
        size, root = len(self.leaves), merkle.root_of(len(self.leaves), self.log.node)
        signature = keys.sign(self.key, sct.sth_signed_data(size, TIME_MS, root))
        signed = sct.encode_digitally_signed(SignedCertificateTimestamp(bytes(32), TIME_MS, b"", signature))
        head = {"tree_size": size, "timestamp": TIME_MS, "sha256_root_hash": encode_base64(root)}
        return head | {"tree_head_signature": encode_base64(signed)} | changes


def b64s(nodes: tuple[bytes, ...]) -> list[str]:
    return [encode_base64(node) for node in nodes]


def served(count: int, page: int = 1000) -> Served:
    return Served([leaf(number) for number in range(count)], page)


async def all_from(reader: CertificateLog, first: int) -> list[LoggedCertificate]:
    return [entry async for entry in reader.entries(first, await reader.head())]


# --- reading -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("page", [1, 3, 1000])
@pytest.mark.parametrize("count", [1, 2, 7, 8, 13])
async def test_entries_from_any_leaf_on_come_proved_however_few_the_log_gives_at_once(count: int, page: int):
    for first in range(count + 1):
        found = await all_from(served(count, page).reader(), first)
        assert [(one.index, one.leaf) for one in found] == [(at, leaf(at)) for at in range(first, count)]


async def test_a_long_log_is_read_in_pages():
    many = served(300)
    assert len(await all_from(many.reader(), 5)) == 295
    assert many.asked.count("get-entries") == 3
    assert await all_from(served(0).reader(), 0) == []


@pytest.mark.parametrize("first", [0, 5])
async def test_another_leaf_than_the_one_in_the_tree_is_handed_out_to_nobody(first: int):
    log = served(13, page=4)

    def change(what: str, answer: dict[str, object]) -> dict[str, object]:
        if what == "get-entries":
            answer["entries"] = [one | {"leaf_input": encode_base64(leaf(99))} for one in answer["entries"]]
        return answer

    log.change = change
    reader = log.reader()
    head = await reader.head()
    with pytest.raises(Refused):
        await anext(reader.entries(first, head))


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("get-entries", {"entries": []}),
        ("get-entries", {"entries": [{"leaf_input": "AA=="}]}),
        ("get-entries", {"entries": 7}),
        ("get-entries", {}),
        ("get-entry-and-proof", {"leaf_input": encode_base64(leaf(1)), "audit_path": []}),
        ("get-entry-and-proof", {"leaf_input": encode_base64(leaf(1)), "audit_path": ["AA=="] * 4}),
        ("get-sth-consistency", {"consistency": []}),
        ("get-sth", {"tree_size": 13}),
    ],
)
async def test_an_answer_that_proves_nothing_is_refused(what: str, answer: dict[str, object]):
    log = served(13, page=4)
    log.change = lambda asked, given: answer if asked == what else given
    with pytest.raises(SigError):
        await all_from(log.reader(), 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"tree_size": 14},
        {"timestamp": TIME_MS + 1},
        {"sha256_root_hash": encode_base64(bytes(32))},
        {"sha256_root_hash": "AA=="},
        {"tree_size": -1},
        {"tree_head_signature": encode_base64(b"\x04\x01\x00\x00")},
        {"tree_head_signature": "AA=="},
    ],
)
async def test_a_head_that_the_log_has_not_signed_is_refused(changes: dict[str, object]):
    log = served(13)
    log.change = lambda _what, _answer: log.head(**changes)
    with pytest.raises((Refused, Malformed)):
        await log.reader().head()


async def test_a_head_of_another_key_is_refused():
    log, other = served(3), served(3)
    with pytest.raises(Refused, match="tree head"):
        await CertificateLog(log, URL, other.instance()).head()


# --- what was seen -----------------------------------------------------------------------------------
async def test_a_log_that_grew_is_followed_and_one_that_forked_is_told_with_both_heads(tmp_path: Path):
    log, seen = served(5), SeenHeads(str(tmp_path))
    first, before = await follow(log.reader(), seen)
    assert before is None
    log.leaves += [leaf(5), leaf(6)]
    second, before = await follow(log.reader(), seen)
    assert (before, second.size) == (first, 7)
    log.leaves[2] = leaf(99)
    for size in (7, 8):
        log.leaves[7:] = [leaf(7)] * (size - 7)
        with pytest.raises(Forked) as caught:
            await follow(log.reader(), seen)
        assert second.envelope in caught.value.evidence
    del log.leaves[4:]
    with pytest.raises(Forked, match="went back"):
        await follow(log.reader(), seen)


# --- what an entry says --------------------------------------------------------------------------------
def test_both_kinds_of_entries_name_whom_their_certificate_names(sigstore: MiniSigstore):
    certificate = x509.parse_certificate(sigstore.sign().certificate)
    entry = precertificate.precert_entry(certificate, sigstore.ca.intermediate.spki)
    watched = Watched(globs=(parse_glob("*@example.com", what="glob"),), issuer=ISSUER)
    for kind, logged in (("certificate", X509Entry(certificate.der)), ("precertificate", entry)):
        found = read_logged(7, bytes(32), sct.encode_leaf(logged, TIME_MS))
        assert is_match(found, watched)
        assert not is_match(found, Watched(identities=("other@example.com",)))
        row = match_json(found)
        json.dumps(row)
        assert (row["index"], row["kind"], row["integratedTime"]) == (7, kind, "2026-02-02T02:40:00Z")
        assert row["signers"][0]["identities"] == [EMAIL]
        assert row["signers"][0]["keySha256"] == keys.key_id(certificate.spki).hex()
        assert EMAIL in match_line(found)


def test_what_cannot_be_read_names_nobody_and_everybody_sees_it():
    found = read_logged(0, bytes(32), sct.encode_leaf(X509Entry(b"\x30\x00"), 2**63))
    assert found.certificate is None
    assert not is_match(found, Watched(identities=(EMAIL,)))
    assert is_match(found, Watched(everybody=True))
    assert match_json(found)["integratedTime"] is None
    assert "nobody that can be read" in match_line(found)
    broken = sct.PrecertEntry(bytes(32), b"\x30\x03\x02\x01\x00")
    assert read_logged(0, bytes(32), sct.encode_leaf(broken, TIME_MS)).certificate is None


def test_the_certificate_log_is_chosen_by_its_url_or_is_the_newest():
    old, new = served(1).instance(), served(1).instance()
    root = TrustedRoot(ct_logs=(old, new))
    assert choose_ct_log(root, now=NOW, url=f"{URL}/") in (old, new)
    assert choose_ct_log(root, now=NOW, log_id=old.log_id.hex()[:16].upper()) == old
    with pytest.raises(NotFound, match="no certificate log"):
        choose_ct_log(TrustedRoot(), now=NOW)
