"""Ledgers against a model that keeps every member and judges every window by definition.

A script is what a detect loop does: batches are observed (some twice, as after a crash), the
watermark decides, the position is committed. What was told last of an instant must be what the model
says of it, whatever the store, the order, the cuts and the repetitions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tocsin.model.compiled import WindowSpec
from tocsin.model.ledger import Ledger, LedgerKind, Scored, Seen
from tocsin.model.observed import Counted, Observations
from tocsin.protocols import Windows
from tocsin.rules.correlations.closing import Closing, ClosingLaw, closing
from tocsin.rules.correlations.members import Members
from tocsin.rules.correlations.sliding import Law, Slide, Sliding, sliding
from tocsin.state import ledgers_redis
from tocsin.state.connection import Store
from tocsin.state.ledgers_memory import _Groups
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows

BASE = 1_700_000_000_123
STEP = 7  # milliseconds: an odd step, so that a float of seconds is off at the edges
TENANTS = (f"tenant-{n}" for n in itertools.count())
MODES = ("at once", "by the watermark", "closing")


class Total:
    """The sum of a window's values; sums that are fives and windows of too few have no score."""

    def __init__(self, least: int, values: Sequence[int]) -> None:
        self._values = list(values)
        self._least = least

    def add(self, value: int) -> None:
        self._values.append(value)

    def remove(self, value: int) -> None:
        self._values.remove(value)

    def score(self) -> float | None:
        return _score(self._values, self._least)


def _score(values: Sequence[int], least: int = 1) -> float | None:
    return float(sum(values)) if sum(values) % 5 and len(values) >= least else None


class Round(NamedTuple):
    """A batch of (group, time, member, value), and how far the watermark is after it."""

    batch: list[tuple[str, int, int, int]]
    watermark_ms: int
    again: bool


