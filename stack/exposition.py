# SPDX-License-Identifier: Apache-2.0
"""The figures of a stack in Prometheus's exposition format. Imports prometheus_client: see :mod:`stack.metrics`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from sigcore.errors import SigError
from sigcore.trustroot import parse_trusted_root
from sigcore.x509 import parse_certificate
from stack.figures import Figures
from stack.files import load_file
from stack.shards import Shard
from stack.traffic import BUCKETS_S, CERTIFICATES, Traffic
from stack.trust.state import load_roles
from stack.upstream_names import upstream
from tlog.log import Log

if TYPE_CHECKING:
    from stack.watch.watcher import Watcher

_TIMESTAMPS: Final = ("/api/v1/timestamp",)


def expose(figures: Figures) -> tuple[bytes, str]:
    """The whole text and its content type."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(Collector(figures))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class Collector:
    """prometheus_client's Collector protocol over :class:`Figures`."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Every family of ours."""
        yield from _requests(self._figures.traffic)
        yield from _issued(self._figures.traffic)
        yield from _logs(self._figures.logs)
        yield from _unwelcome(self._figures)
        yield from _connections(self._figures)
        yield from _audits(self._figures.logs)
        yield from _witnesses(self._figures.logs)
        yield from _trust(self._figures)
        yield from _certificates(self._figures)
        yield from _alerts(self._figures.watcher)
        yield from _build()
        yield from upstream(self._figures)


def _requests(traffic: Traffic) -> Iterator[Metric]:
    labels = ("role", "method", "route", "status")
    total = CounterMetricFamily("sigbox_requests", "Requests answered.", labels=labels)
    latency = HistogramMetricFamily("sigbox_request_seconds", "From the head to the answer.", labels=labels)
    for (method, route, status), series in traffic.series.items():
        values = (series.role, method, route, str(status))
        total.add_metric(values, series.count)
        buckets, below = [], 0
        for bound, number in zip((*map(str, BUCKETS_S), "+Inf"), series.buckets, strict=True):
            below += number
            buckets.append((bound, float(below)))
        latency.add_metric(values, buckets, series.seconds)
    yield total
    yield latency


def _issued(traffic: Traffic) -> Iterator[Metric]:
    certificates, timestamps = traffic.answered("POST", CERTIFICATES), traffic.answered("POST", _TIMESTAMPS)
    yield CounterMetricFamily("sigbox_certificates_issued", "Certificates that left the CA.", certificates)
    yield CounterMetricFamily("sigbox_timestamps_issued", "Timestamps that left the authority.", timestamps)


def _logs(logs: Mapping[str, Log]) -> Iterator[Metric]:
    size = GaugeMetricFamily("sigbox_log_size", "Published entries.", labels=("log",))
    waiting = GaugeMetricFamily("sigbox_log_waiting", "Entries submitted and not answered yet.", labels=("log",))
    up = GaugeMetricFamily("sigbox_log_up", "1 while the log takes entries.", labels=("log",))
    batches = CounterMetricFamily("sigbox_log_batches", "Batches committed.", labels=("log",))
    entries = CounterMetricFamily("sigbox_log_entries", "Entries committed.", labels=("log",))
    seconds = CounterMetricFamily("sigbox_log_commit_seconds", "Time that the store took.", labels=("log",))
    families: tuple[GaugeMetricFamily | CounterMetricFamily, ...] = (size, waiting, up, batches, entries, seconds)
    for name, log in logs.items():
        commits = log.commits
        figures = (log.size, log.waiting, not log.fault, commits.batches, commits.entries, commits.seconds)
        for family, value in zip(families, figures, strict=True):
            family.add_metric((name,), value)
    yield from families


def _unwelcome(figures: Figures) -> Iterator[Metric]:
    said = "Entries refused with status 403: their signer may not write, or (ct) the tree has ended."
    family = CounterMetricFamily("sigbox_log_unwelcome", said, labels=("log",))
    kept = {Shard.of(name).log for name in figures.logs}
    for log, number in figures.traffic.unwelcome().items():
        if log in kept:
            family.add_metric((log,), number)
    yield family


