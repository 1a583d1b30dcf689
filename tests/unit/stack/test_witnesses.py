# SPDX-License-Identifier: Apache-2.0
"""What a stack keeps of witnesses and reads from its settings, and how its log reaches those that it asks."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ed25519

from sigcore.cosignature import cosign, cosigner_key, encode_log_verifier, encode_witness_verifier
from sigcore.errors import Malformed, NotFound, Refused, Unavailable
from sigcore.note import encode_note, note_key, parse_note
from stack import asked_witnesses, bootstrap, witness_files
from stack.asked_witnesses import Asking
from stack.backup.survivors import keep_later
from stack.config import Home, Settings, load_settings
from stack.doctor.contents import problems
from stack.files import save_file
from stack.role_rules import parse_role_tables
from stack.shards import Shard
from stack.witness_rows import WitnessRow
from tests.unit.tlog.test_witness import TREE
from tlog import cosigning
from tlog.storage.witness_sqlite import SqliteWitnessStore
from tlog.witness import Seen

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WITNESS = encode_witness_verifier(cosigner_key("w.example", KEY.public_key()))
LOG = note_key("log.example", KEY.public_key())
ROW = {"url": "http://localhost:1/witness", "key": WITNESS}


# --- settings --------------------------------------------------------------------------------------------
def test_witnesses_are_read_from_the_settings():
    found = parse_role_tables({"log": {"witness_quorum": 1, "witnesses": [ROW | {"url": "https://a.example/"}]}})
    assert found == {"witness_quorum": 1, "witnesses": (WitnessRow("https://a.example", WITNESS),)}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"witnesses": ROW}, "expected up to 16 tables"),
        ({"witnesses": [ROW] * 17}, "expected up to 16 tables"),
        ({"witnesses": [ROW, ROW]}, "one key twice"),
        ({"witnesses": [ROW | {"quorum": 1}]}, "known: url, key, ca_file"),
        ({"witnesses": ["http://localhost:1"]}, "known: url, key, ca_file"),
        ({"witnesses": [{"key": WITNESS}]}, "the url of a witness"),
        ({"witnesses": [ROW | {"url": "ftp://a.example"}]}, "the url of a witness"),
        ({"witnesses": [ROW | {"url": "http://user@a.example"}]}, "the url of a witness"),
        ({"witnesses": [ROW | {"url": "http://a.example/?q"}]}, "the url of a witness"),
        ({"witnesses": [ROW | {"key": encode_log_verifier(LOG)}]}, "expected that of a witness"),
        ({"witnesses": [ROW | {"key": 1}]}, "is no text"),
        ({"witnesses": [ROW], "witness_quorum": 2}, "witness_quorum is 2, and 1 witnesses are named"),
        ({"witness_quorum": True}, "expected a number"),
        ({"witness_quorum": -1}, "expected a number"),
    ],
)
def test_what_nobody_can_mean_is_refused(table, said):
    with pytest.raises(Malformed) as refused:
        parse_role_tables({"log": table})
    assert said in str(refused.value)


# --- the files of a witness ------------------------------------------------------------------------------
@pytest.fixture
def made(tmp_path: Path) -> tuple[Home, Settings]:
    home = Home(tmp_path / "data", b"a passphrase")
    bootstrap.prepare(
        home, url="http://localhost:1", default_url="", ephemeral=False, now=datetime(2026, 3, 1, tzinfo=UTC)
    )
    return home, load_settings(home)


def test_the_key_is_made_once_and_encrypted_as_the_others(made):
    home, settings = made
    assert witness_files.load_public(home) is None
    public = witness_files.add_logs(home, settings, [LOG])
    path = home.path / "rekor" / "witness.key"
    assert path.read_bytes().startswith(bootstrap.ENCRYPTED)
    assert path.stat().st_mode & 0o777 == 0o600
    assert witness_files.add_logs(home, settings, [LOG]) == public == witness_files.load_public(home)
    assert witness_files.load_witnessed(witness_files.list_file(home)) == {"log.example": LOG}
    other = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    with pytest.raises(Refused, match="with another key"):
        witness_files.add_logs(home, settings, [note_key("log.example", other)])


def test_a_list_that_is_spoilt_is_said_and_the_last_good_one_counts(made, caplog):
    home, settings = made
    path = witness_files.list_file(home)
    logs = witness_files.Witnessed(path)
    assert logs.now() == {}
    witness_files.add_logs(home, settings, [LOG])
    assert logs.now() == {"log.example": (LOG,)}
    with caplog.at_level(logging.ERROR):
        save_file(path, b"nonsense\n")
        assert logs.now() == logs.now() == {"log.example": (LOG,)}
    assert [record.getMessage()[:40] for record in caplog.records] == ["the list of witnessed logs was not taken"]
    witness_files.save_witnessed(home, settings, [])
    assert logs.now() == {}


def test_the_doctor_finds_a_key_that_is_not_the_witnesss(made):
    home, settings = made
    witness_files.add_logs(home, settings, [LOG])

    def found() -> list[str]:
        return [str(problem) for problem in problems(home) if "witness" in str(problem)]

    assert found() == []
    public, key = (home.path / "rekor" / f"witness.{ending}" for ending in ("vkey", "key"))
    good = public.read_bytes()
    public.write_text(f"{WITNESS}\n")
    assert any("is not the key of witness.vkey" in one for one in found())
    public.unlink()
    assert any("1 logs are to be witnessed" in one for one in found())
    public.write_bytes(good)
    key.unlink()
    assert found() != []
    with pytest.raises(NotFound):
        witness_files.check_witness(home)


def test_a_restore_keeps_what_was_cosigned_last(tmp_path):
    home, anchors = tmp_path / "home", tmp_path / "anchors"
    rows = {
        "behind.example": (Seen(5, b"a" * 32, 50), Seen(9, b"b" * 32, 90), 9),
        "ahead.example": (Seen(7, b"c" * 32, 70), Seen(3, b"d" * 32, 30), 7),
    }

    async def written() -> None:
        for folder, at in ((home / "anchor", 0), (anchors, 1)):
            folder.mkdir(parents=True)
            store = SqliteWitnessStore(folder / "witness.db")
            for origin, row in rows.items():
                assert await store.swap(origin, None, row[at])
            if at:
                assert await store.swap("new.example", None, Seen(2, b"e" * 32, 20))
            await store.close()

    async def read() -> dict[str, int]:
        store = SqliteWitnessStore(home / "anchor" / "witness.db")
        seen = {origin: await store.read(origin) for origin in (*rows, "new.example")}
        await store.close()
        return {origin: one.size for origin, one in seen.items() if one}

    asyncio.run(written())
    keep_later(home, anchors)
    assert asyncio.run(read()) == {origin: row[2] for origin, row in rows.items()} | {"new.example": 2}
    assert (home / "anchor" / "witness.db").stat().st_mode & 0o777 == 0o600
    keep_later(home, None)
    assert asyncio.run(read())["behind.example"] == 9


# --- asking over HTTP ------------------------------------------------------------------------------------
@asynccontextmanager
async def witnessed(answer):
    """A server that answers with ``answer(request)``, and the log's way to it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        asking = Asking([WitnessRow(str(server.make_url("/w")).rstrip("/"), WITNESS)], 1)
        await asking.start()
        try:
            yield asking
        finally:
            await asking.stop()


