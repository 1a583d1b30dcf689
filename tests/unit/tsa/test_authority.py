# SPDX-License-Identifier: Apache-2.0
"""The authority: policy (S02), time (S05), serial and nonce (S01, S09), and what it demands of its own chain (S07)."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from sigcore import timestamp
from sigcore.algorithms import HashAlgorithm
from sigcore.certify import random_serial
from sigcore.errors import Refused, SigError, Unavailable
from sigcore.timestamp import FailureInfo, Rejected, TimestampRequest
from tsa.authority import POLICY, REMAINING, TimestampAuthority
from tsa.timekeeper import TOLERANCE, TimeKeeper

MESSAGE = b"a signature, raw"
REQUEST = TimestampRequest(HashAlgorithm.SHA2_256, HashAlgorithm.SHA2_256.digest(MESSAGE))
SECOND = timedelta(seconds=1)


def asked(**changes) -> TimestampRequest:
    return dataclasses.replace(REQUEST, **changes)


@pytest.mark.parametrize("nonce", [None, 0, 1, 2**63, 2**255, 2**256 - 1])
def test_s01_the_nonce_comes_back(authority: TimestampAuthority, now, nonce):
    request = asked(nonce=nonce)
    response = timestamp.parse_response(authority.respond(request, now=now, serial=5))
    info = timestamp.verify_answer(response, request)
    assert (info.nonce, info.serial, info.policy, info.accuracy_us) == (nonce, 5, POLICY, 1_000_000)
    with pytest.raises(Refused):
        timestamp.verify_answer(response, asked(nonce=7))
    with pytest.raises(Refused, match="imprint"):
        timestamp.verify_answer(response, asked(digest=bytes(32)))


def test_s02_only_the_authoritys_policy(authority: TimestampAuthority, now):
    named = timestamp.parse_response(authority.respond(asked(policy=POLICY), now=now, serial=1))
    assert named.info.policy == POLICY
    with pytest.raises(Rejected) as caught:
        authority.respond(asked(policy="1.2.3.4"), now=now, serial=1)
    assert caught.value.failure is FailureInfo.UNACCEPTED_POLICY
    with pytest.raises(Refused, match="policy"):
        timestamp.verify_answer(named, asked(policy="1.2.3.4"))


def test_certificates_are_leaf_and_intermediate_and_only_on_request(authority: TimestampAuthority, now):
    plain = timestamp.parse_response(authority.respond(REQUEST, now=now, serial=1))
    assert plain.token.certificates == ()
    full = timestamp.parse_response(authority.respond(asked(certificates=True), now=now, serial=1))
    assert set(full.token.certificates) == {certificate.der for certificate in authority.chain[:-1]}


def test_s09_serial_numbers_do_not_repeat():
    serials = {random_serial() for _ in range(50_000)}
    assert len(serials) == 50_000
    assert min(serials) > 0
    assert max(serials) >= 2**64


# --- S05: time ----------------------------------------------------------------------------------------
def times(authority: TimestampAuthority, *moments: datetime) -> list[datetime]:
    return [timestamp.parse_response(authority.respond(REQUEST, now=m, serial=1)).info.time for m in moments]


def test_s05_time_never_goes_back(authority: TimestampAuthority, now):
    whole = now.replace(microsecond=0)
    assert times(authority, now, now + 5 * SECOND, now, now + 6 * SECOND) == [
        whole,
        whole + 5 * SECOND,
        whole + 5 * SECOND,
        whole + 6 * SECOND,
    ]


def test_s05_a_clock_far_back_stops_issuing_until_it_is_right(authority: TimestampAuthority, now):
    times(authority, now, now - TOLERANCE)
    with pytest.raises(Unavailable, match="timeNotAvailable: the clock says"):
        times(authority, now - TOLERANCE - SECOND)
    assert times(authority, now + SECOND) == [now.replace(microsecond=0) + SECOND]


def test_s05_the_last_time_survives_a_restart(chain, now):
    recorded: list[datetime] = []
    keeper = TimeKeeper(record=recorded.append)
    first = TimestampAuthority.of(chain.key, chain.certificates, now=now, timekeeper=keeper)
    assert recorded == []  # proving itself issues nothing
    times(first, now, now, now + 90 * SECOND)
    assert recorded == [now.replace(microsecond=0), now.replace(microsecond=0) + 90 * SECOND]
    second = TimestampAuthority.of(chain.key, chain.certificates, now=now, timekeeper=TimeKeeper(recorded[-1]))
    with pytest.raises(Unavailable):
        times(second, now)


def test_s05_what_cannot_be_recorded_is_not_issued(chain, now):
    def record(moment: datetime) -> None:
        raise Unavailable("the disk is full")

    keeper = TimeKeeper(now - SECOND, record)
    authority = TimestampAuthority.of(chain.key, chain.certificates, now=now, timekeeper=keeper)
    with pytest.raises(Unavailable, match="disk"):
        times(authority, now)
    with pytest.raises(Unavailable, match="disk"):
        times(authority, now)  # the failed attempt did not move the time


# --- S07: its own chain ----------------------------------------------------------------------------------
def test_s07_it_does_not_start_on_a_chain_that_ends_today(build_chain, now):
    ending = build_chain(end=now + REMAINING - SECOND)
    with pytest.raises(Refused):
        TimestampAuthority.of(ending.key, ending.certificates, now=now)
    TimestampAuthority.of(ending.key, ending.certificates, now=now - 2 * SECOND)


def test_s07_it_does_not_start_on_a_wrong_chain(chain, build_chain, now):
    other = build_chain()
    for key, certificates in (
        (chain.key, chain.certificates[:1]),
        (chain.key, other.certificates),
        (chain.key, (chain.leaf, *other.certificates[1:])),
        (chain.key, chain.certificates[::-1]),
        (build_chain(leaf=[]).key, chain.certificates),
    ):
        with pytest.raises(SigError):
            TimestampAuthority.of(key, certificates, now=now)
    unusable = build_chain(leaf=[])
    with pytest.raises(SigError):
        TimestampAuthority.of(unusable.key, unusable.certificates, now=now)


@pytest.mark.parametrize("moment", [datetime(2000, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)])
def test_s07_it_issues_nothing_outside_its_certificates_validity(authority: TimestampAuthority, moment):
    with pytest.raises(Unavailable, match="not valid at"):
        times(authority, moment)
