"""The tests inside rule files: what passes, what fails, and what is said of a failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from tocsin.errors import RuleErrors
from tocsin.model.alert import Change
from tocsin.model.compiled import RuleSet
from tocsin.model.event import Event
from tocsin.rules.load import load
from tocsin.tune.nearest import Witness
from tocsin.tune.ruletests import Outcome, events_of, in_windows, provider_of, run_cases

RULE = """\
title: many failures
name: failures
logsource: {product: auth0}
detection:
    s: {data.type: fp}
    condition: s
level: medium
tocsin:
    correlate:
        type: event_count
        group-by: [data.ip]
        timespan: 10m
        condition: {gte: 3}
    alert:
        severity: [{gte: 5, is: high}]
    tests:
"""


def _outcomes(folder: Path, tests: str, rule: str = RULE, run: Any = None) -> list[Outcome]:
    file = folder / "rule.yml"
    file.write_text(rule + indent(dedent(tests), "        "))
    return list(run_cases(load([file]), run))


PASSING = [
    """
    - name: three open one alert, at the third
      events: [{at: 0s, repeat: 5, every: 1m, type: fp, ip: 192.0.2.1}]
      expect: [{at: 2m, group: {data.ip: 192.0.2.1}, score: 3, severity: medium}]
    """,
    """
    - name: too slow
      events: [{at: 0s, repeat: 5, every: 6m, type: fp, ip: 192.0.2.1}]
      expect: []
    """,
    """
    - name: one IP each
      events: [{at: 0s, repeat: 9, every: 1s, type: fp, ip: '192.0.2.{n}'}]
      expect: []
    """,
    """
    - name: lines in any order, one alert a group
      events:
          - {at: 5m, repeat: 3, every: 1s, type: fp, ip: 192.0.2.2}
          - {at: 0s, repeat: 3, every: 1s, type: fp, ip: 192.0.2.1}
      expect: [{group: {data.ip: 192.0.2.2}}, {group: {data.ip: 192.0.2.1}, at: 2s}]
    """,
]
EXPLAIN = "`tocsin rules explain failures --event FILE` says why of a record"
FAILING = [
    (
        """
        - name: too few expected
          events: [{repeat: 3, every: 1m, type: fp, ip: 192.0.2.1}]
          expect: []
        """,
        ["seen and not expected: at 2m, data.ip: 192.0.2.1, score 3, medium"],
    ),
    (
        """
        - name: too many expected
          events: [{repeat: 2, every: 1m, type: fp, ip: 192.0.2.1}]
          expect: [{}]
        """,
        ["expected and not seen: any alert", "nearest: score 2 of 3, at 1m, data.ip: 192.0.2.1"],
    ),
    (
        """
        - name: the group that was expected is the one that is told
          events:
              - {repeat: 2, every: 1m, type: fp, ip: 192.0.2.1}
              - {at: 5m, type: fp, ip: 192.0.2.2}
          expect: [{group: {data.ip: 192.0.2.2}}]
        """,
        [
            "expected and not seen: data.ip: 192.0.2.2",
            "nearest: score 1 of 3, at 5m, data.ip: 192.0.2.2",
        ],
    ),
    (
        """
        - name: too slow for the window
          events: [{repeat: 4, every: 6m, type: fp, ip: 192.0.2.1}]
          expect: [{score: 3}]
        """,
        ["expected and not seen: score 3", "nearest: score 2 of 3, at 6m, data.ip: 192.0.2.1"],
    ),
    (
        """
        - name: of another code
          events: [{repeat: 4, every: 1m, type: fu, ip: 192.0.2.1}]
          expect: [{}]
        """,
        [
            "expected and not seen: any alert",
            f"nearest: none of its 4 events matches; {EXPLAIN}",
        ],
    ),
    (
        """
        - name: without the field that groups
          events: [{repeat: 4, every: 1m, type: fp}]
          expect: [{}]
        """,
        [
            "expected and not seen: any alert",
            "nearest: 4 of its 4 events match, but none has a value of data.ip",
        ],
    ),
    (
        """
        - name: another time
          events: [{repeat: 3, every: 1m, type: fp, ip: 192.0.2.1}]
          expect: [{at: 1m, score: 3}]
        """,
        [
            "expected and not seen: at 1m, score 3",
            "seen and not expected: at 2m, data.ip: 192.0.2.1, score 3, medium",
        ],
    ),
    (
        """
        - name: another time, in words of its own
          events: [{repeat: 3, every: 1m, type: fp, ip: 192.0.2.1}]
          expect: [{at: 80s, score: 3}]
        """,
        [
            "expected and not seen: at 80s (1m20s), score 3",
            "seen and not expected: at 2m, data.ip: 192.0.2.1, score 3, medium",
        ],
    ),
    (
        """
        - name: an event that is none
          events: [{type: [fp]}]
          expect: []
        """,
        ["event 1 cannot be decoded: type is not text"],
    ),
]


@pytest.mark.parametrize("tests", PASSING)
def test_a_test_whose_alerts_open_as_expected_passes(tmp_path: Path, tests: str) -> None:
    assert [outcome.mistakes for outcome in _outcomes(tmp_path, tests)] == [()]


@pytest.mark.parametrize(("tests", "mistakes"), FAILING)
def test_a_failed_test_says_what_was_different(tmp_path: Path, tests: str, mistakes: list[str]) -> None:
    assert [list(outcome.mistakes) for outcome in _outcomes(tmp_path, tests)] == [mistakes]


def test_a_window_that_closes_is_decided_within_the_test(tmp_path: Path) -> None:
    tests = """
    - name: two, then quiet
      events: [{repeat: 2, every: 1m, type: fp, ip: 192.0.2.1}]
      expect: [{at: 10m, score: 2}]
    """

    assert [
        outcome.mistakes for outcome in _outcomes(tmp_path, tests, RULE.replace("gte: 3}", "lt: 3}"))
    ] == [()]


def test_the_tests_of_a_rule_that_others_count_have_no_rule(tmp_path: Path) -> None:
    rule = """\
