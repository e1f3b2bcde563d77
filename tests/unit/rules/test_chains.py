"""Correlations over correlations: how they are read, what may not be, and what their alerts show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tocsin.clock import iso
from tocsin.model.alert import Alert
from tocsin.model.compiled import RuleSet
from tocsin.protocols import EvidenceStore, Windows
from tocsin.rules.load import load_rules
from tocsin.sources.decode import Decoder
from tocsin.state.connection import Store
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.evidence_redis import RedisEvidence
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows
from tocsin.tune.replay import Replay, codes_read_whole

LoadText = Callable[..., RuleSet]
Mistakes = Callable[..., list[str]]

FAILED = """title: failed
name: failed
logsource: {product: auth0}
detection: {s: {data.type: fp}, condition: s}
"""
LOGIN = FAILED.replace("failed", "login").replace("fp", "s")
CONTEXT = "tocsin: {alert: {context: [data.user_name]}}\n"
BASE_MS = 1_700_000_000_000


def _over(name: str, rules: str, body: str = "", more: str = "") -> str:
    keys = body or "type: event_count, timespan: 10m, condition: {gte: 2}"
    return f"---\ntitle: {name}\nname: {name}\ncorrelation: {{{keys}, rules: [{rules}]}}\n{more}"


BRUTE_FORCE = """---
title: Many failures
name: many
correlation:
    type: event_count
    rules: [failed]
    group-by: [data.user_name, data.ip]
    timespan: 10m
    condition: {gte: 3}
---
title: Brute force, then a success
name: then_success
level: high
correlation:
    type: temporal_ordered
    rules: [many, login]
    group-by: [data.user_name]
    timespan: 5m
tocsin:
    alert: {context: [data.ip, data.type]}
