"""Lints: what is valid and surely not meant, and what is like it and meant."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from tocsin.alerts.facts import headline_facts
from tocsin.errors import RuleErrors
from tocsin.model.alert import Alert
from tocsin.rules.lints.headline import NAMES
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
AS_TEXT = 'is compared as text, and an IPv6 address is written in many ways; write "ip|cidr"'
SPACELESS = 'is looked for as text in all fields; for a field and its value write "type: fp", with the space'
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
        ("{u: yes}", "yes is text here, not true; write true, or 'yes' in quotes for the text"),
        ("{u: [a, Off]}", "Off is text here, not false; write false, or 'Off' in quotes for the text"),
        (
            "{u|exists: true}",
            '"u|exists: true" is true of a null, too; write "u|neq: null" if it must have a value',
        ),
        ("{u|exists: false}", '"u|exists: false" is not true of a null; write "u: null" for absent or null'),
        ("[type:fp]", f'"type:fp" {SPACELESS}'),
        ("{u.contains: a}", '"u.contains" is read as a field; for the modifier write "u|contains"'),
        (
            "{u|contains: ''}",
            'every text holds the empty one; write what to look for, or "u|neq: null" for any value',
        ),
        (
            "{u|re: '/^a/i'}",
            "the slashes are part of the pattern; write 'u|re|i' and the pattern alone",
        ),
        (
            "{ip: 192.0.2.0/24}",
            '"192.0.2.0/24" is compared as text, which no address equals; write "ip|cidr"',
        ),
        ("{ip: '::ffff:192.0.2.1'}", f'"::ffff:192.0.2.1" {AS_TEXT}'),
        ("{ip: '2001:DB8:0::1'}", f'"2001:DB8:0::1" {AS_TEXT}'),
        (
            "{ip|startswith: 192.0.2}",
            '"192.0.2" also begins 192.0.20 to 192.0.29; end it with a dot, or write ip|cidr',
        ),
        (
            "{ip|cidr: '::/0'}",
            (
                "::/0 holds no IPv4 address: those written ::ffff:a.b.c.d are compared as IPv4; "
                "add 0.0.0.0/0 for all of them"
            ),
        ),
        ("{date|hour: 25}", "hour is from 0 to 23, never 25; write one of these"),
        ("{date|month|gte: 14}", "month is from 1 to 12, never 14; write one of these"),
        (
            "{date|hour|gte: 22, date|hour|lte: 6}",
            "no value is above 22 and below 6 at once; write two selections, and join them with or",
        ),
        (
            "{data.user_nmae: x}",
            'no auth0 record has a field "user_nmae", so it is never there; did you mean "user_name"?',
        ),
        (
            "{location_inf.city_name: x}",
            (
                'no auth0 record has a field "location_inf", so it is never there; '
                'did you mean "location_info"?'
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
        "{u: 'yes'}",
        "{u: [true, 'off']}",
        "{u|exists: true, u|startswith: a}",
        "['type:fp', 'https://example.com', 10:30]",
        "{a.all: 1, b.i: 2, c.month: 3}",
        "{u|contains: ' '}",
        "{u|re: 'a/b'}",
        "{u|re: '/v[12]/users/'}",
        "{ip: 192.0.2.1}",
        "{u: a/b, v: '10:30'}",
        "{ip|startswith: 192.0.2.}",
        "{ip|cidr: ['2001:db8::/32', '::ffff:192.0.2.0/120']}",
        "{date|hour: [0, 23], date|hour|lt: 24}",
        "{date|hour|gte: 6, date|hour|lte: 22}",
        "{n|gte: 5, n|lte: 5}",
        "{data.user_name: x, details.usernam: y, color: z, data.client: a, data.session: b}",
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


GROUP = 'the alert\'s group has no "data"; '
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
        "type: value_count, group-by: [ip], condition: {gte: 2, field: [ip, user_name]}",
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


def test_a_param_that_is_misspelt_where_it_is_used_is_not_told_as_unused(tmp_path: Path) -> None:
    file = tmp_path / "rule.yml"
    file.write_text(
        _selection("{u: x}", "tocsin: {params: {window: {default: 10m}, spare: {default: 5}}, ")
        + "correlate: {type: event_count, timespan: $windw, condition: {gte: 3}}}"
    )

    with pytest.raises(RuleErrors) as caught:
        load([file])

    assert [error.message for error in caught.value.errors] == [
        'unknown param "$windw"; did you mean "window"?'
    ]
    assert [warning.message for warning in caught.value.warnings] == [
        'nothing uses the param "spare"; write $spare where it counts, or remove it'
    ]


@pytest.mark.parametrize(
    ("alert", "messages"),
    [
        (
            "{title: '{{ scroe }} from {{ group.data.ip }}'}",
            ['the title has no "scroe"; did you mean "score"?', GROUP + 'write group["data.ip"]'],
        ),
        ("{title: '{{ group[\"data.pi\"] }}'}", [
            'the alert\'s group has no "data.pi"; did you mean "data.ip"?'
        ]),
        ("{title: '{{ params.treshold }}'}", [
            'the title names a param "treshold"; did you mean "threshold"?'
        ]),
        ("{title: '{{ score }} {{ group[\"data.ip\"] }} {{ params.threshold }} {{ timespan }}'}", []),
        ("{title: '{{ trigger[\"data.ip\"] }}', context: [data.ip]}", []),
        ("{title: '{{ trigger[\"data.user_name\"] }}', context: [data.ip]}", [
            'the title names trigger["data.user_name"]; write data.user_name in the alert\'s context, too'
        ]),
        ("{title: '{% for f, v in group.items() %}{{ f }} {{ v }}{% endfor %}'}", []),
    ],
)  # fmt: skip
def test_a_title_that_names_what_is_not_there(tmp_path: Path, alert: str, messages: list[str]) -> None:
    text = _selection("{type: fp}", "tocsin:\n    params: {threshold: {default: 5}}\n")
    text += "    correlate: {type: event_count, group-by: [data.ip], timespan: 1m, "
    text += f"condition: {{gte: $threshold}}}}\n    alert: {alert}\n"

    assert told(tmp_path, text) == [f"10: {message}" for message in messages]


def test_a_title_of_alerts_about_the_whole_rule_has_no_group(tmp_path: Path) -> None:
    text = _selection("{type: fp}", "tocsin: {alert: {title: '{{ group[\"data.ip\"] }}'}}\n")

    assert told(tmp_path, text) == [
        '7: the title names group["data.ip"], but its alerts are about the whole rule; group by it first'
    ]


def test_the_names_of_a_title_are_those_that_a_title_is_given(tmp_path: Path) -> None:
    alert = Alert(
        id="1",
        fingerprint="f",
        tenant="t",
        rule="r",
        rule_id="r",
        severity="low",
        started_ms=0,
        last_ms=0,
        score=1,
    )

    assert set(headline_facts(alert)) == set(NAMES)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("title: one", "title: one\nTocsin: {}", (
            '"Tocsin" means nothing in the rule; did you mean "tocsin"?'
        )),
        ("title: one", "title: one\nfalse_positives: a", (
            '"false_positives" means nothing in the rule; did you mean "falsepositives"?'
        )),
        ("title: one", "title: one\nseverity: high", (
            '"severity" means nothing in the rule; did you mean "level"?'
        )),
        ("{product: auth0}", "{product: auth0, catgory: x}", (
            '"catgory" means nothing in logsource; did you mean "category"?'
        )),
        ("title: one", "title: one\nour_own_key: 5\ndate: 2025-01-01", None),
    ],
)  # fmt: skip
def test_a_key_that_is_nearly_one_that_means_something(
    tmp_path: Path, before: str, after: str, message: str | None
) -> None:
    found = told(tmp_path, _selection("{u: x}").replace(before, after))

    assert [one.partition(" ")[2] for one in found] == ([message] if message else [])


def test_a_field_that_groups_is_counted_or_shown_is_judged_like_one_that_is_asked_about(
    tmp_path: Path,
) -> None:
    counting = (
        "type: value_count, group-by: [data.hostnam, data.usr_name], condition: {gte: 5, field: client_di}"
    )
    text = _counted(counting, "{context: [data.user_agnet, data.description]}")

    never = "no auth0 record has a field"
    assert [message.partition(": ")[2].partition(", so")[0] for message in told(tmp_path, text)] == [
        f'{never} "hostnam"', f'{never} "usr_name"', f'{never} "client_di"', f'{never} "user_agnet"',
    ]  # fmt: skip


NEVER = "so it is never there"
BY_NETWORK = "tocsin.prefixes: {data.ip: 64} for networks"
NO_SOURCE = "without a logsource the rule reads every event of every product"
NO_MODIFIER = "is read as the name of a field, which takes no modifier here"


@pytest.mark.parametrize(
    ("counting", "alert", "messages"),
    [
        (
            "type: event_count, group-by: [data.ipp], condition: {gte: 5}",
            "{}",
            [f'no auth0 record has a field "ipp", {NEVER}; did you mean "ip"?'],
        ),
        (
            "type: event_count, condition: {gte: 5}",
            "{context: [data.usr]}",
            [f'no auth0 record has a field "usr", {NEVER}; did you mean "user_id"?'],
        ),
        (
            "type: value_count, condition: {gte: 5, field: data.xyzzy}",
            "{}",
            [f'no auth0 record has a field "xyzzy", {NEVER}; write one of its own, like data.ip'],
        ),
        (
            "type: first_seen, field: data.zzz, group-by: [ip], learn: 1h",
            "{}",
            [f'no auth0 record has a field "zzz", {NEVER}; write one of its own, like data.ip'],
        ),
        (
            "type: event_count, group-by: [data.ip|prefix], condition: {gte: 5}",
            "{}",
            [f'"data.ip|prefix" {NO_MODIFIER}; write "data.ip", and {BY_NETWORK}'],
        ),
        (
            "type: event_count, group-by: [data.user_name|cased], condition: {gte: 5}",
            "{}",
            [f'"data.user_name|cased" {NO_MODIFIER}; write "data.user_name"'],
        ),
        ("type: event_count, group-by: [data.details.xyzzy.usr], condition: {gte: 5}", "{}", []),
        ("type: event_count, group-by: [tocsin.category], condition: {gte: 5}", "{}", []),
    ],
)
def test_a_name_that_no_record_has_neither_groups_nor_is_counted_or_shown(
    tmp_path: Path, counting: str, alert: str, messages: list[str]
) -> None:
    text = _counted(counting, alert)
    if counting.startswith("type: first_seen"):
        text = text.replace("timespan: 1m, ", "")

    assert [message.partition(": ")[2] for message in told(tmp_path, text)] == messages


def test_a_field_of_another_product_is_nobodys_business(tmp_path: Path) -> None:
    text = _counted("type: event_count, group-by: [TargetUserName], condition: {gte: 5}")

    assert "TargetUserName" not in "".join(told(tmp_path, text.replace("product: auth0", "product: windows")))


def test_a_modifier_groups_in_no_correlation(tmp_path: Path) -> None:
    text = _selection("{u: x}") + (
        "---\ntitle: c\ncorrelation: {type: event_count, rules: [one], group-by: [ip|cidr], timespan: 1h, "
        "condition: {gte: 2}}\n"
    )

    assert told(tmp_path, text) == [
        f'9: "ip|cidr" {NO_MODIFIER}; write "ip", and tocsin.prefixes: {{ip: 64}} for networks'
    ]


@pytest.mark.parametrize(
    ("before", "after", "messages"),
    [
        (
            "logsource: {product: auth0}\n",
            "",
            [f"{NO_SOURCE}; write logsource: {{product: auth0}}"],
        ),
        ("logsource: {product: auth0}\n", "taxonomy: ecs\n", []),
        ("logsource: {product: auth0}\n", "logsource: {product: frontegg}\n", []),
        (
            "name: one\n",
            "status: ok\n",
            ['unknown status "ok"; known are deprecated, experimental, stable, test, unsupported'],
        ),
        ("name: one\n", "status: stabel\n", ['unknown status "stabel"; did you mean "stable"?']),
        ("name: one\n", "status: Stable\n", []),
        ("name: one\n", "status:\n", []),
    ],
)
def test_whose_events_and_how_far_to_trust_it(
    tmp_path: Path, before: str, after: str, messages: list[str]
) -> None:
    field = "source.ip" if "ecs" in after else "u"
    text = _selection(f"{{{field}: x}}").replace(before, after)

    assert [message.partition(": ")[2] for message in told(tmp_path, text)] == messages


@pytest.mark.parametrize(
    ("event", "messages"),
    [
        ("{at: 0s, typ: fp}", ['no auth0 record has a field "typ"; did you mean "type"?']),
        ("{at: 0s, repeat: 2, evry: 1s, every: 1s, type: fp}", []),
        ("{at: 0s, typ: fp, provider: frontegg}", []),
        ("{at: 0s, type: fp, whatever: 1, my_typ: 2}", []),
    ],
)
def test_a_key_of_a_tests_event_that_is_nearly_a_field(
    tmp_path: Path, event: str, messages: list[str]
) -> None:
    text = _selection("{type: fp}", f"tocsin: {{tests: [{{name: t, events: [{event}], expect: []}}]}}\n")

    assert [message.partition(": ")[2] for message in told(tmp_path, text)] == messages


def test_a_rule_that_a_correlation_names_twice(tmp_path: Path) -> None:
    text = _selection("{u: x}") + (
        "---\ntitle: c\n"
        "correlation: {type: event_count, rules: [one, one], timespan: 1h, condition: {gte: 2}}\n"
    )

    assert told(tmp_path, text) == ['9: "one" is named twice; name it once']


def test_a_param_in_a_selection_takes_expand(tmp_path: Path) -> None:
    text = _selection("{u: $us}", "tocsin: {params: {us: {default: x}}}\n")

    assert told(tmp_path, text) == [
        "5: \"$us\" is filled in only below tocsin; write '%us%', and the field as field|expand"
    ]


@pytest.mark.parametrize(
    ("product", "messages"),
    [
        ("auth00", ['3: no provider is called "auth00", so no event can match; did you mean "auth0"?']),
        (
            "windows",
            [
                (
                    '3: no source reads the product "windows", so the rule sees no event; '
                    "there are auth0, ecs, frontegg"
                )
            ],
        ),
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


def _documented() -> list[tuple[str, str]]:
    """The table of selections on the page about rule tools: `(written, told)`."""
    lines = (ROOT / "docs" / "rule-tools.md").read_text().splitlines()
    begins = lines.index("| written | told |") + 2
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[begins:])
    cells = (re.split(r" (?<!\\)\| ", row.strip("| ").replace("\\|", "\0")) for row in rows)
    return [(written.strip("`").replace("\0", "|"), said.replace("\0", "|")) for written, said in cells]


@pytest.mark.parametrize(("written", "said"), _documented(), ids=lambda text: text[:30])
def test_the_page_tells_what_the_program_tells(tmp_path: Path, written: str, said: str) -> None:
    (message,) = told(tmp_path, _selection(written))

    assert said in message


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
