# SPDX-License-Identifier: Apache-2.0
"""The official services' names of figures: exactly theirs, with their labels and units, and no more series than they have."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stack import bootstrap
from stack.config import Home
from stack.exposition import expose
from stack.figures import Figures
from stack.traffic import BUCKETS_S, Traffic
from stack.trust.documents import save_documents

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "operating.md"
LOGS: Any = {
    "rekor-v1": SimpleNamespace(
        size=70,
        waiting=0,
        fault="",
        audited_ms=0,
        cosigners=None,
        commits=SimpleNamespace(batches=3, entries=7, seconds=0.5),
    )
}


def lines(home: Home, traffic: Traffic, logs: Any = LOGS) -> dict[str, float]:
    """Every sample as it is written: name with labels -> value."""
    text = expose(Figures(home, traffic, logs, lambda: NOW))[0].decode()
    rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in rows if not name.startswith(("sigbox_", "process_"))}


def test_counters_have_the_names_and_labels_of_the_official_services(tmp_path):
    traffic = Traffic()
    for method, route, status in (
        ("POST", "/api/v2/signingCert", 200),
        ("POST", "/api/v1/signingCert", 201),
        ("POST", "/api/v1/signingCert", 400),
        ("POST", "/api/v1/log/entries", 201),
        ("POST", "/api/v1/log/entries", 409),
        ("GET", "/api/v1/log/entries/{entry_id}", 200),
        ("POST", "/api/v1/log/entries/retrieve", 200),
        ("POST", "/api/v1/log/entries/retrieve/", 200),
        ("POST", "/api/v1/timestamp", 201),
    ):
        traffic.record(method, route, status, 0.002)
    found = lines(Home(tmp_path), traffic)
    assert found["fulcio_new_certs"] == 2
    assert found["rekor_new_entries"] == 7
    assert found['rekor_qps_by_api{code="201",method="POST",path="/api/v1/log/entries"}'] == 1
    assert found['rekor_qps_by_api{code="409",method="POST",path="/api/v1/log/entries"}'] == 1
    assert found['rekor_qps_by_api{code="200",method="GET",path="/api/v1/log/entries/{entryUUID}"}'] == 1
    assert found['rekor_qps_by_api{code="200",method="POST",path="/api/v1/log/entries/retrieve"}'] == 2
    requests = 'timestamp_authority_http_requests_total{code="201",method="POST",path="/api/v1/timestamp"}'
    assert found[requests] == 1


def test_latencies_are_in_nanoseconds_and_one_series_for_all_answers(tmp_path):
    traffic = Traffic()
    traffic.record("POST", "/api/v1/log/entries", 201, 0.002)
    traffic.record("POST", "/api/v1/log/entries", 409, 0.3)
    found = lines(Home(tmp_path), traffic)
    of = 'method="POST",path="/api/v1/log/entries"'
    assert found[f"rekor_latency_by_api_count{{{of}}}"] == 2
    assert found[f"rekor_latency_by_api_sum{{{of}}}"] == pytest.approx(302_000_000)
    buckets = {
        float(match[1]): value
        for name, value in found.items()
        if (match := re.match(r'rekor_latency_by_api_bucket\{le="([^"]+)"', name))
    }
    assert list(buckets) == pytest.approx([*(bound * 1e9 for bound in BUCKETS_S), float("inf")])
    assert [buckets[bound] for bound in (1e6, 2.5e6, 5e8, float("inf"))] == [0, 1, 2, 2]


def test_what_strangers_send_makes_no_series(tmp_path):
    traffic = Traffic()
    empty = set(lines(Home(tmp_path), traffic))
    for method in ("GET", "DELETE", "OTHER"):
        for route in ("none", "/api/v2/log/entries", "/search", "/healthz", "/api/v1/timestamp"):
            traffic.record(method, route, 404, 0.1)
    assert set(lines(Home(tmp_path), traffic)) == empty
    assert "rekor_new_entries" not in lines(Home(tmp_path), traffic, {})


def test_days_remaining_are_those_of_the_first_certificate_to_end(tmp_path):
    home, url = Home(tmp_path / "data"), "http://localhost:7780"
    settings = bootstrap.prepare(home, url=url, default_url=url, ephemeral=True, now=NOW)
    public = bootstrap.load_material(home).public
    save_documents(home, public, settings)
    first = min(certificate.not_after for certificate in public.tsa_chain)
    found = lines(home, Traffic())["timestamp_authority_certificate_valid_days_remaining"]
    assert found == pytest.approx((first - NOW) / timedelta(days=1))


def test_the_document_names_each_of_them_and_no_other(tmp_path):
    documented = set(
        re.findall(r"^\| `((?:rekor|fulcio|timestamp_authority)_\w+)`", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    )
    source = (Path(__file__).resolve().parents[3] / "stack" / "upstream_names.py").read_text("utf-8")
    named = set(re.findall(r'"((?:rekor|fulcio|timestamp_authority)_\w+)"', source))
    assert {name.removesuffix("_total") for name in documented} == named
