"""The correlations that compute with numbers: what the engine says is what their definition says.

The definition computes with fractions; the engine's score is that, rounded once, in whatever order
the numbers came.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tocsin.model.compiled import RuleSet
from tocsin.rules.correlations import numbers
from tocsin.rules.correlations.closing import Closing
from tocsin.rules.correlations.numbers import Total
from tocsin.rules.correlations.sliding import Sliding
from tocsin.rules.correlations.value_percentile import Ranked
from tocsin.state.connection import Store
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows

from .definition_sigma import BASES, agree, arriving, base, defined, stream, told
from .oracle_ours import Document, load

TYPES = ("value_sum", "value_avg", "value_percentile", "value_median")
CONDITIONS: tuple[Document, ...] = (
    {"gte": 1}, {"gt": 2.5}, {"gte": -1}, {"gte": -1e15}, {"gt": 0.3}, {"lte": 2}, {"lt": 0}, {"eq": 2},
    {"neq": 1}, {"gt": 0, "lte": 4}, {"gte": -2, "lt": 2.5},
)  # fmt: skip


def _correlation(rng: random.Random, type_: str) -> Document:
    names = rng.sample([*BASES], rng.randint(1, 3))
    body: Document = {
        "type": type_,
        "rules": names,
        "group-by": rng.choice([[], ["ip"], ["user_name"], ["ip", "user_name"]]),
        "timespan": f"{rng.choice([1, 3, 10, 30, 90])}s",
        "condition": {**rng.choice(CONDITIONS), "field": "amount"},
    }
    if type_ == "value_percentile":
        body["condition"]["percentile"] = rng.choice([0, 1, 25, 50, 75, 90, 99, 99.9, 100])
    return body


def _wrong(folder: Path, seed: int, windows: Any = None) -> list[str]:
    rng = random.Random(seed)
    documents = [
        {"title": type_, "name": type_, "level": "low", "correlation": _correlation(rng, type_)}
        for type_ in TYPES
    ]
    rules = load(folder, [*map(base, BASES), *documents])
    assert isinstance(rules, RuleSet), f"seed {seed}: {rules}"
    records = stream(rng, size=rng.choice([20, 120]), over_s=rng.choice([20, 300]))
    said = told(rules, windows or MemoryWindows(), arriving(rng, records), rng, exact=rng.random() < 0.5)
    return agree(said, defined(documents, records))


def test_in_memory_they_are_true_when_the_definition_says_so(tmp_path: Path) -> None:
    for seed in range(300):
        assert _wrong(tmp_path, seed) == [], f"seed {seed}"


def test_on_a_server_they_are_true_when_the_definition_says_so(tmp_path: Path, store: Store) -> None:
    for seed in range(40):
        fresh = Store(store.client, "unix://test", prefix=f"{store.prefix}-{seed}")
        assert _wrong(tmp_path, seed, RedisWindows(fresh)) == [], f"seed {seed}"


# The tests of the tests: each of these mistakes must be found.


class Float(Total):
    """Adds as floats add."""

    def __init__(self, result: Any, values: Sequence[int] = ()) -> None:
        super().__init__(result)
        for value in values:
            self.add(value)

    def add(self, value: int) -> None:
        self._total += numbers.unpacked(value)  # type: ignore[assignment]
        self._count += 1

    def remove(self, value: int) -> None:
        self._total -= numbers.unpacked(value)  # type: ignore[assignment]
        self._count -= 1

    def score(self) -> float | None:
        return float(self._total) if self._count else None


def _nearest_rank(self: Ranked) -> float | None:
    self._take_in()
    return self._sorted[int((len(self._sorted) - 1) * self._share)] if self._sorted else None


def _numbers_once(given: Any) -> Any:
    seen = _SEEN(given)
    return lambda events: [one._replace(member=one.value) for one in seen(events)]


def _packed(value: object) -> int | None:
    return _PACK(1 if value is True else value)


def _early(self: Any, batch: Any, committed_ms: int) -> Any:
    found = _OBSERVE(self, batch, committed_ms)
    return found or self._judged(min(seen.time_ms for seen in batch), max(seen.time_ms for seen in batch) + 1)


def _half_open(self: Closing) -> Iterator[tuple[int, int, int]]:
    for first, after, end in _WINDOWS(self):
        yield first, max(first + 1, min(after, self._members.first_at(end))), end


def _one_is_more(self: Total) -> float | None:
    return self._result(self._total, max(self._count, 1)) + (self._count == 1) * 1e-9


_SEEN, _PACK, _OBSERVE = numbers.seen_numbers, numbers.packed, Sliding.observe
_WINDOWS = Closing._windows


@pytest.mark.parametrize(
    ("where", "name", "mistake"),
    [
        ("value_sum", "Total", Float),
        (Ranked, "score", _nearest_rank),
        (numbers, "packed", _packed),
        (Sliding, "observe", _early),
        (Total, "score", _one_is_more),
        (Closing, "_windows", _half_open),
    ],
    ids=["floats", "no interpolation", "true is 1", "before the watermark", "nearly", "half-open windows"],
)
def test_a_planted_mistake_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, mistake: Callable[..., Any]
) -> None:
    if isinstance(where, str):
        monkeypatch.setattr(f"tocsin.rules.correlations.{where}.{name}", mistake)
    else:
        monkeypatch.setattr(where, name, mistake)

    assert any(_wrong(tmp_path, seed) for seed in range(80))
