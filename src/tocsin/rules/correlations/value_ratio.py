"""`value_ratio`: which part of a field's values has events of one kind without any of another.

The users of an address who failed without ever getting in, among all its users: who gets in a
thousand times is one user, so no flood of good logins hides the others. What came before a window's
first event of `of` does not count, and so of a group without any nothing is kept. Any event can make
a ratio smaller, a late one too, so the watermark decides. Evidence are the events of `of`.
"""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.model.compiled import Correlation
from tocsin.model.event import Event
from tocsin.model.ledger import Seen
from tocsin.rules.correlations.bounds import condition_of, fields_counted, read_bounds
from tocsin.rules.correlations.capped import MOST_COUNTED, capped, counted_value, is_part, min_count
from tocsin.rules.correlations.counting import Bounds
from tocsin.rules.correlations.keys import FIELD, PARAM, TEXT, condition, described, number
from tocsin.rules.correlations.kind import CorrelationSpec, CorrelationType, Counting, Input, Reading, SeenBy
from tocsin.rules.correlations.named import named
from tocsin.rules.correlations.value_ratio_ledger import OF, ratios_of_values
from tocsin.rules.document import Scalar
from tocsin.rules.section import Section

EXAMPLE = "{field: data.user_name, gte: 0.8, min_count: 15}"
MIN_COUNT = 20  # where none is written: a part of fewer values is chance


def read(reading: Reading) -> Counting | None:
    """The two conditions, the field, the bounds of the ratio, and how many values it needs."""
    of, without = _kind(reading.section, "of"), _kind(reading.section, "without")
    within = condition_of(reading, EXAMPLE)
    if within is None:
        return None
    compared = read_bounds(reading, within, EXAMPLE, counted=False, names=("min_count",))
    bounds = _of_ratio(within, compared.bounds) if compared else None
    fields = fields_counted(within, "value_ratio", EXAMPLE)
    if fields and set(fields) <= set(reading.group_by):
        within.wrong("field", "the group has one value of this field only; name another field")
    least = min_count(within, MIN_COUNT, "values")
    within.done()
    if of is None or without is None or bounds is None or least is None or not fields:
        return None
    if of.text.split() == without.text.split():
        reading.section.wrong("without", "of and without are the same; name what of must be without")
        return None
    return Counting(bounds, fields=fields, steps=(of, without), own=least)


def build(state: str, spec: CorrelationSpec, _highest: float) -> Correlation:
    """A ratio of values, ready to run."""
    least = spec.own
    assert isinstance(least, int)  # noqa: S101 - `read` made it
    ledger = ratios_of_values(spec.timespan_ms, least)
    return capped(ledger, state, spec.timespan_ms, spec.bounds, closes=True, least=least)


def seen(source: Input) -> SeenBy:
    """A member is a value at an instant in one kind of event, however many there are."""
    kind = (OF, 0)[source.step]
    value_of = counted_value(source.values)

    def members(events: Sequence[Event]) -> list[Seen]:
        found = []
        for event in events:
            text = value_of(event)
            if text is not None:
                value = named(text) & ~OF | kind
                found.append(Seen(event.time_ms, value, value))
        return found

    return members


def _kind(section: Section, key: str) -> Scalar | None:
    node = section.scalar(key, "a condition over selections")
    if section.lacks(key):
        section.problems.error(
            section.mark,
            f"a value_ratio needs {key}, a condition over selections, like of: failed, without: ok",
        )
    return node


def _of_ratio(within: Section, bounds: Bounds) -> Bounds | None:
    """The bounds, if some ratio is within; what is wrong is noted."""
    before = len(within.problems.errors)
    for name, bound in bounds.pairs:
        if name not in ("gte", "gt"):
            within.wrong(name, f"a value_ratio has gte or gt, no {name}; swap of and without")
        else:
            is_part(within, name, bound, "ratio")
    if len(within.problems.errors) > before:
        return None
    if not bounds.holds(1):
        within.problems.error(within.mark, "no ratio can meet this condition; check its numbers")
        return None
    if bounds.holds(0):
        within.problems.warning(within.mark, "every ratio meets this condition; check its numbers")
    return bounds


VALUE_RATIO = CorrelationType(
    summary="so great a part of a field's values has events of one kind and none of another, in the window",
    read=read,
    build=build,
    seen=seen,
    shows=0,
    example=EXAMPLE,
    sigma=False,
    keys={
        "of": described(
            "What the values of the part have: a condition over selections.", {"anyOf": [TEXT, PARAM]}
        ),
        "without": described(
            "What they have none of: a condition over selections.", {"anyOf": [TEXT, PARAM]}
        ),
        "condition": condition(
            {
                "field": FIELD,
                "gte": number("At least such a part of the values, from 0 to 1.", highest=1),
                "gt": number("More than such a part of the values.", highest=1),
                "min_count": number(f"Of so many values ({MIN_COUNT}).", lowest=1, highest=MOST_COUNTED),
            },
            ("field",),
        ),
    },
    required=("of", "without", "condition"),
)
