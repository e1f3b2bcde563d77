"""Correlations against pysigma-backend-sqlite: the moments at which each is true, before there are episodes.

A seed makes a stream (ties, mixed case, missing fields, numbers as text) and correlations over it.
SQLite sees the stream as a table; we see it late, shuffled, partly twice and in batches. Both must name
the same (group, time). What the backend does (version 2.1.1, read from its source and seen here):

- A row is a window `[t - timespan, t]`, closed at both ends, at whose end a matching event of the group
  stands and in which the condition is true. All events of one instant are in it.
- `event_count` counts events once by id, whichever rules matched them. `value_count` counts distinct
  values whatever their case. A null counts as no value, but its event has a window all the same.
- `value_sum`, `value_avg`, `value_median`, `value_percentile` take finite numbers and texts of JSON
  numbers (spaces around them trimmed; not `07`, `+7`, `.5`, true); without any the condition is false.
  A value counts once for each event. Percentiles interpolate between neighbours: the place of P is
  `(n - 1) * P / 100`; the median is that of 50, of an even count the mean of the middle two.
- `temporal`: how many of the rules have a match in the window (all of them, unless a count is asked);
  a text condition is true or false of that. With `not`, the window looks forward: each event of a rule
  that is asked for opens `[u, u + timespan]`, and the row's time is its end.
- `temporal_ordered`: strictly increasing times in the order of the rules, at any matching event.
- A chain: each row of the child is one member of the parent, at its end.

What differs on purpose stands by name in `oracle_correlations.DIFFERENCES`, and is taken out first.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from tocsin.model.compiled import RuleSet
from tocsin.protocols import Windows
from tocsin.state.connection import Store
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows

from .oracle_correlations import ALL_BASES, COLUMNS, END_MS, KINDS, Case, arriving, correlation, stream
from .oracle_definition import defined
from .oracle_ours import LATENESS, Run, load, run, run_live, seeds
from .oracle_sql import Table

SEEDS = 24  # streams, each with four correlations of a kind
FRESH = count()


def compare(
    folder: Path,
    seed: int,
    kinds: Sequence[str],
    windows: Callable[[], Windows] = MemoryWindows,
    through: Run = run,
    *,
    long: bool = False,
) -> int:
    """One stream, one correlation of each kind; how often they were true. Fails where the two differ."""
    rng = random.Random(seed)
    records = stream(rng, long=long)
    asked = {f"c{place}": (kind, correlation(rng, kind, f"c{place}")) for place, kind in enumerate(kinds)}
    rules = load(folder, [*ALL_BASES, *(document for _, some in asked.values() for document in some)])
    assert isinstance(rules, RuleSet), f"seed {seed}: {rules}"
    # Windows that are longer than lateness let go of members that they no longer need.
    lateness = timedelta(seconds=3) if long else LATENESS
    batches = arriving(rng, records, lateness)
    said = through(rules, batches, windows=windows, until_ms=END_MS, lateness=lateness).instants
    times = 0
    with Table(records, empty_is_null=True) as table:
        table.need(COLUMNS)
        for name, (kind, documents) in asked.items():
            case = Case(documents, records, table)
            expected = KINDS[kind].ours(case.rows(), case)
            ours = {(found.group, found.at_ms) for found in said if found.rule == name}
            assert ours == expected, (
                f"seed {seed}: {[document['correlation'] for document in documents]}\n"
                f"only here: {sorted(ours - expected)[:5]}\nonly there: {sorted(expected - ours)[:5]}"
            )
            times += len(expected)
    return times


@pytest.mark.parametrize("kind", KINDS)
def test_a_correlation_is_true_when_the_backend_says_so(tmp_path: Path, kind: str) -> None:
    times = [compare(tmp_path, seed, [kind] * 4) for seed in seeds(SEEDS)]

    assert sum(map(bool, times)) > len(times) * 0.5  # most streams make some of them true


@pytest.mark.parametrize("seed", range(8))
def test_correlations_of_every_kind_do_not_disturb_each_other(tmp_path: Path, seed: int) -> None:
    assert compare(tmp_path, 1_000 + seed, [*KINDS], long=seed % 2 > 0)


@pytest.mark.parametrize("through", [run, run_live])
@pytest.mark.parametrize("seed", range(3))
def test_correlations_on_redis_are_true_when_the_backend_says_so(
    tmp_path: Path, store: Store, seed: int, through: Run
) -> None:
    def windows() -> Windows:
        return RedisWindows(Store(store.client, "unix://test", prefix=f"{store.prefix}-{next(FRESH)}"))

    assert compare(tmp_path, 2_000 + seed, [*KINDS], windows, through, long=True)


@pytest.mark.parametrize("seed", range(8))
def test_correlations_live_are_true_when_the_backend_says_so(tmp_path: Path, seed: int) -> None:
    assert compare(tmp_path, 3_000 + seed, [*KINDS], through=run_live, long=seed % 3 > 0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_backend_says_what_the_definition_says(kind: str) -> None:
    for seed in range(4):
        rng = random.Random(seed)
        records = stream(rng)
        with Table(records, empty_is_null=True) as table:
            table.need(COLUMNS)
            for _ in range(3):
                case = Case(correlation(rng, kind, "one"), records, table)
                said = KINDS[kind].ours(case.rows(), case)
                assert said == defined(case), f"seed {seed}: {case.documents}"
