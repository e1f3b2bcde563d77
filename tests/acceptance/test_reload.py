"""Other rules for a running service, told as scripts with a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tocsin.clock import to_ms
from tocsin.errors import RuleError
from tocsin.loops import Signals
from tocsin.notices import Notices
from tocsin.reload import Changes, Refused
from tocsin.state.connection import Store

from .script import START, Play, fails, play

ROUTING = """
route: {channels: [hook], group_by: [entity], group_wait: 0s, group_interval: 0s, repeat_interval: 4h}
"""
IP, OTHER = "203.0.113.9", "198.51.100.7"
Start = Callable[..., Play]


def rule(
    name: str = "guessing",
    *,
    gte: int = 5,
    timespan: str = "60s",
    group_by: str = "data.ip",
    selection: str = "data.type: fp",
    more: str = "",
) -> str:
    return f"""
title: {name.capitalize()}
name: {name}
id: {name}-0001
logsource: {{product: auth0}}
detection: {{seen: {{{selection}}}, condition: seen}}
level: medium
tocsin:
    correlate: {{type: event_count, group-by: [{group_by}], timespan: {timespan}, condition: {{gte: {gte}}}}}
    alert: {{resolve_after: 2m{more}}}
"""


def plain(name: str = "locked", selection: str = "data.type: limit_wc") -> str:
    return f"""
title: {name.capitalize()}
name: {name}
id: {name}-0001
logsource: {{product: auth0}}
detection: {{seen: {{{selection}}}, condition: seen}}
level: medium
"""


def files(*rules: str) -> str:
    return "---".join(rules)


@pytest.fixture
def start(store: Store, tmp_path: Path) -> Iterator[Start]:
    running: list[AbstractContextManager[Play]] = []

    def begin(rules: str = rule(), **more: Any) -> Play:
        running.append(play(store, tmp_path, rules, ROUTING, **more))
        return running[-1].__enter__()

    yield begin
    for one in running:
        one.__exit__(None, None, None)


def scores(script: Play) -> list[tuple[str, float, bool]]:
    return [(alert.rule, alert.score, alert.warming) for alert in script.alerts()]


def test_a_reload_says_what_changed(start: Start) -> None:
    script = start(files(rule("a"), rule("b"), rule("c"), plain("d")))
    script.at(10).events({"at": 9, "type": "s", "ip": IP})

    answer = script.reload(files(rule("a"), rule("b", gte=7), rule("e"), plain("d", "data.type: fu")))

    assert isinstance(answer, Changes)
    assert (answer.rules, answer.added, answer.removed, answer.changed, answer.warming) == (
        4, ("e",), ("c",), ("b", "d"), ("e",),
    )  # fmt: skip


def test_rules_that_only_moved_in_their_file_have_not_changed(start: Start) -> None:
    script = start(files(rule("a"), rule("b")))

    answer = script.reload("# a comment\n\n" + files(rule("b"), rule("a")))

    assert answer == Changes(rules=2)


def test_a_raised_threshold_goes_on_with_the_window_it_has(start: Start) -> None:
    script = start(rule(gte=5))
    script.at(10).events(*fails(IP, 1, 2, 3, 4))

    script.reload(rule(gte=10))
    script.at(20).events(*fails(IP, 11, 12, 13, 14, 15))
    assert scores(script) == []
    script.at(30).events(*fails(IP, 21))

    assert scores(script) == [("guessing", 10, False)]
    assert not script.alerts()[0].floor


def test_a_lowered_threshold_is_true_of_what_was_counted_before(start: Start) -> None:
    script = start(rule(gte=10))
    script.at(10).events(*fails(IP, 1, 2, 3, 4))

    answer = script.reload(rule(gte=5))
    script.at(20).events(*fails(IP, 11))

    assert isinstance(answer, Changes)
    assert answer.warming == ()
    assert scores(script) == [("guessing", 5, False)]


def test_a_threshold_raised_above_what_was_kept_gives_scores_that_are_floors(start: Start) -> None:
    script = start(rule(gte=2, timespan="1h"))
    script.at(10).events(*fails(OTHER, *range(-200, 10)))
    for at in range(100, 1000, 100):  # the watermark goes on, and older members are let go
        script.at(at).events(*fails(OTHER, at))

    script.reload(rule("guessing", gte=4, timespan="1h"))
    script.at(1001).events(*fails(OTHER, 1001))

    (alert,) = script.alerts()
    assert alert.floor


@pytest.mark.parametrize(
    "changed",
    [
        {"timespan": "120s"},
        {"group_by": "data.ip, data.type"},
        {"selection": "data.type: [fp, fu]"},
    ],
    ids=["timespan", "group-by", "selection"],
)
def test_another_timespan_group_or_selection_begins_anew_and_is_warming(
    start: Start, changed: dict[str, str]
) -> None:
    script = start(rule(gte=3))
    script.at(10).events(*fails(IP, 7, 8))

    answer = script.reload(rule(gte=3, **changed))
    script.at(20).events(*fails(IP, 17, 18, 19))

    assert isinstance(answer, Changes)
    assert (answer.changed, answer.warming) == (("guessing",), ("guessing",))
    assert scores(script) == [("guessing", 3, True)]
    script.expect("hook", {"firing guessing"})
    assert script.hooks["hook"].got[-1]["alerts"][0]["warming"] is True


def test_a_condition_that_is_decided_at_the_end_of_a_window_begins_anew(start: Start) -> None:
    script = start(rule(gte=3))
    script.at(10).events(*fails(IP, 7, 8))

    answer = script.reload(rule(gte=3).replace("{gte: 3}", "{lte: 3}"))
    script.at(20).events(*fails(IP, 17))
    script.at(200).events({"at": 200, "type": "s", "ip": OTHER})

    assert isinstance(answer, Changes)
    assert answer.warming == ("guessing",)
    assert scores(script) == [("guessing", 1, True)]


def chain(timespan: str) -> str:
    return f"""