title: base
name: base
logsource: {product: auth0}
detection: {s: {type: fp}, condition: s}
tocsin:
    tests: [{name: lost, events: [], expect: []}]
---
title: counted
correlation: {type: event_count, rules: [base], timespan: 1h, condition: {gte: 2}}
"""
    (outcome,) = _outcomes(tmp_path, "", rule)

    assert not outcome.passed
    assert outcome.mistakes[0].endswith("move its tests to the correlation that counts it")


CHAIN = """\
title: base
name: base
logsource: {product: auth0}
detection: {s: {type: fp}, condition: s}
---
title: noisy address
name: noisy
correlation: {type: event_count, rules: [base], group-by: [ip], timespan: 10m, condition: {gte: 3}}
---
title: noisy addresses
name: wave
correlation: {type: event_count, rules: [noisy], timespan: 1h, condition: {gte: 2}}
tocsin:
    tests:
"""


def test_a_correlation_of_correlations_is_tested_with_those_it_counts(tmp_path: Path) -> None:
    tests = """
    - name: one address, twice noisy
      events: [{repeat: 4, every: 1m, type: fp, ip: 192.0.2.1}]
      expect: [{at: 3m, score: 2}]
    - name: not yet
      events: [{repeat: 3, every: 1m, type: fp, ip: 192.0.2.1}]
      expect: [{score: 2}]
    """

    assert [outcome.mistakes for outcome in _outcomes(tmp_path, tests, CHAIN)] == [
        (),
        ("expected and not seen: score 2", "nearest: score 1 of 2, at 2m"),
    ]


def test_a_witness_changes_nothing_and_sees_every_score_that_alerts() -> None:
    loaded = load([Path(__file__).parents[3] / "rules"])
    seen = 0
    for made in loaded.made:
        alone = replace(loaded.ruleset, rules=(made.compiled,))
        for case in loaded.cases.get(made.compiled.rule.id, ()) if made.compiled.correlation else ():
            events = events_of(case, provider_of(made), made.fields)
            witness = Witness(made.compiled)
            changes = in_windows(lambda witness=witness: witness)(alone, events)  # type: ignore[misc]
            assert changes == in_windows()(alone, events), case.name
            scores = {near.score for near in witness.seen}
            assert {change.alert.score for change in changes} <= scores, case.name
            seen += len(changes)

    assert seen > 100


def test_of_a_type_that_tells_no_low_score_the_reason_is_told(tmp_path: Path) -> None:
    rule = RULE.replace("type: event_count", "type: ratio\n        of: s\n        over: s or t").replace(
        "condition: {gte: 3}", "condition: {gte: 0.5, min_count: 5}"
    )
    rule = rule.replace("    condition: s", "    t: {data.type: s}\n    condition: s or t", 1)
    tests = """
    - name: too few
      events: [{repeat: 2, every: 1m, type: fp, ip: 192.0.2.1}]
      expect: [{}]
    """

    (outcome,) = _outcomes(tmp_path, tests, rule.replace("{gte: 5, is: high}", "{gte: 0.9, is: high}"))

    assert outcome.mistakes[1] == (
        "nearest: 2 of its 2 events match; a ratio tells no score before all of its conditions hold"
    )


def test_records_are_numbered_dated_and_nested_as_written(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    def run(_ruleset: RuleSet, events: Sequence[Event]) -> list[Change]:
        assert {event.provider for event in events} == {"auth0"}
        seen.extend(event.fields for event in events)
        return []

    tests = """
    - name: n
      events: [{at: 1s, repeat: 2, every: 500ms, type: fp, details: {a: ['u{n}', 7]}}]
      expect: []
    """
    _outcomes(tmp_path, tests, run=run)

    assert [(record["date"], record["details"]) for record in seen] == [
        ("2025-01-06T12:00:01.000Z", {"a": ["u1", 7]}),
        ("2025-01-06T12:00:01.500Z", {"a": ["u2", 7]}),
    ]
    assert len({record["log_id"] for record in seen}) == 2


ANY_PROVIDER = """\
title: failed logins of any provider
name: any_failures
logsource: {category: authentication}
taxonomy: ecs
detection:
    s: {event.action: login, event.outcome: failure}
    condition: s
