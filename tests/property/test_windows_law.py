"""The windows' law against a model that sorts nothing, prunes nothing and tests every window by definition.

A script is a list of batches with a committed time each; some batches are read twice, as after a
crash. What a store reports of windows that end at `committed` or later must be what the model says.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from random import Random  # noqa: TID251 - seeded: a failure names its seed
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tocsin.model.compiled import WindowSpec
from tocsin.model.observed import Counted, Observations
from tocsin.protocols import Windows
from tocsin.state import connection, members, windows_memory
from tocsin.state.connection import Store
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows

BASE = 1_700_000_000_123
STEP = 7  # milliseconds: an odd step, so that a float of seconds is off at the edges
TENANTS = (f"tenant-{n}" for n in itertools.count())


class Round(NamedTuple):
    """What one call of `observe` is given."""

    batch: list[tuple[str, int, str]]  # group, time, member
    committed_ms: int
    again: bool


class Script(NamedTuple):
    spec: WindowSpec
    rounds: list[Round]


@st.composite
def scripts(draw: st.DrawFn, counts: str | None = None, *, keep: bool | None = None) -> Script:
    span = draw(st.integers(1, 8)) * STEP
    floor = draw(st.integers(1, 3))
    spec = WindowSpec(
        state="rule",
        span_ms=span,
        counts=counts or draw(st.sampled_from(["events", "values"])),
        keep=draw(st.none() if keep is False else st.one_of(st.none(), st.integers(floor, 5))),
        floor=floor,
    )
    committed, rounds = BASE - 10 * STEP, []
    for _ in range(draw(st.integers(1, 7))):
        oldest = -(-(committed - span - BASE) // STEP)
        times = st.integers(oldest, oldest + 25).map(lambda n: BASE + n * STEP)
        seen = st.tuples(st.sampled_from("gh"), times, st.sampled_from("abcdef"))
        rounds.append(Round(draw(st.lists(seen, max_size=9)), committed, draw(st.booleans())))
        committed += draw(st.integers(0, 12)) * STEP
    return Script(spec, rounds)


class Model:
    """All members ever seen of one group."""

    def __init__(self, spec: WindowSpec) -> None:
        self.spec = spec
        self.members: set[tuple[int, str]] = set()

    def count(self, at_ms: int) -> int:
        inside = [(t, m) for t, m in self.members if at_ms - self.spec.span_ms <= t <= at_ms]
        return len(inside) if self.spec.counts == "events" else len({m for _, m in inside})

    def changed(self, batch: Sequence[tuple[int, str]]) -> dict[int, int]:
        self.members.update(batch)
        ends = {t for t, _ in self.members if any(s <= t <= s + self.spec.span_ms for s, _ in batch)}
        return {t: n for t in ends if (n := self.count(t)) >= self.spec.floor}


def check(windows: Windows, script: Script) -> None:
    spec, tenant = script.spec, next(TENANTS)
    models: dict[str, Model] = defaultdict(lambda: Model(spec))
    for step in script.rounds:
        groups: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for group, at_ms, member in step.batch:
            groups[group].append((at_ms, member))
        for _ in range(1 + step.again):
            seen = [Observations(spec, {group: list(batch) for group, batch in groups.items()})]
            reported = windows.observe(tenant, seen, committed_ms=step.committed_ms)
            answers = {counted.group: counted for counted in reported}
            assert len(answers) == len(reported)
            for group, batch in groups.items():
                expected = models[group].changed(batch)
                compare(spec, expected, answers.get(group), step.committed_ms)


def compare(spec: WindowSpec, expected: dict[int, int], answer: Counted | None, committed_ms: int) -> None:
    reported = answer.windows if answer else []
    assert reported == sorted(set(reported)), "ascending, each once"
    found = dict(reported)
    assert len(found) == len(reported)
    for at_ms, count in found.items():
        assert count >= spec.floor
        assert at_ms in expected
        assert count <= expected[at_ms]
    for at_ms, true in expected.items():
        if at_ms < committed_ms:
            continue  # best effort: what they need may be gone
        count = found.get(at_ms, 0)
        if spec.keep is None or true <= spec.keep:
            assert count == true, f"the window ending at {at_ms}"
        else:
            assert spec.keep <= count
            assert count == true or (answer and answer.floored), "a floor says so"


def redis_windows(store: Store) -> Windows:
    return RedisWindows(store)


def plant(monkeypatch: pytest.MonkeyPatch, script: str, line: str, mistake: str) -> None:
    """Replace a line of a script."""
    read = connection._read_script

    def planted(name: str) -> str:
        text = read(name)
        assert name != script or line in text
        return text.replace(line, mistake) if name == script else text

    monkeypatch.setattr(connection, "_read_script", planted)


@pytest.fixture(params=[0, 56])
def outgrown(request: pytest.FixtureRequest, store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store whose groups get a key of their own from the first member on, or from about the fourth."""
    plant(monkeypatch, "batch", "SMALL = 1024", f"SMALL = {request.param}")
    return store


