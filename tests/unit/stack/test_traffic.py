# SPDX-License-Identifier: Apache-2.0
"""Counting requests: every route has its role, buckets add up, and the exposition says what was counted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stack.config import Home
from stack.exposition import expose
from stack.figures import Figures
from stack.traffic import BUCKETS_S, Traffic, role_of


@pytest.mark.parametrize(
    ("route", "role"),
    [
        ("/auth/token", "oidc"),
        ("/api/v2/signingCert", "ca"),
        ("/api/v1/rootCert", "ca"),
        ("/ct/v1/get-sth", "ct"),
        ("/api/v1/log/entries", "rekor-v1"),
        ("/api/v1/index/retrieve", "rekor-v1"),
        ("/api/v2/log/entries", "rekor"),
        ("/api/v2/tile/{path}", "rekor"),
        ("/checkpoint", "rekor"),
        ("/log/{shard}/{path}", "rekor"),
        ("/ct/{shard}/{path}", "ct"),
        ("/logs/{log}", "console"),
        ("/api/v1/timestamp/certchain", "tsa"),
        ("/tuf/{name}", "trust"),
        ("/trusted_root.jsonl", "trust"),
        ("/root.json", "trust"),
        ("/readyz", "health"),
        ("/", "console"),
        ("none", "none"),
    ],
)
def test_a_route_belongs_to_a_role(route, role):
    assert role_of(route) == role


def samples(traffic: Traffic, tmp_path) -> dict[tuple[str, str], float]:
    """(name, bucket or status) -> value, for the families of requests."""
    text, kind = expose(Figures(Home(tmp_path), traffic, {}, lambda: datetime.now(UTC)))
    assert kind.startswith("text/plain")
    return {
        (sample.name, sample.labels.get("le", sample.labels.get("status", ""))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_what_is_counted_is_what_is_exposed(tmp_path):
    traffic = Traffic()
    for seconds in (0.0001, BUCKETS_S[0], 0.3, 99.0):
        traffic.record("POST", "/api/v1/timestamp", 200, seconds)
    found = samples(traffic, tmp_path)
    assert found["sigbox_requests_total", "200"] == 4
    assert found["sigbox_request_seconds_bucket", "0.0005"] == 2  # a bound belongs to its bucket
    assert found["sigbox_request_seconds_bucket", "0.25"] == 2
    assert found["sigbox_request_seconds_bucket", "0.5"] == 3
    assert found["sigbox_request_seconds_bucket", "+Inf"] == 4
    assert found["sigbox_request_seconds_sum", "200"] == pytest.approx(99.3006)


def test_only_what_was_granted_counts_as_issued(tmp_path):
    traffic = Traffic()
    for route, status in (
        ("/api/v2/signingCert", 200),
        ("/api/v1/signingCert", 201),
        ("/api/v2/signingCert", 400),
        ("/api/v1/timestamp", 200),
        ("/api/v1/timestamp", 415),
    ):
        traffic.record("POST", route, status, 0.001)
    traffic.record("OPTIONS", "/api/v2/signingCert", 204, 0.001)
    found = samples(traffic, tmp_path)
    assert found["sigbox_certificates_issued_total", ""] == 2
    assert found["sigbox_timestamps_issued_total", ""] == 1


def test_whose_signers_may_not_write_is_counted_by_log(tmp_path):
    traffic = Traffic()
    for method, route, status in (
        ("POST", "/api/v1/log/entries", 403),
        ("POST", "/api/v2/log/entries", 403),
        ("POST", "/log/{shard}/{path}", 403),
        ("POST", "/api/v2/log/entries", 400),
        ("POST", "/witness/add-checkpoint", 403),
        ("GET", "/api/v1/log/entries", 403),
        ("POST", "/api/v2/signingCert", 403),
    ):
        traffic.record(method, route, status, 0.001)
    assert traffic.unwelcome() == {"ct": 0, "rekor": 2, "rekor-v1": 1}
    text, _ = expose(Figures(Home(tmp_path), traffic, {}, lambda: datetime(2026, 1, 1, tzinfo=UTC)))
    assert b"sigbox_log_unwelcome_total{" not in text  # of logs that are elsewhere nothing is said
