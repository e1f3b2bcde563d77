"""Labels that every alert has and nobody can set; and nulls, which are absent in the ECS view."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tocsin.model.alert import Sightings, Triggers
from tocsin.model.rule import OWN_LABELS
from tocsin.rules.load import load
from tocsin.state.opening import opened

DETECTION = "title: one\nname: one\nlogsource: {product: auth0}\ndetection: {s: {type: fp}, condition: s}\n"


def told(folder: Path, rule: str, overlay: str = "{}") -> list[str]:
    (folder / "rule.yml").write_text(rule)
    (folder / "overlay.yml").write_text(overlay)
    loaded = load([folder / "rule.yml"], overlay=folder / "overlay.yml")
    return [f"{Path(w.file).name}:{w.line}:{w.column}: {w.message}" for w in loaded.ruleset.warnings]


def lost(name: str) -> str:
    return f'label "{name}" is set by tocsin, and what is written here is lost; choose another name'


@pytest.mark.parametrize("name", OWN_LABELS)
def test_a_label_that_every_alert_has_is_told_in_a_rule_and_in_an_overlay(tmp_path: Path, name: str) -> None:
    rule = f"{DETECTION}tocsin:\n  alert:\n    labels: {{team: a, {name}: b}}\n"
    assert told(tmp_path, rule) == [f"rule.yml:7:23: {lost(name)}"]

    assert told(tmp_path, DETECTION, f"one: {{labels: {{{name}: b}}}}") == [f"overlay.yml:1:16: {lost(name)}"]


def test_it_is_told_of_a_correlation_too(tmp_path: Path) -> None:
    correlation = (
        "---\ntitle: many\nname: many\n"
        "correlation: {type: event_count, rules: [one], group-by: [ip], timespan: 1m, condition: {gte: 3}}\n"
        "tocsin: {alert: {labels: {entity: me}}}\n"
    )
    assert told(tmp_path, DETECTION + correlation) == [f"rule.yml:9:27: {lost('entity')}"]


def test_other_labels_are_nobodys_business(tmp_path: Path) -> None:
    rule = f"{DETECTION}tocsin: {{alert: {{labels: {{team: a, Severity: b}}}}}}\n"
    assert told(tmp_path, rule, "one: {labels: {rules: b}}") == []


def test_these_are_the_labels_that_an_alert_sets_itself(tmp_path: Path) -> None:
    (tmp_path / "rule.yml").write_text(DETECTION)
    (rule,) = load([tmp_path / "rule.yml"]).ruleset.rules

    alert = opened(
        Triggers(rule.rule, "", "", [], []), 0, 1, Sightings([], [], []), datetime(2026, 1, 1, tzinfo=UTC)
    )

    assert set(alert.labels) == set(OWN_LABELS)


@pytest.mark.parametrize("item", ["{u|exists: true}", "{u|exists: false}", "{u|neq: x, u|exists: true}"])
def test_where_a_null_is_absent_nothing_is_told_of_nulls(tmp_path: Path, item: str) -> None:
    head = "title: one\nname: one\nlogsource: {category: authentication}\n"
    rule = f"{head}detection: {{s: {item}, condition: s}}\n"
    item_of_ecs = rule.replace("u|", "user.name|")

    assert any("a null" in warning for warning in told(tmp_path, rule))
    assert told(tmp_path, item_of_ecs + "taxonomy: ecs\n") == []
