"""What the engine is given: codes, closures, window specs, names and severities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tocsin.model.compiled import CompiledRule, RuleSet, WindowSpec
from tocsin.model.event import Event
from tocsin.rules.load import load_rules
from tocsin.sandbox import compile_template, render

LoadText = Callable[..., RuleSet]
HEAD = "title: t\nid: base-id\nlogsource: {product: auth0}\n"


def _detection(selections: str, condition: str = "s") -> str:
    return f"{HEAD}detection:\n    {selections}\n    condition: {condition}\n"


def _counted(
    condition: str = "{gte: 5}", extra: str = "", group: str = "[data.ip]", timespan: str = "10m"
) -> str:
    return (
        _detection("s: {data.type: fp}")
        + f"tocsin:\n    correlate:\n        type: event_count\n        group-by: {group}\n"
        + f"        timespan: {timespan}\n        condition: {condition}\n{extra}"
    )


def _only(ruleset: RuleSet) -> CompiledRule:
    (rule,) = ruleset.rules
    return rule


def _spec(ruleset: RuleSet) -> WindowSpec:
    correlation = _only(ruleset).correlation
    assert correlation is not None
    return correlation.spec


CODES: list[tuple[str, str, set[str] | None, bool]] = [
    ("s: {type: fp}", "s", {"fp"}, True),
    ("s: {data.type: [fp, fu]}", "s", {"fp", "fu"}, True),
    ("s: {type: FP}", "s", {"fp", "FP"}, True),
    ("s: {type: fp, ip: 1}", "s", {"fp"}, False),
    ("{a: {type: fp}, b: {type: fu}, c: {ip: 1}}", "a or b", {"fp", "fu"}, True),
    ("{a: {type: fp}, b: {type: [fp, fu]}, c: {ip: 1}}", "a and b", {"fp"}, True),
    ("{a: {type: fp}, b: {type: fu}, c: {ip: 1}}", "a and b", set(), True),
    ("{a: {type: fp}, b: {type: fu}, c: {ip: 1}}", "a or (b and c)", {"fp", "fu"}, False),
    ("{a: {type: fp}, b: {ip: 1}}", "a or b", None, False),
    ("{a: {type: fp}, b: {ip: 1}}", "a and not b", {"fp"}, False),
    ("{a: {type: fp}, b: {ip: 1}}", "not a", None, False),
    ("s: {type: 'f*'}", "s", None, False),
    ("s: {type|contains: f}", "s", None, False),
    ("s: {type|cased: fp}", "s", {"fp"}, False),
    ("s: {type|neq: fp}", "s", None, False),
    ("s: {type: null}", "s", {""}, False),
    ("s: {type: [null, fp]}", "s", {"", "fp"}, False),
    ("s: {details.type: fp}", "s", None, False),
]


@pytest.mark.parametrize(("selections", "condition", "codes", "decided"), CODES)
def test_codes_come_from_the_condition_tree(
    load_text: LoadText, selections: str, condition: str, codes: set[str] | None, decided: bool
) -> None:
    inner = selections.strip("{}") if selections.startswith("{a") else selections
    lines = inner.replace("}, ", "}\n    ") + ("}" if selections.startswith("{a") else "")
    (matcher,) = _only(load_text(_detection(lines, condition))).matchers

    assert matcher.codes == codes
    assert (matcher.matches is None) is decided


def test_a_code_is_found_whatever_its_case(load_text: LoadText) -> None:
    (matcher,) = _only(load_text(_detection("s: {type: Fp}"))).matchers

    assert matcher.codes is not None
    assert all(code in matcher.codes for code in ("fp", "FP", "fP", "Fp"))
    assert "fu" not in matcher.codes


def test_a_category_narrows_to_its_codes(load_text: LoadText) -> None:
    rule = _only(load_text(_detection("s: {ip: 1}") + "tocsin: {category: Login - Failure}\n"))

    assert rule.matchers[0].codes is not None
    assert {"fp", "fu"} <= rule.matchers[0].codes
    assert "s" not in rule.matchers[0].codes


def test_flat_fields_are_named_for_the_decoder_and_deep_ones_are_not(load_text: LoadText) -> None:
    text = _counted(group="[data.ip, data.details.x]", extra="    alert: {context: [data.user_agent]}\n")

    assert load_text(text).fields == {"ip", "user_agent"}


SPECS: list[tuple[str, int | None, int, bool]] = [
    ("{gte: 5}", 5, 5, False),
    ("{gt: 5}", 6, 6, False),
    ("{gte: 2.5}", 3, 3, False),
    ("{gte: 0}", 1, 1, False),
    ("{lte: 5}", 6, 1, True),
    ("{lt: 5}", 6, 1, True),
    ("{eq: 5}", 6, 1, True),
    ("{neq: 5}", 6, 1, True),
    ("{gt: 2, lte: 9}", 10, 1, True),
]


@pytest.mark.parametrize(("condition", "keep", "floor", "closes"), SPECS)
def test_a_window_keeps_what_its_condition_needs(
    load_text: LoadText, condition: str, keep: int, floor: int, closes: bool
) -> None:
    spec = _spec(load_text(_counted(condition)))

    assert (spec.keep, spec.floor, spec.closes, spec.span_ms) == (keep, floor, closes, 600_000)


def test_a_window_keeps_as_many_as_severity_and_param_may_ask_for(load_text: LoadText) -> None:
    severity = _counted(extra="    alert: {severity: [{gte: 70, is: critical}]}\n")
    param = _counted("{gte: $n}", extra="    params: {n: {default: 5, max: 90}}\n")

    assert _spec(load_text(severity)).keep == 70
    assert _spec(load_text(param)).keep == 90


HOLDS: list[tuple[str, list[int]]] = [
    ("{gte: 3}", [3, 4, 5, 6]),
    ("{gt: 3}", [4, 5, 6]),
    ("{lt: 3}", [1, 2]),
    ("{lte: 3}", [1, 2, 3]),
    ("{eq: 3}", [3]),
    ("{neq: 3}", [1, 2, 4, 5, 6]),
    ("{gt: 2, lte: 4}", [3, 4]),
]


@pytest.mark.parametrize(("condition", "counts"), HOLDS)
def test_a_condition_holds_for_its_counts(load_text: LoadText, condition: str, counts: list[int]) -> None:
    correlation = _only(load_text(_counted(condition))).correlation

    assert correlation is not None
    assert [count for count in range(1, 7) if correlation.holds(count)] == counts


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"condition": "{gte: 50}"}, True),
        ({"extra": "    alert: {title: other}\n"}, True),
        ({"group": "[data.user_id]"}, False),
        ({"timespan": "11m"}, False),
    ],
)
def test_state_outlives_a_threshold_and_nothing_else(
    load_text: LoadText, change: dict[str, str], same: bool
) -> None:
    before = _spec(load_text(_counted())).state

    assert (_spec(load_text(_counted(**change))).state == before) is same


def test_state_changes_with_the_selection_and_not_with_its_formatting(load_text: LoadText) -> None:
    before = _spec(load_text(_counted())).state

    assert (
        _spec(load_text(_counted().replace("{data.type: fp}", "{ type: [ fp ] } # a comment"))).state
        == before
    )
    assert _spec(load_text(_counted().replace("data.type: fp", "data.type: fu"))).state != before


TIMES = [
    (_detection("s: {type: fp}"), 900_000),
    (_counted(), 600_000),
    (_counted(timespan="7d"), 86_400_000),
    (_counted(extra="    alert: {resolve_after: 0s}\n"), 0),
]


@pytest.mark.parametrize(("text", "resolve_after_ms"), TIMES)
def test_an_episode_resolves_after_its_timespan_unless_told(
    load_text: LoadText, text: str, resolve_after_ms: int
) -> None:
    assert _only(load_text(text)).rule.resolve_after_ms == resolve_after_ms


def test_params_stand_in_for_their_names(load_text: LoadText) -> None:
    text = _counted(
        "{gte: $n}",
        timespan="$span",
        extra=(
            "    params: {n: {default: 7}, span: {default: 2h}, who: {default: [a*, b]}}\n"
            "    alert: {title: '{{ score }}', labels: {team: $span}}\n"
        ),
    )
    rule = _only(load_text(text)).rule

    assert (rule.threshold, rule.timespan_ms) == (7, 7_200_000)
    assert rule.params == {"n": 7, "span": "2h", "who": "a*, b"}
    assert rule.labels == {"team": "2h"}


def test_placeholders_are_filled_from_params_and_list_files(
    tmp_path: Path, detects: Callable[..., bool]
) -> None:
    trusted = tmp_path / "trusted.txt"
    trusted.write_text("# ours\n192.0.2.0/24\n\n198.51.100.7  # the office\n")
    ours = {"lists": {"trusted_ips": trusted}}

    assert detects("s: {ip|cidr|expand: '%trusted_ips%'}", {"ip": "198.51.100.7"}, **ours)
    assert not detects("s: {ip|cidr|expand: '%trusted_ips%'}", {"ip": "198.51.100.8"}, **ours)


def test_a_listed_text_is_no_pattern(tmp_path: Path, detects: Callable[..., bool]) -> None:
    words = tmp_path / "words.txt"
    words.write_text("a*\n")

    assert detects("s: {u|expand: 'x%words%*'}", {"u": "xa*z"}, lists={"words": words})
    assert not detects("s: {u|expand: 'x%words%*'}", {"u": "xabz"}, lists={"words": words})


CORRELATION = """
title: base
name: base
logsource: {product: auth0}
detection: {s: {type: fp, data.u: x}, condition: s}
level: low
---
title: other
name: other
logsource: {product: auth0}
detection: {s: {type: fu}, condition: s}
level: high
---
title: both
correlation:
    type: value_count
    rules: [base, other]
    aliases: {who: {base: data.user_name, other: data.details.name}}
    group-by: [who, data.ip]
    timespan: 1d
    condition: {gte: 2, field: [data.client_id, data.details.z]}
