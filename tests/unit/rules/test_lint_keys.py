"""Keys that are misspelt, misplaced or empty: valid to Sigma, and told all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.errors import RuleErrors
from tocsin.rules.load import load

RULE = (
    "title: r\nname: r\nlogsource: {product: auth0}\nlevel: low\ndetection: {s: {type: fp}, condition: s}\n"
)
COUNT = (
    f"{RULE}---\ntitle: c\nname: c\ncorrelation: {{type: event_count, rules: [r], timespan: 1m, "
    "condition: {gte: 5}}\n"
)


def told(tmp_path: Path, text: str) -> list[str]:
    """The warnings of one file."""
    file = tmp_path / "rule.yml"
    file.write_text(text)
    return [warning.message for warning in load([file]).ruleset.warnings]


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("toscin: {correlate: {type: event_count, timespan: 1m, condition: {gte: 50}}}", "tocsin"),
        ("tocisn: {}", "tocsin"),
        ("nmae: x", "name"),
        ("satuts: stable", "status"),
    ],
)
def test_two_letters_in_the_wrong_order_are_told(tmp_path: Path, line: str, meant: str) -> None:
    key = line.partition(":")[0]
    text = RULE.replace("name: r\n", "")

    assert told(tmp_path, f"{text}{line}\n") == [
        f'"{key}" means nothing in the rule; did you mean "{meant}"?'
    ]


@pytest.mark.parametrize("key", ["levle", "lvl", "leevl"])
def test_a_level_that_is_misspelt_is_told(tmp_path: Path, key: str) -> None:
    assert told(tmp_path, RULE.replace("level", key)) == [
        f'"{key}" means nothing in the rule; did you mean "level"?'
    ]


@pytest.mark.parametrize("key", ["correlate", "alert", "params", "tests", "prefixes"])
def test_a_key_that_belongs_below_tocsin_is_told(tmp_path: Path, key: str) -> None:
    assert told(tmp_path, f"{RULE}{key}: {{}}\n") == [
        f'"{key}" means nothing in the rule; it belongs into tocsin, indent it below'
    ]


@pytest.mark.parametrize(
    "line", ["group-by: [data.ip]", "timespan: 5m", "aliases: {}", "allow_missing: true"]
)
def test_a_key_that_belongs_below_correlation_is_told(tmp_path: Path, line: str) -> None:
    told_of = f'"{line.partition(":")[0]}" means nothing in the rule; it belongs into'

    assert told(tmp_path, f"{COUNT}{line}\n") == [f"{told_of} correlation, indent it below"]
    assert told(tmp_path, f"{RULE}{line}\n") == [f"{told_of} tocsin.correlate, indent it below"]


@pytest.mark.parametrize(("key", "meant"), [("group_by", "group-by"), ("window", "timespan")])
def test_one_that_is_misspelt_there_is_told(tmp_path: Path, key: str, meant: str) -> None:
    expected = f'did you mean "{meant}"? It belongs into correlation, indent it below'

    assert told(tmp_path, f"{COUNT}{key}: 5m\n") == [f'"{key}" means nothing in the rule; {expected}']


def test_a_condition_beside_a_correlation_is_told_of_the_correlation(tmp_path: Path) -> None:
    assert told(tmp_path, f"{COUNT}condition: {{gte: 9}}\n") == [
        "condition belongs into correlation, indent it below"
    ]


@pytest.mark.parametrize("line", ["rules: any", "type: query", "team: blue", "simulation: []", "window: 5m"])
def test_keys_of_other_tools_are_tolerated(tmp_path: Path, line: str) -> None:
    assert told(tmp_path, f"{RULE}{line}\n") == []


@pytest.mark.parametrize("written", ["", "[]"])
def test_a_group_by_without_a_field_is_told(tmp_path: Path, written: str) -> None:
    counting = f"{{type: event_count, group-by: {written}, timespan: 1m, condition: {{gte: 5}}}}"
    shorthand = f"tocsin:\n  correlate: {counting}\n"
    expected = ["group-by is empty, so all events are one group; name its fields, or remove it"]

    assert told(tmp_path, RULE + shorthand) == expected
    assert told(tmp_path, COUNT.replace("timespan", f"group-by: {written}, timespan")) == expected


def test_a_correlate_that_is_empty_is_told(tmp_path: Path) -> None:
    assert told(tmp_path, f"{RULE}tocsin: {{correlate: }}\n") == [
        "correlate is empty, so every match is an alert; write what to count, or remove it"
    ]


def test_what_a_filter_says_below_tocsin_is_told(tmp_path: Path) -> None:
    narrowing = (
        "---\ntitle: f\nlogsource: {product: auth0}\nfilter: {rules: [r], s: {ip: a}, condition: not s}\n"
    )

    assert told(tmp_path, f"{RULE}{narrowing}tocsin: {{pramas: {{a: 1}}}}\n") == [
        "nothing reads tocsin in a filter; remove it, and fit the rule itself by an overlay"
    ]


def test_a_param_that_a_correlation_document_names_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "rule.yml").write_text(
        COUNT.replace("gte: 5", "gte: $n") + "tocsin: {params: {n: {default: 5}, m: {default: 1}}}\n"
    )

    with pytest.raises(RuleErrors) as caught:
        load([tmp_path / "rule.yml"])

    assert len(caught.value.errors) == 1
    assert [warning.message for warning in caught.value.warnings] == [
        'nothing uses the param "m"; write $m where it counts, or remove it'
    ]


VIEW = "is a name of the normalised view, and no {} record has it; add taxonomy: ecs, or write the name that"


@pytest.mark.parametrize("product", ["auth0", "frontegg"])
@pytest.mark.parametrize("name", ["event.action", "source.ip"])
def test_a_name_of_the_normalised_view_without_its_taxonomy_is_told(
    tmp_path: Path, product: str, name: str
) -> None:
    asked = RULE.replace("auth0", product).replace("{type: fp}", f"{{{name}: x}}")
    grouped = f"{RULE.replace('auth0', product)}tocsin: {{alert: {{key: [{name}]}}}}\n"
    expected = [f'"{name}" {VIEW.format(product)} the record has']

    assert told(tmp_path, asked) == expected
    assert told(tmp_path, grouped) == expected
    assert told(tmp_path, asked.replace("level:", "taxonomy: ecs\nlevel:")) != expected


@pytest.mark.parametrize("item", ["user.id: x", "user: x", "email: x", "message: x"])
def test_a_name_of_the_view_that_a_record_has_is_none(tmp_path: Path, item: str) -> None:
    text = RULE.replace("auth0", "frontegg").replace("{type: fp}", f"{{{item}}}")

    assert told(tmp_path, text) == []


def test_an_alert_that_can_never_last_long_enough_is_told(tmp_path: Path) -> None:
    alert = "tocsin: {alert: {for: 5m, resolve_after: 0s}}\n"

    assert told(tmp_path, RULE + alert) == [
        (
            "with resolve_after: 0s every alert is one instant, so none lasts long enough to fire; "
            "remove for, or raise resolve_after"
        )
    ]
    assert told(tmp_path, RULE + alert.replace("0s", "1s")) == []
    assert told(tmp_path, RULE + alert.replace("5m", "0s")) == []


@pytest.mark.parametrize("field", ["ip", "data.ip", "[ip, data.ip]"])
def test_a_counted_field_that_groups_under_another_spelling_is_told(tmp_path: Path, field: str) -> None:
    counting = f"group-by: [data.ip], timespan: 1m, condition: {{gte: 5, field: {field}}}"

    (message,) = told(tmp_path, f"{RULE}tocsin: {{correlate: {{type: value_count, {counting}}}}}\n")

    assert message.endswith("so the count is always 1; count another field")


def test_a_severity_below_the_level_of_the_counted_rules_is_told(tmp_path: Path) -> None:
    bounds = "tocsin: {alert: {severity: [{gte: 20, is: medium}, {gte: 50, is: critical}]}}\n"
    text = COUNT.replace("level: low", "level: high") + bounds

    assert told(tmp_path, text) == [
        (
            "severity never falls, and without a level of its own the rule's is high: medium changes "
            "nothing; write level, or remove it"
        )
    ]
    assert told(tmp_path, f"{text}level: low\n") == []


def test_two_params_that_set_the_same_are_told(tmp_path: Path) -> None:
    params = "tocsin: {params: {n: {set: correlation.condition.gte}, m: {set: correlation.condition.gte}}}\n"

    assert told(tmp_path, COUNT + params) == [
        '"n" sets correlation.condition.gte, too, and the later one counts; remove one'
    ]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("u: contains|x", ['"contains|x" is compared as text; write "u|contains: x"']),
        ("u: [a, 're|x|y']", ['"re|x|y" is compared as text; write "u|re: x|y"']),
        ("u: ^admin.*$", ["\"^admin.*$\" is compared as text; for a regular expression write 'u|re'"]),
        ("u: admin%", ['"admin%" is compared as text; for any run of characters write *, not %']),
        ("'u:contains': x", ['"u:contains" is read as a field; for the modifier write "u|contains"']),
        ("u: 50%", []),
        ("u: a | b", []),
        ("u: ls|x", []),
        ("u: ^x", []),
        ("u|contains: admin%", []),
        ("u|re: ^admin.*$", []),
        ("'u:other': x", []),
    ],
)
def test_words_of_other_tools_in_a_value_are_told(tmp_path: Path, item: str, expected: list[str]) -> None:
    assert told(tmp_path, RULE.replace("{type: fp}", f"{{{item}}}")) == expected


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("fp|fu", "write a list: [fp, fu]"),
        ("fp fu", "write a list: [fp, fu]"),
        ("fp, fu", "write a list: [fp, fu]"),
        ("\n            fp\n            fu", "write a list: [fp, fu]"),
        ("fp|nothing_alike", "look it up with `tocsin events`"),
    ],
)
def test_several_codes_in_one_text_are_a_list(tmp_path: Path, written: str, hint: str) -> None:
    text = RULE.replace(
        "{s: {type: fp}, condition: s}", f"\n    s:\n        type: '{written}'\n    condition: s"
    )

    (message,) = told(tmp_path, text)

    assert message.endswith(f"; {hint}")
