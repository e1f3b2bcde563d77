"""What every window store does, on memory and on a real server."""

from __future__ import annotations

import pytest

from tocsin.model.compiled import WindowSpec
from tocsin.model.observed import Observations
from tocsin.protocols import Windows
from tocsin.state.connection import Store
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows

MINUTE = 60_000
EVENTS = WindowSpec("brute", 10 * MINUTE, "events", keep=5, floor=3)
VALUES = WindowSpec("spray", 10 * MINUTE, "values", keep=5, floor=3)
CLOSES = WindowSpec("quiet", 10 * MINUTE, "events", closes=True)
LONG_AGO = -(10**12)
NOON = 1_700_000_000_000


@pytest.fixture(params=["memory", "redis"])
def windows(request: pytest.FixtureRequest) -> Windows:
    if request.param == "memory":
        return MemoryWindows()
    return RedisWindows(request.getfixturevalue("store"))


def see(
    windows: Windows,
    spec: WindowSpec,
    *members: tuple[int, str],
    group: str = "g",
    tenant: str = "t",
    committed: int = LONG_AGO,
) -> list[tuple[int, int]]:
    answers = windows.observe(tenant, [Observations(spec, {group: list(members)})], committed_ms=committed)
    return answers[0].windows if answers else []


def size(
    windows: Windows, spec: WindowSpec, *members: tuple[int, str], committed: int, group: str = "g"
) -> int:
    [answer] = windows.observe("t", [Observations(spec, {group: list(members)})], committed_ms=committed)
    return answer.size


@pytest.mark.parametrize("spec", [EVENTS, VALUES])
def test_a_window_is_closed_at_both_ends(windows: Windows, spec: WindowSpec) -> None:
    span = spec.span_ms

    assert see(windows, spec, (0, "a"), (1, "b"), (span, "c"), (span + 1, "d")) == [(span, 3), (span + 1, 3)]


@pytest.mark.parametrize("spec", [EVENTS, VALUES])
def test_members_of_one_instant_are_all_in_its_window(windows: Windows, spec: WindowSpec) -> None:
    see(windows, spec, (7, "a"))

    assert see(windows, spec, (7, "c"), (7, "b")) == [(7, 3)]


@pytest.mark.parametrize("spec", [EVENTS, VALUES])
def test_a_known_member_counts_once_and_is_evaluated_again(windows: Windows, spec: WindowSpec) -> None:
    first = see(windows, spec, (1, "a"), (2, "b"), (3, "c"))

    assert first == [(3, 3)]
    assert see(windows, spec, (1, "a"), (2, "b"), (3, "c")) == first
    assert see(windows, spec, (3, "c"), (3, "c")) == first


@pytest.mark.parametrize("spec", [EVENTS, VALUES])
def test_a_late_member_changes_the_later_windows_too(windows: Windows, spec: WindowSpec) -> None:
    see(windows, spec, (10, "b"), (20, "c"))

    assert see(windows, spec, (5, "a")) == [(20, 3)]


def test_the_same_event_at_two_times_counts_twice_but_a_value_once(windows: Windows) -> None:
    assert see(windows, EVENTS, (1, "a"), (2, "a"), (3, "a")) == [(3, 3)]
    assert see(windows, VALUES, (1, "a"), (2, "a"), (3, "a")) == []


def test_a_value_seen_again_counts_in_the_windows_between_too(windows: Windows) -> None:
    span = VALUES.span_ms
    see(windows, VALUES, (0, "a"), (span + 5, "a"))

    assert see(windows, VALUES, (5, "b"), (6, "c")) == [(6, 3), (span + 5, 3)]


@pytest.mark.parametrize("spec", [EVENTS, VALUES])
def test_groups_tenants_and_states_never_meet(windows: Windows, spec: WindowSpec) -> None:
    see(windows, spec, (1, "a"), (2, "b"))

    assert see(windows, spec, (3, "c"), group="other") == []
    assert see(windows, spec, (3, "c"), tenant="other") == []
    assert see(windows, spec._replace(state="other"), (3, "c")) == []
    assert see(windows, spec, (3, "c")) == [(3, 3)]


def test_all_rules_and_groups_are_answered_in_one_call(windows: Windows) -> None:
    members = [(NOON + n, str(n)) for n in range(3)]
    groups = {f"g{n}": list(members) for n in range(3)}

    answers = windows.observe(
        "t",
        [Observations(EVENTS, groups), Observations(CLOSES, groups), Observations(VALUES, groups)],
        committed_ms=NOON,
    )

    closing = [answer for answer in answers if answer.state == "quiet"]
    assert [answer.windows for answer in closing] == [[]] * 3
    assert {(a.state, a.group) for a in answers if a.windows == [(NOON + 2, 3)]} == {
        (state, group) for state in ("brute", "spray") for group in groups
    }


