"""`ratio`: which part of some events are of one kind.

An event of `of` counts only if it is one of `over`, too: so a ratio is from 0 to 1. Where a late
event can make any ratio false again the watermark decides: at each event of `over`, over the window
that ends there; with an upper bound once, at the end of a window that the first of them opens. Evidence
are the events of `of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise

from tocsin.model.compiled import Correlation
from tocsin.model.event import Event
from tocsin.model.ledger import Ledger, LedgerKind, Scored, Seen
from tocsin.rules.correlations.bounds import condition_of, read_bounds
from tocsin.rules.correlations.capped import MOST_COUNTED, capped, event_name, is_part, min_count
from tocsin.rules.correlations.closing import Closing, ClosingLaw
from tocsin.rules.correlations.counting import Bounds
from tocsin.rules.correlations.keys import PARAM, TEXT, condition, described, number
from tocsin.rules.correlations.kind import CorrelationSpec, CorrelationType, Counting, Input, Reading, SeenBy
from tocsin.rules.correlations.sliding import Law, Slide, Sliding
from tocsin.rules.document import Scalar
from tocsin.rules.section import Section

EXAMPLE = "{gte: 0.8, min_count: 50}"
MIN_COUNT = 20  # where none is written: a part of fewer events is chance
_OF, _OVER = 1, 2  # bits of a member's value, as the steps are numbered


def read(reading: Reading) -> Counting | None:
    """The two conditions, the bounds of the ratio, and how many events it needs."""
    of, over = _part(reading.section, "of"), _part(reading.section, "over")
    within = condition_of(reading, EXAMPLE)
    if within is None:
        return None
    compared = read_bounds(reading, within, EXAMPLE, counted=False, names=("min_count",))
    bounds = _of_ratio(within, compared.bounds) if compared else None
    least = min_count(within, MIN_COUNT, "events")
    within.done()
    if of is None or over is None or bounds is None or least is None:
        return None
    if of.text.split() == over.text.split():
        within.problems.warning(
            of.mark, "of and over are the same, so the ratio is always 1; let of be a part"
        )
    return Counting(bounds, steps=(of, over), own=least)


def build(state: str, spec: CorrelationSpec, _highest: float) -> Correlation:
    """A ratio, ready to run."""
    least = spec.own
    assert isinstance(least, int)  # noqa: S101 - `read` made it
    if not spec.bounds.monotone:
        windows = _closed_windows(spec.timespan_ms, least)
        return capped(windows, state, spec.timespan_ms, spec.bounds, closes=True)
    ratios = _each_window(spec.timespan_ms, least)
    return capped(ratios, state, spec.timespan_ms, spec.bounds, closes=True, least=least)


def seen(source: Input) -> SeenBy:
    """A member is an event, by its id; its value says which of the two conditions it met."""
    bit = (_OF, _OVER)[source.step]

    def members(events: Sequence[Event]) -> list[Seen]:
        return [Seen(event.time_ms, event_name(event.id), bit) for event in events]

    return members


def identity(spec: CorrelationSpec) -> object:
    """Sliding windows and closing ones keep their members differently."""
    return spec.bounds.monotone


def _part(section: Section, key: str) -> Scalar | None:
    node = section.scalar(key, "a condition over selections")
    if section.lacks(key):
        section.problems.error(
            section.mark,
            f"a ratio needs {key}, a condition over selections, like of: failed, over: failed or ok",
        )
    return node


def _of_ratio(within: Section, bounds: Bounds) -> Bounds | None:
    """The bounds, if some ratio is within; what is wrong is noted."""
    before = len(within.problems.errors)
    for name, bound in bounds.pairs:
        is_part(within, name, bound, "ratio")
    if len(within.problems.errors) > before:
        return None
    edges = sorted({0.0, 1.0, *(bound for _, bound in bounds.pairs)})
    between = [(low + high) / 2 for low, high in pairwise(edges)]
    held = [bounds.holds(ratio) for ratio in chain(edges, between)]
    if not any(held):
        within.problems.error(within.mark, "no ratio can meet this condition; check its numbers")
        return None
    if all(held):
        within.problems.warning(within.mark, "every ratio meets this condition; check its numbers")
    return bounds


def _each_window(span_ms: int, least: int) -> LedgerKind:
    judge = Slide(lambda values: _Part(least, values), least)
    law = Law(span_ms, judge, at_once=False, least=least)

    def opened(dumped: bytes | None, keep: int | None) -> Ledger:
        return _Ratios(law, dumped, keep)

    return opened


def _closed_windows(span_ms: int, least: int) -> LedgerKind:
    def score(values: Sequence[int]) -> float | None:
        return sum(value & _OF for value in values) / len(values) if len(values) >= least else None

    law = ClosingLaw(span_ms, score)

    def opened(dumped: bytes | None, keep: int | None) -> Ledger:
        return _ClosedRatios(law, dumped, keep)

    return opened


class _Ratios(Sliding):
    """The events of `over`, inside the span."""

    def observe(self, batch: Sequence[Seen], committed_ms: int) -> list[Scored]:
        """See `Ledger.observe`."""
        counted = _counted(batch)
        return super().observe(counted, committed_ms) if counted else []


class _ClosedRatios(Closing):
    """The events of `over` that no answered and committed window holds."""

    def observe(self, batch: Sequence[Seen], committed_ms: int) -> list[Scored]:
        """See `Ledger.observe`."""
        return super().observe(_counted(batch), committed_ms)


def _counted(batch: Sequence[Seen]) -> list[Seen]:
    """The events of `over`: one comes with all that it met at once, so nothing need wait for the rest."""
    part = {seen[:2] for seen in batch if seen.value & _OF}
    return [
        Seen(seen.time_ms, seen.member, _OF | _OVER) if seen[:2] in part else seen
        for seen in batch
        if seen.value & _OVER
    ]


class _Part:
    """The events of a window, as they enter and leave, and how many of them are the part."""

    __slots__ = ("_all", "_least", "_of")

    def __init__(self, least: int, values: Sequence[int]) -> None:
        self._least = least
        self._all = len(values)
        self._of = sum(map(_OF.__and__, values))

    def add(self, value: int) -> None:
        """An event enters."""
        self._all += 1
        self._of += value & _OF

    def remove(self, value: int) -> None:
        """An event leaves."""
        self._all -= 1
        self._of -= value & _OF

    def score(self) -> float | None:
        """How great the part is; of too few none."""
        return self._of / self._all if self._all >= self._least else None


_SAID = {
    "gte": "At least such a part, from 0 to 1.",
    "gt": "More than such a part.",
    "lte": "At most such a part; decided when the window ends.",
    "lt": "Less than such a part; decided when the window ends.",
    "eq": "Exactly such a part; decided when the window ends.",
    "neq": "Any part but this; decided when the window ends.",
}

RATIO = CorrelationType(
    summary="so great a part of some events are of one kind, in the window",
    read=read,
    build=build,
    seen=seen,
    identity=identity,
    shows=0,
    example=EXAMPLE,
    sigma=False,
    keys={
        "of": described("Which events are the part: a condition over selections.", {"anyOf": [TEXT, PARAM]}),
        "over": described(
            "Which events are the whole: a condition over selections.", {"anyOf": [TEXT, PARAM]}
        ),
        "condition": condition(
            {
                **{name: number(said, highest=1) for name, said in _SAID.items()},
                "min_count": number(f"Of so many events ({MIN_COUNT}).", lowest=1, highest=MOST_COUNTED),
            }
        ),
    },
    required=("of", "over", "condition"),
)