async def cosigned(asking: Asking) -> str:
    envelope = TREE.checkpoint(5)

    async def prove(_old: int) -> tuple[bytes, ...]:
        return ()

    return await asking.cosigners(Shard("rekor", 1)).cosign(envelope, 5, prove)


def line_of(envelope: str, key=KEY) -> str:
    note = parse_note(envelope)
    line = cosign(note.text, "w.example", key, 1_700_000_000).line
    return encode_note(type(note)(note.text, (line,))).removeprefix(f"{note.text}\n")


async def test_a_request_is_what_the_specification_says():
    seen = []

    async def answer(request):
        seen.append((request.method, request.path, await request.text()))
        return web.Response(text=line_of(TREE.checkpoint(5)))

    async with witnessed(answer) as asking:
        assert await cosigned(asking) == TREE.checkpoint(5) + line_of(TREE.checkpoint(5))
    assert seen == [("POST", "/w/add-checkpoint", f"old 0\n\n{TREE.checkpoint(5)}")]


async def test_no_answer_but_a_cosignature_counts(monkeypatch):
    monkeypatch.setattr(cosigning, "PATIENCE_S", 0.3)
    monkeypatch.setattr(asked_witnesses, "PATIENCE_S", 0.3)
    elsewhere = []

    async def redirect(request):
        if "elsewhere" in request.path:
            elsewhere.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    async def silence(_request):
        await asyncio.sleep(30)

    async def answer_of(text: str | bytes, status: int = 200):
        async def answer(_request):
            return web.Response(status=status, body=text if isinstance(text, bytes) else text.encode())

        return answer

    envelope = TREE.checkpoint(5)
    other = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    for answer, said in (
        (redirect, "answered 307"),
        (silence, "did not answer within 0.3 s"),
        (await answer_of(""), "no empty line"),
        (await answer_of(b"\xff\xfe\n"), "expected"),
        (await answer_of(line_of(envelope, other)), "not cosigned by"),
        (await answer_of(line_of(TREE.checkpoint(6))), "does not verify"),
        (await answer_of("x" * 200_000), "longer than"),
        (await answer_of("many\n", 409), "its answer"),
        (await answer_of("", 500), "answered 500"),
    ):
        async with witnessed(answer) as asking:
            with pytest.raises(Unavailable) as refused:
                await cosigned(asking)
            assert said in str(refused.value)
    assert elsewhere == []


async def test_the_trees_of_a_rotated_log_ask_nobody():
    with pytest.raises(Refused, match="would take for a fork"):
        Asking([WitnessRow("http://localhost:1", WITNESS)], 0).cosigners(Shard("rekor", 2))
