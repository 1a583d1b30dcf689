# SPDX-License-Identifier: Apache-2.0
"""The provider's keys on disk: rotation keeps every token good until it ends, whatever interrupts it (O12)."""

from __future__ import annotations

import asyncio
import itertools
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from ca.ports import TokenKey
from oidc_dev.claims import Identity
from oidc_dev.provider import Provider
from oidc_dev.signing import OVERLAP, KeyRing, generate_rsa
from sigcore.errors import Malformed, NotFound, Refused, Unavailable
from stack import bootstrap, oidc_keys
from stack.config import Home
from stack.oidc_keys import (
    AHEAD,
    OwnKeys,
    following,
    load_entries,
    load_ring,
    prepare_next,
    rotate,
    rotate_old,
    seal_of,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
URL = "http://localhost:7780"


@pytest.fixture(scope="module")
def pool():
    """Keys made once: they are not what is tested."""
    return itertools.cycle([generate_rsa() for _ in range(8)])


@pytest.fixture(autouse=True)
def quick_keys(pool, monkeypatch):
    monkeypatch.setattr(oidc_keys, "generate_rsa", lambda: next(pool))


@pytest.fixture(params=[None, b"a passphrase"], ids=["open", "encrypted"])
def home(request, tmp_path):
    return Home(tmp_path / "data", request.param)


@pytest.fixture
def settings(home):
    made = bootstrap.prepare(home, url=URL, default_url=URL, ephemeral=False, now=NOW)
    bootstrap.oidc_key(home, made)
    return made


def ring_of(home) -> KeyRing:
    return load_ring(home, bootstrap.load_oidc_key(home))


def test_the_next_key_is_published_ahead_and_signs_nothing(home, settings):
    before = ring_of(home)
    prepare_next(home, settings, now=NOW)
    after = ring_of(home)
    assert after.signing.id == before.signing.id
    assert len(after.published(NOW)) == 2
    prepare_next(home, settings, now=NOW + AHEAD)
    assert load_entries(home)[0].since == NOW
    assert (home.path / "oidc" / "next.key").stat().st_mode & 0o777 == 0o600


def test_a_rotation_publishes_the_key_before_until_its_last_token_ends_o12(home, settings):
    prepare_next(home, settings, now=NOW)
    first = ring_of(home)
    before, after = rotate(home, settings, now=NOW + AHEAD)
    ring = ring_of(home)
    assert before == first.signing.id
    assert after == ring.signing.id
    assert set(first.published(NOW)) == {before, after}
    rotated = NOW + AHEAD
    assert {before, after} < set(ring.published(rotated + OVERLAP - timedelta(seconds=1)))
    assert before not in ring.published(rotated + OVERLAP)
    assert len(ring.published(rotated + OVERLAP)) == 2  # that which signs, and the one after it


def test_a_key_that_nobody_has_seen_signs_only_when_that_is_wanted(home, settings):
    with pytest.raises(Refused, match="published since"):
        rotate(home, settings, now=NOW)
    with pytest.raises(Refused, match="published since"):
        rotate(home, settings, now=NOW + AHEAD - timedelta(seconds=1))
    assert rotate(home, settings, now=NOW + timedelta(seconds=2), at_once=True)[0] != ring_of(home).signing.id


STEPS = ("save_file", "save_oidc_key", "_load_next")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("time", [0, 1, 2])
def test_a_rotation_that_is_cut_anywhere_refuses_no_token_and_can_be_repeated(
    home, settings, monkeypatch, step, after, time
):
    prepare_next(home, settings, now=NOW)
    first, now = ring_of(home).signing.id, NOW + AHEAD
    calls, real = 0, getattr(oidc_keys, step)

    def cut(*arguments, **named):
        nonlocal calls
        calls += 1
        if calls <= time:
            return real(*arguments, **named)
        if after:
            real(*arguments, **named)
        raise OSError("cut")

    with monkeypatch.context() as patch:
        patch.setattr(oidc_keys, step, cut)
        try:
            rotate(home, settings, now=now)
        except OSError:
            assert calls == time + 1
    ring = ring_of(home)
    assert first in ring.published(now + OVERLAP - timedelta(seconds=1))
    assert ring.signing.id in ring.published(now)
    rotate(home, settings, now=now + AHEAD, at_once=True)
    again = ring_of(home)
    assert ring.signing.id in again.published(now + AHEAD)
    assert again.signing.id != ring.signing.id


def test_rotations_at_one_time_come_one_after_the_other(home, settings):
    prepare_next(home, settings, now=NOW)
    found = []

    def work():
        found.append(rotate(home, settings, now=NOW + AHEAD, at_once=True))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({before for before, _ in found}) == 4
    assert {after for _, after in found} - {before for before, _ in found} == {ring_of(home).signing.id}


def test_a_list_that_is_damaged_is_said_to_be_so(home, settings):
    prepare_next(home, settings, now=NOW)
    path = home.path / "oidc" / "published.json"
    whole = path.read_text()
    for text in ("", "[]", '{"keys": 7}', whole.replace('"since"', '"sins"'), whole.replace("M", "!", 1)):
        path.write_text(text)
        with pytest.raises(Malformed):
            load_entries(home)


# --- a running provider ----------------------------------------------------------------------------------------
async def test_a_running_provider_follows_and_its_tokens_stay_good_o12(home, settings, monkeypatch):
    monkeypatch.setattr(oidc_keys, "FOLLOW_S", 0.01)
    now = NOW + AHEAD
    prepare_next(home, settings, now=NOW)
    provider = Provider(settings.issuer, ring_of(home), lambda: now)
    known, keys = provider.keys.signing.id, OwnKeys(provider)
    async with following(home, settings, provider.keys, lambda: now):
        before = provider.token(Identity(email="alice@example.com"))
        rotate(home, settings, now=now)
        async with asyncio.timeout(60):
            while provider.keys.signing.id == known:
                await asyncio.sleep(0.01)
        after = provider.token(Identity(email="alice@example.com"))
    ids = [jwt.get_unverified_header(token)["kid"] for token in (before, after)]
    assert ids == [known, provider.keys.signing.id]
    for token, kid in zip((before, after), ids, strict=True):
        found = await keys.find(kid)
        assert isinstance(found, TokenKey)
        assert jwt.decode(
            token,
            found.key,
            algorithms=[found.algorithm],
            audience="sigstore",
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
    now += OVERLAP
    with pytest.raises(Refused, match="no key with the id"):
        await keys.find(known)
    assert await keys.find(ids[1])


async def test_a_running_provider_makes_the_next_key_by_itself(home, settings, monkeypatch):
    monkeypatch.setattr(oidc_keys, "FOLLOW_S", 0.01)
    ring = ring_of(home)
    async with following(home, settings, ring, lambda: NOW), asyncio.timeout(60):
        while len(ring.published(NOW)) < 2:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("rotated", [False, True], ids=["since the stack was made", "since the last rotation"])
async def test_a_running_provider_changes_a_key_that_has_signed_for_long_enough(home, settings, monkeypatch, rotated):
    monkeypatch.setattr(oidc_keys, "FOLLOW_S", 0.01)
    prepare_next(home, settings, now=NOW)
    turned, age = NOW, timedelta(days=30)
    if rotated:
        turned += timedelta(days=20)
        rotate(home, settings, now=turned)
    begin, ring = turned, ring_of(home)
    known, *_, coming = ring.published(turned)
    async with following(home, settings, ring, lambda: turned, age), asyncio.timeout(60):
        turned = begin + age - timedelta(seconds=1)
        before = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < before + 0.2:  # twenty looks at it
            assert ring.signing.id == known
            await asyncio.sleep(0.01)
        turned = begin + age
        while ring.signing.id == known:
            await asyncio.sleep(0.01)
        assert ring.signing.id == coming
        assert known in ring.published(turned + OVERLAP - timedelta(seconds=1))
        assert known not in ring.published(turned + OVERLAP)
        turned += age  # and so on
        while ring.signing.id == coming:
            await asyncio.sleep(0.01)


def test_an_old_key_waits_until_everybody_knows_the_next_one(home, settings):
    age = timedelta(days=30)
    late = NOW + 3 * age  # nothing ran meanwhile: the next key is made now
    assert rotate_old(home, settings, age, now=late) is None
    assert rotate_old(home, settings, age, now=late + AHEAD - timedelta(seconds=1)) is None
    known = ring_of(home).signing.id
    assert rotate_old(home, settings, age, now=late + AHEAD) == (known, ring_of(home).signing.id)
    assert rotate_old(home, settings, age, now=late + age) is None


async def test_an_ephemeral_provider_and_one_that_is_told_so_keep_their_key(home, settings, monkeypatch):
    monkeypatch.setattr(oidc_keys, "FOLLOW_S", 0.001)
    monkeypatch.setattr(oidc_keys, "rotate_old", lambda *_, **__: pytest.fail("it was rotated"))
    prepare_next(home, settings, now=NOW)
    for kept, age in ((settings, timedelta()), (replace(settings, ephemeral=True), timedelta(days=1))):
        ring = ring_of(home)
        async with following(home, kept, ring, lambda: NOW + timedelta(days=999), age):
            known = ring.signing.id
            await asyncio.sleep(0.1)
            assert ring.signing.id == known


async def test_keys_that_cannot_be_read_anew_leave_those_in_memory(home, settings, monkeypatch, caplog):
    monkeypatch.setattr(oidc_keys, "FOLLOW_S", 0.01)
    ring = ring_of(home)
    known = ring.signing.id
    (home.path / "oidc" / "published.json").write_text("damaged")
    async with following(home, settings, ring, lambda: NOW), asyncio.timeout(60):
        while "cannot be read anew" not in caplog.text:
            await asyncio.sleep(0.01)
    assert ring.signing.id == known


# --- the seal --------------------------------------------------------------------------------------------------
def test_the_seals_key_is_made_once_and_opens_what_it_sealed(home, settings):
    with pytest.raises(NotFound):
        seal_of(home)
    sealed = seal_of(home, settings).seal(b"secret", of="alice@example.com")
    assert seal_of(home).open(sealed, of="alice@example.com") == b"secret"
    assert seal_of(home, settings).open(sealed, of="alice@example.com") == b"secret"
    (home.path / "oidc" / "seal.key").unlink()
    with pytest.raises(Unavailable, match="cannot be opened"):
        seal_of(home, settings).open(sealed, of="alice@example.com")
