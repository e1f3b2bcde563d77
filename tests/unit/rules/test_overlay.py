"""A site's overlay: which of its words count for a rule, and what is told of a wrong one."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tocsin.errors import RuleErrors
from tocsin.model.rule import Rule
from tocsin.rules.load import load

RULE = """title: {name}
name: {name}
id: id-of-{name}
logsource: {{product: auth0}}
detection: {{s: {{type: fp}}, condition: s}}
level: low
tocsin:
    params: {{n: {{default: 5, min: 2, max: {most}}}{more}}}
    correlate: {{type: event_count, timespan: {timespan}, condition: {{gte: $n}}}}
    alert: {{labels: {{team: ours, kind: {name}}}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three rules: `mfa_push` and `mfa_code`, of which only the second has `window`, and `spray`."""
    (tmp_path / "rules").mkdir()
    for name, most, more, timespan in (
        ("mfa_push", 50, "", "1m"),
        ("mfa_code", 500, ", window: {default: 10m}", "$window"),
        ("spray", 5000, "", "1m"),
    ):
        text = RULE.format(name=name, most=most, more=more, timespan=timespan)
        (tmp_path / "rules" / f"{name}.yml").write_text(text)
    return tmp_path


def _rules(folder: Path, overlay: str) -> dict[str, Rule]:
    (folder / "overlay.yml").write_text(dedent(overlay))
    loaded = load([folder / "rules"], overlay=folder / "overlay.yml")
    assert loaded.ruleset.warnings == ()
    return {rule.rule.name: rule.rule for rule in loaded.ruleset.rules}


def _told(folder: Path, overlay: str) -> list[str]:
    (folder / "overlay.yml").write_text(dedent(overlay))
    with pytest.raises(RuleErrors) as caught:
        load([folder / "rules"], overlay=folder / "overlay.yml")
    assert {Path(error.file).name for error in caught.value.errors} == {"overlay.yml"}
    return [f"{error.line}:{error.column}: {error.message}" for error in caught.value.errors]


def test_a_glob_is_about_every_rule_called_like_it(folder: Path) -> None:
    rules = _rules(folder, "mfa_*: {params: {n: 7}, level: high, labels: {team: identity}}")

    assert [(rule.name, rule.params["n"], rule.severity) for rule in rules.values()] == [
        ("mfa_code", 7, "high"),
        ("mfa_push", 7, "high"),
        ("spray", 5, "low"),
    ]
    assert rules["mfa_push"].labels == {"team": "identity", "kind": "mfa_push"}


@pytest.mark.parametrize("exact", ["mfa_push", "id-of-mfa_push"])
@pytest.mark.parametrize("order", [1, -1])
def test_a_name_or_id_beats_a_glob_wherever_it_stands(folder: Path, exact: str, order: int) -> None:
    said = [f"{exact}: {{params: {{n: 9}}, level: critical}}", "'*': {params: {n: 7}, level: high}"]

    rules = _rules(folder, "\n".join(said[::order]))

    assert {name: (rule.params["n"], rule.severity) for name, rule in rules.items()} == {
        "mfa_push": (9, "critical"),
        "mfa_code": (7, "high"),
        "spray": (7, "high"),
    }


def test_of_two_globs_the_later_counts_setting_by_setting(folder: Path) -> None:
    rules = _rules(
        folder,
        """
        '*': {params: {n: 7}, level: high, labels: {team: one, shift: day}}
        mfa_*: {params: {n: 8}, labels: {team: two}}
        """,
    )

    assert rules["mfa_push"].params["n"] == 8
    assert rules["mfa_push"].severity == "high"
    assert rules["mfa_push"].labels == {"team": "two", "shift": "day", "kind": "mfa_push"}
    assert rules["spray"].labels == {"team": "one", "shift": "day", "kind": "spray"}


def test_a_rule_can_be_switched_on_again_by_its_name(folder: Path) -> None:
    assert set(_rules(folder, "'*': {enabled: false}\nspray: {enabled: true}\n")) == {"spray"}


def test_a_param_that_only_some_rules_of_a_glob_have_is_set_for_those(folder: Path) -> None:
    rules = _rules(folder, "mfa_*: {params: {window: 20m}}")

    assert rules["mfa_code"].params["window"] == "20m"
    assert rules["mfa_code"].timespan_ms == 1_200_000


def test_a_param_of_a_glob_that_a_name_overrules_is_still_known(folder: Path) -> None:
    rules = _rules(folder, "mfa_*: {params: {window: 20m}}\nmfa_code: {params: {window: 30m}}\n")

    assert rules["mfa_code"].params["window"] == "30m"


@pytest.mark.parametrize("key", ["level", "severity"])
def test_level_has_its_old_name_too(folder: Path, key: str) -> None:
    assert _rules(folder, f"spray: {{{key}: critical}}")["spray"].severity == "critical"


@pytest.mark.parametrize(
    ("overlay", "told"),
    [
        ("spary: {enabled: false}", ['1:1: there is no rule "spary"; did you mean "spray"?']),
        ("spray: {enable: false}", [
            '1:9: unknown key "enable" in the overlay of "spray"; did you mean "enabled"?',
        ]),
        ("spray: {enabled: no}", ["1:18: enabled must be true or false, not 'no'"]),
        ("spray: off", ["1:8: spray must be a map, not 'off'"]),
        ("- spray", ["1:1: an overlay is a map from rule ids or names; begin with one"]),
        ("spray: {level: hgih}", ['1:16: unknown level "hgih"; did you mean "high"?']),
        ("spray: {level: low, severity: high}", ["1:31: level and severity are the same here; keep level"]),
        ("spray: {params: {n: 1}}", ['1:21: param "n" must be at least 2, not 1']),
        ("spray: {params: {n: 10m}}", [
            '1:21: param "n" is a number, like its default 5',
        ]),
        ("spray: {params: {n: '4'}}", [
            '1:21: param "n" is a number, like its default 5; remove the quotes',
        ]),
        ("spray: {params: {n: $w}}", ['1:21: param "n" is a number, like its default 5']),
        ("spray: {params: {n: [3, 4]}}", ['1:22: param "n" is a number, like its default 5']),
        ("spray: {params: {m: 10}}", ['1:18: unknown param "m"; known are n']),
        ("spray: {params: [n]}", ["1:17: params must be a map; this is a list"]),
        ("spray: {params: {n: {default: 7}}}", [
            "1:21: n must be a list of texts; an unquoted {…} is a map in YAML, put it in quotes",
        ]),
        ("spray: {labels: [team]}", ["1:17: labels must be a map; this is a list"]),
        ("mfa_*: {params: {n: 100}}", ['1:21: param "mfa_push.n" must be at most 50, not 100']),
        ("mfa_*: {params: {treshold: 9}}", [
            '1:18: no rule called like "mfa_*" has a param "treshold"; `tocsin rules params` lists them all',
        ]),
        ("spray: {enabled: false}\nspray: {enabled: true}", [
            '2:1: duplicate key "spray"; it stands in line 1 already, keep one',
        ]),
    ],
)  # fmt: skip
def test_a_mistake_is_told_of_the_overlay(folder: Path, overlay: str, told: list[str]) -> None:
    assert _told(folder, overlay) == told


def test_a_param_of_a_rule_without_any_is_told_so(folder: Path) -> None:
    text = (
        "title: t\nname: plain\nlogsource: {product: auth0}\ndetection: {s: {data.type: fp}, condition: s}\n"
    )
    (folder / "rules" / "plain.yml").write_text(text)

    assert _told(folder, "plain: {params: {n: 3}}") == [
        '1:18: unknown param "n"; the rule has no params; remove it'
    ]


def test_a_glob_that_no_rule_is_called_like_is_a_warning(folder: Path) -> None:
    (folder / "overlay.yml").write_text("\nmaf_*: {enabled: false}\n")

    loaded = load([folder / "rules"], overlay=folder / "overlay.yml")

    assert [(warning.line, warning.message) for warning in loaded.ruleset.warnings] == [
        (2, 'no rule is called like "maf_*"; known are mfa_code, mfa_push, spray')
    ]
    assert len(loaded.ruleset.rules) == 3
