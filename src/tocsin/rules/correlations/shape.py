"""`shape`: how the events of a window are spread over the values of a field.

Stuffing is many users with one or two tries each, guessing is one user with many. Any event can make
a shape false again, a late one too, so the watermark decides: at each event, over the window that
ends there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tocsin.model.compiled import Correlation
from tocsin.model.event import Event
from tocsin.model.ledger import Seen
from tocsin.rules.correlations.capped import capped, counted_value, event_name
from tocsin.rules.correlations.counting import Bounds
from tocsin.rules.correlations.keys import FIELD, condition
from tocsin.rules.correlations.kind import CorrelationSpec, CorrelationType, Counting, Input, Reading, SeenBy
from tocsin.rules.correlations.named import named
from tocsin.rules.correlations.shape_condition import EXAMPLE, KEYS, Form, read_form
from tocsin.rules.correlations.sliding import Law, Slide, sliding


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

    judge = Slide(lambda values: _Spread(form, values), form.least_events)
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


class _Spread:
    """The events of each value, as they enter and leave, and how many values are within each bounds."""

    def __init__(self, form: Form, values: Sequence[int]) -> None:
        self._form, self._size = form, len(values)
        self._events = Counter(values)
        self._fitting = [_Fitting(bounds) for bounds in form.each]
        values_of = Counter(self._events.values())  # how many values have so many events
        self._fit = [
            sum(values for events, values in values_of.items() if fitting[events])
            for fitting in self._fitting
        ]

    def add(self, value: int) -> None:
        """An event enters."""
        before = self._events[value]
        self._events[value] = before + 1
        self._size += 1
        self._changed(before, before + 1)

    def remove(self, value: int) -> None:
        """An event leaves."""
        before = self._events[value]
        if before > 1:
            self._events[value] = before - 1
        else:
            del self._events[value]
        self._size -= 1
        self._changed(before, before - 1)

    def score(self) -> float | None:
        """How many events it has, or values; None where the form does not fit."""
        values = len(self._events)
        if self._size < self._form.least_events or not self._form.fits(self._size, values, self._fit):
            return None
        return float(values if self._form.scores_values else self._size)

    def _changed(self, before: int, after: int) -> None:
        """A value has so many events now."""
        for place, fitting in enumerate(self._fitting):
            self._fit[place] += (after > 0 and fitting[after]) - (before > 0 and fitting[before])


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