"""


def _replayed(
    rules: RuleSet,
    records: Sequence[dict[str, Any]],
    *,
    windows: Windows | None = None,
    evidence: EvidenceStore | None = None,
    at_a_time: int = 1,
) -> list[Alert]:
    """The alerts, in order of their opening; `at` counts seconds."""
    run = Replay(
        rules,
        windows or MemoryWindows(),
        lateness=timedelta(seconds=60),
        evidence=evidence or MemoryEvidence(),
    )
    decoder = Decoder(rules.fields, whole=codes_read_whole(rules))
    for start in range(0, len(records), at_a_time):
        lines = [
            msgspec.json.encode(
                {
                    "log_id": f"e{number}",
                    "date": iso(BASE_MS + record["at"] * 1_000),
                    "tenant_name": "acme",
                    **record,
                }
            )
            for number, record in enumerate(records[start : start + at_a_time], start)
        ]
        run.feed(decoder.decode_lines(b"\n".join(lines), first_line=1, now_ms=None)[0])
    run.finish(BASE_MS + 10_000_000)
    return sorted(run.alerts.find(limit=1_000), key=lambda alert: alert.started_ms)


ATTACK = [
    *({"at": at, "type": "fp", "user_name": "Ann", "ip": "192.0.2.1"} for at in range(0, 60, 10)),
    {"at": 100, "type": "s", "user_name": "ann", "ip": "192.0.2.9"},
    {"at": 110, "type": "s", "user_name": "bob", "ip": "192.0.2.9"},
]


def test_brute_force_and_then_a_success(load_text: LoadText) -> None:
    rules = load_text(FAILED + "---\n" + LOGIN + BRUTE_FORCE)

    (alert,) = _replayed(rules, ATTACK)

    assert (alert.rule, alert.started_ms - BASE_MS, alert.score) == ("then_success", 100_000, 2)
    assert alert.group == {"data.user_name": "Ann"}  # as first written, in a child's event
    assert alert.evidence.events == ["e0", "e1", "e2", "e3", "e4", "e5", "e6"]
    assert [(v.text, v.count) for v in alert.evidence.values["data.type"]] == [("fp", 6), ("s", 1)]


@pytest.mark.parametrize("at_a_time", [1, 3, 100])
def test_on_a_server_the_alert_is_the_same(load_text: LoadText, store: Store, at_a_time: int) -> None:
    rules = load_text(FAILED + "---\n" + LOGIN + BRUTE_FORCE)

    (alert,) = _replayed(
        rules, ATTACK, windows=RedisWindows(store), evidence=RedisEvidence(store), at_a_time=at_a_time
    )

    assert (alert.rule, alert.started_ms - BASE_MS, alert.score) == ("then_success", 100_000, 2)
    assert alert.group == {"data.user_name": "Ann"}
    # A group's first event alone is not worth keeping evidence of, so one may be missing.
    assert {"e1", "e2", "e3", "e4", "e5", "e6"} <= {*alert.evidence.events} <= {f"e{n}" for n in range(7)}


@pytest.mark.parametrize(
    ("correlation", "seen"),
    [
        ("type: temporal, group-by: [data.user_name], timespan: 10m", ["e0", "e1"]),
        ("type: temporal_ordered, group-by: [data.user_name], timespan: 10m", ["e0", "e1"]),
        (
            "type: temporal, group-by: [data.user_name], timespan: 30s, condition: failed and not login",
            ["e0"],
        ),
        ("type: event_count, group-by: [data.user_name], timespan: 30s, condition: {eq: 1}", ["e0"]),
    ],
)
def test_on_a_server_too_the_first_of_two_events_is_evidence(
    load_text: LoadText, store: Store, correlation: str, seen: list[str]
) -> None:
    rules = load_text(FAILED + "---\n" + LOGIN + _over("both", "failed, login", correlation))
    records = [{"at": 0, "type": "fp", "user_name": "Ann"}, {"at": 60, "type": "s", "user_name": "ann"}]

    alert = _replayed(rules, records, windows=RedisWindows(store), evidence=RedisEvidence(store))[0]

    assert (alert.group, alert.evidence.events) == ({"data.user_name": "Ann"}, seen)


def test_a_child_that_is_decided_when_its_window_ends_tells_its_parent_then(load_text: LoadText) -> None:
    child = "type: event_count, group-by: [data.user_name], timespan: 1m, condition: {lte: 2}"
    parent = "type: event_count, group-by: [data.user_name], timespan: 10m, condition: {gte: 2}"
    rules = load_text(FAILED + _over("few", "failed", child) + _over("slow", "few", parent, CONTEXT))
    records = [{"at": at, "type": "fp", "user_name": "Ann"} for at in (0, 100, 300)]

    (alert,) = _replayed(rules, records)

    # The windows close at 60, 160 and 360 s.
    assert (alert.started_ms - BASE_MS, alert.last_ms - BASE_MS, alert.score) == (160_000, 360_000, 3)
    assert (alert.group, alert.evidence.events) == ({"data.user_name": "Ann"}, ["e0", "e1", "e2"])


def test_a_parent_shows_the_events_from_before_its_own_timespan(load_text: LoadText) -> None:
    child = "type: event_count, group-by: [data.user_name], timespan: 10m, condition: {gte: 2}"
    parent = "type: temporal, group-by: [data.user_name], timespan: 10s"
    rules = load_text(
        FAILED + "---\n" + LOGIN + _over("two", "failed", child) + _over("both", "two, login", parent)
    )
    records = [
        {"at": 0, "type": "fp", "user_name": "ann"},
        {"at": 500, "type": "fp", "user_name": "ann"},
        {"at": 505, "type": "s", "user_name": "ann"},
    ]

    (alert,) = _replayed(rules, records)

    assert alert.evidence.events == ["e0", "e1", "e2"]


def test_beside_a_sequence_only_its_last_step_is_evidence(load_text: LoadText) -> None:
    """Who got in is the first thing a responder asks, and must not drown among those who did not."""
    steps = """---
title: in
name: got_in
logsource: {product: auth0}
detection: {bad: {data.type: fp}, good: {data.type: s}, condition: bad or good}
tocsin:
    correlate:
        {type: sequence, steps: [{when: bad, at_least: 3}, {when: good}], group-by: [data.ip], timespan: 10m}
