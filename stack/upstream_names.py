# SPDX-License-Identifier: Apache-2.0
"""Figures once more under the names that the official services have for them, so that dashboards made for those work.

Only what means the same: same unit, same labels, same values of the labels. Nothing is counted for it; every figure is one that
:mod:`stack.exposition` shows under a name of ours. Of paths there are those that the official servers count, whatever is asked.

Latencies are in nanoseconds, as theirs; their buckets begin at other bounds (1 ms to 4 s). Left out: what they have twice or in
other units (``*_api_latency`` with its summary), what we do not do (NTP, publishing), ``*_build_info``, whose version is not ours, and
Fulcio's ``http_requests_total``, whose name says nothing on an origin that has all services.

Sources: sigstore/rekor ``pkg/api/metrics.go`` and ``pkg/generated/restapi/configure_rekor_server.go``; sigstore/fulcio
``pkg/server/metrics.go``; sigstore/timestamp-authority ``pkg/api/metrics.go``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from sigcore.errors import SigError
from sigcore.x509 import parse_certificates_pem
from stack.figures import Figures
from stack.files import load_file
from stack.traffic import BUCKETS_S, CERTIFICATES, Traffic

Paths = Mapping[tuple[str, str], str]
_REKOR: Final[Paths] = {
    ("GET", "/api/v1/log"): "/api/v1/log",
    ("GET", "/api/v1/log/publicKey"): "/api/v1/log/publicKey",
    ("GET", "/api/v1/log/proof"): "/api/v1/log/proof",
    ("POST", "/api/v1/log/entries"): "/api/v1/log/entries",
    ("GET", "/api/v1/log/entries"): "/api/v1/log/entries",
    ("GET", "/api/v1/log/entries/{entry_id}"): "/api/v1/log/entries/{entryUUID}",
    ("POST", "/api/v1/log/entries/retrieve"): "/api/v1/log/entries/retrieve",
    ("POST", "/api/v1/log/entries/retrieve/"): "/api/v1/log/entries/retrieve",
    ("POST", "/api/v1/index/retrieve"): "/api/v1/index/retrieve",
}
"""Method and route of ours -> the path as Rekor's label has it."""
_TIMESTAMPS: Final[Paths] = {
    ("POST", "/api/v1/timestamp"): "/api/v1/timestamp",
    **{(method, "/api/v1/timestamp/certchain"): "/api/v1/timestamp/certchain" for method in ("GET", "HEAD")},
}
_NS: Final = 1_000_000_000


def upstream(figures: Figures) -> Iterator[Metric]:
    """Every family of theirs."""
    traffic = figures.traffic
    certificates = traffic.answered("POST", CERTIFICATES)
    yield _bare("fulcio_new_certs", "As sigbox_certificates_issued.", {(): certificates}, ())
    log = figures.logs.get("rekor-v1")
    if log is not None:
        about = "As sigbox_log_entries of the log rekor-v1."
        yield _bare("rekor_new_entries", about, {(): log.commits.entries}, ())
    labels = ("path", "method", "code")
    yield _bare("rekor_qps_by_api", "As sigbox_requests of the role rekor-v1.", _counted(traffic, _REKOR), labels)
    yield _latency("rekor_latency_by_api", traffic, _REKOR)
    requests = CounterMetricFamily("timestamp_authority_http_requests", "As sigbox_requests of tsa.", labels=labels)
    for values, number in _counted(traffic, _TIMESTAMPS).items():
        requests.add_metric(values, number)
    yield requests
    yield _latency("timestamp_authority_latency_by_api", traffic, _TIMESTAMPS)
    yield from _days_left(figures)


def _bare(name: str, about: str, values: Mapping[tuple[str, ...], int], labels: tuple[str, ...]) -> Metric:
    """A counter without ``_total`` at its end, as theirs are; Prometheus is told no type then."""
    family = Metric(name, about, "unknown")
    for found, number in values.items():
        family.add_sample(name, dict(zip(labels, found, strict=True)), number)
    return family


def _counted(traffic: Traffic, paths: Paths) -> Mapping[tuple[str, ...], int]:
    """(path, method, code) -> how many."""
    found: Counter[tuple[str, ...]] = Counter()
    for (method, route, status), series in traffic.series.items():
        path = paths.get((method, route))
        if path is not None:
            found[path, method, str(status)] += series.count
    return found


def _latency(name: str, traffic: Traffic, paths: Paths) -> Metric:
    """A histogram by path and method, in nanoseconds."""
    buckets: dict[tuple[str, str], list[int]] = {}
    sums: Counter[tuple[str, str]] = Counter()
    for (method, route, _status), series in traffic.series.items():
        path = paths.get((method, route))
        if path is not None:
            before = buckets.get((path, method), [0] * len(series.buckets))
            buckets[path, method] = [one + more for one, more in zip(before, series.buckets, strict=True)]
            sums[path, method] += round(series.seconds * _NS)
    family = HistogramMetricFamily(name, "As sigbox_request_seconds, in ns.", labels=("path", "method"))
    bounds = (*(str(bound * _NS) for bound in BUCKETS_S), "+Inf")
    for labels, numbers in buckets.items():
        total, rows = 0, []
        for bound, number in zip(bounds, numbers, strict=True):
            total += number
            rows.append((bound, float(total)))
        family.add_metric(labels, rows, sums[labels])
    return family


def _days_left(figures: Figures) -> Iterator[Metric]:
    """Of the certificate of the authority's chain that ends first."""
    try:
        pem = load_file(figures.home.keys / "tsa_chain.pem", what="the chain of the timestamp authority")
        chain = parse_certificates_pem(pem.decode("latin-1"), what="the chain of the timestamp authority")
    except SigError:
        return  # readiness says why
    left = min(one.not_after for one in chain) - figures.clock()
    about = "Until the first certificate of its chain ends."
    yield GaugeMetricFamily("timestamp_authority_certificate_valid_days_remaining", about, left / timedelta(days=1))
