# SPDX-License-Identifier: Apache-2.0
"""Logs in memory behind the paths that readers ask for: tiles (C2SP tlog-tiles) and the API of Rekor v1, with ways to lie."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from client.logs.reader import SignedHead
from client.logs.rekor_v1 import RekorV1Log
from client.logs.tiled import TiledLog
from client.transport import Response
from sigcore import checkpoint, keys, merkle, note, tiles
from sigcore.algorithms import HashAlgorithm, KeyDetails
from sigcore.log_entry import InclusionProof, LogEntry
from sigcore.trustroot import LogInstance, Validity
from tests.unit.client.minilog import NOW, MiniLog, MiniLogV1, answer_v1

URL = "http://log.example"
NOT_FOUND = Response(404, b'{"message": "nothing here"}')


def body(number: int) -> bytes:
    return json.dumps({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {"number": number}}).encode()


def instance(log: MiniLog) -> LogInstance:
    public = log.key.public_key()
    details = KeyDetails.PKIX_ECDSA_P256_SHA_256 if isinstance(log, MiniLogV1) else KeyDetails.PKIX_ED25519
    return LogInstance(URL, HashAlgorithm.SHA2_256, keys.encode_public_key(public), details, Validity(NOW), log.id)


def sign(log: MiniLog, size: int, root: bytes, origin: str) -> str:
    text = checkpoint.encode_checkpoint(checkpoint.Checkpoint(origin, size, root))
    return note.encode_note(note.sign_note(text, log.origin, log.key))


@dataclass
class Served:
    """Answers by path; ``change`` may put another answer in place of any."""

    log: MiniLog
    prefix: str = "/api/v2"
    change: Callable[[str, Response], Response] = lambda _path, answer: answer
    asked: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"{self.log.origin} - 4242" if isinstance(self.log, MiniLogV1) else self.log.origin

    def head(self, size: int | None = None) -> SignedHead:
        size = len(self.log.leaves) if size is None else size
        root = merkle.root_of(size, self.log.node)
        return SignedHead(checkpoint.Checkpoint(self.origin, size, root), sign(self.log, size, root, self.origin))

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, limit: int
    ) -> Response:
        del method, headers, limit
        path = url.removeprefix(URL)
        self.asked.append(path)
        return self.change(path, self.answer(path, body))

    def answer(self, path: str, sent: bytes | None) -> Response:
        if isinstance(self.log, MiniLogV1):
            return self.answer_v1(path, sent)
        if not path.startswith(f"{self.prefix}/") or (not self.prefix and path.startswith("/api")):
            return NOT_FOUND
        path = path.removeprefix(f"{self.prefix}/")
        if path == "checkpoint":
            return Response(200, self.head().envelope.encode())
        place = path.removeprefix("tile/")
        if place.startswith("entries/"):
            index, width = tiles.parse_entries_path(place.removeprefix("entries/"))
            run = self.log.leaves[index * 256 : index * 256 + width]
            return Response(200, tiles.encode_entry_bundle(run)) if len(run) == width else NOT_FOUND
        tile = tiles.parse_path(place)
        first = tile.index * 256
        if first + tile.width > len(self.log.leaves) >> 8 * tile.level:
            return NOT_FOUND
        return Response(
            200,
            tiles.encode_tile([self.log.node(8 * tile.level, at) for at in range(first, first + tile.width)]),
        )

    # --- Rekor v1 ----------------------------------------------------------------------------------------
    def answer_v1(self, path: str, sent: bytes | None) -> Response:
        parts = urlsplit(path)
        query = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
        what = parts.path.removeprefix("/api/v1/log")
        if what == "":
            head = self.head()
            older = {"treeSize": self.log.older, "treeID": "1", "rootHash": "", "signedTreeHead": ""}
            return self.json(
                {
                    "inactiveShards": [older],
                    "rootHash": head.root.hex(),
                    "signedTreeHead": head.envelope,
                    "treeID": "4242",
                    "treeSize": head.size,
                }
            )
        if what == "/proof":
            hashes = merkle.consistency_proof(query["firstSize"], query["lastSize"], self.log.node)
            return self.json({"hashes": [node.hex() for node in hashes], "rootHash": ""})
        if what == "/entries/retrieve":
            return self.json([self.entry_v1(index) for index in json.loads(sent)["logIndexes"]])
        if what == "/entries":
            return self.json(self.entry_v1(query["logIndex"]))
        found = [at for at, leaf in enumerate(self.log.leaves) if merkle.hash_leaf(leaf).hex() == what[-64:]]
        return self.json(self.entry_v1(self.log.older + found[0])) if found else NOT_FOUND

    def entry_v1(self, index: int) -> dict[str, object]:
        log, place, head = self.log, index - self.log.older, self.head()
        path = merkle.inclusion_proof(place, head.size, log.node)
        proof = InclusionProof(place, head.size, head.root, path, head.envelope)
        at = int(NOW.timestamp())
        return answer_v1(log.promise(LogEntry(index, log.id, "hashedrekord", "0.0.1", at, log.leaves[place], proof)))

    @staticmethod
    def json(value: object) -> Response:
        return Response(200, json.dumps(value).encode())


def served_v2(count: int) -> tuple[Served, TiledLog]:
    log = MiniLog("log.example", leaves=[body(number) for number in range(count)])
    served = Served(log)
    return served, TiledLog(served, URL, instance(log))


def served_v1(count: int) -> tuple[Served, RekorV1Log]:
    log = MiniLogV1("log.example", leaves=[body(number) for number in range(count)])
    served = Served(log)
    return served, RekorV1Log(served, URL, instance(log))