title: Failed
name: failed
logsource: {{product: auth0}}
detection: {{seen: {{data.type: fp}}, condition: seen}}
---
title: Guessing
name: guessing
correlation:
    {{type: event_count, rules: [failed], group-by: [data.ip], timespan: {timespan}, condition: {{gte: 2}}}}
level: low
---
title: Again and again
name: again
correlation:
    {{type: event_count, rules: [guessing], group-by: [data.ip], timespan: 60s, condition: {{gte: 2}}}}
level: medium
"""


@pytest.mark.parametrize(("last", "warming"), [(88, True), (89, False)])
def test_a_correlation_of_correlations_is_warming_until_these_are_and_a_timespan_more(
    start: Start, last: int, warming: bool
) -> None:
    script = start(chain("10s"))
    script.at(10).events({"at": 8, "type": "s", "ip": IP})

    answer = script.reload(chain("20s"))
    script.at(90).events(*fails(IP, last - 6, last - 5, last))  # true at the last two

    assert isinstance(answer, Changes)
    assert answer.warming == ("again", "guessing")
    assert [(alert.rule, alert.warming) for alert in script.alerts()] == [("again", warming)]


@pytest.mark.parametrize(("last", "warming"), [(68, True), (69, False)])
def test_a_rule_is_warming_until_a_window_began_after_its_state_did(
    start: Start, last: int, warming: bool
) -> None:
    script = start(rule("other"))
    script.at(9).events({"at": 8, "type": "s", "ip": IP})  # up to here is evaluated

    script.reload(files(rule("other"), rule(gte=2)))
    script.at(70).events(*fails(IP, last - 1, last))

    assert scores(script) == [("guessing", 2, warming)]


def test_events_ahead_of_our_clock_are_known_to_be_missing_too(start: Start) -> None:
    script = start(rule("other"))
    script.at(10).events(*fails(IP, 40, 41))  # their clock is half a minute ahead of ours

    script.reload(files(rule("other"), rule(gte=2)))
    script.at(75).events(*fails(IP, 99, 100))

    assert scores(script) == [("guessing", 2, True)]


def test_a_restart_with_the_same_rules_forgets_nothing_and_warms_nothing(start: Start) -> None:
    start().at(10).events(*fails(IP, 6, 7, 8, 9))

    script = start(begin=START + timedelta(seconds=20))
    script.at(20).events(*fails(IP, 15))

    assert scores(script) == [("guessing", 5, False)]


@pytest.mark.parametrize(
    ("rules", "warming"),
    [
        (rule(gte=3), False),
        (rule(gte=3, timespan="50s"), True),
        (rule("another", gte=3), True),
    ],
    ids=["threshold", "timespan", "name"],
)
def test_a_restart_with_changed_rules_is_a_reload(start: Start, rules: str, warming: bool) -> None:
    start(rule(gte=9)).at(10).events({"at": 9, "type": "s", "ip": IP})

    script = start(rules, begin=START + timedelta(seconds=20))
    script.at(20).events(*fails(IP, 15, 16, 17))

    assert [was for _, _, was in scores(script)] == [warming]


def test_what_is_warming_is_still_warming_after_a_restart(start: Start) -> None:
    before = start()
    before.at(10).events({"at": 9, "type": "s", "ip": IP})
    before.reload(rule(gte=3, timespan="90s"))

    script = start(rule(gte=3, timespan="90s"), begin=START + timedelta(seconds=20))
    script.at(50).events(*fails(IP, 48, 49, 50))

    assert scores(script) == [("guessing", 3, True)]


def test_nothing_is_warming_on_a_store_that_saw_nothing(start: Start) -> None:
    script = start()

    answer = script.reload(rule(gte=3, timespan="50s"))
    script.at(20).events(*fails(IP, 15, 16, 17))

    assert isinstance(answer, Changes)
    assert answer.warming == ()
    assert scores(script) == [("guessing", 3, False)]


def test_a_rule_that_was_away_is_warming_when_it_comes_back(start: Start) -> None:
    both = files(rule("a", gte=3), rule("b", gte=3))
    script = start(both)
    script.at(10).events(*fails(IP, 7))

    script.reload(rule("b", gte=3))
    script.at(20).events(*fails(IP, 17))
    script.reload(both)
    script.at(30).events(*fails(IP, 27, 28))

    assert scores(script) == [("a", 3, True), ("b", 4, False)]


def test_an_open_episode_of_a_removed_rule_resolves_and_is_told(start: Start) -> None:
    script = start(files(rule("a", gte=3), rule("b", gte=99)))
    script.at(10).events(*fails(IP, 7, 8, 9)).expect("hook", {"firing a"})

    script.reload(rule("b", gte=99))
    script.at(300).events({"at": 300, "type": "s", "ip": OTHER})

    script.expect("hook", {"resolved a"})
    assert script.parts.alerts.unsettled() == []


def test_an_open_episode_keeps_its_id_and_is_not_told_twice_when_its_rule_changes(start: Start) -> None:
    script = start(rule(gte=3))
    script.at(10).events(*fails(IP, 7, 8, 9)).expect("hook", {"firing guessing"})
    (before,) = script.alerts()

    script.reload(rule(gte=3, timespan="90s", more=", context: [data.user_name]"))
    script.at(30).events(*fails(IP, 20, 21, 22))

    (after,) = script.alerts()
    assert (after.id, after.started_ms) == (before.id, before.started_ms)
    assert after.last_ms - to_ms(START) == 22_000
    script.expect("hook")


def test_evidence_gathered_for_another_context_is_not_told_as_this_ones(start: Start) -> None:
    script = start(rule(gte=4, more=", context: [data.user_name]"))
    script.at(10).events(*fails(IP, 6, 7, client_name="app")).events(*fails(IP, 8, client_name="app"))

    answer = script.reload(rule(gte=4, more=", context: [data.client_name]"))
    script.at(20).events(*fails(IP, 17, client_name="app"))

    (alert,) = script.alerts()
    assert isinstance(answer, Changes)
    assert (alert.score, answer.warming) == (4, ())
    assert {name: [v.text for v in values] for name, values in alert.evidence.values.items()} == {
        "data.client_name": ["app"]
    }


def test_what_an_old_rule_groups_is_swept_though_nobody_owns_it(start: Start) -> None:
    script = start(rule(gte=3))
    script.at(10).events(*fails(IP, 7, 8))

    script.reload(rule("other"))

    assert script.parts.reloader.rules.now.engine.sweep("acme", committed_ms=to_ms(START) + 10**7) == 0
    script.at(20).events(*fails(IP, 19))


def test_a_new_rule_reads_a_field_that_no_old_rule_read(start: Start) -> None:
    script = start(rule("other", gte=99))
    script.at(10).events({"at": 9, "type": "s", "ip": IP})

    script.reload(rule(gte=2, selection="data.client_name: app", group_by="data.hostname"))
    script.at(20).events(
        {"at": 15, "type": "s", "client_name": "app", "hostname": "a.example"},
        {"at": 16, "type": "s", "client_name": "app", "hostname": "a.example"},
    )

    assert [alert.group for alert in script.alerts()] == [{"data.hostname": "a.example"}]


def test_events_decoded_for_the_old_rules_are_read_by_the_new_ones(start: Start) -> None:
    script = start(rule("other", gte=99))
    script.arrives(
        {"at": 1, "type": "s", "client_name": "app", "hostname": "a.example"},
        {"at": 2, "type": "s", "client_name": "app", "hostname": "a.example"},
    )
    batch = next(script.detect.source.read(None))

    script.reload(rule(gte=2, selection="data.client_name: app", group_by="data.hostname"))
    script.detect.step(batch)

    assert [alert.group for alert in script.alerts()] == [{"data.hostname": "a.example"}]


def test_a_bad_set_is_refused_whole_and_the_old_one_goes_on(start: Start) -> None:
    script = start(rule(gte=3))
    script.at(10).events(*fails(IP, 7, 8))

    answer = script.reload(
        files(rule(gte=1), "title: broken\nlogsource: {product: auth0}\n", rule("x", gte=-1))
    )
    script.at(20).events(*fails(IP, 9))

    assert isinstance(answer, Refused)
    assert len(answer.errors) >= 2
    assert scores(script) == [("guessing", 3, False)]


def test_a_set_that_was_mended_is_taken(start: Start) -> None:
    script = start(rule(gte=9))
    assert isinstance(script.reload("- nonsense"), Refused)
    assert script.parts.reloader.refused is not None

    assert isinstance(script.reload(rule(gte=3)), Changes)
    script.at(10).events(*fails(IP, 7, 8, 9))

    assert scores(script) == [("guessing", 3, False)]
    assert script.parts.reloader.refused is None


def test_a_rule_file_that_is_gone_is_refused(start: Start) -> None:
    script = start(rule(gte=3))
    script.parts.settings.rules[0].unlink()

    answer = script.parts.reloader.reload()

    assert isinstance(answer, Refused)
    script.at(10).events(*fails(IP, 7, 8, 9)).expect("hook", {"firing guessing"})


def refused(message: str, count: int = 1) -> Refused:
    return Refused(tuple(RuleError("rules.yml", line, 1, message) for line in range(1, count + 1)))


def test_a_refusal_that_nobody_waited_for_is_told_once_until_it_is_mended(start: Start) -> None:
    script = start()
    notices = Notices(script.parts, Signals())
    told = {"firing tocsin_rules_refused"}

    notices.rules_read(refused("level: loud", 12))
    script.settle()
    script.expect("hook", told)
    text = script.hooks["hook"].got[-1]["alerts"][0]["annotations"]["description"]
    assert "rules.yml:10:1: level: loud" in text
    assert "and 2 more" in text
    assert text.startswith("The rules from before (1) are at work. See all of it: tocsin rules check\n")

    script.at(60)
    notices.rules_read(refused("level: loud", 12))
    script.settle()
    script.expect("hook")

    notices.rules_read(refused("level: quiet"))
    script.settle()
    script.expect("hook", told)

    script.at(120)
    notices.rules_read(Changes(rules=1))
    script.settle()
    script.expect("hook")
    notices.rules_read(refused("level: quiet"))
    script.settle()
    script.expect("hook", told)


def test_a_refusal_with_long_mistakes_shows_those_that_fit_and_counts_the_others(start: Start) -> None:
    script = start()
    notices = Notices(script.parts, Signals())

    notices.rules_read(refused("x" * 5000, 12))
    script.settle()

    lines = script.hooks["hook"].got[-1]["alerts"][0]["annotations"]["description"].splitlines()
    assert [line[:12] for line in lines[1:-1]] == [f"rules.yml:{n}:" for n in (1, 2, 3, 4)]
    assert lines[-1] == "and 8 more"


def quiet(timespan: str = "60s") -> str:
    return f"""
title: Quiet
name: quiet
id: quiet-0001
logsource: {{product: auth0}}
detection: {{seen: {{data.type: s}}, condition: seen}}
level: medium
tocsin:
    correlate: {{type: absence, timespan: {timespan}}}
"""


def test_what_a_rule_knew_before_it_was_away_is_forgotten(start: Start) -> None:
    script = start(files(rule(), quiet()))
    script.at(10).events({"at": 9, "type": "s", "ip": IP})
    script.reload(rule())
    for seconds in range(40, 400, 40):
        script.at(seconds).events({"at": seconds - 1, "type": "s", "ip": IP})

    script.reload(files(rule(), quiet()))
    script.at(401).events(*fails(IP, 400))
    assert scores(script) == []
    script.at(402).events({"at": 401, "type": "s", "ip": IP})

    assert scores(script) == []
