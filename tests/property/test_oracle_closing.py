"""`lt lte eq neq` and ranges, of every type that takes them, against their definition.

Here such a condition is judged once, at the end of a window; the backend of the other oracle tests
judges it at every event, and pySigma takes no ranges. So this is by brute force alone.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tocsin.model.compiled import RuleSet
from tocsin.protocols import Windows
from tocsin.rules.correlations import counting
from tocsin.state import tumbling
from tocsin.state.connection import Store
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows

from .oracle_correlations import ALL_BASES, COLUMNS, END_MS, Case, arriving, correlation, stream
from .oracle_definition import OPERATORS, defined
from .oracle_ours import LATENESS, Document, Run, load, run, run_live, seeds
from .oracle_sql import Table

KINDS = (
    "event_count",
    "value_count",
    "value_sum",
    "value_avg",
    "value_median",
    "value_percentile",
    "temporal",
)


def closing(rng: random.Random, kind: str, name: str) -> list[Document]:
    """A correlation of that kind whose condition more events can make false."""
    [document] = correlation(rng, kind, name)
    body = document["correlation"]
    written = body.get("condition", {})
    most = len(body["rules"]) if kind == "temporal" else 5
    bound = rng.randint(1, most)
    ranges = [{"gte": bound, "lte": bound + 2}, {"gt": bound - 0.5, "lt": bound + 2}]
    compared = rng.choice([{"lt": bound + 1}, {"lte": bound}, {"eq": bound}, {"neq": bound}, *ranges])
    body["condition"] = {**{key: one for key, one in written.items() if key not in OPERATORS}, **compared}
    return [document]


def compare(
    folder: Path,
    seed: int,
    through: Run,
    *,
    long: bool,
    windows: Callable[[], Windows] = MemoryWindows,
) -> int:
    """One stream, two correlations of each kind; how often they were true. Fails where ours differ."""
    rng = random.Random(seed)
    records = stream(rng, long=long)
    asked = {f"c{place}": closing(rng, kind, f"c{place}") for place, kind in enumerate(KINDS * 2)}
    rules = load(folder, [*ALL_BASES, *(document for some in asked.values() for document in some)])
    assert isinstance(rules, RuleSet), f"seed {seed}: {rules}"
    lateness = timedelta(seconds=3) if long else LATENESS
    batches = arriving(rng, records, lateness)
    said = through(rules, batches, windows=windows, until_ms=END_MS, lateness=lateness).instants
    times = 0
    with Table(records, empty_is_null=True) as table:
        table.need(COLUMNS)
        for name, documents in asked.items():
            expected = defined(Case(documents, records, table))
            ours = {(found.group, found.at_ms) for found in said if found.rule == name}
            assert ours == expected, (
                f"seed {seed}: {documents[0]['correlation']}\n"
                f"only here: {sorted(ours - expected)[:5]}\nonly there: {sorted(expected - ours)[:5]}"
            )
            times += len(expected)
    return times


@pytest.mark.parametrize("through", [run, run_live])
@pytest.mark.parametrize("long", [False, True])
def test_a_condition_that_is_judged_at_the_end_is_true_by_definition(
    tmp_path: Path, through: Run, long: bool
) -> None:
    assert all(compare(tmp_path, seed, through, long=long) for seed in seeds(25))


@pytest.mark.parametrize("through", [run, run_live])
@pytest.mark.parametrize("seed", range(4))
def test_on_redis_it_is_true_by_definition_too(tmp_path: Path, store: Store, through: Run, seed: int) -> None:
    def windows() -> Windows:
        return RedisWindows(store)

    assert compare(tmp_path, 100 + seed, through, long=seed % 2 > 0, windows=windows)


FIRST_AT = tumbling.first_at
PLANTED: dict[str, tuple[object, str, object]] = {
    "a window is open at its end": (
        tumbling,
        "first_at",
        lambda members, at_ms, first=0: FIRST_AT(members, at_ms - 1, first),
    ),
    "lte is lt": (counting, "OPERATORS", {**counting.OPERATORS, "lte": counting.OPERATORS["lt"]}),
    "neq is eq": (counting, "OPERATORS", {**counting.OPERATORS, "neq": counting.OPERATORS["eq"]}),
}


def _compare_all(folder: Path) -> None:
    for seed in range(25):
        compare(folder, seed, run, long=False)


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_planted_mistake_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    place, name, planted = PLANTED[mistake]
    monkeypatch.setattr(place, name, planted)

    with pytest.raises(AssertionError, match="seed"):
        _compare_all(tmp_path)
