# SPDX-License-Identifier: Apache-2.0
"""Faults of the timestamp authority."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from sigcore.keys import PrivateKey
from sigcore.timestamp import FailureInfo, encode_rejected, parse_response
from sigcore.timestamp_signer import TimestampSigner
from sigcore.tst_info import TimestampInfo
from sigcore.x509 import Certificate
from stack.bootstrap import load_tsa
from stack.faults.answers import altered, at_once, changing
from stack.faults.fault import Lie
from stack.faults.means import Means
from stack.faults.parameters import Parameters

TIMESTAMP: Final = re.compile(r"/api/v1/timestamp\Z")


# --- pure: bytes of an answer in, bytes of an answer out ----------------------------------------------------
def wrong_timestamp(answer: bytes) -> bytes:
    """The signature does not verify. It is what a TimeStampResp of ours ends with."""
    signature = parse_response(answer).token.signer.signature
    if not answer.endswith(signature):
        return answer
    return answer.removesuffix(signature) + altered(signature)


def no_grant(_answer: bytes) -> bytes:
    """The authority says no, in the words of RFC 3161 and with HTTP's 200."""
    return encode_rejected(FailureInfo.SYSTEM_FAILURE, "this answer is a fault that was asked for")


def says(
    answer: bytes, key: PrivateKey, chain: Sequence[Certificate], change: Callable[[TimestampInfo], TimestampInfo]
) -> bytes:
    """The token says something else, and ``key`` has signed that; ``chain`` begins with its certificate and ends with the root."""
    response = parse_response(answer)
    signer = TimestampSigner.of(key, chain[0], chain[1:-1])
    return signer.encode_granted(change(response.info), certificates=bool(response.token.certificates))


def of_other_imprint(info: TimestampInfo) -> TimestampInfo:
    """A timestamp of something else."""
    return replace(info, digest=altered(info.digest))


def of_other_nonce(info: TimestampInfo) -> TimestampInfo:
    """A timestamp of another request; without a nonce there is nothing to tell them apart by."""
    return info if info.nonce is None else replace(info, nonce=info.nonce ^ 1)


# --- what the table names -------------------------------------------------------------------------------------
def signature(_means: Means, _parameters: Parameters) -> Lie:
    """See :func:`wrong_timestamp`."""
    return changing(TIMESTAMP, at_once(wrong_timestamp))


def rejection(_means: Means, _parameters: Parameters) -> Lie:
    """See :func:`no_grant`."""
    return changing(TIMESTAMP, at_once(no_grant))


def imprint(means: Means, _parameters: Parameters) -> Lie:
    """See :func:`of_other_imprint`."""
    return _saying(means, of_other_imprint)


def nonce(means: Means, _parameters: Parameters) -> Lie:
    """See :func:`of_other_nonce`."""
    return _saying(means, of_other_nonce)


def time(means: Means, parameters: Parameters) -> Lie:
    """The authority's clock is ``hours`` ahead, or behind where they are negative."""
    apart = timedelta(hours=parameters.hours)
    return _saying(means, lambda info: replace(info, time=info.time + apart))


def _saying(means: Means, change: Callable[[TimestampInfo], TimestampInfo]) -> Lie:
    return changing(TIMESTAMP, at_once(lambda answer: says(answer, *load_tsa(means.home), change)))
