"""`spike`: how it is read, what small rules of it say, and how its counts are kept."""

# ruff: noqa: E501 - a row is a mistake and what is said of it

from __future__ import annotations

import math
import random  # noqa: TID251 - seeded
from collections.abc import Callable, Sequence
from statistics import fmean, median, pvariance

import pytest

from tocsin.model.compiled import RuleSet
from tocsin.model.ledger import Seen, digest
from tocsin.rules.correlations.baseline import Ewma, Weekly
from tocsin.rules.correlations.bucket_counts import SpikeLaw, bucket_counts

from .shorthand import Told, page_outcomes, rule, state_of

HOUR = 3_600
EWMA = "baseline: {method: ewma, history: 10h, min_history: 2h}"
WEEKLY = "baseline: {method: same_hour_of_week, history: 4w, min_history: 2w}"
TIMES = "condition: {times: 3, min_count: 5}"
Alerts = Callable[..., Sequence[tuple[int, float]]]


def keyed(text: str) -> str:
    return rule(f"{{type: spike, {text}}}")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (f"{EWMA}, {TIMES}", "a correlation needs a bucket, like 10m"),
        (f"bucket: 1x, {EWMA}, {TIMES}", "bucket: '1x' is not a duration; write a number and a unit, like 30s, 10m, 4h or 7d"),
        (f"bucket: 0s, {EWMA}, {TIMES}", "a bucket is more than 0 and at most 3650d, not 0s"),
        (f"bucket: 1h, {TIMES}", "a spike compares with a baseline; write baseline: {method: same_hour_of_week, history: 4w}"),
        (f"bucket: 1h, baseline: ewma, {TIMES}", "baseline must be a map, not 'ewma'"),
        (f"bucket: 1h, baseline: {{history: 4w}}, {TIMES}", "no method; write baseline: {method: same_hour_of_week, history: 4w}"),
        (f"bucket: 1h, baseline: {{method: mean}}, {TIMES}", 'unknown method "mean"; known are ewma, same_hour_of_week'),
        (f"bucket: 1h, baseline: {{method: same_hour_of_weak}}, {TIMES}", 'unknown method "same_hour_of_weak"; did you mean "same_hour_of_week"?'),
        (f"bucket: 5h, {WEEKLY}, {TIMES}", "the same hour of another week needs a bucket that divides a week, like 1h"),
        (f"bucket: 1h, baseline: {{method: same_hour_of_week, history: 6d}}, {TIMES}", "same_hour_of_week compares with weeks before; write a history of 1w or more"),
        (f"bucket: 2h, baseline: {{method: ewma, history: 1h}}, {TIMES}", "the history is shorter than a bucket; write more of it"),
        (f"bucket: 1m, {WEEKLY}, {TIMES}", "a history has 10000 buckets at most; write less of it, or a longer bucket"),
        (f"bucket: 1h, baseline: {{method: ewma, history: 1d, min_history: 2d}}, {TIMES}", "min_history is longer than the history, so nothing would ever fire"),
        (f"bucket: 1h, baseline: {{method: ewma, weeks: 4}}, {TIMES}", 'unknown key "weeks" in baseline; known are history, method, min_history'),
        (f"bucket: 1h, {EWMA}", "a correlation needs a condition, like {times: 3, min_count: 50}"),
        (f"bucket: 1h, {EWMA}, condition: {{min_count: 5}}", "the condition needs times or sigmas; write {times: 3, min_count: 50}"),
        (f"bucket: 1h, {EWMA}, condition: {{times: 0}}", "times must be more than 0 and at most 1000000, not 0"),
        (f"bucket: 1h, {EWMA}, condition: {{sigmas: many}}", "sigmas must be a number, not 'many'"),
        (f"bucket: 1h, {EWMA}, condition: {{times: 3, min_count: 1.5}}", "min_count must be a whole number, not 1.5"),
        (f"bucket: 1h, {EWMA}, condition: {{gte: 3}}", 'unknown key "gte" in condition; known are field, min_count, sigmas, times'),
        (f"bucket: 1h, timespan: 1h, {EWMA}, {TIMES}", 'unknown key "timespan" in tocsin.correlate; known are allow_missing, baseline, bucket, condition, generate, group-by, type'),
    ],
)  # fmt: skip
def test_a_mistake_is_told(told: Told, keys: str, message: str) -> None:
    assert message in told(keyed(keys))


def at(second: int, number: int = 1, **more: object) -> list[dict[str, object]]:
    return [
        {"at": second + n, "type": "fp", "ip": f"10.0.{n // 250}.{n % 250}", **more} for n in range(number)
    ]