"""
    many = "type: event_count, group-by: [data.ip], timespan: 10m, condition: {gte: 3}"
    parent = "type: temporal, group-by: [data.ip], timespan: 10m"
    rules = load_text(
        FAILED + steps + _over("many", "failed", many) + _over("both", "got_in, many", parent, CONTEXT)
    )
    records = [{"at": at, "type": "fp", "ip": "192.0.2.1", "user_name": f"u{at}"} for at in range(5)]
    records.append({"at": 9, "type": "s", "ip": "192.0.2.1", "user_name": "victim"})

    (alert,) = _replayed(rules, records)

    assert [value.text for value in alert.evidence.values["data.user_name"]] == ["victim"]


def test_a_parent_shows_fields_that_no_child_reads(load_text: LoadText) -> None:
    rules = load_text(FAILED + _over("child", "failed") + _over("parent", "child", more=CONTEXT))

    (alert,) = _replayed(rules, [{"at": at, "type": "fp", "user_name": f"u{at}"} for at in (0, 1, 2)])

    assert [value.text for value in alert.evidence.values["data.user_name"]] == ["u0", "u1", "u2"]


def test_a_late_event_that_makes_a_child_true_makes_its_parent_true(load_text: LoadText) -> None:
    rules = load_text(FAILED + "---\n" + LOGIN + BRUTE_FORCE)
    late = [*ATTACK[:2], ATTACK[6], {"at": 20, "type": "fp", "user_name": "ANN", "ip": "192.0.2.1"}]

    (alert,) = _replayed(rules, [{**one, "log_id": f"id{n}"} for n, one in enumerate(late)])

    assert alert.started_ms - BASE_MS == 100_000


@pytest.mark.parametrize(
    ("generates", "opened"),
    [
        ("", ["parent"]),
        ("child", ["child", "failed", "parent"]),
        ("parent", ["child", "parent"]),
    ],
)
def test_a_child_alerts_itself_only_where_somebody_says_generate(
    load_text: LoadText, generates: str, opened: list[str]
) -> None:
    said = {name: "generate: true\n" if name == generates else "" for name in ("child", "parent")}
    rules = load_text(
        FAILED
        + _over("child", "failed", more=said["child"])
        + _over("parent", "child", "type: event_count, timespan: 1h, condition: {gte: 2}", said["parent"])
    )

    alerts = _replayed(rules, [{"at": at, "type": "fp"} for at in (0, 1, 2)])

    assert sorted(alert.rule for alert in alerts) == opened


def test_a_child_that_an_overlay_disables_still_tells_its_parent(load_text: LoadText, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yml"
    overlay.write_text("child: {enabled: false}\n")
    text = FAILED + _over("child", "failed") + _over("parent", "child")

    alerts = _replayed(load_text(text, overlay=overlay), [{"at": at, "type": "fp"} for at in (0, 1, 2)])

    assert [alert.rule for alert in alerts] == ["parent"]


def test_a_child_whose_only_parent_is_disabled_costs_nothing(load_text: LoadText, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yml"
    overlay.write_text("parent: {enabled: false}\nchild: {enabled: false}\n")

    rules = load_text(FAILED + _over("child", "failed") + _over("parent", "child"), overlay=overlay)

    assert rules.rules == ()


def test_a_separator_in_a_value_does_not_move_an_event_into_another_group(load_text: LoadText) -> None:
    child = "type: event_count, group-by: [data.user_name], timespan: 10m, condition: {gte: 2}"
    rules = load_text(FAILED + _over("child", "failed", child) + _over("parent", "child", child))
    records = [{"at": at, "type": "fp", "user_name": "ann\x1f"} for at in (0, 1, 2)]

    (alert,) = _replayed(rules, records)

    assert alert.evidence.total == 3
    assert (
        alert.fingerprint != _replayed(rules, [{**one, "user_name": "ann"} for one in records])[0].fingerprint
    )


US = "\x1f"
STRANGERS = [(f"a{US}b", "c"), ("a", f"b{US}c"), ("a b", "c"), (f"a{US}", f"{US}c"), ("a\x1esb", "c")]


def test_separators_in_values_neither_merge_groups_nor_change_what_is_shown(load_text: LoadText) -> None:
    child = (
        "type: event_count, group-by: [data.user_name, data.client_id], timespan: 10m, condition: {gte: 2}"
    )
    rules = load_text(FAILED + _over("child", "failed", child) + _over("parent", "child", child))
    records = [
        {"at": at, "type": "fp", "user_name": user, "client_id": client}
        for at in (0, 1, 2)
        for user, client in STRANGERS
    ]

    alerts = _replayed(rules, records)

    assert len({alert.fingerprint for alert in alerts}) == len(STRANGERS)
    assert {tuple(alert.group.values()) for alert in alerts} == set(STRANGERS)
    assert {alert.evidence.total for alert in alerts} == {3}


def test_tuples_of_values_with_separators_are_different_values(load_text: LoadText) -> None:
    count = "type: value_count, timespan: 10m, condition: {gte: %d, field: [user_name, client_id]}"
    records = [
        {"at": at, "type": "fp", "user_name": user, "client_id": client}
        for at, (user, client) in enumerate([*STRANGERS, *STRANGERS])
    ]

    scores = [
        alert.score
        for least in (len(STRANGERS), len(STRANGERS) + 1)
        for alert in _replayed(load_text(FAILED + _over("counts", "failed", count % least)), records)
    ]

    assert scores == [len(STRANGERS)]


TOO_LONG = "a chain has 10 correlations at most, and this is one more; count a detection here"


def _chain_of(count: int) -> list[str]:
    links = [_over("c1", "failed")]
    return links + [_over(f"c{n}", f"c{n - 1}") for n in range(2, count + 1)]


@pytest.mark.parametrize("turned", [1, -1], ids=["children first", "parents first"])
def test_ten_correlations_are_a_chain(load_text: LoadText, turned: int) -> None:
    rules = load_text(FAILED + "".join(_chain_of(10)[::turned]))

    alerts = _replayed(rules, [{"at": at, "type": "fp"} for at in range(11)])

    assert [(alert.rule, alert.started_ms - BASE_MS) for alert in alerts] == [("c10", 10_000)]


@pytest.mark.parametrize("turned", [1, -1], ids=["children first", "parents first"])
@pytest.mark.parametrize("count", [11, 12])
def test_eleven_are_too_many(mistakes: Mistakes, turned: int, count: int) -> None:
    links = _chain_of(count)[::turned]
    line = 4 + 4 * (links.index(_chain_of(count)[10]) + 1)

    (told,) = mistakes(FAILED + "".join(links))

    assert told == f"rule.yml:{line}:78: {TOO_LONG}"


def test_a_chain_of_thousands_is_refused_like_any_other(mistakes: Mistakes) -> None:
    told = mistakes(FAILED + "".join(_chain_of(3_000)[::-1]))

    assert told
    assert all(TOO_LONG in one for one in told)


GROUPS_ONLY = 'rule.yml:12:14: "child" is a correlation, of which only its group-by is known;'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            _over("c", "c"),
            ["rule.yml:8:78: a correlation cannot count itself: c -> c; name another rule"],
            id="itself",
        ),
        pytest.param(
            _over("a", "b") + _over("b", "failed, a"),
            ["rule.yml:12:86: a correlation cannot count itself: a -> b -> a; name another rule"],
            id="a circle of two",
        ),
        pytest.param(
            _over("out", "a") + _over("a", "b") + _over("b", "c") + _over("c", "a"),
            ["rule.yml:20:78: a correlation cannot count itself: a -> b -> c -> a; name another rule"],
            id="a circle that is counted from outside",
        ),
        pytest.param(
            _over(
                "child", "failed", "type: event_count, group-by: [data.ip], timespan: 1m, condition: {gte: 2}"
            )
            + _over(
                "p", "child", "type: event_count, group-by: [data.ips], timespan: 1m, condition: {gte: 2}"
            ),
            [f'{GROUPS_ONLY} "data.ips" is not in it: did you mean "data.ip"?'],
            id="a field that the child does not group by",
        ),
        pytest.param(
            _over("child", "failed")
            + _over("p", "child", "type: value_count, timespan: 1m, condition: {gte: 2, field: data.ip}"),
            [f"{GROUPS_ONLY} it has none, so write group-by: [data.ip] there"],
            id="a field of a child without groups",
        ),
        pytest.param(
            _over("child", "failed", "type: event_count, timespan: 1m, condition: {gte: zero}")
            + _over("p", "child"),
            ["rule.yml:8:65: gte must be a number, not 'zero'"],
            id="a child's mistake is told once",
        ),
    ],
)
def test_what_a_chain_may_not_be(mistakes: Mistakes, text: str, expected: list[str]) -> None:
    assert mistakes(FAILED + text) == expected


def test_an_alias_leads_to_what_the_child_calls_the_field(load_text: LoadText) -> None:
    child = "type: event_count, group-by: [data.ip], timespan: 10m, condition: {gte: 2}"
    parent = (
        "type: temporal, group-by: [where], timespan: 10m, "
        "aliases: {where: {child: data.ip, login: data.client_ip}}"
    )
    rules = load_text(
        FAILED + "---\n" + LOGIN + _over("child", "failed", child) + _over("parent", "child, login", parent)
    )
    records = [
        *({"at": at, "type": "fp", "ip": "192.0.2.1"} for at in (0, 1)),
        {"at": 2, "type": "s", "client_ip": "192.0.2.2"},
        {"at": 3, "type": "s", "client_ip": "192.0.2.1"},
    ]

    (alert,) = _replayed(rules, records)

    assert (alert.started_ms - BASE_MS, alert.group) == (3_000, {"where": "192.0.2.1"})


def test_a_parent_groups_addresses_by_network_where_it_says_so(load_text: LoadText) -> None:
    child = "type: event_count, group-by: [data.ip], timespan: 10m, condition: {gte: 2}"
    rules = load_text(
        FAILED + _over("child", "failed", child)
        + _over("parent", "child", child, "tocsin: {prefixes: {data.ip: 64}}\n")
    )  # fmt: skip
    records = [{"at": at, "type": "fp", "ip": f"2001:db8::{at // 2 + 1}"} for at in range(4)]

    (alert,) = _replayed(rules, records)

    assert (alert.started_ms - BASE_MS, alert.group) == (3_000, {"data.ip": "2001:db8::/64"})
    assert alert.evidence.total == 4


def test_a_childs_threshold_is_what_its_parent_counts_so_it_begins_anew(tmp_path: Path) -> None:
    def state_of(child: str, parent: str) -> str:
        path = tmp_path / "rules.yml"
        path.write_text(
            FAILED + "---\n" + LOGIN + _over("c", "failed, login", child) + _over("p", "c", parent)
        )
        rules = {rule.rule.name: rule for rule in load_rules([path]).rules}
        correlation = rules["p"].correlation
        assert correlation is not None
        return correlation.spec.state

    counts = "type: event_count, timespan: 10m, condition: {gte: %d}"
    said = 'type: temporal, timespan: 10m, condition: "failed %s login"'

    assert state_of(counts % 2, counts % 3) == state_of(counts % 2, counts % 4)
    assert state_of(counts % 2, counts % 3) != state_of(counts % 5, counts % 3)
    assert state_of(said % "and", counts % 2) != state_of(said % "or", counts % 2)


RATIO_AND_USERS = """
title: Several users fail
name: several
logsource: {product: auth0}
detection:
    failed: {data.type: fp}
    condition: failed
