# SPDX-License-Identifier: Apache-2.0
"""However often a rotation is cut off, and however long nobody finishes it: what either key signs lies in its window, for every client."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sigcore import trustroot
from sigcore.keys import encode_public_key
from stack import announced, role, succession
from stack.config import Home, load_settings
from stack.generations import LEAD, LOGS, Generations, load_generations
from stack.succession import names_newest
from stack.trust import publish, repository, rotation, windows
from stack.trust.state import load_state
from tests.chance import chosen_seed
from tests.unit.stack.test_indexed_trees import until
from tests.unit.stack.test_rotation import PowerCut, cut_at

ROLES = ("ca", "tsa", *LOGS)
SECOND = timedelta(seconds=1)
DELAYS = (timedelta(), timedelta(seconds=4), timedelta(seconds=40), timedelta(hours=3), timedelta(days=400))
WRITES = 60
"""More than a rotation makes."""


@pytest.fixture
def home(served: Home) -> Home:
    return served


@pytest.fixture
def start() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)


def roots(home: Home) -> Iterator[trustroot.TrustedRoot]:
    """What clients have that follow TUF, and those that read the file."""
    (digest,) = [one.sha256 for one in load_state(home).targets if one.name == "trusted_root.json"]
    yield trustroot.parse_trusted_root((home.tuf_repository / "targets" / f"{digest}.trusted_root.json").read_bytes())
    yield trustroot.parse_trusted_root(home.trusted_root.read_bytes())


def covers(root: trustroot.TrustedRoot, key: tuple[bytes, ...], moment: datetime) -> bool:
    authorities = (*root.certificate_authorities, *root.timestamp_authorities)
    known = [(one.chain, one.validity) for one in authorities]
    known += [((one.key,), one.validity) for one in (*root.logs, *root.ct_logs)]
    return any(chain == key and validity.covers(moment) for chain, validity in known)


@dataclass
class Signer:
    """Who has the keys of a role, and signs with the last one that clients can know, until the end that they are told."""

    home: Home
    role: str
    first: tuple[bytes, ...]
    signed: list[tuple[tuple[bytes, ...], datetime]] = field(default_factory=list)
    key: tuple[bytes, ...] = ()

    def look(self, now: datetime) -> None:
        """See what is published, as a running stack does every two seconds."""
        rows = announced.announced(self.home, load_generations(self.home)).get(self.role)
        if rows is None:
            self.key, self.until = self.first, None
        elif rows[-1].validity.start <= now:
            self.key, self.until = rows[-1].public, None
        else:
            self.key, self.until = rows[-2].public, rows[-2].validity.end

    def sign(self, now: datetime) -> None:
        if self.until is None or now < self.until:
            used = now + windows.LONGEST if self.role == "ca" else now
            self.signed.append((self.key, used))

    def check(self) -> None:
        for root in roots(self.home):
            for key, moment in self.signed:
                assert covers(root, key, moment), (moment, [one.validity for one in root.certificate_authorities])


def signer_of(home: Home, role: str) -> Signer:
    root = next(roots(home))
    chains = {"ca": root.certificate_authorities, "tsa": root.timestamp_authorities}
    logs = {"ct": root.ct_logs, "rekor-v1": root.logs[:1], "rekor": root.logs[1:]}
    (first,) = [one.chain for one in chains[role]] if role in chains else [(one.key,) for one in logs[role]]
    return Signer(home, role, first)


def rotate(home: Home, role: str, now: datetime) -> None:
    """As soon as can be, where that may be asked for."""
    settings = load_settings(home)
    if role in LOGS:
        rotation.rotate_log(home, settings, role, now, at_once=True)
    else:
        rotation.rotate_authority(home, settings, role, now)
    publish.publish(home, now)


def finish(home: Home, now: datetime, way: int) -> None:
    """As `trust refresh` and a start do it; or as a running stack does once an hour."""
    if way:
        rotation.resume(home, load_settings(home))
    publish.publish(home, now)


def passing(signer: Signer, now: datetime, delay: timedelta) -> datetime:
    """Time passes: signatures come before anybody can have looked, and until the end of it. Every client takes them."""
    for moment in (now, now + min(delay, windows.SEEN - SECOND)):
        signer.sign(moment)
    signer.look(now + delay)
    signer.sign(now + delay)
    signer.check()
    return now + delay


@pytest.mark.parametrize("role", ROLES)
def test_whatever_a_key_signs_lies_in_its_window_wherever_its_rotation_was_cut_off(
    home: Home, role: str, start: datetime, monkeypatch
):
    outcomes, seed = set(), chosen_seed()
    chance = random.Random(seed)
    for cut in range(WRITES):
        copy = Home(shutil.copytree(home.path, home.path.with_name(f"cut-{cut}")))
        signer, whole = signer_of(copy, role), False
        signer.look(start)
        with cut_at(monkeypatch, cut), suppress(PowerCut):
            rotate(copy, role, start)
            whole = True
        known = role in load_generations(copy) and names_newest(copy, role)
        outcomes.add((role in load_generations(copy), known))
        if role in load_generations(copy):
            now = passing(signer, start, chance.choice(DELAYS))
            if chance.random() < 0.5:  # it is cut off once more
                with cut_at(monkeypatch, chance.randrange(16)), suppress(PowerCut):
                    finish(copy, now, cut % 2)
                now = passing(signer, now, chance.choice(DELAYS))
            finish(copy, now, cut % 2)
            assert names_newest(copy, role), seed
            for delay in (windows.SEEN + LEAD, timedelta(hours=1), timedelta(days=1)):
                now = passing(signer, now, delay)
            assert len({key for key, _ in signer.signed}) == 2, (cut, seed)
            assert len({root.certificate_authorities for root in roots(copy)}) == 1, "files are as published"
        if whole:
            break
    assert whole
    assert outcomes == {(False, False), (True, False), (True, True)}


@pytest.mark.parametrize("role", ROLES)
def test_an_end_that_is_published_stays(home: Home, role: str, start: datetime):
    rotate(home, role, start)
    published = home.trusted_root.read_bytes()
    for way in range(2):
        finish(home, start + timedelta(days=3), way)
    assert home.trusted_root.read_bytes() == published


def test_what_was_asked_for_at_once_ends_at_once_also_when_it_is_late(home: Home, start: datetime):
    for late in (timedelta(hours=2), timedelta(hours=20)):
        rotation.rotate_log(home, load_settings(home), "ct", start, at_once=True)
        with pytest.raises(windows.TooLate):
            publish.publish(home, start + late, clock=Slow(start + late, timedelta(hours=1)))
    publish.publish(home, start + timedelta(days=3))
    (old, _) = load_generations(home)["ct"]
    assert old.validity.end == start + timedelta(days=3) + LEAD + rotation.AT_ONCE


class Slow:
    """A clock by which every look takes so long."""

    def __init__(self, now: datetime, step: timedelta) -> None:
        self.now, self.step = now, step

    def __call__(self) -> datetime:
        self.now += self.step
        return self.now


@pytest.mark.parametrize("file", ["snapshot.json", "timestamp.json"])
def test_a_publication_that_takes_long_moves_the_end_once_more(home: Home, start: datetime, file: str, monkeypatch):
    """Before the moment, and in it: a key that signs until it has seen that it ended is in its window."""
    clock, save, stalls = Slow(start, timedelta()), repository.save_file, [timedelta(minutes=2)]

    def slow(path: Path, *arguments: object, **options: object) -> None:
        if path.name.endswith(file) and stalls:
            clock.now += stalls.pop()
        save(path, *arguments, **options)

    rotation.rotate_log(home, load_settings(home), "rekor", start, at_once=True)
    monkeypatch.setattr(repository, "save_file", slow)
    publish.publish(home, start, clock=clock)
    assert not stalls
    for root in roots(home):
        (old,) = [one for one in root.logs if one.validity.end is not None]
        assert old.validity.end == clock.now + LEAD + rotation.AT_ONCE


def test_a_role_that_was_published_ends_also_where_another_one_was_cut_off(home: Home, start: datetime):
    rotate(home, "tsa", start)
    rotation.rotate_authority(home, load_settings(home), "ca", start + SECOND)
    known = announced.announced(home, load_generations(home))
    assert [row.validity.end for row in known["tsa"]] == [start + rotation.OVERLAP, None]
    assert [row.validity.end for row in known["ca"]] == [None], "nobody is told that it ends"
    assert announced.pending(home, load_generations(home)) == ("ca",)


def test_files_send_nobody_to_a_tree_that_others_do_not_know(home: Home, start: datetime):
    before = {path: path.read_bytes() for path in (home.signing_config, home.signing_config_v2)}
    key = (home.keys / "ctfe.pub").read_bytes()
    for log in ("rekor", "ct"):
        rotation.rotate_log(home, load_settings(home), log, start)
    assert {path: path.read_bytes() for path in before} == before
    assert (home.keys / "ctfe.pub").read_bytes() == key
    root = trustroot.parse_trusted_root(home.trusted_root.read_bytes())
    assert [one.validity.end for one in root.ct_logs] == [None, None], "both are trusted, and none ends"
    publish.publish(home, start)
    assert b"/log/2" in home.signing_config.read_bytes()
    assert (home.keys / "ctfe_1.pub").read_bytes() == key != (home.keys / "ctfe.pub").read_bytes()


def test_a_process_of_one_role_starts_with_the_key_that_clients_know(home: Home, start: datetime, monkeypatch):
    first = [one.der for one in role._tsa_secret(home)[1]]
    with cut_at(monkeypatch, 7), suppress(PowerCut):  # three keys, three certificates, and that there is a generation
        rotation.rotate_authority(home, load_settings(home), "tsa", start)
    assert announced.pending(home, load_generations(home)) == ("tsa",)
    assert [one.der for one in role._tsa_secret(home)[1]] == first
    finish(home, start, 1)
    assert tuple(one.der for one in role._tsa_secret(home)[1]) == load_generations(home)["tsa"][-1].public


def test_a_process_of_a_log_starts_while_its_next_key_is_in_no_document(home: Home, start: datetime, monkeypatch):
    with cut_at(monkeypatch, 2), suppress(PowerCut):  # a key, and that there is a generation
        rotation.rotate_log(home, load_settings(home), "rekor-v1", start)
    assert announced.pending(home, load_generations(home)) == ("rekor-v1",)
    new = load_generations(home)["rekor-v1"][-1].public[0]
    assert new not in {one.key for root in roots(home) for one in root.logs}
    assert encode_public_key(role._log_secrets(home)[1].public_key()) == new


async def test_each_role_follows_what_is_published_of_itself(home: Home, start: datetime, monkeypatch):
    monkeypatch.setattr(succession, "FOLLOW_S", 0.01)
    rotate(home, "tsa", start)
    rotation.rotate_authority(home, load_settings(home), "ca", start + SECOND)
    told: dict[str, list[int]] = {"ca": [], "tsa": []}

    def adopt(known: Generations) -> None:
        ((role, rows),) = known.items()
        told[role].append(len(rows))

    async with AsyncExitStack() as following:
        for one in told:
            await following.enter_async_context(succession.succeeding_in(home, one, adopt, lambda: start + 2 * SECOND))
        await until(lambda: told["tsa"] == [2])
        await asyncio.sleep(20 * succession.FOLLOW_S)
        assert told == {"ca": [1], "tsa": [2]}
        publish.publish(home, start + 2 * SECOND)
        await until(lambda: told["ca"] == [1, 2])
    assert told["tsa"][0] == 2, "the key of another role was no reason to wait"