LAW = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@settings(LAW, max_examples=600)
@given(script=scripts())
def test_memory_counts_what_the_model_counts(script: Script) -> None:
    check(MemoryWindows(), script)


@settings(LAW, max_examples=300)
@given(script=scripts())
def test_redis_counts_what_the_model_counts(store: Store, script: Script) -> None:
    check(RedisWindows(store), script)


@settings(LAW, max_examples=300)
@given(script=scripts())
def test_redis_counts_the_same_when_groups_outgrow_their_field(outgrown: Store, script: Script) -> None:
    check(RedisWindows(outgrown), script)


@settings(LAW, max_examples=200)
@given(script=scripts(keep=False))
def test_memory_and_redis_say_the_same_of_every_window_still_exact(store: Store, script: Script) -> None:
    tenant, stores = next(TENANTS), [MemoryWindows(), RedisWindows(store)]
    for step in script.rounds:
        groups: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for group, at_ms, member in step.batch:
            groups[group].append((at_ms, member))
        said = [
            {
                (counted.group, window)
                for counted in windows.observe(
                    tenant, [Observations(script.spec, groups)], committed_ms=step.committed_ms
                )
                for window in counted.windows
                if window[0] >= step.committed_ms
            }
            for windows in stores
        ]
        assert said[0] == said[1]


def long_script(seed: int) -> Script:
    """Many batches of a few busy groups, mostly in order: large groups, appends and pruning."""
    rng = Random(seed)
    spec = WindowSpec(
        state="rule",
        span_ms=rng.randint(20, 60) * STEP,
        counts=rng.choice(["events", "values"]),
        keep=rng.choice([None, 5, 12]),
        floor=rng.randint(1, 5),
    )
    now, lateness, rounds = BASE, rng.randint(0, 10) * STEP, []
    for _ in range(25):
        committed = now - lateness
        batch = []
        for _ in range(rng.randint(0, 40)):
            now += rng.randint(0, 2) * STEP
            at_ms = now - rng.choice([0, 0, 0, 0, rng.randint(0, lateness + spec.span_ms)]) // STEP * STEP
            group = rng.choice("ggh")
            batch.append((group, max(at_ms, committed - spec.span_ms), f"m{rng.randrange(40)}"))
        rng.shuffle(batch)
        rounds.append(Round(batch, committed, again=rng.random() < 0.2))
    return Script(spec, rounds)


@pytest.mark.parametrize("seed", range(30))
def test_memory_counts_long_scripts(seed: int) -> None:
    check(MemoryWindows(), long_script(seed))


@pytest.mark.parametrize("seed", range(30))
def test_redis_counts_long_scripts(store: Store, seed: int) -> None:
    check(RedisWindows(store), long_script(seed))


@pytest.mark.parametrize("seed", range(30))
def test_redis_counts_long_scripts_whose_groups_outgrow_their_field(outgrown: Store, seed: int) -> None:
    check(RedisWindows(outgrown), long_script(seed))


# Closing windows -----------------------------------------------------------------------------------


class ClosingRound(NamedTuple):
    batch: list[tuple[int, str]]
    watermark_ms: int
    commits: bool


@st.composite
def closing_scripts(draw: st.DrawFn) -> tuple[WindowSpec, list[ClosingRound]]:
    spec = WindowSpec(
        state="closing",
        span_ms=draw(st.integers(1, 8)) * STEP,
        counts=draw(st.sampled_from(["events", "values"])),
        closes=True,
    )
    watermark, rounds = BASE, []
    for _ in range(draw(st.integers(1, 8))):
        times = st.integers(0, 25).map(lambda n, from_ms=watermark: from_ms + n * STEP)
        batch = draw(st.lists(st.tuples(times, st.sampled_from("abcd")), max_size=6))
        watermark += draw(st.integers(0, 15)) * STEP
        rounds.append(ClosingRound(batch, watermark, draw(st.booleans())))
    return spec, rounds