def test_many_groups_are_answered_too(windows: Windows) -> None:
    groups = {f"g{n}": [(NOON, "a"), (NOON + 1, "b"), (NOON + 2, "c")] for n in range(11_000)}

    answers = windows.observe("t", [Observations(EVENTS, groups)], committed_ms=NOON)

    assert {answer.group for answer in answers if answer.windows == [(NOON + 2, 3)]} == set(groups)


@pytest.mark.parametrize("spec", [EVENTS, VALUES])
def test_a_group_of_one_says_nothing_and_a_group_of_two_its_size(windows: Windows, spec: WindowSpec) -> None:
    assert windows.observe("t", [Observations(spec, {"g": [(1, "a")]})], committed_ms=0) == []
    assert size(windows, spec, (2, "b"), committed=0) == 2


@pytest.mark.parametrize("spec", [EVENTS._replace(floor=1), VALUES._replace(floor=1)])
def test_a_floor_of_one_reports_every_member(windows: Windows, spec: WindowSpec) -> None:
    assert see(windows, spec, (1, "a")) == [(1, 1)]
    assert see(windows, spec, (2, "b")) == [(2, 2)]


@pytest.mark.parametrize("hostile", ["", "*", "{p0}", "a\nb", "\x00\r\n", "x" * 70_000, "\ud800", "🙂"])
@pytest.mark.parametrize("spec", [EVENTS, VALUES, CLOSES])
def test_hostile_text_is_a_group_and_a_member_like_any_other(
    windows: Windows, hostile: str, spec: WindowSpec
) -> None:
    see(windows, spec, (1, hostile), (2, "b" + hostile), group=hostile, tenant=hostile)

    if spec.closes:
        [answer] = windows.due(hostile, [spec], watermark_ms=10**9)
        assert (answer.group, answer.windows) == (hostile, [(1 + spec.span_ms, 2)])
    else:
        assert see(windows, spec, (3, "c"), group=hostile, tenant=hostile) == [(3, 3)]


@pytest.mark.parametrize("spec", [EVENTS, VALUES])
def test_times_before_the_epoch_count_like_others(windows: Windows, spec: WindowSpec) -> None:
    assert see(windows, spec, (-5, "a"), (-3, "b"), (1, "c"), committed=-(10**13)) == [(1, 3)]


# Memory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [EVENTS, VALUES])
def test_one_record_from_the_future_removes_nothing(windows: Windows, spec: WindowSpec) -> None:
    see(windows, spec, (NOON, "a"), (NOON + 1, "b"), committed=NOON - 1)
    see(windows, spec, (NOON + 10**10, "future"), committed=NOON - 1)

    assert see(windows, spec, (NOON + 2, "c"), committed=NOON - 1) == [(NOON + 2, 3)]


@pytest.mark.parametrize("spec", [EVENTS, VALUES])
def test_beyond_keep_the_score_is_a_floor(windows: Windows, spec: WindowSpec) -> None:
    for n in range(40):
        see(windows, spec, (NOON + n, f"m{n}"), committed=NOON + n)

    [answer] = windows.observe("t", [Observations(spec, {"g": [(NOON + 40, "new")]})], committed_ms=NOON + 40)

    [(at_ms, count)] = answer.windows
    assert at_ms == NOON + 40
    assert 5 <= count <= 41
    assert answer.floored
    assert answer.size <= 2 * 5 + 6


@pytest.mark.parametrize("spec", [EVENTS, VALUES])
def test_what_is_newer_than_the_commit_is_kept_beyond_keep(windows: Windows, spec: WindowSpec) -> None:
    for n in range(40):
        see(windows, spec, (NOON + n, f"m{n}"), committed=NOON)

    assert see(windows, spec, (NOON + 40, "new"), committed=NOON) == [(NOON + 40, 41)]


@pytest.mark.parametrize("spec", [EVENTS, VALUES])
def test_with_no_keep_nothing_inside_the_span_is_let_go(windows: Windows, spec: WindowSpec) -> None:
    everything = spec._replace(keep=None)
    for start in range(0, 9_000, 1_000):
        batch = [(NOON + n, f"m{n}") for n in range(start, start + 1_000)]
        see(windows, everything, *batch, committed=NOON + start)

    assert see(windows, everything, (NOON + 9_000, "new"), committed=NOON + 9_000) == [(NOON + 9_000, 9_001)]


