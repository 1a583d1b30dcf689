# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from sigcore.errors import Malformed, Refused
from sigcore.signing_config import (
    Selector,
    SelectorKind,
    Service,
    SigningConfig,
    encode_signing_config,
    encode_trust_config,
    parse_signing_config,
    parse_trust_config,
    select_services,
)
from sigcore.trustroot import TrustedRoot, Validity

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ALL, ANY = Selector(SelectorKind.ALL), Selector(SelectorKind.ANY)
TWO = Selector(SelectorKind.EXACT, 2)


def service(name: str, *, version: int = 1, start: int = 2025, end: int | None = None, operator: str = "") -> Service:
    window = Validity(datetime(start, 1, 1, tzinfo=UTC), datetime(end, 1, 1, tzinfo=UTC) if end else None)
    return Service(f"https://{name}.example", version, window, operator or name)


A_CONFIG = SigningConfig(
    ca=(service("ca"),),
    oidc=(service("oidc"),),
    rekor=(service("log1"), service("log2", version=2)),
    tsa=(service("tsa1"), service("tsa2")),
    tsa_selector=TWO,
)


def edited(change) -> bytes:
    document = json.loads(encode_signing_config(A_CONFIG))
    change(document)
    return json.dumps(document).encode()


def test_round_trip():
    assert parse_signing_config(encode_signing_config(A_CONFIG)) == A_CONFIG


def test_trust_config_round_trip():
    assert parse_trust_config(encode_trust_config(TrustedRoot(), A_CONFIG)) == (TrustedRoot(), A_CONFIG)


def test_the_strict_models_of_sigstore_python_take_both():
    trustroot = pytest.importorskip("sigstore_models.trustroot.v1")
    model = trustroot.ClientTrustConfig.from_json(encode_trust_config(TrustedRoot(), A_CONFIG))
    assert model.signing_config.tsa_config.count == 2
    assert model.signing_config.rekor_tlog_urls[1].major_api_version == 2


def test_selectors_are_written_even_where_no_service_is_listed():
    document = json.loads(encode_signing_config(SigningConfig()))
    assert document["rekorTlogConfig"] == document["tsaConfig"] == {"selector": "ANY"}


def test_third_party_configs_survive_a_round_trip(vectors):
    folder = vectors / "sigstore-python-config"
    for file in (folder / "signing_config").glob("*.json"):
        config = parse_signing_config(file.read_bytes())
        assert parse_signing_config(encode_signing_config(config)) == config
    root, config = parse_trust_config((folder / "trust_config/config.v1.json").read_bytes())
    assert parse_trust_config(encode_trust_config(root, config)) == (root, config)
    with pytest.raises(Malformed, match="mediaType"):
        parse_trust_config((folder / "trust_config/config.badtype.json").read_bytes())


def test_selection_from_third_party_config(vectors):
    data = (vectors / "sigstore-python-config/signing_config/signingconfig.v2.json").read_bytes()
    config = parse_signing_config(data)
    (ca,) = select_services(config.ca, ANY, supported=[1], now=NOW)
    assert ca.url == "https://fulcio.example.com"
    (log,) = select_services(config.rekor, config.rekor_selector, supported=[1, 2], now=NOW)
    assert log.url == "https://rekor-v2.example.com"
    (log,) = select_services(config.rekor, config.rekor_selector, supported=[1], now=NOW)
    assert log.url == "https://rekor.example.com"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(mediaType="application/vnd.dev.sigstore.signingconfig.v0.1+json"), "v0.1"),
        (lambda d: d.update(rekorUrls=[]), "unknown member"),
        (lambda d: d.pop("rekorTlogConfig"), "rekorTlogConfig is missing"),
        (lambda d: d["tsaConfig"].pop("count"), "count is 0, which does not go with the selector EXACT"),
        (lambda d: d["rekorTlogConfig"].update(count=1), "does not go with the selector ANY"),
        (lambda d: d["rekorTlogConfig"].update(selector="SOME"), "expected ALL, ANY or EXACT"),
        (lambda d: d["caUrls"][0].update(majorApiVersion=0), "majorApiVersion is 0"),
        (lambda d: d["caUrls"][0].update(majorApiVersion="1"), "expected an integer"),
        (lambda d: d["caUrls"][0].update(url="file:///etc/passwd"), "http or https"),
        (lambda d: d["caUrls"][0].pop("validFor"), "validFor is missing"),
    ],
)
def test_defects_have_their_own_message(change, message):
    with pytest.raises(Malformed, match=message):
        parse_signing_config(edited(change))


@pytest.mark.parametrize(
    ("services", "selector", "chosen"),
    [
        pytest.param([service("a"), service("b", start=2026)], ANY, "b", id="newest start first"),
        pytest.param([service("a"), service("b", start=2027)], ANY, "a", id="not yet valid"),
        pytest.param([service("a", end=2026), service("b", start=2024)], ANY, "b", id="no longer valid"),
        pytest.param([service("a", version=2), service("b", start=2026)], ALL, "a", id="highest version only"),
        pytest.param([service("a", version=3), service("b")], ALL, "b", id="unsupported version"),
        pytest.param([service("a", version=2, end=2026), service("b")], ALL, "b", id="expired newer version"),
        pytest.param([service("a", operator="x"), service("b", operator="x"), service("c")], ALL, "ac", id="operators"),
        pytest.param([service("a"), service("b"), service("c")], TWO, "ab", id="exactly two"),
    ],
)
def test_selection(services, selector, chosen):
    found = select_services(services, selector, supported=[1, 2], now=NOW)
    assert [s.url for s in found] == [f"https://{name}.example" for name in chosen]


@pytest.mark.parametrize(
    ("services", "selector"),
    [
        ([], ANY),
        ([], ALL),
        ([service("a", operator="x"), service("b", operator="x")], TWO),
        ([service("a", end=2026)], ANY),
    ],
)
def test_too_few_are_refused(services, selector):
    with pytest.raises(Refused, match="listed services can be used at 2026-06-01T00:00:00Z"):
        select_services(services, selector, supported=[1, 2], now=NOW)