def tumbling(spec: WindowSpec, seen: set[tuple[int, str]]) -> Iterator[tuple[int, int]]:
    left = sorted(seen)
    while left:
        end = left[0][0] + spec.span_ms
        inside = [(t, m) for t, m in left if t <= end]
        yield end, len(inside) if spec.counts == "events" else len({m for _, m in inside})
        left = left[len(inside) :]


def check_closing(windows: Windows, spec: WindowSpec, rounds: Sequence[ClosingRound]) -> None:
    tenant, seen, committed = next(TENANTS), set[tuple[int, str]](), BASE
    for batch, watermark_ms, commits in rounds:
        seen.update(batch)
        if batch:
            reported = windows.observe(
                tenant, [Observations(spec, {"g": list(batch)})], committed_ms=committed
            )
            assert all(counted.windows == [] for counted in reported)
        for _ in range(2):  # asked again, it answers the same
            due = windows.due(tenant, [spec], watermark_ms=watermark_ms, committed_ms=committed)
            said = [window for counted in due for window in counted.windows]
            assert said == [w for w in tumbling(spec, seen) if committed <= w[0] < watermark_ms]
        if commits:
            committed = watermark_ms


@settings(LAW, max_examples=400)
@given(script=closing_scripts())
def test_memory_closes_what_the_model_closes(script: tuple[WindowSpec, list[ClosingRound]]) -> None:
    check_closing(MemoryWindows(), *script)


@settings(LAW, max_examples=200)
@given(script=closing_scripts())
def test_redis_closes_what_the_model_closes(
    store: Store, script: tuple[WindowSpec, list[ClosingRound]]
) -> None:
    check_closing(RedisWindows(store), *script)


# Control arms: mistakes that these laws must find ----------------------------------------------------


class Narrow(MemoryWindows):
    """The window is open at its older end."""

    def observe(self, tenant, seen, *, committed_ms):  # type: ignore[no-untyped-def]
        narrow = [Observations(spec._replace(span_ms=spec.span_ms - 1), groups) for spec, groups, _ in seen]
        return super().observe(tenant, narrow, committed_ms=committed_ms)


class SkipsKnown(MemoryWindows):
    """A member that is known is not evaluated again."""

    def __init__(self) -> None:
        super().__init__()
        self.known: set[tuple[str, int, str]] = set()

    def observe(self, tenant, seen, *, committed_ms):  # type: ignore[no-untyped-def]
        fresh = []
        for spec, groups, _ in seen:
            left = {g: [(t, m) for t, m in b if (g, t, m) not in self.known] for g, b in groups.items()}
            self.known.update((g, t, m) for g, b in groups.items() for t, m in b)
            fresh.append(Observations(spec, {g: b for g, b in left.items() if b}))
        return super().observe(tenant, fresh, committed_ms=committed_ms)


class OneByOne(MemoryWindows):
    """Members of one instant are not all in each other's windows."""

    def observe(self, tenant, seen, *, committed_ms):  # type: ignore[no-untyped-def]
        answers: list[Counted] = []
        for spec, groups, _ in seen:
            for group, batch in groups.items():
                windows: dict[int, int] = {}
                for member in batch:
                    one = [Observations(spec, {group: [member]})]
                    for counted in super().observe(tenant, one, committed_ms=committed_ms):
                        windows = dict(counted.windows) | windows
                answers.append(Counted(spec.state, group, sorted(windows.items()), 2))
        return answers


class OwnWindowOnly(MemoryWindows):
    """A late member changes no later window."""

    def observe(self, tenant, seen, *, committed_ms):  # type: ignore[no-untyped-def]
        times = {(spec.state, g): {t for t, _ in b} for spec, groups, _ in seen for g, b in groups.items()}
        return [
            counted._replace(windows=[w for w in counted.windows if w[0] in times[counted[:2]]])
            for counted in super().observe(tenant, seen, committed_ms=committed_ms)
        ]


class FloatSeconds:
    """A model that computes in seconds."""

    def __init__(self) -> None:
        self.members: dict[str, set[tuple[float, str]]] = defaultdict(set)

    def observe(self, tenant, seen, *, committed_ms):  # type: ignore[no-untyped-def]
        answers = []
        for spec, groups, _ in seen:
            span = spec.span_ms / 1000
            for group, batch in groups.items():
                held = self.members[group]
                held.update((t / 1000, m) for t, m in batch)
                ends = {t for t, _ in held if any(s / 1000 <= t <= s / 1000 + span for s, _ in batch)}
                counts = {}
                for end in ends:
                    inside = [m for t, m in held if end - span <= t <= end]
                    counts[round(end * 1000)] = len(inside if spec.counts == "events" else set(inside))
                kept = sorted((t, n) for t, n in counts.items() if n >= spec.floor)
                answers.append(Counted(spec.state, group, kept, len(held)))
        return answers


