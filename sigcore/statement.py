# SPDX-License-Identifier: Apache-2.0
"""What an in-toto statement is about: the digests by which its attestation is found.

Source: in-toto attestation ``spec/v1/statement.md`` (subject), SLSA provenance v0.2 (predicate.materials).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import JSON, parse_json


def statement_digests(payload: bytes) -> tuple[str, ...]:
    """``algorithm:value`` of each subject and material, at most ``limits.STATEMENT_DIGESTS`` of them.

    For finding only: a payload that is no statement has none, and members of another type are passed over.
    """
    try:
        statement = parse_json(payload, what="the statement", limit=limits.LOG_REQUEST, floats=True)
    except Malformed:
        return ()
    if not isinstance(statement, dict):
        return ()
    predicate = statement.get("predicate")
    materials = predicate.get("materials") if isinstance(predicate, dict) else None
    found = (digest for part in (statement.get("subject"), materials) for digest in _digests(part))
    return tuple(islice(found, limits.STATEMENT_DIGESTS))


def _digests(descriptors: JSON) -> Iterator[str]:
    if not isinstance(descriptors, list):
        return
    for descriptor in descriptors:
        digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
        for algorithm, value in digest.items() if isinstance(digest, dict) else ():
            if isinstance(value, str) and len(algorithm) + len(value) < limits.INDEX_KEY:
                yield f"{algorithm}:{value}"