START = HOUR - 800  # of the first whole hour: these tests begin 800 seconds into one


def hourly(*counts: int) -> list[dict[str, object]]:
    """So many events in each hour."""
    return [event for hour, count in enumerate(counts) for event in at(START + hour * HOUR, count)]


def test_a_bucket_is_judged_at_its_end_by_those_before(alerts: Alerts) -> None:
    text = keyed(f"bucket: 1h, {EWMA}, {TIMES}")

    assert alerts(text, hourly(2, 2, 2, 6)) == [(START + 4 * HOUR, 3.0)]
    assert alerts(text, hourly(2, 2, 2, 5)) == []
    assert alerts(text, hourly(2, 6)) == []  # it has seen one hour of two


def test_hours_without_an_event_count_nothing(alerts: Alerts) -> None:
    text = keyed(f"bucket: 1h, {EWMA}, {TIMES}")

    assert alerts(text, hourly(4, 0, 0, 0, 5)) == [(START + 5 * HOUR, 5.0)]  # one an hour on average
    assert alerts(text, hourly(4, *[0] * 10, 9)) == []  # after more than the history it begins anew


def test_a_spike_is_no_usual_bucket(alerts: Alerts) -> None:
    text = keyed(f"bucket: 1h, {EWMA}, {TIMES}")

    assert alerts(text, hourly(2, 2, 6, 6, 6)) == [(START + hour * HOUR, 3.0) for hour in (3, 4, 5)]


def test_what_lasts_longer_than_the_history_becomes_usual(alerts: Alerts) -> None:
    text = keyed(
        "bucket: 1h, baseline: {method: ewma, history: 3h, min_history: 2h}, condition: {times: 3, min_count: 5}"
    )

    found = alerts(text, hourly(2, 2, 6, 6, 6, 6, 6, 6, 6))

    assert [second for second, _ in found] == [START + hour * HOUR for hour in (3, 4, 5)]


def test_sigmas_are_no_smaller_than_chance(alerts: Alerts) -> None:
    text = keyed(f"bucket: 1h, {EWMA}, condition: {{sigmas: 4, min_count: 1}}")

    assert alerts(text, hourly(4, 4, 4, 12)) == [(START + 4 * HOUR, 4.0)]  # 4 + 4 * sqrt(4)
    assert alerts(text, hourly(4, 4, 4, 11)) == []


def test_what_is_written_must_hold_all(alerts: Alerts) -> None:
    text = keyed(f"bucket: 1h, {EWMA}, condition: {{times: 2, sigmas: 4, min_count: 1}}")

    assert alerts(text, hourly(4, 4, 4, 11)) == []
    assert alerts(text, hourly(4, 4, 4, 12)) == [(START + 4 * HOUR, 3.0)]


def test_a_field_counts_its_different_values(alerts: Alerts) -> None:
    text = keyed(f"bucket: 1h, {EWMA}, condition: {{times: 2, min_count: 3, field: data.ip}}")
    one_address = [{**event, "ip": "10.0.0.1"} for event in hourly(2, 2, 9)]

    assert alerts(text, one_address) == []
    assert alerts(text, hourly(1, 1, 3)) == [(START + 3 * HOUR, 3.0)]


def test_where_nobody_says_how_many_it_takes_ten(alerts: Alerts) -> None:
    text = keyed(f"bucket: 1h, {EWMA}, condition: {{times: 3}}")

    assert [second for second, _ in alerts(text, hourly(1, 1, 10))] == [START + 3 * HOUR]
    assert alerts(text, hourly(1, 1, 9)) == []


@pytest.mark.parametrize(
    ("keys", "same"),
    [
        (f"bucket: 1h, {EWMA}, condition: {{sigmas: 9, min_count: 7}}", True),
        ("bucket: 1h, baseline: {method: ewma, history: 10h, min_history: 5h}, condition: {times: 3}", True),
        (f"bucket: 2h, {EWMA}, {TIMES}", False),
        ("bucket: 1h, baseline: {method: ewma, history: 11h, min_history: 2h}, condition: {times: 3}", False),
        (f"bucket: 1h, {EWMA}, condition: {{times: 3, field: data.ip}}", False),
        (f"bucket: 1h, {WEEKLY}, {TIMES}", False),
    ],
)
def test_what_makes_another_state(load_text: Callable[..., RuleSet], keys: str, same: bool) -> None:
    here = state_of(load_text(keyed(f"bucket: 1h, {EWMA}, {TIMES}")))

    assert (state_of(load_text(keyed(keys))) == here) is same


