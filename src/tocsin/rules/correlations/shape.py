"""`shape`: how the events of a window are spread over the values of a field.

Stuffing is many users with one or two tries each, guessing is one user with many. Any event can make
a shape false again, a late one too, so the watermark decides: at each event, over the window that
ends there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tocsin.model.compiled import Correlation
from tocsin.model.event import Event
from tocsin.model.ledger import Scored, Seen
from tocsin.rules.correlations.capped import capped, counted_value, event_name
from tocsin.rules.correlations.counting import Bounds
from tocsin.rules.correlations.keys import FIELD, condition
from tocsin.rules.correlations.kind import CorrelationSpec, CorrelationType, Counting, Input, Reading, SeenBy
from tocsin.rules.correlations.members import Members
from tocsin.rules.correlations.named import named
from tocsin.rules.correlations.shape_condition import EXAMPLE, KEYS, Form, read_form
from tocsin.rules.correlations.sliding import Law, sliding


def read(reading: Reading) -> Counting | None:
    """Whose values, and the form their window has."""
    section = reading.section
    per = section.names("per", "data.user_name")
    if not per and section.lacks("per"):
        section.problems.error(
            section.mark, "a shape needs per, the field over whose values it looks, like per: data.user_name"
        )
    found = read_form(reading)
    if found is None or not per:
        return None
    if set(per) <= set(reading.group_by):
        section.problems.warning(
            section.mark_of("per"),
            f"each group has one value of {' and '.join(per)}; name another field, or another group-by",
        )
    bounds, form = found
    return Counting(bounds, fields=per, own=form)


def build(state: str, spec: CorrelationSpec, _highest: float) -> Correlation:
    """A shape, ready to run."""
    form = spec.own
    assert isinstance(form, Form)  # noqa: S101 - `read` made it

    def judge(members: Members, span_ms: int, from_ms: int, until_ms: int) -> list[Scored]:
        return _scores(members, span_ms, from_ms, until_ms, form)

    law = Law(spec.timespan_ms, judge, at_once=False, merge=max, least=form.least_events)
    least = max(form.least_events, spec.bounds.floor)  # it takes as many events to have so many values
    return capped(sliding(law), state, spec.timespan_ms, spec.bounds, closes=True, least=least)


def seen(source: Input) -> SeenBy:
    """A member is an event, by its id, if it has a value of `per`; its value stands for that."""
    value_of = counted_value(source.values)

    def members(events: Sequence[Event]) -> list[Seen]:
        valued = ((event, value_of(event)) for event in events)
        return [
            Seen(event.time_ms, event_name(event.id), named(text))
            for event, text in valued
            if text is not None
        ]

    return members


class _Fitting(dict[int, bool]):
    """Whether a value with so many events is within the bounds; each number is asked once."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__()
        self._bounds = bounds

    def __missing__(self, events: int) -> bool:
        found = self[events] = self._bounds.holds(events)
        return found


class _Window:
    """The events of each value, as events enter and leave, and how many values are within each bounds."""

    def __init__(self, values: Iterable[int], each: Sequence[Bounds]) -> None:
        self._events = Counter(values)
        self._fitting = [_Fitting(bounds) for bounds in each]
        values_of = Counter(self._events.values())  # how many values have so many events
        self.fit = [
            sum(values for events, values in values_of.items() if fitting[events])
            for fitting in self._fitting
        ]

    def __len__(self) -> int:
        """How many values."""
        return len(self._events)

    def move(self, value: int, by: int) -> None:
        """An event enters (1) or leaves (-1)."""
        before = self._events[value]
        after = before + by
        for place, fitting in enumerate(self._fitting):
            self.fit[place] += (after > 0 and fitting[after]) - (before > 0 and fitting[before])
        if after:
            self._events[value] = after
        else:
            del self._events[value]


class _Slide(NamedTuple):
    """The members of all windows of a judgement; `start` is the first that is judged."""

    times: Sequence[int]
    values: Sequence[int]
    start: int


def _scores(members: Members, span_ms: int, from_ms: int, until_ms: int, form: Form) -> list[Scored]:
    """The scores of the windows of this form that end at members of `[from_ms, until_ms)`."""
    first, after = members.first_at(from_ms), members.first_at(until_ms)
    left = members.first_at(members.time(first) - span_ms) if first < after else first
    if after - left < form.least_events:
        return []
    slide = _Slide(members.times(left, after), members.values(left, after), first - left)
    return [
        (at_ms, float(len(window) if form.scores_values else events))
        for at_ms, events, window in _windows(slide, span_ms, form)
        if form.fits(events, len(window), window.fit)
    ]


def _windows(slide: _Slide, span_ms: int, form: Form) -> Iterator[tuple[int, int, _Window]]:
    """Each judged instant, how many events its window has, and the window (the same, moved on)."""
    times, values, at = slide
    # What is in the first window already is counted at once: a hot group has thousands of it.
    window = _Window(values[:at], form.each)
    tail, size = 0, len(times)
    while at < size:
        now = times[at]
        while at < size and times[at] == now:
            window.move(values[at], 1)
            at += 1
        while times[tail] < now - span_ms:
            window.move(values[tail], -1)
            tail += 1
        yield now, at - tail, window


SHAPE = CorrelationType(
    summary="events spread over the values of a field in this way, in the window",
    read=read,
    build=build,
    seen=seen,
    example=EXAMPLE,
    sigma=False,
    keys={"per": FIELD, "condition": condition(KEYS)},
    required=("per", "condition"),
)
