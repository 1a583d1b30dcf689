# SPDX-License-Identifier: Apache-2.0
"""Every key is rotated, and that is cut off before anybody is told: the stack goes on, and what it signs meanwhile verifies for good."""

from __future__ import annotations

import json
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sigcore.sct import embedded_scts
from sigcore.x509 import parse_certificate
from stack import announced
from stack.config import Home, load_settings
from stack.generations import AUTHORITIES, LOGS, load_generations
from stack.testing import EMAIL, Sigbox, running
from stack.trust import rotation
from stack.turned_clock import time_in
from tests.box_commands import bundle_of, sign, try_to_sign, try_to_verify
from tests.stack_process import sigbox
from tests.until import wait_until

pytestmark = pytest.mark.slow


HOURS = 3
"""The windows that a rotation means are over by then."""


def signed(box: Sigbox, folder: Path, name: str) -> tuple[tuple[Path, ...], tuple[object, ...]]:
    """A file for each log, and what names the keys that made their bundles: of authority, certificate log and both logs."""
    files, keys = [], list[object]()
    for version in ("1", "2"):
        (file := folder / f"{name}-{version}").write_bytes(b"content")
        bundle = sign(box, file, "--rekor-version", version)
        assert bundle.certificate is not None
        leaf = parse_certificate(bundle.certificate)
        keys += [leaf.issuer, embedded_scts(leaf)[0].log_id, bundle.log_entries[0].log_id]
        files.append(file)
    return tuple(files), tuple(keys)


class Clients:
    """Who reads the files, and who follows TUF."""

    def __init__(self, box: Sigbox, folder: Path) -> None:
        self._box, self._home = box, {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
        self._follow("--mirror", box.tuf_mirror, "--root", box.tuf_root)

    def check(self, *files: Path) -> None:
        self._follow()
        for file in files:
            assert (done := try_to_verify(self._box, file)).returncode == 0, done.stderr
            who = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", self._box.issuer)
            done = sigbox("verify-blob", file, "--bundle", bundle_of(file), *who, **self._home)
            assert done.returncode == 0, done.stderr

    def _follow(self, *mirror: str | Path) -> None:
        done = sigbox("initialize", *mirror, **self._home)
        assert done.returncode == 0, done.stderr


def begin(home: Home) -> None:
    """Rotate everything, and be cut off before anybody is told."""
    settings, now = load_settings(home), time_in(home)
    for role in AUTHORITIES:
        rotation.rotate_authority(home, settings, role, now)
    for log in LOGS:
        rotation.rotate_log(home, settings, log, now, at_once=True)
    assert announced.pending(home, load_generations(home)) == (*AUTHORITIES, *LOGS)


def test_what_is_signed_until_a_rotation_is_finished_verifies_for_good(tmp_path: Path):
    yesterday = datetime.now(UTC) - timedelta(days=1)  # so that all that begins by its clock has begun for clients, too
    with running("--clock", f"{yesterday:%Y-%m-%dT%H:%M:%SZ}") as box:
        assert box.data is not None
        home, clients = Home(box.data), Clients(box, tmp_path)
        files, old = signed(box, tmp_path, "before")
        box.clock.advance(seconds=1)
        begin(home)
        box.clock.advance(hours=HOURS)
        more, same = signed(box, tmp_path, "meanwhile")
        assert same == old, "nobody can know the next keys"
        clients.check(*files, *more)
        assert sigbox("trust", "refresh", "--data", box.data).returncode == 0
        clients.check(*files, *more)
        files += more

        def taken_over() -> bool:
            """Rekor v1, whose own time our client compares with the time of day; it signs after that."""
            with urllib.request.urlopen(f"{box.url}/api/v1/log", timeout=60) as answer:
                return bool(json.load(answer)["inactiveShards"])

        def followed() -> bool:
            nonlocal more, new
            more, new = signed(box, tmp_path, "after")
            clients.check(*more)
            return not set(new) & set(old)

        wait_until(taken_over)
        new = old
        wait_until(followed)
        files += more
        box.clock.advance(hours=HOURS)
        clients.check(*files, *signed(box, tmp_path, "long after")[0])


def test_past_the_end_that_clients_are_told_an_authority_signs_nothing_with_its_old_key(tmp_path: Path):
    """The next keys are published, and are away when they should take over."""
    with running() as box:
        assert box.data is not None
        home, file = Home(box.data), tmp_path / "file"
        file.write_bytes(b"content")
        box.clock.advance(seconds=1)
        for role in AUTHORITIES:
            rotation.rotate_authority(home, load_settings(home), role, time_in(home))
            (home.path / role / "2").rename(tmp_path / role)
        assert sigbox("trust", "refresh", "--data", box.data).returncode == 0
        box.clock.advance(minutes=45)
        sign(box, file, "--rekor-version", "2")

        def refused(role: str) -> bool:
            return f"the next key of {role} cannot be taken over" in try_to_sign(box, file).stderr

        for role, minutes in (("ca", 10), ("tsa", 10)):  # a certificate is used for ten minutes more
            before = authority_of(box, role)
            box.clock.advance(minutes=minutes)
            wait_until(lambda role=role: refused(role))
            (tmp_path / role).rename(home.path / role / "2")
            wait_until(lambda role=role, before=before: authority_of(box, role) != before)
        sign(box, file, "--rekor-version", "2")


def authority_of(box: Sigbox, role: str) -> bytes:
    """The chain that it gives."""
    path = {"ca": "/api/v1/rootCert", "tsa": "/api/v1/timestamp/certchain"}[role]
    with urllib.request.urlopen(f"{box.url}{path}", timeout=60) as answer:
        chain: bytes = answer.read()
    return chain
