# SPDX-License-Identifier: Apache-2.0
"""Alert rules and dashboard ask only for what a running stack says, and each alert says what to do about it."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client.parser import text_string_to_metric_families

from sigcore.cosignature import cosigner_key, encode_witness_verifier
from stack import gate
from stack.trust.lifetimes import LIFETIME
from tests.interop.places import Kind, Place, make_signed
from tests.interop.tools import SIGBOX
from tests.stack_process import ROOT, running_stack, sigbox
from tests.test_cli_docs import problems

(GROUP,) = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8"))["groups"]
RULES = GROUP["rules"]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "sigbox.json").read_bytes())
NOBODY = encode_witness_verifier(cosigner_key("nobody", Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()))
PROMETHEUS_OWN = {"up"}
"""A metric that the scrape makes, and the labels that it adds."""
SCRAPED = {"job", "instance"}
FUNCTIONS = {"rate", "sum", "by", "histogram_quantile", "absent", "time", "and", "or", "on"}
SELECTOR = re.compile(r'\b([a-z_][a-z0-9_]*)(?:\{((?:[^}"]|"[^"]*")*)\})?')
MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')
Series = dict[str, list[dict[str, str]]]


def panels() -> list[dict]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> list[tuple[str, str]]:
    asked = [(f"alert {rule['alert']}", rule["expr"]) for rule in RULES]
    return asked + [(f"panel {panel['title']}", target["expr"]) for panel in panels() for target in panel["targets"]]


def selectors(expression: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """(metric, matchers) of each selector of a PromQL expression."""
    text = re.sub(r"\b(?:by|on) \([^)]*\)", "", expression)
    text = re.sub(r"\[[^\]]*\]", "", text)
    for name, matchers in SELECTOR.findall(text):
        if name not in FUNCTIONS:
            yield name, MATCHER.findall(matchers)


@pytest.fixture(scope="module")
def exposed(tmp_path_factory) -> Series:
    """What /metrics of a stack says that has signed something and refused a login, a certificate and a page, watches a name, and
    asks a witness that is not there.
    """
    series: Series = defaultdict(list)
    folder = tmp_path_factory.mktemp("stack")
    (folder / "stack.toml").write_text('[[watch]]\nname = "release"\nidentity = "release@corp.example"\n')
    assert sigbox("init", "--data", folder / "data").returncode == 0
    with (folder / "data" / "sigbox.toml").open("a") as settings:
        settings.write(f'\n[[log.witnesses]]\nurl = "http://127.0.0.1:1"\nkey = "{NOBODY}"\n')
    with running_stack(folder, "--data", folder / "data", "--config", folder / "stack.toml") as stack:
        make_signed(SIGBOX, Place(stack, tmp_path_factory.mktemp("place")), Kind.MESSAGE_V2)
        make_signed(SIGBOX, Place(stack, tmp_path_factory.mktemp("place")), Kind.MESSAGE_V1)
        for path in ("/auth/login", "/api/v2/signingCert"):
            with pytest.raises(urllib.error.HTTPError) as refusal:
                urllib.request.urlopen(stack.url + path, b"{}", timeout=20)
            refusal.value.close()
        with urllib.request.urlopen(f"{stack.url}/metrics", timeout=20) as answer:
            text = answer.read().decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series[sample.name].append(sample.labels)
    return series


def found(series: list[dict[str, str]], matchers: list[tuple[str, str, str]]) -> bool:
    return any(
        all(re.fullmatch(value if how == "=~" else re.escape(value), labels[name]) for name, how, value in matchers)
        for labels in series
    )


@pytest.mark.slow
@pytest.mark.parametrize(("what", "expression"), expressions(), ids=[name for name, _ in expressions()])
def test_what_is_asked_for_is_what_a_stack_says(exposed: Series, what, expression):
    """Metric, labels and, but for the status that nobody hopes for, the values: a rule with a typing error is never true."""
    asked = list(selectors(expression))
    assert asked, "the test reads no metric in it"
    for metric, matchers in asked:
        if metric in PROMETHEUS_OWN:
            continue
        assert metric in exposed, f"{metric} is not in /metrics"
        ours = [matcher for matcher in matchers if matcher[0] not in SCRAPED]
        assert {name for name, _, _ in ours} <= set(exposed[metric][0]), metric
        assert found(exposed[metric], [matcher for matcher in ours if matcher[0] != "status"]), expression
    for labels in re.findall(r"\bby \(([^)]*)\)", expression):
        known = {name for metric, _ in asked for labels_ in exposed[metric] for name in labels_}
        assert set(labels.replace(" ", "").split(",")) <= known


@pytest.mark.slow
def test_every_alternative_of_a_role_is_a_role(exposed: Series):
    """found() is content with one of several; `policy` is there only where a policy is published."""
    for _, expression in expressions():
        for metric, matchers in selectors(expression):
            for name, _, value in matchers:
                if name == "role":
                    known = {labels["role"] for labels in exposed[metric]} | {"policy"}
                    assert set(value.split("|")) <= known, expression


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_says_what_it_means_and_what_to_do_in_commands_that_exist(rule):
    assert rule["alert"].startswith("Sigbox")
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert re.fullmatch(r"\d+[smh]", rule["for"])
    summary, fix = rule["annotations"]["summary"], rule["annotations"]["fix"]
    assert len(summary) > 20
    assert len(fix) > 40
    assert list(problems(fix)) == []
    for place in re.findall(r"\b(?:docs|deploy)/[\w./-]*\w", fix):
        assert (ROOT / place).exists(), place


def test_alerts_have_names_of_their_own_and_the_dashboard_numbers_of_its_own():
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_panels_lie_side_by_side():
    cells = [
        (column, row)
        for panel in DASHBOARD["panels"]
        for place in [panel["gridPos"]]
        for column in range(place["x"], place["x"] + place["w"])
        for row in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(column for column, _ in cells) < 24


def test_figures_in_the_rules_are_those_of_the_program():
    by_name = {rule["alert"]: rule for rule in RULES}
    full = by_name["SigboxConnectionsFull"]
    assert str(gate.CONNECTIONS) in full["annotations"]["summary"]
    (limit,) = map(int, re.findall(r"sigbox_connections > (\d+)", full["expr"]))
    assert 0.8 * gate.CONNECTIONS < limit < gate.CONNECTIONS
    (days,) = map(int, re.findall(r"< (\d+) \* 86400", by_name["SigboxTimestampNotRefreshed"]["expr"]))
    shortest = min(LIFETIME.values())
    assert days < shortest.days / 2, "a role is signed anew at half of its life; before that nothing is wrong"