"""


def test_a_correlation_document_counts_its_rules_which_stay_silent(load_text: LoadText) -> None:
    ruleset = load_text(CORRELATION)
    rule = _only(ruleset)

    assert (rule.rule.name, rule.rule.type, rule.rule.group_by) == ("both", "value_count", ("who", "data.ip"))
    assert rule.rule.severity == "high"
    assert [matcher.name for matcher in rule.matchers] == ["base", "other"]
    assert ruleset.fields == {"u", "user_name", "ip", "client_id"}
    assert _spec(ruleset).counts == "values"


def test_an_alias_reads_each_rules_own_field(load_text: LoadText) -> None:
    rule = _only(load_text(CORRELATION))
    event = Event(parsed={"details": {"name": "n"}})

    assert rule.matchers[1].group_by[0](event) == "n"


@pytest.mark.parametrize("place", ["correlation:\n    generate: true", "generate: true\ncorrelation:"])
def test_generate_lets_the_base_rules_alert_too(load_text: LoadText, place: str) -> None:
    ruleset = load_text(CORRELATION.replace("correlation:", place))

    assert [rule.rule.name for rule in ruleset.rules] == ["base", "other", "both"]


def test_a_shorthand_with_generate_has_two_rules_of_two_ids(load_text: LoadText) -> None:
    ruleset = load_text(_counted() + "generate: true\n")

    assert [(rule.rule.id, rule.rule.type) for rule in ruleset.rules] == [
        ("base-id", "event_count"),
        ("base-id.events", "detection"),
    ]


def test_set_makes_a_param_of_a_value_of_a_correlation(load_text: LoadText, tmp_path: Path) -> None:
    text = CORRELATION + "tocsin:\n    params: {values: {set: correlation.condition.gte, min: 2, max: 30}}\n"
    overlay = tmp_path / "overlay.yaml.txt"
    overlay.write_text("both: {params: {values: 9}}\n")
    rule = _only(load_text(text, overlay=overlay))

    assert rule.rule.threshold == 9
    assert _spec(load_text(text)).keep == 30


def test_an_overlay_tunes_a_rule_without_touching_it(load_text: LoadText, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml.txt"
    overlay.write_text("base-id: {severity: critical, labels: {team: identity}, params: {n: 9}}\n")
    text = _counted(
        "{gte: $n}", extra="    params: {n: {default: 5, max: 10}}\n    alert: {labels: {a: b}}\n"
    )
    rule = _only(load_text(text, overlay=overlay)).rule

    assert (rule.severity, rule.threshold, rule.labels) == ("critical", 9, {"a": "b", "team": "identity"})


def test_an_overlay_switches_a_rule_off(load_text: LoadText, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml.txt"
    overlay.write_text("base-id: {enabled: false}\n")

    assert load_text(_counted(), overlay=overlay).rules == ()


OVERLAYS = [
    ("bse-id: {enabled: false}\n", '1:1: there is no rule "bse-id"; did you mean "base-id"?'),
    (
        "base-id: {enable: false}\n",
        '1:11: unknown key "enable" in the overlay of "base-id"; did you mean "enabled"?',
    ),
    ("base-id: {params: {m: 9}}\n", '1:20: unknown param "m"; known are n'),
    ("base-id: {params: {n: 99}}\n", '1:23: param "n" must be at most 10, not 99'),
    ("base-id: {params: {n: many}}\n", '1:23: param "n" is a number, like its default 5'),
    ("- a\n", "1:1: an overlay is a map from rule ids or names; begin with one"),
]


@pytest.mark.parametrize(("overlay", "told"), OVERLAYS)
def test_a_mistake_of_an_overlay_is_told_at_its_place(
    mistakes: Callable[..., list[str]], tmp_path: Path, overlay: str, told: str
) -> None:
    file = tmp_path / "overlay.yaml.txt"
    file.write_text(overlay)
    text = _counted("{gte: $n}", extra="    params: {n: {default: 5, max: 10}}\n")

    assert f"overlay.yaml.txt:{told}" in mistakes(text, overlay=file)


FILTER = """
---
title: not the office
logsource: {product: auth0}
filter:
    rules: %s
    office: {data.ip: 192.0.2.1}
    condition: not office
