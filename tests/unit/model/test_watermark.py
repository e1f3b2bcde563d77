"""How far event time has come, and who may move it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.clock import to_ms
from tocsin.model.alert import NEVER_MS
from tocsin.model.watermark import Watermarks

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATENESS = timedelta(seconds=60)


def _at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def _ms(seconds: float) -> int:
    return to_ms(_at(seconds))


def _seen(marks: Watermarks, source: str, *events: float, now: float) -> None:
    marks.advance(source, "acme", [_ms(event) for event in events], LATENESS, _at(now))
    marks.drained(source, empty=False)


def test_the_watermark_is_the_newest_event_less_the_lateness() -> None:
    marks = Watermarks(START)

    _seen(marks, "a", 5, 100, 50, now=101)

    assert marks.of("acme", _at(101)) == _ms(40)


def test_a_tenant_is_as_far_as_the_source_that_is_furthest_behind() -> None:
    marks = Watermarks(START)
    _seen(marks, "a", 100, now=101)
    _seen(marks, "b", 10, now=101)

    assert marks.of("acme", _at(101)) == _ms(-50)


def test_a_source_that_was_silent_for_a_minute_holds_nobody_back() -> None:
    marks = Watermarks(START)
    _seen(marks, "b", 10, now=11)
    marks.drained("b", empty=True)
    _seen(marks, "a", 100, now=101)

    assert marks.of("acme", _at(101)) == _ms(40)


def test_nothing_is_behind_the_watermark_until_its_position_is_committed() -> None:
    marks = Watermarks(START)
    _seen(marks, "a", 100, now=101)
    assert marks.behind("acme", _at(101)) < _ms(-1_000_000)

    marks.committed("a")

    assert marks.behind("acme", _at(101)) == _ms(40)


def test_what_was_committed_is_gone_on_from() -> None:
    marks = Watermarks(START)

    marks.restore("a", {"acme": _ms(100)}, LATENESS, START)

    assert marks.newest("a") == {"acme": _ms(100)}
    assert marks.tenants() == ["acme"]
    assert marks.behind("acme", _at(200)) == _ms(40)


def test_a_source_that_was_rewound_makes_nothing_late() -> None:
    marks = Watermarks(START)
    _seen(marks, "a", 100, now=101)
    marks.committed("a")

    marks.restore("a", {}, LATENESS, _at(200))

    assert marks.behind("acme", _at(200)) == NEVER_MS
    _seen(marks, "a", 10, now=201)
    assert marks.of("acme", _at(201)) == _ms(-50)


def test_a_source_that_was_rewound_changes_nothing_of_another() -> None:
    marks = Watermarks(START)
    for source in ("a", "b"):
        _seen(marks, source, 100, now=101)
        marks.committed(source)

    marks.restore("a", {"other": _ms(50)}, LATENESS, _at(102))

    assert marks.behind("acme", _at(102)) == _ms(40)
    assert marks.newest("a") == {"other": _ms(50)}


def test_a_tenant_nobody_has_seen_has_no_watermark() -> None:
    assert Watermarks(START).behind("acme", START) == NEVER_MS


def test_the_clock_closes_when_all_is_quiet() -> None:
    marks = Watermarks(START)
    _seen(marks, "a", 10, now=10)
    marks.drained("a", empty=True)

    assert marks.closing("acme", _at(69)) == _ms(-50)
    assert marks.closing("acme", _at(200)) == _ms(140)
    assert marks.of("acme", _at(200)) == _ms(-50)  # but it makes no event late


def test_the_clock_closes_nothing_while_a_backlog_is_read() -> None:
    marks = Watermarks(START)
    _seen(marks, "a", -90_000, now=200)

    assert marks.closing("acme", _at(500)) == _ms(-90_060)


def test_the_clock_closes_nothing_right_after_a_start() -> None:
    marks = Watermarks(_at(1000))
    marks.restore("a", {"acme": _ms(10)}, LATENESS, _at(1000))
    marks.drained("a", empty=True)

    assert marks.closing("acme", _at(1030)) == _ms(-50)


def test_a_source_that_was_away_holds_all_back_until_it_is_read_to_its_end() -> None:
    marks = Watermarks(START)
    for source in ("a", "b"):
        marks.restore(source, {"acme": _ms(0)}, LATENESS, _at(300))
    _seen(marks, "b", 299, now=300)
    marks.committed("b")
    marks.drained("b", empty=True)

    assert marks.behind("acme", _at(400)) == marks.closing("acme", _at(400)) == _ms(-60)

    marks.drained("a", empty=True)

    assert marks.behind("acme", _at(400)) == _ms(-60)  # both were silent for a minute: the lower one
    _seen(marks, "b", 401, now=401)
    assert marks.of("acme", _at(401)) == _ms(341)


@pytest.mark.parametrize("ahead_s", [1, 60, 299])
def test_a_record_with_a_future_date_makes_nothing_at_present_late(ahead_s: int) -> None:
    marks = Watermarks(START)

    _seen(marks, "a", 100 + ahead_s, now=100)
    marks.committed("a")

    assert marks.behind("acme", _at(100)) == _ms(40)


@given(st.lists(st.tuples(st.integers(-600, 300), st.integers(0, 60)), min_size=1, max_size=30))
def test_no_event_that_is_a_minute_old_at_most_is_ever_late(steps: list[tuple[int, int]]) -> None:
    """Steps of (how far an event is from the clock, how far the clock moves on)."""
    marks, now = Watermarks(START), 0.0
    for offset, passes in steps:
        _seen(marks, "a", now + offset, now=now)
        marks.committed("a")
        now += passes

        assert marks.behind("acme", _at(now)) <= _ms(now - 60)