@pytest.mark.parametrize("spec", [EVENTS, VALUES])
def test_a_saturated_group_keeps_its_newest_and_says_so(windows: Windows, spec: WindowSpec) -> None:
    batch = [(NOON + n, f"m{n}") for n in range(5_000)]
    see(windows, spec, *batch, committed=NOON)

    [answer] = windows.observe("t", [Observations(spec, {"g": [(NOON + 5_000, "new")]})], committed_ms=NOON)

    assert answer.windows == [(NOON + 5_000, 6)]
    assert answer.floored
    assert answer.size == 6


@pytest.mark.parametrize("spec", [EVENTS, VALUES])
def test_what_left_the_span_is_let_go(windows: Windows, spec: WindowSpec) -> None:
    for n in range(100):
        see(windows, spec, (NOON + n * MINUTE, f"m{n}"), committed=NOON + n * MINUTE)

    assert size(windows, spec, (NOON + 100 * MINUTE, "new"), committed=NOON + 100 * MINUTE) <= 24


# Closing ----------------------------------------------------------------------------------------


def test_a_window_closes_strictly_behind_the_watermark(windows: Windows) -> None:
    see(windows, CLOSES, (NOON, "a"), (NOON + CLOSES.span_ms, "b"), (NOON + CLOSES.span_ms + 1, "c"))
    end = NOON + CLOSES.span_ms

    assert windows.due("t", [CLOSES], watermark_ms=end) == []
    [answer] = windows.due("t", [CLOSES], watermark_ms=end + 1)
    assert (answer.state, answer.group, answer.windows) == ("quiet", "g", [(end, 2)])


def test_a_closed_window_is_answered_again_until_it_is_committed(windows: Windows) -> None:
    see(windows, CLOSES, (NOON, "a"))
    end = NOON + CLOSES.span_ms

    for _ in range(2):
        [answer] = windows.due("t", [CLOSES], watermark_ms=end + 1, committed_ms=NOON)
        assert answer.windows == [(end, 1)]
    assert windows.due("t", [CLOSES], watermark_ms=end + 2, committed_ms=end + 1) == []
    assert windows.due("t", [CLOSES], watermark_ms=end + 2, committed_ms=end + 1) == []


def test_a_duplicate_of_a_forgotten_window_opens_no_new_one(windows: Windows) -> None:
    see(windows, CLOSES, (NOON, "a"))
    end = NOON + CLOSES.span_ms
    windows.due("t", [CLOSES], watermark_ms=end + 1, committed_ms=end + 1)

    see(windows, CLOSES, (NOON, "a"), committed=end + 1)

    assert windows.due("t", [CLOSES], watermark_ms=end + 10**8, committed_ms=end + 1) == []


def test_the_first_member_opens_the_window_however_late_it_comes(windows: Windows) -> None:
    see(windows, CLOSES, (NOON + 5, "b"))
    see(windows, CLOSES, (NOON, "a"))

    [answer] = windows.due("t", [CLOSES], watermark_ms=NOON + CLOSES.span_ms + 1)

    assert answer.windows == [(NOON + CLOSES.span_ms, 2)]


def test_a_closing_window_of_values_counts_each_once(windows: Windows) -> None:
    spec = CLOSES._replace(counts="values")
    see(windows, spec, (NOON, "a"), (NOON + 1, "b"), (NOON + 2, "a"))

    [answer] = windows.due("t", [spec], watermark_ms=NOON + 10**9)

    assert answer.windows == [(NOON + spec.span_ms, 2)]


def test_a_saturated_closing_group_still_closes_where_it_should(windows: Windows) -> None:
    spec = CLOSES._replace(keep=3)
    see(windows, spec, *[(NOON + n, f"m{n}") for n in range(5_000)], (NOON + spec.span_ms + 7, "next"))

    [answer] = windows.due("t", [spec], watermark_ms=NOON + 10**9)

    assert answer.windows == [(NOON + spec.span_ms, 3), (NOON + 2 * spec.span_ms + 7, 1)]
    assert answer.floored


def test_without_a_word_on_the_commit_the_last_observation_says_it(windows: Windows) -> None:
    see(windows, CLOSES, (NOON, "a"))
    end = NOON + CLOSES.span_ms
    windows.due("t", [CLOSES], watermark_ms=end + 1)

    see(windows, CLOSES, (end + 5, "b"), committed=end + 1)

    assert windows.due("t", [CLOSES], watermark_ms=end + 2) == []


