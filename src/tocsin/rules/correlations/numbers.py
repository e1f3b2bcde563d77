"""Numbers of events: read, packed into a member's 64 bits, added up exactly.

A sum of floats depends on their order; a window's score must not. So sums are whole numbers of the
smallest float there is, and rounded once, when they are told.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from struct import Struct

from tocsin.model.compiled import Correlation, WindowSpec
from tocsin.model.event import Event
from tocsin.model.fed import VALUE_SEPARATOR
from tocsin.model.ledger import Seen, digest
from tocsin.rules.correlations.bounds import (
    HIGHEST_NUMBER,
    condition_of,
    named_fields,
    percentile_ignored,
    read_bounds,
)
from tocsin.rules.correlations.closing import ClosingLaw, closing
from tocsin.rules.correlations.counting import Bounds
from tocsin.rules.correlations.judged import Judged
from tocsin.rules.correlations.keys import TEXT, Schema, condition, described, number
from tocsin.rules.correlations.kind import CorrelationSpec, Counting, Input, Reading, SeenBy
from tocsin.rules.correlations.sliding import MAX_MEMBERS, Aggregate, Law, Slide, sliding
from tocsin.rules.detection.leaves import number_of
from tocsin.rules.section import Section

_FLOAT, _BITS = Struct("<d"), Struct("<q")
_UNITS = 1074  # doublings from the smallest float to 1
_ONE = 1 << _UNITS


def packed(value: object) -> int | None:
    """The 64 bits of a number, or of a text that is one; None for anything else, and if no float holds it."""
    found = number_of(value)
    try:
        as_float = None if found is None else float(found)
    except OverflowError:
        return None
    if as_float is None or not math.isfinite(as_float):
        return None
    bits: int = _BITS.unpack(_FLOAT.pack(as_float + 0.0))[0]  # minus nought is nought
    return bits


def unpacked(bits: int) -> float:
    """The number of these bits."""
    found: float = _FLOAT.unpack(_BITS.pack(bits))[0]
    return found


def seen_numbers(given: Input) -> SeenBy:
    """An event counts once, with its number; with two, where aliases find two in it."""
    (read,) = given.values

    def seen(events: Sequence[Event]) -> list[Seen]:
        members: list[Seen] = []
        for event in events:
            bits = packed(read(event))
            if bits is not None:
                members.append(Seen(event.time_ms, digest(f"{event.id}{VALUE_SEPARATOR}{bits}"), bits))
        return members

    return seen


class Total:
    """An aggregate: the exact sum of a window, of which `result` makes the score."""

    __slots__ = ("_count", "_result", "_total")

    def __init__(self, result: Callable[[int, int], float], values: Sequence[int] = ()) -> None:
        """`result` takes the sum in units of the smallest float, and how many numbers it is of."""
        self._total = sum(map(_units, values))
        self._count = len(values)
        self._result = result

    def add(self, value: int) -> None:
        """A number enters."""
        self._total += _units(value)
        self._count += 1

    def remove(self, value: int) -> None:
        """A number leaves."""
        self._total -= _units(value)
        self._count -= 1

    def score(self) -> float | None:
        """What they come to; nothing comes to nothing."""
        return self._result(self._total, self._count) if self._count else None


def rounded(units: int, parts: int) -> float:
    """So many units of the smallest float, in so many parts: the nearest float, the largest at most."""
    try:
        return units / (parts << _UNITS)
    except OverflowError:
        return sys.float_info.max if units > 0 else -sys.float_info.max


def _units(bits: int) -> int:
    above, below = unpacked(bits).as_integer_ratio()
    return above << (_UNITS + 1 - below.bit_length())


def read_numbers(
    reading: Reading, kind: str, example: str, more: Callable[[Section], object] | None = None
) -> Counting | None:
    """The bounds and the field of a condition; `more` reads what else it has (None: a mistake)."""
    section = condition_of(reading, example)
    if section is None:
        return None
    if more is None:
        percentile_ignored(section, kind)
    own = more(section) if more else ()
    field = _field(section, kind, example)
    compared = read_bounds(reading, section, example, counted=False, names=("percentile",))
    section.done()
    if compared is None or field is None or own is None:
        return None
    if not _can_hold(compared.bounds):
        section.problems.error(section.mark, "no number can meet this condition; check its numbers")
        return None
    return Counting(*compared, fields=(field,), own=own if more else None)


def _field(section: Section, kind: str, example: str) -> str | None:
    fields = named_fields(section, example)
    if len(fields) == 1:
        return fields[0]
    if fields:
        section.wrong("field", f"{kind} computes with one field; write one, like {example}")
    elif section.lacks("field"):
        section.problems.error(section.mark, f"{kind} computes with the numbers of a field; write {example}")
    return None


def _can_hold(bounds: Bounds) -> bool:
    edges = sorted({limit for _, limit in bounds.pairs})
    between = [(low + high) / 2 for low, high in pairwise(edges)]
    return any(bounds.holds(tried) for tried in (edges[0] - 1, *edges, *between, edges[-1] + 1))


def computed(state: str, spec: CorrelationSpec, new: Callable[[Sequence[int]], Aggregate]) -> Correlation:
    """Windows of numbers, ready to run: decided by the watermark, because more can be less."""

    def score(values: Sequence[int]) -> float | None:
        return new(values).score()

    if spec.bounds.monotone:
        ledger = sliding(Law(spec.timespan_ms, Slide(new), at_once=False))
    else:
        ledger = closing(ClosingLaw(spec.timespan_ms, score))
    windows = WindowSpec(state, spec.timespan_ms, "members", keep=MAX_MEMBERS, closes=True, ledger=ledger)
    windows = windows._replace(shows_one=not spec.bounds.monotone)
    return Judged(windows, spec.bounds)


def condition_schema(**more: Schema) -> Schema:
    """The condition of a number: what it is compared with, and its field."""
    told = {
        "gte": "At least that.",
        "gt": "More than that.",
        "lte": "At most that; decided when the window ends.",
        "lt": "Less than that; decided when the window ends.",
        "eq": "Exactly that; decided when the window ends.",
        "neq": "Anything but that; decided when the window ends.",
    }
    compared = {
        name: number(what, lowest=-HIGHEST_NUMBER, highest=HIGHEST_NUMBER) for name, what in told.items()
    }
    field = described("The field whose numbers it computes with.", TEXT)
    return condition({**compared, "field": field, **more}, required=("field", *more))
