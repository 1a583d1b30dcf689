# SPDX-License-Identifier: Apache-2.0
"""Figures of all workers are sums: nothing twice, nothing lost, whoever is started again."""

from __future__ import annotations

from stack.traffic import Traffic
from stack.workers.counts import NONE, add_to, encode_counts, parse_counts


def test_what_is_new_in_a_report_is_added_once():
    worker, total = Traffic(), Traffic()
    worker.record("POST", "/api/v2/log/entries", 201, 0.003)
    first = parse_counts(encode_counts(worker, 3, 1))
    add_to(total, first, NONE)
    worker.record("POST", "/api/v2/log/entries", 201, 0.2)
    worker.record("GET", "/tile/{path}", 404, 11.0)
    add_to(total, parse_counts(encode_counts(worker, 3, 1)), first)
    assert (first.connections, first.cut) == (3, 1)
    assert total.series.keys() == worker.series.keys()
    for key, series in worker.series.items():
        assert (total.series[key].buckets, total.series[key].count) == (series.buckets, series.count)
        assert round(total.series[key].seconds, 5) == round(series.seconds, 5)
        assert total.series[key].role == series.role


def test_a_worker_in_the_place_of_another_begins_at_nothing_and_takes_nothing_away():
    total = Traffic()
    for _ in range(2):
        worker = Traffic()
        worker.record("GET", "/healthz", 200, 0.001)
        add_to(total, parse_counts(encode_counts(worker, 0, 0)), NONE)
    assert total.answered("GET", ("/healthz",)) == 2
