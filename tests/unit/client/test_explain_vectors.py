# SPDX-License-Identifier: Apache-2.0
"""The explanation of the conformance suite's bundles, which others have made: its lines are executed too."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.explain.flow import explain_verification
from client.explain.part import Part
from client.explain.text import encode_text
from client.files import digest_file
from client.verify import verify_attestation, verify_blob
from client.verify.recorder import Recorder
from client.verify.signed import digest_algorithm
from sigcore.bundle import MessageSignature, parse_bundle
from sigcore.errors import SigError
from sigcore.strict import JSON
from sigcore.trustroot import parse_trusted_root
from tests.unit.client.test_conformance import ACCEPTED, REFUSED, given, signer
from tests.unit.client.test_explain import repeat


def explained(case: Path) -> tuple[Part, ...]:
    """As the command does it."""
    bundle, digest, found, artifact = None, b"", Recorder(), given(case, "artifact", case.parent / "a.txt")
    try:
        bundle = parse_bundle((case / "bundle.sigstore.json").read_bytes())
        root = given(case, "trusted_root.json", case.parent.parent / "production_trusted_root.json")
        digest = digest_file(artifact, digest_algorithm(bundle))
        verify = verify_blob if isinstance(bundle.content, MessageSignature) else verify_attestation
        verify(bundle, digest, root=parse_trusted_root(root.read_bytes()), identity=signer(case), recorder=found)
    except SigError as error:
        return explain_verification(bundle, found, digest, str(artifact), error)
    return explain_verification(bundle, found, digest, str(artifact), None)


def failing_lines(parts: tuple[Part, ...], folder: Path) -> list[str]:
    for part in parts:
        for name, data in part.files:
            (folder / name).write_bytes(data)
    return [line for part in parts for line in part.lines if repeat(line, str(folder)).returncode]


@pytest.mark.parametrize("name", ACCEPTED)
def test_every_line_of_an_accepted_bundle_holds(vectors, tmp_path, name):
    parts = explained(vectors / "sigstore-conformance" / "bundle-verify" / name)
    assert not any(part.refusal for part in parts)
    assert {"digest", "key", "entry", "checkpoint", "path", "signature"} <= {part.name for part in parts}
    assert not failing_lines(parts, tmp_path)


@pytest.mark.parametrize("name", REFUSED)
def test_the_explanation_of_a_refused_bundle_ends_with_the_refusal(vectors, tmp_path, name):
    *held, last = explained(vectors / "sigstore-conformance" / "bundle-verify" / name)
    assert last.refusal
    assert last.checks
    assert last.liar
    assert not any(part.refusal for part in held)
    assert not failing_lines(tuple(held), tmp_path)


# --- hostile bundles -------------------------------------------------------------------------------------
def mutants(value: JSON) -> Iterator[JSON]:
    """``value`` with one of its leaves another one, or missing: every leaf, some ways each."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield {other: kept for other, kept in value.items() if other != name}
            yield from ({**value, name: mutant} for mutant in mutants(member))
    elif isinstance(value, list):
        yield [*value, *value[:1]]
        yield value[1:]
        for position, member in enumerate(value):
            yield from ([*value[:position], mutant, *value[position + 1 :]] for mutant in mutants(member))
    elif isinstance(value, str):
        middle = len(value) // 2
        yield from ("", value[:middle] + ("B" if value[middle : middle + 1] == "A" else "A") + value[middle + 1 :])
        yield from ((str(int(value) + 1), str(2**62)) if value.isdecimal() else ())


@pytest.mark.parametrize("name", ["happy-path-v0.3", "rekor2-happy-path", "happy-path-intoto-in-dsse-v3"])
def test_v12_whatever_is_changed_is_explained(vectors, tmp_path, name):
    """An explanation never fails by itself: it ends with the verifier's refusal, or shows what the verifier has accepted."""
    source = vectors / "sigstore-conformance" / "bundle-verify" / name
    case = tmp_path / "cases" / name
    shutil.copytree(source, case)
    shutil.copy(source.parent / "a.txt", case.parent)
    shutil.copy(source.parent.parent / "production_trusted_root.json", tmp_path)
    refused = 0
    for mutant in mutants(json.loads((source / "bundle.sigstore.json").read_bytes())):
        (case / "bundle.sigstore.json").write_text(json.dumps(mutant))
        parts = explained(case)
        refused += bool(parts[-1].refusal)
        assert parts
        assert not any(part.refusal for part in parts[:-1])
        assert encode_text(parts).isascii()
    assert refused > 40
