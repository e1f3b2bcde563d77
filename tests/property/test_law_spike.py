"""`spike` against its definition: any order within the lateness, any batches, any crash."""

from __future__ import annotations

import math
import random  # noqa: TID251 - seeded
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pytest

from tocsin.model.compiled import RuleSet
from tocsin.model.ledger import Seen
from tocsin.rules.correlations import baseline, bucket_counts, spike
from tocsin.rules.load import load_rules
from tocsin.state.connection import Store
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows

from .ledger_walk import BASE_MS, Record, Told, lines, reopened, walked

HOUR, DAY, WEEK = 3_600, 86_400, 604_800


__all__ = ["reopened"]  # a fixture


class Case(NamedTuple):
    """A rule, as the oracle reads it; times in seconds, `needed` in buckets."""

    name: str
    by: tuple[str, ...]
    bucket: int
    weekly: bool
    history: int
    needed: int
    times: float | None = None
    sigmas: float | None = None
    min_count: int = 1
    field: str = ""


CASES = (
    Case("lately", (), 60, False, 1_200, 5, times=1.4837, min_count=2),
    Case("lately_by_user", ("user_name",), 90, False, 900, 2, sigmas=1.1371),
    Case("lately_ips", (), 120, False, 2_400, 3, times=1.2131, sigmas=0.5127, min_count=3, field="ip"),
    Case("weekly", (), DAY, True, 4 * WEEK, 1, times=2),
    Case("weekly_by_user", ("user_name",), 12 * HOUR, True, 3 * WEEK, 2, sigmas=1.2, min_count=2),
)


def _yaml(case: Case) -> str:
    each = WEEK if case.weekly else case.bucket
    method = "same_hour_of_week" if case.weekly else "ewma"
    asked = {"times": case.times, "sigmas": case.sigmas, "min_count": case.min_count, "field": case.field}
    condition = ", ".join(f"{name}: {value}" for name, value in asked.items() if value)
    return (
        f"title: {case.name}\nname: {case.name}\nlogsource: {{product: auth0}}\n"
        "detection: {seen: {data.type: fp}, condition: seen}\nlevel: low\ntocsin:\n"
        f"    correlate: {{type: spike, group-by: [{', '.join(case.by)}], bucket: {case.bucket}s, "
        f"baseline: {{method: {method}, history: {case.history}s, min_history: {case.needed * each}s}}, "
        f"condition: {{{condition}}}}}\n"
        "    alert: {context: [data.ip, data.user_name]}\n"
    )


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> RuleSet:
    path: Path = tmp_path_factory.mktemp("rules") / "spike.yml"
    path.write_text("---\n".join(map(_yaml, CASES)))
    return load_rules([path])


def _text(value: object) -> str:
    return "" if value is None else str(value).casefold()


