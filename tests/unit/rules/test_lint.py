"""Lints: what is valid and surely not meant, and what is like it and meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.rules.load import load

HEAD = "title: one\nname: one\nlogsource: {product: auth0}\n"
ROOT = Path(__file__).parents[3]


def told(tmp_path: Path, text: str) -> list[str]:
    """The warnings of one file, each with its line."""
    file = tmp_path / "rule.yml"
    file.write_text(text)
    return [f"{warning.line}: {warning.message}" for warning in load([file]).ruleset.warnings]


def _selection(items: str, rest: str = "") -> str:
    return f"{HEAD}detection:\n    s: {items}\n    condition: s\n{rest}"


def _counted(counting: str, alert: str = "{}", level: str = "low") -> str:
    return _selection(
        "{type: fp}",
        f"level: {level}\ntocsin:\n    correlate: {{timespan: 1m, {counting}}}\n    alert: {alert}\n",
    )


NOTHING = "has no value here, which matches events without it; write a value, or null to say so"
PLACEHOLDER = "is a placeholder that no event says; put your own value there"
EXPAND = "is filled in only with expand; write the field as field|expand"


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("{u: '{tenant}'}", f'"{{tenant}}" {PLACEHOLDER}'),
        ("{u|endswith: '@{your domain}'}", f'"{{your domain}}" {PLACEHOLDER}'),
        ("{u: [x, '<YOUR_TENANT>']}", f'"<YOUR_TENANT>" {PLACEHOLDER}'),
        ("['{word}']", f'"{{word}}" {PLACEHOLDER}'),
        ("'{word}'", f'"{{word}}" {PLACEHOLDER}'),
        ("[{u: '{a}'}]", f'"{{a}}" {PLACEHOLDER}'),
        ("{u: '%admins%'}", f'"%admins%" {EXPAND}'),
        ("{u: }", f'"u" {NOTHING}'),
        (
            "{u|neq: x}",
            (
                'neq is also true of an event without "u"; add null to its values, or "u|neq: null" '
                "beside it, if the field must be there"
            ),
        ),
        (
            "{u|neq: x, u|exists: true}",
            (
                '"u|exists: true" is true of a null, too, and so is this neq; add null to its values, or '
                '"u|neq: null" beside it, if the field must be there'
            ),
        ),
        (
            "{'a.b{}.x': 1, 'a.b{}.y': 2}",
            (
                '"a.b{}.x" and "a.b{}.y" may be true of different members of the array; ask '
                "about one of them, or write a selection each to say so"
            ),
        ),
    ],
)
def test_a_selection_that_is_surely_not_meant(tmp_path: Path, items: str, message: str) -> None:
    assert told(tmp_path, _selection(items)) == [f"5: {message}"]


@pytest.mark.parametrize(
    "items",
    [
        "{u|re: '[{]a}'}",
        "{u: '{}'}",
        "{u: '50% off, 10% tax'}",
        "{u: '<script>'}",
        "{u: $money}",
        "{u|neq: [x, null]}",
        "{u: null}",
        "{u: ~}",
        "{u: ''}",
        "{u|neq: null}",
        "{u|contains|neq: x, u|neq: null}",
        "{u|neq: x, u|startswith: y}",
        "{u|neq: x, u|re: y}",
        "{'a{}.x': 1, 'b{}.y': 2}",
        "[{'a{}.x': 1}, {'a{}.y': 2}]",
        "{'a{}': 1}",
    ],
)
def test_a_selection_that_may_be_meant(tmp_path: Path, items: str) -> None:
    assert told(tmp_path, _selection(items)) == []


def test_neq_with_null_does_what_its_warning_promises(tmp_path: Path) -> None:
    """The way out is one: an event without the field, or with a null in it, is not matched."""
    from tocsin.sources.decode import Decoder

    file = tmp_path / "rule.yml"
    for items in ("{u|neq: [x, null]}", "{u|contains|neq: x, u|neq: null}"):
        file.write_text(_selection(items))
        (made,) = load([file]).made
        records = b'{"log_id": "1", "date": "2025-01-06T12:00:00Z"%s}\n'
        lines = b"".join(records % more for more in (b"", b', "u": null', b', "u": "x"', b', "u": "y"'))
        events, _ = Decoder(made.fields).decode_body(lines, now_ms=None)
        matches = made.compiled.matchers[0].matches
        assert matches is not None
        assert [matches(event) for event in events] == [False, False, False, True]


FIRST = "the condition is true at the first event already; raise its threshold, or drop the correlation"


@pytest.mark.parametrize(
    ("counting", "message"),
    [
        ("type: event_count, condition: {gte: 0}", FIRST),
        ("type: event_count, condition: {gt: 0}", FIRST),
        ("type: event_count, condition: {neq: 0}", FIRST),
        ("type: event_count, condition: {gte: 1, lte: 1000000}", FIRST),
        (
            "type: value_count, group-by: [ip], condition: {gte: 2, field: ip}",
            "each group has one value of ip, so the count is always 1; count another field",
        ),
    ],
)
def test_a_correlation_that_says_nothing(tmp_path: Path, counting: str, message: str) -> None:
    assert told(tmp_path, _counted(counting)) == [f"9: {message}"]


@pytest.mark.parametrize(
    "counting",
    [
        "type: event_count, condition: {gte: 2}",
        "type: event_count, condition: {lt: 5}",
        "type: event_count, condition: {neq: 1}",
        "type: event_count, condition: {eq: 1}",
        "type: value_count, group-by: [ip], condition: {gte: 2, field: [ip, u]}",
    ],
)
def test_a_correlation_that_says_something(tmp_path: Path, counting: str) -> None:
    assert told(tmp_path, _counted(counting)) == []


TEN = "type: event_count, condition: {gte: 10}"
RANGE = "type: event_count, condition: {gte: 10, lte: 20}"


@pytest.mark.parametrize(
    ("counting", "severity", "message"),
    [
        (TEN, "{gte: 10, is: high}", "every alert scores 10 at least, so it is always high"),
        (RANGE, "{gte: 21, is: high}", "no alert scores 21, so it is never high"),
        (
            TEN,
            "{gte: 50, is: low}",
            "severity never falls, and level is low already: low changes nothing",
        ),
    ],
)
def test_a_severity_bound_that_changes_nothing(
    tmp_path: Path, counting: str, severity: str, message: str
) -> None:
    alert = f"{{severity: [{severity}]}}"

    assert told(tmp_path, _counted(counting, alert)) == [f"10: {message}; change the bound, or remove it"]


def test_a_severity_bound_where_nothing_is_counted(tmp_path: Path) -> None:
    text = _selection("{type: fp}", "tocsin: {alert: {severity: [{gte: 5, is: high}]}}\n")

    assert told(tmp_path, text) == [
        "7: without a correlation every score is 1; change the bound, or remove it",
    ]


@pytest.mark.parametrize(
    ("counting", "severity"),
    [(TEN, "{gte: 11, is: high}"), (RANGE, "{gte: 20, is: high}"), (RANGE, "{gte: 15, is: high}")],
)
def test_a_severity_bound_that_says_something(tmp_path: Path, counting: str, severity: str) -> None:
    assert told(tmp_path, _counted(counting, f"{{severity: [{severity}]}}")) == []


def test_a_param_that_nothing_names(tmp_path: Path) -> None:
    params = "tocsin: {params: {us: {default: x}, them: {default: y}, n: {default: 5}, w: {default: 1m}}, "
    params += "alert: {title: 'of {{ params.w }}'}, "
    params += "correlate: {type: event_count, timespan: 1m, condition: {gte: $n}}}"

    assert told(tmp_path, _selection("{u|expand: '%us%'}", params)) == [
        '7: nothing uses the param "them"; write $them where it counts, or remove it'
    ]


def test_a_param_in_a_selection_takes_expand(tmp_path: Path) -> None:
    text = _selection("{u: $us}", "tocsin: {params: {us: {default: x}}}\n")

    assert told(tmp_path, text) == [
        "5: \"$us\" is filled in only below tocsin; write '%us%', and the field as field|expand"
    ]


@pytest.mark.parametrize(
    ("product", "messages"),
    [
        ("auth00", ['3: no provider is called "auth00", so no event can match; did you mean "auth0"?']),
        ("windows", []),
        ("Auth0", []),
    ],
)
def test_a_product_that_is_nearly_one_of_ours(tmp_path: Path, product: str, messages: list[str]) -> None:
    text = _selection("{u: x}").replace("product: auth0", f"product: {product}")

    assert told(tmp_path, text) == messages


def test_a_filter_is_judged_like_a_rule(tmp_path: Path) -> None:
    text = _selection("{type: fp}") + (
        "---\ntitle: f\nlogsource: {product: auth0}\n"
        "filter: {rules: [one], o: {u: '%x%'}, condition: not o}\n"
    )

    assert told(tmp_path, text) == [f'10: "%x%" {EXPAND}']


def test_of_the_files_from_elsewhere_only_real_findings_are_told() -> None:
    folder = ROOT / "tests" / "data" / "okta"
    files = [file for file in folder.glob("*.yml") if not file.name.startswith("client_with")]

    warnings = load(files).ruleset.warnings

    assert sorted((Path(warning.file).name, warning.message) for warning in warnings) == [
        (
            "logins_or_signups_from_suspicious_ips.yml",
            f'"data.type" {NOTHING}',
        ),
        ("refresh_token_from_too_many_locations.yml", FIRST),
        ("risk_of_signup_fraud_by_disposable_domains.yml", FIRST),
    ]
