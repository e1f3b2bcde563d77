"""The condition of a `shape`: what all must hold of a window, as it is written and as it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tocsin.rules.correlations.bounds import condition_of, read_bounds
from tocsin.rules.correlations.capped import MOST_COUNTED, is_part
from tocsin.rules.correlations.counting import Bounds
from tocsin.rules.correlations.keys import Schema, closed, described, number
from tocsin.rules.correlations.kind import Reading
from tocsin.rules.section import Section

EXAMPLE = "{events: {gte: 25}, values: {gte: 15}, events_per_value: {lte: 2}}"
_COUNT = "{gte: 25}"
_EACH = "{lte: 2}"
_SHARE = "{of: {events_per_value: {lte: 2}}, gte: 0.8}"


@dataclass(frozen=True, slots=True)
class Share:
    """How great a part of the values has an `events_per_value` within `each`."""

    each: Bounds
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class Form:
    """What a window must be like beside what its score is compared with; None where nothing is said.

    `scores_values`: the score is the number of values, else of events.
    """

    scores_values: bool
    events: Bounds | None
    events_per_value: Bounds | None
    share: Share | None

    @property
    def least_events(self) -> int:
        """A window of fewer cannot be like this."""
        return self.events.floor if self.events else 1

    @property
    def each(self) -> tuple[Bounds, ...]:
        """The bounds of which a window says how many values are within."""
        share = self.share.each if self.share else None
        return tuple(bounds for bounds in (self.events_per_value, share) if bounds)

    def fits(self, events: int, values: int, fit: Sequence[int]) -> bool:
        """Whether a window is like this; `fit` goes with `each`."""
        if self.events_per_value is not None and fit[0] < values:
            return False
        if self.share is not None and not self.share.bounds.holds(fit[-1] / values):
            return False
        return self.events is None or self.events.holds(events)


def read_form(reading: Reading) -> tuple[Bounds, Form] | None:
    """What the score is compared with, and the form; None after a mistake."""
    before = len(reading.section.problems.errors)
    condition = condition_of(reading, EXAMPLE)
    if condition is None:
        return None
    events = _counts(reading, condition, "events", _COUNT)
    values = _counts(reading, condition, "values", _COUNT)
    each = _counts(reading, condition, "events_per_value", _EACH)
    form = Form(values is not None, events if values else None, each, _share(reading, condition))
    condition.done()
    if len(condition.problems.errors) > before:
        return None
    scored = values or events
    if scored is None or all(bounds.holds(1) for bounds in (events, values) if bounds):
        told = "a shape needs a lower bound of events or of values, else a single event has it; write"
        condition.problems.error(condition.mark, f"{told} {EXAMPLE}")
        return None
    return scored, form


def _counts(reading: Reading, condition: Section, key: str, example: str) -> Bounds | None:
    """The bounds of a count; None after a mistake, and where there are none."""
    within = condition.section(key)
    if within is None:
        return None
    compared = read_bounds(reading, within, example)
    within.done()
    if compared is None:
        return None
    for name, bound in compared.bounds.pairs:
        if bound > MOST_COUNTED:
            within.wrong(name, f"{key}.{name} is at most {MOST_COUNTED}, not {bound:g}: no window holds more")
    return compared.bounds


def _share(reading: Reading, condition: Section) -> Share | None:
    within = condition.section("share")
    if within is None:
        return None
    of = within.section("of", "share.of")
    if of is None and within.lacks("of"):
        within.problems.error(within.mark, f"a share needs of, what it is a share of; write share: {_SHARE}")
    each = _counts(reading, of, "events_per_value", _EACH) if of else None
    if of is not None:
        if of.lacks("events_per_value"):
            of.problems.error(of.mark, f"share.of needs events_per_value; write share: {_SHARE}")
        of.done()
    compared = read_bounds(reading, within, _SHARE, counted=False, names=("of",))
    within.done()
    for name, bound in compared.bounds.pairs if compared else ():
        is_part(within, name, bound, "share")
    return Share(each, compared.bounds) if each and compared else None


_SAID = {
    "gte": "At least",
    "gt": "More than",
    "lte": "At most",
    "lt": "Less than",
    "eq": "Exactly",
    "neq": "Not",
}


def _compared(what: str) -> Schema:
    named = {name: number(f"{said} so many.", highest=MOST_COUNTED) for name, said in _SAID.items()}
    return described(what, closed(named))


_PER_VALUE = _compared("Events of each single value.")
_PARTS = {name: number("Such a part of the values, from 0 to 1.", highest=1) for name in _SAID}
KEYS: Mapping[str, Schema] = {
    "events": _compared("Events in the window."),
    "values": _compared("Different values in the window."),
    "events_per_value": _PER_VALUE,
    "share": described(
        "How many of the values have so many events each.",
        closed({**_PARTS, "of": closed({"events_per_value": _PER_VALUE}, ("events_per_value",))}, ("of",)),
    ),
}