tocsin:
    correlate:
        type: event_count
        group-by: [source.ip]
        timespan: 10m
        condition: {gte: 3}
    tests:
"""


def test_the_events_of_a_rule_for_any_provider_are_ecs_documents_or_those_of_a_named_provider(
    tmp_path: Path,
) -> None:
    tests = """
    - name: three providers, one attack, told in ECS's names
      events:
          - {at: 0s, event.action: login, event.outcome: failure, source.ip: 192.0.2.1}
          - {at: 1s, provider: auth0, type: fp, ip: 192.0.2.1}
          - {at: 2s, provider: frontegg, eventKey: login.invalid_password, ip: 192.0.2.1}
          - {at: 3s, provider: frontegg, eventKey: login.invalid_password, status: success, ip: 192.0.2.1}
          - {at: 4s, provider: auth0, type: s, ip: 192.0.2.1}
          - {at: 5s, event: {action: login, outcome: failure}, source: {ip: 192.0.2.1}}
      expect: [{at: 2s, group: {source.ip: 192.0.2.1}, score: 3}]
    """

    assert [outcome.mistakes for outcome in _outcomes(tmp_path, tests, ANY_PROVIDER)] == [()]


def test_a_rule_of_one_product_does_not_see_events_of_another(tmp_path: Path) -> None:
    tests = """
    - name: the same records, another provider
      events: [{repeat: 5, every: 1s, provider: frontegg, eventKey: fp, type: fp, ip: 192.0.2.1}]
      expect: []
    """

    assert [outcome.mistakes for outcome in _outcomes(tmp_path, tests)] == [()]


def test_a_provider_that_does_not_exist_is_a_mistake_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(RuleErrors, match=r'unknown provider "auth"; did you mean "auth0"'):
        _outcomes(tmp_path, "- {name: n, events: [{provider: auth, type: fp}], expect: []}\n")