# Sweeping ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [EVENTS, VALUES, CLOSES])
def test_a_sweep_leaves_live_groups_alone(windows: Windows, spec: WindowSpec) -> None:
    see(windows, spec, (NOON, "a"), (NOON + 1, "b"))

    assert windows.sweep("t", [spec], committed_ms=NOON + spec.span_ms) == 0

    if spec.closes:
        assert windows.due("t", [spec], watermark_ms=NOON + spec.span_ms + 1)
    else:
        assert see(windows, spec, (NOON + 2, "c"), committed=NOON) == [(NOON + 2, 3)]


@pytest.mark.parametrize("spec", [EVENTS, VALUES])
def test_beyond_max_groups_the_least_recently_seen_go(windows: Windows, spec: WindowSpec) -> None:
    small = spec._replace(max_groups=10)
    for n in range(15):
        see(windows, small, (NOON + n, "a"), (NOON + n, "b"), group=f"g{n}", committed=NOON)

    assert windows.sweep("t", [small], committed_ms=NOON) == 5
    assert windows.sweep("t", [small], committed_ms=NOON) == 0

    alive = [n for n in range(15) if see(windows, small, (NOON + n, "c"), group=f"g{n}", committed=NOON)]
    assert alive == list(range(5, 15))


@pytest.mark.parametrize("spec", [EVENTS, VALUES])
@pytest.mark.parametrize("members", [2, 100])
def test_groups_that_are_forgotten_begin_anew(windows: Windows, spec: WindowSpec, members: int) -> None:
    spec = spec._replace(keep=None, floor=1)
    before = [(NOON + n, f"{n}") for n in range(members)]
    see(windows, spec, *before)
    see(windows, spec, *before, tenant="u")

    windows.forget("t", [spec])

    after = NOON + members
    assert see(windows, spec, (after, "x")) == [(after, 1)]
    assert see(windows, spec, (after, "x"), tenant="u") == [(after, members + 1)]
    for n in range(members):
        see(windows, spec, (after + n, f"{n}"))
    assert see(windows, spec, (after, "y"))[0] == (after, 3)


@pytest.mark.parametrize("spec", [EVENTS, VALUES, CLOSES])
def test_expired_groups_are_gone_from_the_server_after_a_sweep(store: Store, spec: WindowSpec) -> None:
    windows = RedisWindows(store)
    for n in range(5):
        see(
            windows,
            spec,
            (NOON + n, "a"),
            (NOON + n + 1, "b"),
            (NOON + n + 2, "b"),
            group=f"g{n}",
            committed=NOON,
        )
    late = NOON + spec.span_ms + 5
    if spec.closes:
        windows.due("t", [spec], watermark_ms=late + 10, committed_ms=late + 10)

    assert windows.sweep("t", [spec], committed_ms=late + spec.span_ms + 10) == 0

    assert [
        key for key in store.client.scan_iter(match=store.pattern("*")) if not key.endswith(b":schema")
    ] == []


def test_every_key_expires_by_itself_if_nobody_sweeps(store: Store) -> None:
    windows = RedisWindows(store)
    for spec in (EVENTS, VALUES, CLOSES):
        see(windows, spec, *[(NOON + n, f"{n % 7}") for n in range(100)], committed=NOON)
        see(windows, spec, *[(NOON + 100 + n, f"{n % 7}") for n in range(100)], committed=NOON)

    keys = [key for key in store.client.scan_iter(match=store.pattern("*")) if not key.endswith(b":schema")]

    week = 7 * 24 * 3_600_000
    assert len(keys) == 7
    assert all(week < store.client.pttl(key) <= week + EVENTS.span_ms for key in keys)


def test_a_server_that_forgot_the_scripts_is_taught_again(store: Store) -> None:
    windows = RedisWindows(store)
    store.client.script_flush()

    assert see(windows, EVENTS, (1, "a"), (2, "b"), (3, "c")) == [(3, 3)]


@pytest.mark.parametrize("spec", [EVENTS, VALUES])
@pytest.mark.parametrize(("members", "limit"), [(1, 150), (20, 500)])
def test_a_group_costs_less_than_the_limit(store: Store, spec: WindowSpec, members: int, limit: int) -> None:
    windows, spec = RedisWindows(store), spec._replace(keep=20)
    for n in range(members):
        groups = {f"group-{g}": [(NOON + n, f"log-id-{n}")] for g in range(1_000)}
        windows.observe("t", [Observations(spec, groups)], committed_ms=NOON)

    keys = [key for key in store.client.scan_iter(match=store.pattern("*")) if not key.endswith(b":schema")]

    assert sum(store.client.memory_usage(key, samples=0) for key in keys) / 1_000 <= limit