MISTAKES: list[Callable[[], object]] = [Narrow, SkipsKnown, OneByOne, OwnWindowOnly, FloatSeconds]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_law_finds_a_planted_mistake(mistake: Callable[[], Windows]) -> None:
    @settings(LAW, max_examples=2_000, phases=[Phase.generate], report_multiple_bugs=False)
    @given(script=scripts())
    def law(script: Script) -> None:
        check(mistake(), script)

    with pytest.raises(AssertionError):
        law()


@pytest.mark.parametrize("counts", ["events", "values"])
def test_the_law_finds_pruning_to_the_newest_whatever_the_lateness(
    counts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        windows_memory,
        "droppable",
        lambda held, span, keep, committed: max(0, len(held) // 2 - keep) if keep else 0,
    )
    monkeypatch.setattr("tocsin.state.distinct.SATURATED", 0)

    @settings(LAW, max_examples=2_000, phases=[Phase.generate], report_multiple_bugs=False)
    @given(script=scripts(counts))
    def law(script: Script) -> None:
        check(MemoryWindows(), script)

    with pytest.raises(AssertionError):
        law()


@pytest.mark.parametrize(
    ("script", "line", "mistake"),
    [
        ("events", "time_at(raw, head, left) < at - span", "time_at(raw, head, left) <= at - span"),
        ("packed", "if a_here ~= a then return a_here < a end", "if a_here ~= a then return false end"),
        ("events", "(raw, head, size, committed) - keep", "(raw, head, size, committed + 99) - keep"),
        ("observe", "#batch > 16", "#batch > 32"),
        ("values", "times[left] < at - rule.span", "times[left] <= at - rule.span"),
        ("values", "within[value] > 1 and within[value] - 1 or nil", "nil"),
        ("values", "= time_at(batch, 0, seen) + rule.span", "= time_at(batch, 0, seen)"),
        ("values", "following[value] > committed", "false"),
        ("values", "if at < committed - rule.span then", "if at < committed then"),
        ("values", "if times[place] < committed then", "if times[place] < committed + 70 then"),
    ],
)
def test_the_law_finds_a_mistake_planted_in_a_script(
    store: Store, monkeypatch: pytest.MonkeyPatch, script: str, line: str, mistake: str
) -> None:
    plant(monkeypatch, script, line, mistake)
    must_be_found(store, script)


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("time + 1, '+inf'", "time + 8, '+inf'"),
        ("math.min(entry[3], entry[2] + rule.span + 1)", "entry[3]"),
        ("        entry[3] = at\n", ""),
        ("'-inf', committed - rule.span - 1", "'-inf', committed"),
        ("'-inf', committed - 1)", "'-inf', committed + 70)"),
        ("if not latest[leaving[out]] then", "if true then"),
        ("latest[values[left]] == times[left]", "true"),
        ("before < at - span", "false"),
        ("latest[value] or known[place]", "known[place]"),
        ("tonumber(leaving[out + 1]) < at - span", "tonumber(leaving[out + 1]) <= at - span"),
        ("elseif at > committed then", "elseif false then"),
    ],
)
def test_the_law_finds_a_mistake_planted_in_the_script_for_many_values(
    outgrown: Store, monkeypatch: pytest.MonkeyPatch, line: str, mistake: str
) -> None:
    plant(monkeypatch, "values_many", line, mistake)
    must_be_found(outgrown, "values")


def must_be_found(store: Store, script: str) -> None:
    windows = RedisWindows(store)

    @settings(LAW, max_examples=1_000, phases=[Phase.generate], report_multiple_bugs=False)
    @given(script=scripts(script if script in ("events", "values") else None))
    def law(script: Script) -> None:
        check(windows, script)

    def laws() -> None:
        for seed in range(20):
            check(windows, long_script(seed))
        law()

    with pytest.raises(AssertionError):
        laws()


def test_the_model_itself_counts_by_hand() -> None:
    spec = WindowSpec("rule", 10, "events")
    model = Model(spec)

    assert model.changed([(0, "a"), (10, "b"), (11, "c")]) == {0: 1, 10: 2, 11: 2}
    assert members.SATURATED == 4_096
