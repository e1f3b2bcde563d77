"""`first_seen` against its definition: any order within the lateness, any batches, any crash."""

from __future__ import annotations

import random  # noqa: TID251 - seeded
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tocsin.model.compiled import RuleSet
from tocsin.protocols import Windows
from tocsin.rules.correlations import first_seen, sightings
from tocsin.rules.load import load_rules
from tocsin.state.connection import Store
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows

from .ledger_walk import Record, Told, lines, reopened, walked

__all__ = ["reopened"]  # a fixture


class Case(NamedTuple):
    """A rule, as the oracle reads it; times in seconds."""

    name: str
    field: tuple[str, ...]
    by: tuple[str, ...]
    remember: int
    learn: int
    min_seen: int


CASES = (
    Case("country", ("country",), ("user_name",), 600, 200, 1),
    Case("device_and_ip", ("device", "ip"), ("user_name",), 900, 0, 2),
    Case("tenant_wide", ("country",), (), 300, 100, 5),
    Case("at_once", ("ip",), ("user_name", "device"), 400, 0, 0),
)


def _yaml(case: Case) -> str:
    return (
        f"title: {case.name}\nname: {case.name}\nlogsource: {{product: auth0}}\n"
        "detection: {seen: {data.type: s}, condition: seen}\nlevel: low\ntocsin:\n"
        f"    correlate: {{type: first_seen, field: [{', '.join(case.field)}], "
        f"group-by: [{', '.join(case.by)}], remember: {case.remember}s, learn: {case.learn}s, "
        f"min_seen: {case.min_seen}}}\n"
        "    alert: {context: [data.ip, data.user_name]}\n"
    )


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> RuleSet:
    path: Path = tmp_path_factory.mktemp("rules") / "first.yml"
    path.write_text("---\n".join(map(_yaml, CASES)))
    return load_rules([path])


def _text(value: object) -> str:
    return "" if value is None else str(value).casefold()


def oracle(records: list[Record]) -> set[Told]:
    """By definition, over all events at once."""
    found: set[Told] = set()
    for case in CASES:
        groups: dict[tuple[str, ...], set[tuple[float, tuple[str, ...]]]] = defaultdict(set)
        for record in records:
            key = tuple(_text(record[name]) for name in case.by)
            value = tuple(_text(record[name]) for name in case.field)
            if record["type"] == "s" and all(key) and all(value):
                groups[key].add((record["at"], value))
        for key, events in groups.items():
            found |= {
                Told(case.name, "\x1f".join(key), at, 1.0)
                for at, value in events
                if _is_new(case, events, at, value)
            }
    return found


def _is_new(
    case: Case, events: set[tuple[float, tuple[str, ...]]], at: float, value: tuple[str, ...]
) -> bool:
    times = sorted({time for time, _ in events if time <= at})
    starts = [times[0], *(later for one, later in pairwise(times) if later - one > case.remember)]
    start = starts[-1]
    earlier = [one for one in events if start <= one[0] < at]
    known = any(one == value and at - case.remember <= time for time, one in earlier)
    return at >= start + case.learn and len(earlier) >= case.min_seen and not known


def stream(seed: int, size: int = 250) -> list[Record]:
    rng = random.Random(seed)
    lasting = rng.choice([1_000, 5_000])
    return [
        {
            "at": rng.choice([rng.randrange(lasting), rng.randrange(lasting) // 100 * 100]),
            "type": rng.choice(["s", "s", "s", "fp"]),
            "user_name": rng.choice(["Ann", "ann", "bob", "", None, 7, "7"]),
            "country": rng.choice(["DE", "de", "FR", "US", None]),
            "device": rng.choice(["mac", "Mac", "pc", "", True, "true"]),
            "ip": f"10.0.0.{rng.randrange(6)}",
            "log_id": f"id{number}",
        }
        for number in range(size)
    ]


@pytest.mark.parametrize("seed", range(40))
def test_in_memory_it_is_what_the_definition_says(rules: RuleSet, seed: int) -> None:
    records = stream(seed)

    told = walked(rules, MemoryWindows(), records, seed=seed)

    assert told == oracle(records)


@pytest.mark.usefixtures("reopened")
@pytest.mark.parametrize("seed", range(40, 60))
def test_what_is_kept_is_all_it_needs(rules: RuleSet, seed: int) -> None:
    records = stream(seed)

    told = walked(rules, MemoryWindows(), records, seed=seed)

    assert told == oracle(records)


@pytest.mark.parametrize("seed", range(6))
def test_on_redis_it_is_what_the_definition_says(rules: RuleSet, store: Store, seed: int) -> None:
    records = stream(seed)

    told = walked(rules, RedisWindows(store), records, seed=seed)

    assert told == oracle(records)


@pytest.mark.parametrize("seed", range(8))
def test_the_same_events_tell_the_same_story_in_whatever_order(rules: RuleSet, seed: int) -> None:
    records = stream(seed)

    told = lines(rules, records, seed=None)

    assert told
    assert lines(rules, records, seed=seed) == lines(rules, records, seed=seed + 1) == told


def _disagrees(rules: RuleSet, windows: Callable[[], Windows] = MemoryWindows) -> bool:
    return any(walked(rules, windows(), stream(seed), seed=seed) != oracle(stream(seed)) for seed in range(8))


def test_there_is_something_to_find() -> None:
    assert {told.rule for seed in range(8) for told in oracle(stream(seed))} == {case.name for case in CASES}


def _changed(**by: int) -> Callable[..., sightings.LedgerKind]:
    """Ledgers whose law is off by so much."""

    def opened(law: sightings.NewLaw) -> sightings.LedgerKind:
        changed = {name: getattr(law, name) + step for name, step in by.items()}
        return sightings.first_sightings(law._replace(**changed))

    return opened


@pytest.mark.parametrize(
    "by",
    [{"remember_ms": 1_000}, {"remember_ms": -1}, {"learn_ms": 1}, {"min_seen": 1}, {"min_seen": -1}],
    ids=["remembers longer", "remembers less", "learns longer", "needs one more", "counts its own"],
)
def test_an_edge_that_is_off_by_one_is_found(
    rules: RuleSet, monkeypatch: pytest.MonkeyPatch, by: dict[str, int]
) -> None:
    monkeypatch.setattr(first_seen, "first_sightings", _changed(**by))

    assert _disagrees(load_rules([Path(rules.rules[0].rule.file)]))


def test_a_history_that_trusts_the_order_of_arrival_is_found(
    rules: RuleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe = sightings.Sightings.observe

    def hasty(self: sightings.Sightings, batch: Any, _committed_ms: int) -> Any:
        return observe(self, batch, max(seen.time_ms for seen in batch) + 1)

    monkeypatch.setattr(sightings.Sightings, "observe", hasty)

    assert _disagrees(rules)


def test_values_compared_with_their_case_are_found(rules: RuleSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        first_seen, "counted_value", lambda readers: lambda event: repr([read(event) for read in readers])
    )

    assert _disagrees(load_rules([Path(rules.rules[0].rule.file)]))


def test_the_control_has_no_mistake(rules: RuleSet) -> None:
    assert not _disagrees(rules)