"""


@pytest.mark.parametrize("rules", ["[base-id]", "any"])
def test_a_filter_is_anded_to_its_rules(load_text: LoadText, rules: str) -> None:
    (matcher,) = _only(load_text(_detection("s: {type: fp}") + FILTER % rules)).matchers

    assert matcher.codes == {"fp"}
    assert matcher.matches is not None


LOOK_AROUND = _detection("s: {u|re: 'a(?=b)'}")


def test_a_look_around_is_a_warning_and_the_rule_does_not_run(load_text: LoadText) -> None:
    ruleset = load_text(LOOK_AROUND)

    assert ruleset.rules == ()
    assert ruleset.not_running == {"base-id": "look-around"}
    assert [warning.message.split(",")[0] for warning in ruleset.warnings] == [
        "RE2 does not run this pattern (look-around)"
    ]


def test_a_trusted_rule_runs_a_look_around_on_re(load_text: LoadText) -> None:
    ruleset = load_text(LOOK_AROUND, trusted=["base-*"])

    assert len(ruleset.rules) == 1
    assert ruleset.warnings == ()


def test_a_correlation_over_a_rule_that_does_not_run_does_not_run(load_text: LoadText) -> None:
    text = CORRELATION.replace("data.u: x", "data.u|re: 'a(?=b)'")

    assert load_text(text).not_running == {"both": 'its rule "base" does not run: look-around'}


WARNINGS = [
    (_detection("s: {type: fpp}"), 'unknown auth0 event code "fpp"; did you mean "fp"?'),
    (
        _detection("s: {u: '{your-tenant}'}"),
        '"{your-tenant}" is a placeholder that no event says; put your own value there',
    ),
    (_detection("s: {u: x}\n    t: {u: y}"), 'no condition uses the selection "t"; remove it'),
    (
        _counted("{gte: 1}"),
        "the condition is true at the first event already; raise its threshold, or drop the correlation",
    ),
    (
        _counted("{gte: 2, field: data.ip}"),
        "event_count counts events and ignores field; use value_count, or remove it",
    ),
    ("# nothing\n", "the file holds no rule"),
    (
        _detection("s: {type: fp}\n    t: {type: fu}", "s and t"),
        "no event can match: no event code is all that is asked of it",
    ),
    (
        _detection("s: {source.ipp: x}") + "taxonomy: ecs\n",
        '"source.ipp" is no field of the normalised view; did you mean "source.ip"?',
    ),
]


@pytest.mark.parametrize(("text", "told"), WARNINGS)
def test_what_is_valid_and_surely_not_meant_is_a_warning(load_text: LoadText, text: str, told: str) -> None:
    assert [warning.message for warning in load_text(text).warnings] == [told]


def test_a_name_is_looked_for_in_its_own_file_first(tmp_path: Path) -> None:
    text = """