class Script(NamedTuple):
    mode: str
    span_ms: int
    ends: bool
    least: int
    rounds: list[Round]


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    span = draw(st.integers(1, 8)) * STEP
    mode = draw(st.sampled_from(MODES))
    watermark, rounds = BASE - 10 * STEP, []
    for _ in range(draw(st.integers(1, 7))):
        # Not before the watermark: what is later than that is best effort.
        oldest = -(-(watermark - BASE) // STEP)
        times = st.integers(oldest, oldest + 25).map(lambda n: BASE + n * STEP)
        seen = st.tuples(st.sampled_from("gh"), times, st.integers(-4, 4), st.sampled_from([1, 2, 4]))
        batch = draw(st.lists(seen, max_size=9))
        watermark += draw(st.integers(0, 20)) * STEP
        rounds.append(Round(batch, watermark, draw(st.booleans())))
    if mode == "closing":
        return Script(mode, span, ends=False, least=1, rounds=rounds)
    return Script(mode, span, draw(st.booleans()), draw(st.integers(1, 4)), rounds)


def spec_of(script: Script) -> WindowSpec:
    closes = script.mode != "at once"
    return WindowSpec(
        "rule", script.span_ms, "members", floor=script.least, closes=closes, ledger=kind_of(script)
    )


def kind_of(script: Script) -> LedgerKind:
    if script.mode == "closing":
        return closing(ClosingLaw(script.span_ms, _score))
    ends = (lambda value: value & 4 != 0) if script.ends else None
    judge = Slide(lambda values: Total(script.least, values))
    return sliding(Law(script.span_ms, judge, script.mode == "at once", ends, least=script.least))


class Model:
    """Every member ever seen of one group."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.members: dict[tuple[int, int], int] = {}

    def see(self, batch: Sequence[Seen]) -> None:
        for at, member, value in batch:
            self.members[at, member] = self.members.get((at, member), 0) | value

    def told(self, before_ms: int) -> dict[int, float]:
        """What should have been told of the instants before this."""
        if self.script.mode == "closing":
            return {end: s for end, values in self._closed(before_ms) if (s := _score(values)) is not None}
        span = self.script.span_ms
        instants = {at for at, _ in self.members if at < before_ms}
        windows = {t: [v for (at, _), v in self.members.items() if t - span <= at <= t] for t in instants}
        least = self.script.least
        return {t: s for t, values in windows.items() if (s := _score(values, least)) is not None}

    def _closed(self, before_ms: int) -> list[tuple[int, list[int]]]:
        found, after = [], None
        for at in sorted({at for at, _ in self.members}):
            if after is None or at > after:
                after = at + self.script.span_ms
                inside = [v for (t, _), v in self.members.items() if at <= t <= after]
                found.append((after, inside))
        return [(end, values) for end, values in found if end < before_ms]


def check(windows: Windows, script: Script) -> None:
    spec, tenant = spec_of(script), next(TENANTS)
    models = {"g": Model(script), "h": Model(script)}
    told: dict[str, dict[int, float]] = {"g": {}, "h": {}}
    committed = BASE - 10 * STEP
    for step in script.rounds:
        groups: dict[str, list[Seen]] = {}
        for group, *seen in step.batch:
            groups.setdefault(group, []).append(Seen(*seen))
        for _ in range(1 + step.again):
            _tell(told, (windows, tenant, spec), groups, step.watermark_ms, committed)
        for group, batch in groups.items():
            models[group].see(batch)
        committed = step.watermark_ms
        for group, model in models.items():
            before = 1 << 60 if script.mode == "at once" else step.watermark_ms
            expected = model.told(before)
            if script.ends:
                # A window that lost its only end keeps what was told; only those with one are judged.
                judged = {t for (t, _), v in model.members.items() if v & 4}
                expected = {t: s for t, s in expected.items() if t in judged}
                found = {t: s for t, s in told[group].items() if t in judged}
                assert found == expected
            else:
                assert told[group] == expected


def _tell(
    told: dict[str, dict[int, float]],
    store: tuple[Windows, str, WindowSpec],
    groups: dict[str, list[Seen]],
    watermark_ms: int,
    committed_ms: int,
) -> None:
    windows, tenant, spec = store
    shown = [Observations(spec, {}, {group: list(batch) for group, batch in groups.items()})]
    answers = windows.observe(tenant, shown, committed_ms=committed_ms) if groups else []
    for group, batch in groups.items():
        # What was said of these windows before is said again, or is no longer so.
        for at in [t for t in told[group] if any(s.time_ms <= t <= s.time_ms + spec.span_ms for s in batch)]:
            if not spec.closes:
                del told[group][at]
    for answer in answers:
        assert list(answer.windows) == sorted(set(answer.windows)), "ascending, each once"
        told[answer.group].update(answer.windows)
    if spec.closes:
        for answer in windows.due(tenant, [spec], watermark_ms=watermark_ms, committed_ms=committed_ms):
            assert all(committed_ms <= at < watermark_ms for at, _ in answer.windows)
            told[answer.group].update(answer.windows)
    windows.sweep(tenant, [spec], committed_ms=committed_ms)


LAW = settings(
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@settings(LAW, max_examples=500)
@given(script=scripts())
def test_ledgers_in_memory_tell_what_the_model_tells(script: Script) -> None:
    check(MemoryWindows(), script)


@settings(LAW, max_examples=150)
@given(script=scripts(), small=st.sampled_from([0, 60, 1024]))
def test_ledgers_on_redis_tell_what_the_model_tells(script: Script, small: int, store: Store) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledgers_redis, "_SMALL", small)
        check(RedisWindows(store), script)


@settings(LAW, max_examples=200)
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 12), st.integers(-2, 2), st.integers(0, 3)), max_size=6), max_size=6
    )
)
def test_members_are_a_set_in_time_order(batches: list[list[tuple[int, int, int]]]) -> None:
    members, model = Members(), dict[tuple[int, int], int]()
    for batch in batches:
        members = Members(members.dump())
        members.add(Seen(*seen) for seen in batch)
        for at, member, value in batch:
            model[at, member] = model.get((at, member), 0) | value

    ordered = sorted(model)
    assert list(zip(members.times(), members.names(), strict=True)) == ordered
    assert list(members.values()) == [model[key] for key in ordered]
    for at in range(14):
        assert members.first_at(at) == sum(t < at for t, _ in ordered)


# The tests of the tests: each of these mistakes must be found.


def _shorter_memory(self: Sliding, committed_ms: int) -> None:
    self._members.drop(self._members.first_at(committed_ms))


def _decides_early(self: Sliding, watermark_ms: int, committed_ms: int) -> list[Scored]:
    return self._judged(committed_ms, watermark_ms + STEP)


def _says_half(original: Callable[..., list[Scored]]) -> Callable[..., list[Scored]]:
    def due(self: Ledger, watermark_ms: int, committed_ms: int) -> list[Scored]:
        return [(at, score) for at, score in original(self, watermark_ms, committed_ms) if at % 2]

    return due


def _open_at_the_start(self: Closing) -> object:
    first, size = 0, len(self._members)
    while first < size:
        end = self._members.time(first) + self._law.span_ms
        after = self._members.first_at(end)
        yield first, max(after, first + 1), end
        first = max(after, first + 1)


def _adds_again(self: Members, batch: Sequence[Seen]) -> None:
    known = list(zip(self.times(), self.names(), self.values(), strict=True))
    rows = sorted([*known, *batch])
    self._flat = self._flat[:0]
    for row in rows:
        self._flat.extend(row)


def _open_window(members: Members, span_ms: int, from_ms: int, until_ms: int) -> list[Scored]:
    both = list(zip(members.times(), members.values(), strict=True))
    windows = {
        at: _score([value for t, value in both if at - span_ms < t <= at])
        for at in sorted({t for t, _ in both if from_ms <= t < until_ms})
    }
    return [(at, score) for at, score in windows.items() if score is not None]


Observe = Callable[..., Iterator[Counted]]


def _forgets_the_few(original: Observe) -> Observe:
    def observe(self: Any, spec: WindowSpec, groups: dict[str, list[Seen]], at: int) -> Iterator[Counted]:
        yield from original(self, spec, groups, at)
        for group in groups:
            if isinstance(self.young.get(group) or self.old.get(group), list):
                self.drop(group)

    return observe


def _opens_late(original: Observe) -> Observe:
    def observe(self: Any, spec: WindowSpec, groups: dict[str, list[Seen]], at: int) -> Iterator[Counted]:
        yield from original(self, spec._replace(floor=spec.floor + 1), groups, at)

    return observe


@pytest.mark.parametrize(
    ("where", "name", "mistake"),
    [
        (Sliding, "_let_go", _shorter_memory),
        (Sliding, "due", _decides_early),
        (Sliding, "due", _says_half(Sliding.due)),
        (Closing, "_windows", _open_at_the_start),
        (Members, "add", _adds_again),
        (Sliding, "deadline", property(lambda _: None)),
        (Closing, "lasts_until", property(lambda _: -(1 << 61))),
        (_Groups, "observe", _forgets_the_few(_Groups.observe)),
        (_Groups, "observe", _opens_late(_Groups.observe)),
    ],
    ids=[
        *("forgets", "decides early", "says half", "window open", "duplicates", "never due"),
        *("ends too soon", "forgets the few", "opens late"),
    ],
)
def test_the_law_notices_a_mistake(
    monkeypatch: pytest.MonkeyPatch, where: type, name: str, mistake: object
) -> None:
    monkeypatch.setattr(where, name, mistake)

    with pytest.raises(AssertionError):
        test_ledgers_in_memory_tell_what_the_model_tells()


def test_the_law_notices_a_window_that_is_open_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "Slide", lambda _: _open_window)

    with pytest.raises(AssertionError):
        test_ledgers_in_memory_tell_what_the_model_tells()
