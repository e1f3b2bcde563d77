"""A changed threshold keeps its window: the same state, told another `keep` and `floor` from one batch on."""

from __future__ import annotations

import random  # noqa: TID251 - seeded, and the seed is in what is told
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

from tocsin.model.compiled import WindowSpec
from tocsin.model.observed import Counted, Observations
from tocsin.protocols import Windows
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows

SPAN = 60
LONG_AGO = -(10**12)
STORIES = 120
BATCHES = 25
Member = tuple[int, str]


@pytest.fixture(params=["memory", "redis"])
def windows(request: pytest.FixtureRequest) -> Windows:
    if request.param == "memory":
        return MemoryWindows()
    return RedisWindows(request.getfixturevalue("store"))


def spec_of(counts: str, threshold: int, *, keep: int | None = None, state: str = "s") -> WindowSpec:
    return WindowSpec(state, SPAN, counts, keep=keep or threshold, floor=threshold)


def see(windows: Windows, spec: WindowSpec, *members: Member, committed: int = LONG_AGO) -> list[Counted]:
    return windows.observe("t", [Observations(spec, {"g": list(members)})], committed_ms=committed)


@pytest.mark.parametrize("counts", ["events", "values"])
def test_a_threshold_raised_from_5_to_10_goes_on_counting_exactly(windows: Windows, counts: str) -> None:
    low, high = spec_of(counts, 5, keep=50), spec_of(counts, 10, keep=50)
    see(windows, low, *[(n, f"m{n}") for n in range(4)])
    (before,) = see(windows, low, (4, "m4"))

    nothing = [found.windows for n in range(5, 9) for found in see(windows, high, (n, f"m{n}"), committed=n)]
    (after,) = see(windows, high, (9, "m9"), committed=9)

    assert before.windows == [(4, 5)]
    assert nothing == [[]] * 4
    assert (after.windows, after.floored) == ([(9, 10)], False)


@pytest.mark.parametrize("counts", ["events", "values"])
def test_a_threshold_lowered_from_10_to_5_sees_what_was_counted_before(windows: Windows, counts: str) -> None:
    low, high = spec_of(counts, 5), spec_of(counts, 10)
    see(windows, high, *[(n, f"m{n}") for n in range(4)], committed=2)

    (after,) = see(windows, low, (4, "m4"), committed=4)

    assert (after.windows, after.floored) == ([(4, 5)], False)


@pytest.mark.parametrize("counts", ["events", "values"])
def test_what_a_lower_threshold_let_go_a_raised_one_calls_a_floor(windows: Windows, counts: str) -> None:
    low, high = spec_of(counts, 2), spec_of(counts, 4)
    for n in range(40):
        see(windows, low, (n, f"m{n}"), committed=n)  # all but the newest few may go

    found = [found for n in range(40, 50) for found in see(windows, high, (n, f"m{n}"), committed=n)]

    told = [one for one in found if one.windows]
    assert told
    assert all(one.floored for one in told)
    # Once the span has passed, all of it was counted under the new threshold.
    for n in range(200, 203):
        see(windows, high, (n, f"m{n}"), committed=n)
    (after,) = see(windows, high, (203, "m203"), committed=203)
    assert (after.windows, after.floored) == ([(203, 4)], False)


class Told(NamedTuple):
    """A window that was reported, and how."""

    count: int
    floored: bool


def true_counts(counts: str, seen: Sequence[Member]) -> dict[int, int]:
    """Of each window that ends at a member's time, its count by definition."""
    found = {}
    for end in {at for at, _ in seen}:
        inside = {(at, member) for at, member in seen if end - SPAN <= at <= end}
        found[end] = len({member for _, member in inside}) if counts == "values" else len(inside)
    return found


def story(windows: Windows, counts: str, seed: int) -> Iterator[str]:
    """Observe random batches under changing thresholds; where the answers are not what was promised.

    Every count is exact up to the least `keep` that the store was told within a span, and what is
    more is a floor that says so.
    """
    rng = random.Random(seed)
    state, now, committed = f"{counts}{seed}", 0, LONG_AGO
    spec = spec_of(counts, rng.randint(2, 8), state=state)
    kept: list[tuple[int, int]] = []
    seen: list[Member] = []
    for _ in range(BATCHES):
        if rng.random() < 0.3:
            spec = spec_of(counts, rng.randint(2, 8), state=state)
        now += rng.randint(0, 25)
        batch = [(now - rng.randint(0, 5), f"m{rng.randrange(10**6 if counts == 'events' else 9)}")
                 for _ in range(rng.randint(1, 5))]  # fmt: skip
        seen += batch
        kept.append((now, spec.keep or 0))
        answers = see(windows, spec, *batch, committed=committed)
        told = {at: Told(n, one.floored) for one in answers for at, n in one.windows}
        least = min(keep for at, keep in kept if at >= now - 2 * SPAN)
        changed = {at for at, _ in batch}
        for end, count in true_counts(counts, seen).items():
            answer = told.pop(end, None)
            if answer is None:
                if end in changed and spec.floor <= count <= least:
                    yield f"{seed} at {now}: the window to {end} counts {count}, and is not told"
            elif answer.count != count and (not answer.floored or not least <= answer.count < count):
                yield f"{seed} at {now}: the window to {end} counts {count}, and {answer} is told"
        yield from (f"{seed} at {now}: nothing ends at {end}" for end in told)
        committed = now - 6


@pytest.mark.parametrize("counts", ["events", "values"])
def test_thresholds_that_change_at_random_never_make_a_count_untrue(windows: Windows, counts: str) -> None:
    assert [line for seed in range(STORIES) for line in story(windows, counts, seed)] == []


@pytest.mark.parametrize("counts", ["events", "values"])
def test_a_store_that_begins_anew_with_a_threshold_would_be_found(
    windows: Windows, counts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mistake: the threshold is part of the state's name."""
    observe = windows.observe

    def mistaken(tenant: str, seen: Sequence[Observations], *, committed_ms: int) -> list[Counted]:
        renamed = [
            one._replace(spec=one.spec._replace(state=f"{one.spec.state}{one.spec.floor}")) for one in seen
        ]
        return observe(tenant, renamed, committed_ms=committed_ms)

    monkeypatch.setattr(windows, "observe", mistaken)

    assert any(True for seed in range(STORIES) for _ in story(windows, counts, seed))


@pytest.mark.parametrize("counts", ["events", "values"])
def test_a_floor_that_is_not_told_would_be_found(
    windows: Windows, counts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe = windows.observe

    def silent(tenant: str, seen: Sequence[Observations], *, committed_ms: int) -> list[Counted]:
        return [one._replace(floored=False) for one in observe(tenant, seen, committed_ms=committed_ms)]

    monkeypatch.setattr(windows, "observe", silent)

    assert any(True for seed in range(STORIES) for _ in story(windows, counts, seed))