title: base
name: base
logsource: {product: auth0}
detection: {s: {type: CODE}, condition: s}
---
title: FILE
correlation: {type: event_count, rules: [base], timespan: 1h, condition: {gte: 2}}
"""
    for name, code in (("a", "fp"), ("b", "fu")):
        (tmp_path / f"{name}.yml").write_text(text.replace("CODE", code).replace("FILE", name))

    ruleset = load_rules([tmp_path])

    assert [rule.matchers[0].codes for rule in ruleset.rules] == [{"fp"}, {"fu"}]


def test_a_rule_without_an_id_has_one_by_its_path_and_place(load_text: LoadText) -> None:
    text = _detection("s: {type: fp}").replace("id: base-id\n", "")
    first, second = load_text(f"{text}---\n{text.replace('title: t', 'title: u')}").rules

    assert len({first.rule.id, second.rule.id, "base-id"}) == 3
    assert (first.rule.name, second.rule.name) == ("t", "u")


def test_a_title_is_no_template(load_text: LoadText) -> None:
    headline = _only(
        load_text(_detection("s: {u: x}").replace("title: t", "title: '{{ 7 * 7 }} {% x'"))
    ).rule.headline

    assert render(compile_template(headline), {}) == "{{ 7 * 7 }} {% x"


OKTA = Path(__file__).parents[2] / "data" / "okta"
WRONG = "client_with_overpermissive_granted_scopes.yml"


def test_oktas_detections_load_unmodified() -> None:
    ruleset = load_rules([file for file in sorted(OKTA.glob("*.yml")) if file.name != WRONG])

    assert len(ruleset.rules) == 11
    assert ruleset.not_running == {}
    assert all(rule.matchers[0].codes for rule in ruleset.rules)


def test_oktas_unquoted_placeholder_is_refused_where_it_stands(mistakes: Callable[..., list[str]]) -> None:
    told = mistakes((OKTA / WRONG).read_text())

    assert told == [
        (
            'rule.yml:16:25: the value of "data.client_id" is a map: YAML reads an unquoted {…} so; '
            "write '{global_client_id}' in quotes"
        )
    ]


def test_a_rule_keeps_what_its_file_says(load_text: LoadText) -> None:
    text = _detection("s: {type: fp}") + (
        "status: stable\nlevel: high\ndescription: |\n    Why.\nauthor: me\ntags: [attack.t1110]\n"
        "references: [https://example.com]\nfalsepositives: [a scanner]\n"
        "tocsin: {alert: {title: 'T {{ score }}', runbook: R, key: [data.ip], for: 5m, context: [data.u]}}\n"
    )
    rule = _only(load_text(text)).rule
    expected: dict[str, Any] = {
        "name": "base-id",
        "status": "stable",
        "severity": "high",
        "description": "Why.",
        "tags": ("attack.t1110",),
        "falsepositives": ("a scanner",),
        "headline": "T {{ score }}",
        "runbook": "R",
        "group_by": ("data.ip",),
        "for_ms": 300_000,
        "context": ("data.u",),
        "line": 1,
    }

    assert replace(rule, **expected) == rule