def test_params_fill_all_of_it(alerts: Alerts) -> None:
    text = rule(
        "{type: spike, bucket: $b, baseline: {method: $m, history: $h, min_history: $n}, "
        "condition: {times: $t, min_count: $c}}",
        params="{b: {default: 1h}, m: {default: ewma}, h: {default: 10h}, n: {default: 2h}, "
        "t: {default: 3}, c: {default: 5}}",
    )

    assert alerts(text, hourly(2, 2, 2, 6)) == [(START + 4 * HOUR, 3.0)]


# The baselines alone.


def test_few_buckets_weigh_the_same_and_many_fade() -> None:
    counts = [random.Random(1).randrange(50) for _ in range(60)]
    usual = Ewma(19)
    for bucket, count in enumerate(counts[:10]):
        usual.add(bucket, count, apart=False)

    few = usual.usual(10)
    assert few.center == pytest.approx(fmean(counts[:10]))
    assert few.spread == pytest.approx(math.sqrt(pvariance(counts[:10])))

    for bucket, count in enumerate(counts[10:], start=10):
        usual.add(bucket, count, apart=False)
    before = usual.usual(60).center
    usual.add(60, 1_000, apart=False)
    assert usual.usual(61).center == pytest.approx(before + (1_000 - before) * 2 / 20)


def test_a_week_is_compared_with_the_same_bucket_of_weeks_before() -> None:
    usual = Weekly(28, 7)  # a day is a bucket
    for day, count in enumerate([10, 0, 0, 0, 0, 0, 0, 30, 1, 0, 0, 0, 0, 0, 20, 2, 0]):
        usual.add(day, count, apart=False)

    found = usual.usual(21)

    assert (found.center, found.buckets) == (median([10, 30, 20]), 3)
    assert found.spread == pytest.approx(1.4826 * 10)


@pytest.mark.parametrize("made", [lambda dumped: Weekly(28, 7, dumped), lambda dumped: Ewma(28, dumped)])
def test_a_baseline_comes_back_as_it_was(made: Callable[[bytes], Weekly | Ewma]) -> None:
    usual = made(b"")
    for day in (0, 7, 9, 14):
        usual.add(day, day + 3, apart=day == 9)

    again = made(usual.dump())

    assert again.newest == usual.newest == 14
    assert again.usual(21) == usual.usual(21)
    assert again.dump() == usual.dump()


# The ledger alone.


def law(**changes: object) -> SpikeLaw:
    made = SpikeLaw(100, 10, 1, 1, 2.0, None, lambda dumped: Ewma(10, dumped))
    return made._replace(**changes)  # type: ignore[arg-type]


def test_of_a_committed_bucket_only_the_count_is_kept() -> None:
    ledger = bucket_counts(law())(None, None)
    ledger.observe([Seen(n, digest(str(n))) for n in range(90)], 0)
    assert len(ledger.dump()) > 90 * 8
    assert ledger.deadline == 100

    ledger.due(150, 150)

    assert (ledger.size, ledger.deadline, ledger.lasts_until) == (0, None, 1_100)
    assert len(ledger.dump()) < 80


def test_what_comes_for_a_committed_bucket_counts_no_second_time() -> None:
    ledger = bucket_counts(law())(None, None)
    batch = [Seen(n, digest(str(n))) for n in range(9)]
    ledger.observe(batch, 0)
    ledger.due(150, 150)
    before = ledger.dump()

    assert ledger.observe(batch, 150) == []
    assert ledger.dump() == before


def test_a_bucket_whose_every_event_is_late_is_judged_at_once() -> None:
    ledger = bucket_counts(law())(None, None)
    ledger.observe([Seen(50, 1)], 0)

    assert ledger.observe([Seen(150, 2), Seen(160, 3)], 300) == [(200, 2.0)]


@pytest.mark.parametrize("many", [50_000, 400_000])
def test_beyond_the_cap_a_count_is_estimated_the_same_in_whatever_order(many: int) -> None:
    numbers = [digest(str(number)) for number in range(many)]
    counts = []
    for seed in (1, 2):
        random.Random(seed).shuffle(numbers)
        ledger = bucket_counts(law(needed=0, times=1.0))(None, 10_000)
        for start in range(0, many, 20_000):
            ledger.observe([Seen(5, number) for number in numbers[start : start + 20_000]], 0)
        counts.append(ledger.due(200, 0)[0][1])

    assert counts[0] == counts[1] == pytest.approx(many, rel=0.03)
    assert ledger.size == 10_001
    assert ledger.floor_until == 101


def test_the_example_of_its_page_passes_its_tests() -> None:
    assert page_outcomes("spike.md") == []