def _audits(logs: Mapping[str, Log]) -> Iterator[Metric]:
    ended = "When every byte of the log was last looked at (Unix time)."
    family = GaugeMetricFamily("sigbox_log_audited_timestamp_seconds", ended, labels=("log",))
    for name, log in logs.items():
        if log.audited_ms:
            family.add_metric((name,), log.audited_ms / 1000)
    yield family


def _witnesses(logs: Mapping[str, Log]) -> Iterator[Metric]:
    """Of those that are asked, by their names; those of one name are told apart by their key ids."""
    asked = [
        (name, one, log.cosigners.quorum)
        for name, log in logs.items()
        if log.cosigners
        for one in log.cosigners.witnesses
    ]
    if not asked:
        return
    labels = ("log", "witness")
    up = GaugeMetricFamily("sigbox_witness_up", "1 while the witness cosigns what it is asked to.", labels=labels)
    cosigned = CounterMetricFamily("sigbox_witness_cosignatures", "Cosignatures that came.", labels=labels)
    failed = CounterMetricFamily("sigbox_witness_failures", "Requests for one that brought none.", labels=labels)
    seen = GaugeMetricFamily("sigbox_witness_seen_size", "Entries that the witness has seen.", labels=labels)
    quorum = GaugeMetricFamily("sigbox_witness_quorum", "Cosignatures that a checkpoint must have.", labels=("log",))
    for name, one, number in asked:
        values = (name, f"{one.key.name}+{one.key.hash.hex()}")
        for family, value in ((up, not one.fault), (cosigned, one.cosigned), (failed, one.failed), (seen, one.seen)):
            family.add_metric(values, value)
        if all(sample.labels["log"] != name for sample in quorum.samples):
            quorum.add_metric((name,), number)
    yield from (up, cosigned, failed, seen, quorum)


def _connections(figures: Figures) -> Iterator[Metric]:
    found = figures.connections()
    if found is not None:
        yield GaugeMetricFamily("sigbox_connections", "Open connections.", found[0])
        yield CounterMetricFamily("sigbox_connections_cut", "Connections cut: too slow, or too many.", found[1])


def _trust(figures: Figures) -> Iterator[Metric]:
    family = GaugeMetricFamily("sigbox_tuf_expires_in_seconds", "Until a TUF role expires.", labels=("role",))
    now = figures.clock()
    try:
        for role in load_roles(figures.home.tuf_repository):
            family.add_metric((role.role,), role.left(now).total_seconds())
    except SigError:
        return  # not published: no series says so, and readiness says why
    yield family


def _certificates(figures: Figures) -> Iterator[Metric]:
    """Of the authorities that sign now: the first of each kind in the trusted root."""
    family = GaugeMetricFamily(
        "sigbox_certificate_expires_in_seconds",
        "Until the first certificate of an authority expires.",
        labels=("role",),
    )
    now = figures.clock()
    try:
        root = parse_trusted_root(load_file(figures.home.trusted_root, what="the trusted root"))
        for role, authorities in (("ca", root.certificate_authorities), ("tsa", root.timestamp_authorities)):
            if authorities:
                ends = min(parse_certificate(data).not_after for data in authorities[0].chain)
                family.add_metric((role,), (ends - now).total_seconds())
    except SigError:
        return  # as above
    yield family


def _alerts(watcher: Watcher | None) -> Iterator[Metric]:
    if watcher is None:
        return
    found = CounterMetricFamily("sigbox_alerts", "Entries that a watch rule alerts of.", labels=("rule",))
    for rule, number in watcher.found.items():
        found.add_metric((rule,), number)
    yield found
    yield CounterMetricFamily("sigbox_alerts_delivered", "Alerts that the webhook took.", watcher.delivered)
    yield CounterMetricFamily("sigbox_alerts_failed", "Posts of alerts that the webhook did not take.", watcher.failed)
    yield GaugeMetricFamily("sigbox_watch_up", "1 while the watch rules are followed.", not watcher.fault)


def _build() -> Iterator[Metric]:
    family = GaugeMetricFamily("sigbox_build_info", "Always 1; the label says which version runs.", labels=("version",))
    family.add_metric((version("sigbox"),), 1)
    yield family