tocsin:
    correlate:
        {type: shape, per: data.user_name, group-by: [data.ip], timespan: 10m, condition: {values: {gte: 3}}}
---
title: Most fail
name: most
logsource: {product: auth0}
detection:
    failed: {data.type: fp}
    ok: {data.type: s}
    condition: failed or ok
tocsin:
    correlate:
        type: ratio
        of: failed
        over: failed or ok
        group-by: [data.ip]
        timespan: 10m
        condition: {gte: 0.8, min_count: 3}
---
title: Both
name: both
level: high
correlation: {type: temporal, rules: [several, most], group-by: [data.ip], timespan: 1s}
"""


@pytest.mark.parametrize(
    ("generate", "alerting"), [("", ["both"]), ("generate: true\n", ["both", "most", "several"])]
)
def test_a_chain_counts_a_correlate_that_sigma_has_not(
    tmp_path: Path, generate: str, alerting: list[str]
) -> None:
    file = tmp_path / "both.yml"
    file.write_text(RATIO_AND_USERS + generate)

    rules = load_rules([file]).rules

    assert sorted(rule.rule.name for rule in rules if rule.alerts) == alerting
    assert sorted(rule.rule.name for rule in rules) == ["both", "most", "several"]
    (both,) = (rule for rule in rules if rule.rule.name == "both")
    states = {rule.correlation.spec.state for rule in rules if rule is not both and rule.correlation}
    assert {matcher.of for matcher in both.matchers} == states
