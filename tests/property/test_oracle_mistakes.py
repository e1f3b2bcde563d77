"""The tests of the differential tests: wrong semantics, planted, that they must find."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tocsin import engine, matching
from tocsin.model.event import as_text
from tocsin.model.observed import Counted, Observations
from tocsin.rules.correlations import (
    CORRELATIONS,
    counting,
    numbers,
    sliding,
    steps,
    temporal_ordered,
    value_percentile,
)
from tocsin.rules.detection import condition, items, leaves, patterns, selection, tree, values
from tocsin.rules.detection.patterns import Wild
from tocsin.rules.detection.tree import all_of, any_of
from tocsin.state.windows_memory import MemoryWindows

from . import test_oracle_correlations as correlations
from . import test_oracle_detections as detections
from .oracle_ours import BASE_MS, run_live

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


def _compare_all(compare: Callable[[int], int]) -> None:
    for seed in range(40):
        compare(seed)


def _instead(place: object, name: str, planted: object) -> Plant:
    return lambda patch: patch.setattr(place, name, planted)


# What a rule matches ------------------------------------------------------------------------------------


def _no_ones(parts: Sequence[str | Wild]) -> object:
    return PART([part for part in parts if part is not Wild.ONE])


def _or_first(parser: condition._Parser) -> tree.Tree:
    """`or` binds tighter than `and`."""
    parts = [_ors(parser)]
    while parser._takes("and"):
        parts.append(_ors(parser))
    return all_of(parts)


def _ors(parser: condition._Parser) -> tree.Tree:
    parts = [parser._not()]
    while parser._takes("or"):
        parts.append(parser._not())
    return any_of(parts)


def _compared_as_text(kind: str, wanted: float) -> leaves.Leaf:
    return lambda value: value is not None and leaves._COMPARE[kind](str(value), str(wanted))  # type: ignore[arg-type]


def _only_first_member(value: Any) -> list[Any]:
    return value[:1] if isinstance(value, list) else [value]


PART, TEXT_LEAF, TEXTS_OF = patterns._part, values.text_leaf, leaves.texts_of
DETECTIONS: dict[str, Plant] = {
    "case counts": _instead(values, "folded", lambda pattern: pattern),
    "? is no character": _instead(patterns, "_part", _no_ones),
    "null is not what is missing": _instead(
        values, "text_leaf", lambda test, *, cased, null: TEXT_LEAF(test, cased=cased, null=False)
    ),
    "or before and": _instead(condition._Parser, "_or", _or_first),
    "them holds what begins with _": _instead(
        condition._Parser, "_matching", lambda parser, pattern: list(parser._known)
    ),
    "lte is lt": _instead(leaves, "_COMPARE", {**leaves._COMPARE, "lte": operator.lt}),
    "numbers compare as text": _instead(values, "compared", _compared_as_text),
    "neq is false of what is missing": _instead(selection, "negated", lambda tree: all_of([tree, tree])),
    "all is any": _instead(selection, "all_of", any_of),
    "an array is its first member": _instead(items, "members_of", _only_first_member),
    "an index of codes of one side alone": _instead(tree, "_codes", lambda _: frozenset({"fp", "FP"})),
    "numbers are no text": _instead(
        leaves, "texts_of", lambda value: () if type(value) is int else TEXTS_OF(value)
    ),
    "a reference's case counts": _instead(
        items, "_TEXT_COMPARE", {**items._TEXT_COMPARE, "equals": operator.is_}
    ),
}


@pytest.mark.parametrize("mistake", DETECTIONS)
def test_a_mistake_in_what_a_rule_matches_is_found(tmp_path: Path, monkeypatch: Patch, mistake: str) -> None:
    DETECTIONS[mistake](monkeypatch)

    with pytest.raises(AssertionError, match="seed"):
        _compare_all(lambda seed: detections.compare(tmp_path, seed))


# When a correlation is true -----------------------------------------------------------------------------

OBSERVE = MemoryWindows.observe
Observe = Callable[[Any, str, Sequence[Observations], int], list[Counted]]


def _observing(planted: Observe) -> Plant:
    def observe(
        self: MemoryWindows, tenant: str, seen: Sequence[Observations], *, committed_ms: int
    ) -> list[Counted]:
        return planted(self, tenant, seen, committed_ms)

    return _instead(MemoryWindows, "observe", observe)


def _respanned(change: int) -> Plant:
    """Windows that are longer, or shorter, by so many milliseconds."""

    def observe(
        self: MemoryWindows, tenant: str, seen: Sequence[Observations], committed_ms: int
    ) -> list[Counted]:
        changed = [one._replace(spec=one.spec._replace(span_ms=one.spec.span_ms + change)) for one in seen]
        return OBSERVE(self, tenant, changed, committed_ms=committed_ms)

    return _observing(observe)


def _first_of_an_instant(patch: Patch) -> None:
    """What comes at the time of another is not in its window, nor has one itself."""
    known: set[tuple[object, ...]] = set()

    def observe(
        self: MemoryWindows, tenant: str, seen: Sequence[Observations], committed_ms: int
    ) -> list[Counted]:
        fresh = []
        for one in seen:
            firsts: dict[str, list[tuple[int, str]]] = {}
            for group, some in one.groups.items():
                for at_ms, member in some:
                    if (id(self), one.spec.state, group, at_ms) not in known:
                        firsts.setdefault(group, []).append((at_ms, member))
                        known.add((id(self), one.spec.state, group, at_ms))
            fresh.append(one._replace(groups=firsts))
        return OBSERVE(self, tenant, fresh, committed_ms=committed_ms)

    _observing(observe)(patch)


def _float_times(patch: Patch) -> None:
    """Times are minutes, as floats, of which few are exact."""
    held: dict[tuple[object, ...], set[tuple[float, str]]] = {}

    def observe(
        self: MemoryWindows, tenant: str, seen: Sequence[Observations], committed_ms: int
    ) -> list[Counted]:
        found = []
        for spec, groups, *_ in seen:
            for group, some in groups.items():
                members = held.setdefault((self, spec.state, group), set())
                members |= {((at_ms - BASE_MS) / 60_000, member) for at_ms, member in some}
                windows = {
                    round(end * 60_000) + BASE_MS: sum(
                        end - spec.span_ms / 60_000 <= at <= end for at, _ in members
                    )
                    for end, _ in members
                }
                said = sorted((at_ms, count) for at_ms, count in windows.items() if count >= spec.floor)
                found.append(Counted(spec.state, group, said, len(members)))
        return found

    _observing(observe)(patch)


def _own_windows_only(
    self: MemoryWindows, tenant: str, seen: Sequence[Observations], committed_ms: int
) -> list[Counted]:
    """A late event changes no later window."""
    own = {
        (one.spec.state, group): {at for at, _ in some} for one in seen for group, some in one.groups.items()
    }
    return [
        counted._replace(windows=[w for w in counted.windows if w[0] in own[counted.state, counted.group]])
        for counted in OBSERVE(self, tenant, seen, committed_ms=committed_ms)
    ]


def _no_lateness(
    self: MemoryWindows, tenant: str, seen: Sequence[Observations], committed_ms: int
) -> list[Counted]:
    """What is older than the newest event is committed."""
    times = [at for one in seen for some in one.groups.values() for at, _ in some]
    return OBSERVE(self, tenant, seen, committed_ms=max(times, default=committed_ms))


def _arrivals(groups: matching.Groups) -> dict[str, list[tuple[int, str]]]:
    """Each arrival is an event."""
    return {key: [(event.time_ms, str(id(event))) for event in some] for key, some in groups.items()}


def _cased_values(groups: matching.Groups, readers: tuple[Any, ...]) -> dict[str, list[tuple[int, str]]]:
    read = readers[0]
    found = {
        key: [(event.time_ms, text) for event in some if (text := as_text(read(event)))]
        for key, some in groups.items()
    }
    return {key: some for key, some in found.items() if some}


def _missing_is_a_group(events: Any, readers: Any, *, allow_missing: bool) -> Any:
    return GROUPED_BY(events, readers, allow_missing=True)


def _shorter(law: sliding.Law) -> Any:
    return SLIDING(law._replace(span_ms=law.span_ms - 1))


def _one_member_an_instant(members: Any, first: int, after: int) -> Any:
    for now_ms, some in INSTANTS(members, first, after):
        for member in sorted(some, key=lambda row: row[1]):
            yield now_ms, [member]


def _in_any_order(_self: object, now_ms: int, members: Any, span_ms: int) -> int:
    return 2


def _lower(self: value_percentile.Ranked) -> float | None:
    """The lower of the two in the middle."""
    self._take_in()
    return self._sorted[int((len(self._sorted) - 1) * self._share)] if self._sorted else None


def _each_value_once(given: Any) -> Any:
    """The same number twice is one number."""
    (read,) = given.values

    def seen(events: Sequence[Any]) -> list[Any]:
        packed = [(event.time_ms, numbers.packed(read(event))) for event in events]
        return [numbers.Seen(at, bits, bits) for at, bits in packed if bits is not None]

    return seen


def _rising(triggers: Any) -> Any:
    """A chain is told of the first instant alone."""
    yield from [*INSTANTS_OF(triggers)][:1]


def _sums_of_different(patch: Patch) -> None:
    patch.setitem(CORRELATIONS, "value_sum", replace(CORRELATIONS["value_sum"], seen=_each_value_once))


GROUPED_BY, SLIDING, INSTANTS, INSTANTS_OF = (
    matching.grouped_by,
    sliding.sliding,
    temporal_ordered._instants,
    engine.instants_of,
)
FLOOR = counting.Bounds.floor.fget
MISTAKES: dict[str, tuple[str, Plant]] = {
    "a window is open at its older end": ("event_count", _respanned(-1)),
    "times are floats": ("event_count", _float_times),
    "a window in whole seconds": ("event_count", _respanned(999)),
    "gte is gt": ("event_count", _instead(counting.Bounds, "floor", property(lambda one: FLOOR(one) + 1))),
    "an instant is its first event": ("event_count", _first_of_an_instant),
    "a late event changes no later window": ("event_count", _observing(_own_windows_only)),
    "lateness is not waited for": ("event_count", _observing(_no_lateness)),
    "a duplicate counts twice": ("event_count", _instead(matching, "_ids", _arrivals)),
    "a missing group is a group": ("event_count", _instead(matching, "grouped_by", _missing_is_a_group)),
    "the case of a value counts": ("value_count", _instead(matching, "_values", _cased_values)),
    "a number counts once": ("value_sum", _sums_of_different),
    "the median is the lower one": ("value_median", _instead(value_percentile.Ranked, "score", _lower)),
    "a window of numbers is shorter": ("value_avg", _instead(numbers, "sliding", _shorter)),
    "two rules of one instant are one": ("temporal", _instead(steps, "seen_steps", lambda step: ONE_STEP)),
    "steps may come at once": (
        "temporal_ordered",
        _instead(temporal_ordered, "_instants", _one_member_an_instant),
    ),
    "steps may come in any order": (
        "temporal_ordered",
        _instead(temporal_ordered._Chains, "take", _in_any_order),
    ),
    "a chain is told once": ("event_count of event_count", _instead(engine, "instants_of", _rising)),
}
ONE_STEP = steps.seen_steps(0)


def _keeps(change: int) -> Plant:
    """So many more, or fewer, members than the threshold needs."""
    return _instead(counting.Bounds, "exact_to", property(lambda one: max(1, EXACT_TO(one) + change)))


EXACT_TO = counting.Bounds.exact_to.fget
LIVE_MISTAKES: dict[str, tuple[str, Plant]] = {
    "too few members are kept": ("event_count", _keeps(-3)),
    "lateness is not waited for": ("event_count", _observing(_no_lateness)),
    "a duplicate counts twice": ("event_count", _instead(matching, "_ids", _arrivals)),
    "a window of numbers is shorter": ("value_sum", _instead(numbers, "sliding", _shorter)),
}


@pytest.mark.parametrize("mistake", LIVE_MISTAKES)
def test_a_mistake_in_what_is_kept_is_found_live(tmp_path: Path, monkeypatch: Patch, mistake: str) -> None:
    kind, plant = LIVE_MISTAKES[mistake]
    plant(monkeypatch)

    with pytest.raises(AssertionError, match="seed"):
        _compare_all(
            lambda seed: correlations.compare(tmp_path, seed, [kind] * 4, through=run_live, long=True)
        )


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_when_a_correlation_is_true_is_found(
    tmp_path: Path, monkeypatch: Patch, mistake: str
) -> None:
    kind, plant = MISTAKES[mistake]
    plant(monkeypatch)

    with pytest.raises(AssertionError, match="seed"):
        _compare_all(lambda seed: correlations.compare(tmp_path, seed, [kind] * 4))