def oracle(records: list[Record]) -> set[Told]:
    """By definition, over all events at once."""
    found: set[Told] = set()
    for case in CASES:
        groups: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        for record in records:
            key = [_text(record[name]) for name in case.by]
            member = _text(record[case.field or "log_id"])
            if record["type"] == "fp" and all(key) and member:
                bucket = (BASE_MS // 1000 + record["at"]) // case.bucket
                groups["\x1f".join(key)][bucket].add(member)
        for key, members in groups.items():
            counts = {bucket: len(some) for bucket, some in members.items()}
            for bucket, score in _spikes(case, counts):
                at = (bucket + 1) * case.bucket - BASE_MS // 1000
                found.add(Told(case.name, key, at, round(score, 6)))
    return found


def _spikes(case: Case, counts: dict[int, int]) -> Iterator[tuple[int, float]]:
    """Bucket after bucket, from the first that counts to the last."""
    history, week = case.history // case.bucket, WEEK // case.bucket
    usual: dict[int, int] = {}  # the buckets that were no spikes, the empty ones, too
    newest = min(counts)
    for bucket in range(newest, max(counts) + 1):
        count = counts.get(bucket, 0)
        if bucket - newest > history:
            usual = {}
            if not count:
                continue
        if not count:
            usual[bucket] = 0
            continue
        newest = bucket
        if case.weekly:
            past = [usual[at] for at in range(bucket - week, bucket - history - 1, -week) if at in usual]
            center, spread = _median(past)
        else:
            if usual and bucket - max(usual) > history:
                usual = {}
            past = [usual[at] for at in sorted(usual)]
            center, spread = _weighted(past, history)
        spread = max(spread, math.sqrt(max(center, 1)))
        known = len(past) >= case.needed and count >= case.min_count
        times, sigmas = count / max(center, 1), (count - center) / spread
        is_spike = (
            known
            and (case.times is None or times >= case.times)
            and (case.sigmas is None or sigmas >= case.sigmas)
        )
        if is_spike:
            yield bucket, sigmas if case.times is None else times
        else:
            usual[bucket] = count


def _median(past: list[int]) -> tuple[float, float]:
    if not past:
        return 0.0, 0.0
    center = median(past)
    return center, 1.4826 * median([abs(count - center) for count in past])


def _weighted(past: list[int], history: int) -> tuple[float, float]:
    """Mean and variance from the weight of each bucket, as the sums they are defined by."""
    weights: list[float] = []
    for number in range(1, len(past) + 1):
        alpha = 1 / number if number == 1 else max(2 / (history + 1), 1 / number)
        weights = [weight * (1 - alpha) for weight in weights] + [alpha]
    mean = sum(weight * count for weight, count in zip(weights, past, strict=True))
    variance = sum(weight * (count - mean) ** 2 for weight, count in zip(weights, past, strict=True))
    return mean, math.sqrt(variance)


def stream(seed: int) -> list[Record]:
    """Some minutes of traffic in waves, or some weeks of it, with a silence in it now and then."""
    rng = random.Random(seed)
    weeks = seed % 2
    lasting = rng.choice([9, 14]) * WEEK if weeks else 5_000
    size = 500 if weeks else 300
    starts = [rng.randrange(lasting) for _ in range(6)]
    silence = rng.randrange(lasting)
    records = []
    for number in range(size):
        at = rng.randrange(lasting)
        if number % 3 == 0:
            at = rng.choice(starts) + rng.randrange(60 if not weeks else DAY)
        if number % 7 == 0:
            at = at // 60 * 60
        if silence <= at <= silence + lasting // 3:
            at = silence
        records.append(
            {
                "at": at,
                "type": rng.choice(["fp", "fp", "fp", "s"]),
                "user_name": rng.choice(["Ann", "ann", "bob", "", None, 7, "7"]),
                "ip": rng.choice(["10.0.0.1", "10.0.0.2", "A", "a", "", "b", "c", "d"]),
                "log_id": f"id{number}",
            }
        )
    return records


@pytest.mark.parametrize("seed", range(40))
def test_in_memory_it_is_what_the_definition_says(rules: RuleSet, seed: int) -> None:
    records = stream(seed)

    told = walked(rules, MemoryWindows(), records, seed=seed, until=20 * WEEK)

    assert told == oracle(records)


@pytest.mark.usefixtures("reopened")
@pytest.mark.parametrize("seed", range(40, 60))
def test_what_is_kept_is_all_it_needs(rules: RuleSet, seed: int) -> None:
    records = stream(seed)

    told = walked(rules, MemoryWindows(), records, seed=seed, until=20 * WEEK)

    assert told == oracle(records)


@pytest.mark.parametrize("seed", range(6))
def test_on_redis_it_is_what_the_definition_says(rules: RuleSet, store: Store, seed: int) -> None:
    records = stream(seed)

    told = walked(rules, RedisWindows(store), records, seed=seed, until=20 * WEEK)

    assert told == oracle(records)


@pytest.mark.parametrize("seed", range(8))
def test_the_same_events_tell_the_same_story_in_whatever_order(rules: RuleSet, seed: int) -> None:
    records = stream(seed)

    told = lines(rules, records, seed=None)

    assert told
    assert lines(rules, records, seed=seed) == lines(rules, records, seed=seed + 1) == told


def _disagrees(rules: RuleSet) -> bool:
    return any(
        walked(rules, MemoryWindows(), stream(seed), seed=seed, until=20 * WEEK) != oracle(stream(seed))
        for seed in range(8)
    )


def test_there_is_something_to_find() -> None:
    assert {told.rule for seed in range(8) for told in oracle(stream(seed))} == {case.name for case in CASES}


def _law(**changes: Any) -> Callable[[bucket_counts.SpikeLaw], Any]:
    made = bucket_counts.bucket_counts
    return lambda law: made(
        law._replace(**{name: change(getattr(law, name)) for name, change in changes.items()})
    )


@pytest.mark.parametrize(
    "mistake",
    [
        _law(needed=lambda n: n + 1),
        _law(needed=lambda n: n - 1),
        _law(min_count=lambda n: n + 1),
        _law(
            history=lambda n: n + 1,
            baseline=lambda b: lambda dumped: b.func(b.args[0] + 1, *b.args[1:], dumped),
        ),
    ],
    ids=["warms up longer", "warms up less", "another count", "a longer history"],
)
def test_a_mistake_in_the_law_is_found(
    rules: RuleSet, monkeypatch: pytest.MonkeyPatch, mistake: Callable[..., Any]
) -> None:
    monkeypatch.setattr(spike, "bucket_counts", mistake)

    assert _disagrees(load_rules([Path(rules.rules[0].rule.file)]))


@pytest.mark.parametrize("kind", [baseline.Weekly, baseline.Ewma])
def test_a_baseline_that_learns_from_spikes_is_found(
    rules: RuleSet, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    add = kind.add
    monkeypatch.setattr(
        kind, "add", lambda self, bucket, count, *, apart: add(self, bucket, count, apart=False)
    )

    assert _disagrees(rules)


def test_empty_buckets_that_do_not_count_are_found(rules: RuleSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline._Weighted, "passed_to", lambda self, bucket, history: self)

    assert _disagrees(rules)


def test_a_ledger_that_trusts_the_order_of_arrival_is_found(
    rules: RuleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe = bucket_counts.BucketCounts.observe

    def hasty(self: bucket_counts.BucketCounts, batch: list[Seen], _committed_ms: int) -> Any:
        return observe(self, batch, max(seen.time_ms for seen in batch) + 1)

    monkeypatch.setattr(bucket_counts.BucketCounts, "observe", hasty)

    assert _disagrees(rules)


def test_duplicates_that_count_are_found(rules: RuleSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spike, "digest", lambda text: id(object()) ^ random.getrandbits(60))

    assert _disagrees(load_rules([Path(rules.rules[0].rule.file)]))


def test_the_control_has_no_mistake(rules: RuleSet) -> None:
    assert not _disagrees(rules)
