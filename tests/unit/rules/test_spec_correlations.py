"""Section 2 of the rule language, where no other test says it: what is counted, and what an alert is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tocsin.clock import iso
from tocsin.model.alert import NEVER_MS, Alert, ChangeKind
from tocsin.model.compiled import RuleSet, WindowSpec
from tocsin.model.ledger import Seen
from tocsin.protocols import Batch
from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.load import load_rules
from tocsin.sources.decode import Decoder
from tocsin.state.windows_memory import MemoryWindows
from tocsin.tune.replay import replay

LoadText = Callable[..., RuleSet]
Record = dict[str, Any]

BASE_MS = 1_700_000_000_000
MINUTES = 60
DAYS = 24 * 60 * MINUTES
HEAD = (
    "title: t\nlogsource: {product: auth0}\ndetection: {s: {type: fp}, ok: {type: s}, condition: s or ok}\n"
)
FAILED = "title: t\nlogsource: {product: auth0}\ndetection: {s: {type: fp}, condition: s}\n"


def _counted(correlate: str, rest: str = "") -> str:
    return f"{FAILED}tocsin:\n    correlate: {{{correlate}}}\n{rest}"


def _count(condition: str, group: str = "[data.ip]", timespan: str = "10m", rest: str = "") -> str:
    return _counted(
        f"type: event_count, group-by: {group}, timespan: {timespan}, condition: {condition}", rest
    )


def _base(name: str, selection: str, more: str = "") -> str:
    return (
        f"---\ntitle: {name}\nname: {name}\nlogsource: {{product: auth0}}\n{more}"
        f"detection: {{s: {selection}, condition: s}}\n"
    )


def _alerts(rules: RuleSet, *records: Record, until_s: int = 30 * DAYS) -> list[Alert]:
    """The alerts as they were when they resolved, of records that are `at` so many seconds."""
    sent = [
        {
            "log_id": f"id{number}",
            "tenant_name": "acme",
            "type": "fp",
            "date": iso(BASE_MS + round(record["at"] * 1_000)),
            **record,
        }
        for number, record in enumerate(records)
    ]
    lines = b"\n".join(map(msgspec.json.encode, sent))
    events, bad = Decoder(rules.fields).decode_lines(lines, first_line=1, now_ms=None)
    assert not bad
    told: dict[str, Alert] = {}
    for change in replay(
        rules,
        [Batch(events, "end")],
        windows=MemoryWindows(),
        lateness=timedelta(seconds=60),
        until_ms=BASE_MS + until_s * 1_000,
    ):
        told[change.alert.id] = change.alert
        assert change.kind is not ChangeKind.MERGED  # replay folds in order
    return [*told.values()]


def _spans(alerts: Sequence[Alert]) -> list[tuple[float, float]]:
    return [((one.started_ms - BASE_MS) / 1_000, (one.last_ms - BASE_MS) / 1_000) for one in alerts]


# Groups and values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_a_group_is_shown_as_first_written_in_the_order_of_group_by(
    load_text: LoadText, order: tuple[int, ...]
) -> None:
    rules = load_text(_count("{gte: 3}", "[data.user_name, data.ip]"))
    written = [("Ann", "2001:DB8::1"), ("ANN", "2001:db8::1"), ("ann", "2001:Db8::1")]
    records = [{"at": at, "user_name": written[at][0], "ip": written[at][1]} for at in order]

    (alert,) = _alerts(rules, *records)

    assert [*alert.group.items()] == [("data.user_name", "Ann"), ("data.ip", "2001:DB8::1")]


@pytest.mark.parametrize(
    ("values", "alerts"),
    [
        ([("Ann", "C"), ("ANN", "c"), ("ann", "C")], 0),
        ([("Ann", "C"), ("ANN", "d")], 1),
        ([("a", "bc"), ("ab", "c")], 1),
        ([("a", None), ("b", None), ("c", "")], 0),
    ],
)
def test_several_counted_fields_are_one_value_compared_without_case(
    load_text: LoadText, values: list[tuple[str, str | None]], alerts: int
) -> None:
    rules = load_text(
        _counted(
            "type: value_count, group-by: [data.ip], timespan: 10m, "
            "condition: {gte: 2, field: [data.user_name, data.client_id]}"
        )
    )
    records = [
        {"at": at, "ip": "a", "user_name": user, "client_id": client}
        for at, (user, client) in enumerate(values)
    ]

    assert len(_alerts(rules, *records)) == alerts


@pytest.mark.parametrize(
    ("first", "second", "alerts"),
    [
        ({}, {}, 1),
        ({"log_id": "same"}, {"log_id": "same"}, 0),
        ({"log_id": "same"}, {"log_id": "same", "tenant_name": "other"}, 0),
        ({}, {"tenant_name": "other"}, 0),
    ],
)
def test_an_event_is_its_tenant_and_its_id(
    load_text: LoadText, first: Record, second: Record, alerts: int
) -> None:
    rules = load_text(_count("{gte: 2}"))

    assert len(_alerts(rules, {"at": 0, "ip": "a", **first}, {"at": 0, "ip": "a", **second})) == alerts


def test_one_id_in_two_tenants_is_two_events(load_text: LoadText) -> None:
    rules = load_text(_count("{gte: 1}"))
    record = {"at": 0, "ip": "a", "log_id": "same"}

    found = _alerts(rules, record, {**record, "tenant_name": "other"})

    assert {alert.tenant for alert in found} == {"acme", "other"}
    assert len({alert.fingerprint for alert in found}) == 2


@pytest.mark.parametrize(("allow", "groups"), [("", []), (", allow_missing: true", [{"data.ip": ""}])])
def test_absent_null_and_empty_are_one_missing_group_where_it_is_allowed(
    load_text: LoadText, allow: str, groups: list[dict[str, str]]
) -> None:
    rules = load_text(_count(f"{{gte: 3}}{allow}"))

    found = _alerts(rules, {"at": 0}, {"at": 1, "ip": None}, {"at": 2, "ip": ""})

    assert [alert.group for alert in found] == groups


# Steps --------------------------------------------------------------------------------------------------

TWO = _base("a", "{ip: '*'}") + _base("b", "{type: fp}")


@pytest.mark.parametrize(("kind", "alerts"), [("temporal", 1), ("temporal_ordered", 0)])
def test_an_event_that_two_rules_match_is_a_step_of_each_but_not_one_after_the_other(
    load_text: LoadText, kind: str, alerts: int
) -> None:
    text = f"title: t\ncorrelation: {{type: {kind}, rules: [a, b], group-by: [data.ip], timespan: 10m}}\n"

    assert len(_alerts(load_text(text + TWO), {"at": 0, "ip": "x"})) == alerts


def test_an_order_is_true_only_at_the_event_of_its_last_step(load_text: LoadText) -> None:
    text = (
        "title: t\ncorrelation: {type: temporal_ordered, rules: [a, b], group-by: [data.ip], timespan: 1m}\n"
    )
    rules = load_text(text + _base("a", "{type: fp}") + _base("b", "{type: s}"))
    kinds = ["s", "fp", "s", "fp", "fp", "s", "fp"]

    found = _alerts(rules, *({"at": at, "ip": "x", "type": kind} for at, kind in enumerate(kinds)))

    assert _spans(found) == [(2, 5)]


# Episodes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gap_s", "spans"),
    [
        (15 * MINUTES, [(0, 15 * MINUTES)]),
        (15 * MINUTES + 0.001, [(0, 0), (15 * MINUTES + 0.001, 15 * MINUTES + 0.001)]),
    ],
)
def test_matches_of_a_plain_detection_are_one_alert_up_to_fifteen_minutes_apart(
    load_text: LoadText, gap_s: float, spans: list[tuple[float, float]]
) -> None:
    assert _spans(_alerts(load_text(FAILED), {"at": 0}, {"at": gap_s})) == spans


def test_with_no_quiet_time_every_instant_is_its_own_alert(load_text: LoadText) -> None:
    rules = load_text(_count("{gte: 2}", rest="    alert: {resolve_after: 0s}\n"))

    found = _alerts(rules, *({"at": at, "ip": "x"} for at in (0, 1, 1, 1.001, 2)))

    assert _spans(found) == [(1, 1), (1.001, 1.001), (2, 2)]
    assert len({alert.id for alert in found}) == 3
    assert len({alert.fingerprint for alert in found}) == 1


@pytest.mark.parametrize("condition", ["{lt: 3}", "{lte: 2}", "{neq: 9}", "{gt: 0, lte: 2}", "{eq: 1}"])
def test_zero_events_never_fire(load_text: LoadText, condition: str) -> None:
    rules = load_text(_count(condition))

    found = _alerts(rules, {"at": 0, "ip": "x"})

    assert _spans(found) == [(10 * MINUTES, 10 * MINUTES)]


@pytest.mark.parametrize(
    ("second_s", "spans"),
    [
        (10 * MINUTES, []),
        (10 * MINUTES + 0.001, [(10 * MINUTES, 20 * MINUTES + 0.001)]),
    ],
)
def test_the_window_that_is_decided_at_its_end_holds_its_end(
    load_text: LoadText, second_s: float, spans: list[tuple[float, float]]
) -> None:
    rules = load_text(_count("{lt: 2}", rest="    alert: {resolve_after: 11m}\n"))

    found = _alerts(rules, {"at": 0, "ip": "x"}, {"at": second_s, "ip": "x"}, until_s=60 * MINUTES)

    assert _spans(found) == spans


# Names, levels, spans -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("name: a name\nid: an-id\n", "a name"),
        ("id: an-id\n", "an-id"),
        ("", "t"),
    ],
)
def test_a_rule_is_shown_by_its_name_else_its_id_else_its_title(
    load_text: LoadText, said: str, shown: str
) -> None:
    (rule,) = load_text(said + FAILED).rules

    assert rule.rule.name == shown


def test_a_rule_without_an_id_is_known_by_its_path_and_number_alone(tmp_path: Path) -> None:
    def ids(name: str, *documents: str) -> list[str]:
        file = tmp_path / name
        file.write_text("---\n".join(documents))
        return [rule.rule.id for rule in load_rules([file]).rules]

    other = FAILED.replace("title: t", "title: u").replace("type: fp", "type: fu")

    assert ids("a.yml", FAILED, other) == ids("a.yml", other, FAILED)
    assert len({*ids("a.yml", FAILED, other), *ids("b.yml", FAILED, other)}) == 4


@pytest.mark.parametrize(
    ("own", "levels", "expected"),
    [
        ("", ("low", "critical", "high"), "critical"),
        ("", ("informational", "", ""), "informational"),
        ("", ("", "", ""), "medium"),
        ("level: low\n", ("high", "critical", ""), "low"),
    ],
)
def test_a_level_that_is_missing_is_the_highest_of_the_rules_that_are_counted(
    load_text: LoadText, own: str, levels: tuple[str, ...], expected: str
) -> None:
    counting = "{type: event_count, rules: [a, b, c], timespan: 1h, condition: {gte: 2}}"
    text = f"title: t\n{own}correlation: {counting}\n"
    bases = [
        _base(name, "{type: fp}", f"level: {level}\n" if level else "")
        for name, level in zip("abc", levels, strict=True)
    ]

    (rule,) = load_text(text + "".join(bases)).rules

    assert rule.rule.severity == expected


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90s", 90), ("15m", 900), ("4h", 14_400), ("30d", 2_592_000), ("2w", 1_209_600)],
)
def test_a_timespan_is_a_number_and_a_unit(load_text: LoadText, written: str, seconds: int) -> None:
    (rule,) = load_text(_count("{gte: 2}", timespan=written)).rules

    assert rule.rule.timespan_ms == seconds * 1_000


@pytest.mark.parametrize("written", ["1M", "12M", "1y"])
def test_months_and_years_are_refused_with_the_reason(
    mistakes: Callable[..., list[str]], written: str
) -> None:
    (told,) = mistakes(_count("{gte: 2}", timespan=written))

    assert f"{written}: months and years have no fixed length; write days or weeks, like 30d" in told
    assert told.endswith("m for minutes") == written.endswith("M")


# Memory -------------------------------------------------------------------------------------------------

NUMBERS = "group-by: [data.ip], timespan: 1h, condition: {gte: 5, field: data.n}"
TYPES: dict[str, str] = {
    "event_count": "group-by: [data.ip], timespan: 1h, condition: {gte: 5}",
    "value_count": "group-by: [data.ip], timespan: 1h, condition: {gte: 5, field: data.n}",
    "value_sum": NUMBERS,
    "value_avg": NUMBERS,
    "value_median": NUMBERS,
    "value_percentile": NUMBERS.replace("data.n}", "data.n, percentile: 90}"),
    "ratio": "group-by: [data.ip], timespan: 1h, of: s, over: s or ok, condition: {gte: 0.5, min_count: 2}",
    "shape": "group-by: [data.ip], timespan: 1h, per: data.n, condition: {events: {gte: 5}}",
    "spike": "group-by: [data.ip], bucket: 1h, baseline: {method: ewma}, condition: {times: 3, min_count: 2}",
    "first_seen": "group-by: [data.ip], field: data.n",
    "geo_velocity": "group-by: [data.ip], lat: data.n, lon: data.m, condition: {kmh: 900}",
    "absence": "group-by: [data.ip], timespan: 1h",
    "sequence": "group-by: [data.ip], timespan: 1h, steps: [{when: s, at_least: 5}, {when: ok}]",
}
ORDERED = "title: t\ncorrelation: {type: %s, rules: [a, b], group-by: [data.ip], timespan: 1h}\n"


def _spec(load_text: LoadText, kind: str, changed: tuple[str, str] = ("", "")) -> WindowSpec:
    if kind in ("temporal", "temporal_ordered"):
        text = ORDERED % kind + TWO
    else:
        text = f"{HEAD}tocsin: {{correlate: {{type: {kind}, {TYPES[kind].replace(*changed)}}}}}\n"
    (correlation,) = [rule.correlation for rule in load_text(text).rules if rule.correlation]
    return correlation.spec


@pytest.mark.parametrize("kind", [kind for kind in CORRELATIONS if kind != "value_ratio"])
def test_a_rule_keeps_a_million_groups(load_text: LoadText, kind: str) -> None:
    assert _spec(load_text, kind).max_groups == 1_000_000


EVERY_MEMBER = ["value_sum", "value_avg", "value_percentile", "value_median", "ratio", "shape"]


@pytest.mark.parametrize("kind", EVERY_MEMBER)
def test_a_type_that_needs_every_member_keeps_ten_thousand_a_group(load_text: LoadText, kind: str) -> None:
    assert _spec(load_text, kind).keep == 10_000


def test_of_an_entity_a_thousand_values_are_remembered(load_text: LoadText) -> None:
    assert _spec(load_text, "first_seen").keep == 1_000


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("kind", EVERY_MEMBER)
def test_a_type_that_needs_every_member_keeps_24_bytes_an_event(
    load_text: LoadText, kind: str, upper: bool
) -> None:
    spec = _spec(load_text, kind, ("gte: ", "lte: ") if upper and kind != "shape" else ("", ""))
    assert spec.ledger
    sizes = []
    for many in (100, 1_100):
        ledger = spec.ledger(None, spec.keep)
        ledger.observe([Seen(BASE_MS + n, n * 7_919, 3) for n in range(many)], NEVER_MS)
        sizes.append(len(ledger.dump()))

    assert 0 < sizes[1] - sizes[0] <= 24 * 1_000


@pytest.mark.parametrize("kind", EVERY_MEMBER)
def test_of_more_members_than_it_keeps_the_oldest_go_first_and_it_says_so(
    load_text: LoadText, kind: str
) -> None:
    spec = _spec(load_text, kind)
    assert spec.ledger
    ledger = spec.ledger(None, 50)

    for start in range(0, 300, 10):
        batch = range(start, start + 10)
        ledger.observe([Seen(BASE_MS + n, n * 7_919, 3) for n in batch], BASE_MS + start)

    assert ledger.size <= 50
    assert ledger.floor_until > BASE_MS + 299
