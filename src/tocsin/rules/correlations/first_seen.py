"""`first_seen`: a value that was not seen of its entity for long enough to be new.

An entity is a group. Its history begins with its first event, and anew after `remember` of quiet.
A late sighting can make a value known after all, so the watermark decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.clock import DAY_MS
from tocsin.model.compiled import Correlation, WindowSpec
from tocsin.model.event import Event
from tocsin.model.ledger import Seen
from tocsin.rules.correlations.capped import counted_value
from tocsin.rules.correlations.counting import Bounds
from tocsin.rules.correlations.judged import Judged
from tocsin.rules.correlations.keys import DURATION, TEXTS, described, number
from tocsin.rules.correlations.kind import CorrelationSpec, CorrelationType, Counting, Input, Reading, SeenBy
from tocsin.rules.correlations.named import named
from tocsin.rules.correlations.sightings import NewLaw, first_sightings
from tocsin.rules.correlations.spans import LONGEST_TIMESPAN_MS, timespan
from tocsin.rules.section import Section, number_of

EXAMPLE = "field: data.location_info.country_code, remember: 90d, learn: 7d"
MAX_VALUES = 1_000  # of an entity
MOST_NEEDED = 1_000_000  # sightings that `min_seen` may ask for
_REMEMBER_MS, _LEARN_MS = 90 * DAY_MS, 7 * DAY_MS
_ONE = Bounds((("gte", 1),))


def read(reading: Reading) -> Counting | None:
    """The field, and how long is remembered and learned. What is shown of an alert is its last day."""
    section = reading.section
    before = len(section.problems.errors)
    fields = section.names("field", "data.ip")
    if not fields and section.lacks("field"):
        section.problems.error(
            section.mark, "first_seen needs field, whose values may be new; write field: data.ip"
        )
    if fields and set(fields) <= set(reading.group_by):
        section.wrong("field", "the group has one value of this field only; name another field")
    remember_ms = timespan(section, "remember", default_ms=_REMEMBER_MS)
    learn_ms = _learning(section)
    min_seen = _needed(section)
    if len(section.problems.errors) > before or not fields:
        return None
    own = NewLaw(remember_ms, learn_ms, min_seen)
    return Counting(_ONE, fields=fields, own=own, timespan_ms=min(remember_ms, DAY_MS))


def build(state: str, spec: CorrelationSpec, _highest: float) -> Correlation:
    """New values, ready to be found."""
    law = _law_of(spec)
    ledger = first_sightings(law)
    window = WindowSpec(state, law.remember_ms, "members", keep=MAX_VALUES, closes=True, ledger=ledger)
    return Judged(window, spec.bounds)


def seen(source: Input) -> SeenBy:
    """A member is a value at an instant, however many events; one that misses the field is left out."""
    value_of = counted_value(source.values)

    def members(events: Sequence[Event]) -> list[Seen]:
        both = ((event.time_ms, value_of(event)) for event in events)
        return [Seen(time_ms, named(value)) for time_ms, value in both if value is not None]

    return members


def identity(spec: CorrelationSpec) -> object:
    """How long is remembered decides what is held; what else must be met is a threshold."""
    return _law_of(spec).remember_ms


def _law_of(spec: CorrelationSpec) -> NewLaw:
    assert isinstance(spec.own, NewLaw)  # noqa: S101 - `read` made it
    return spec.own


def _learning(section: Section) -> int:
    if section.lacks("learn"):
        return _LEARN_MS
    found = section.duration_ms("learn") or 0
    if found > LONGEST_TIMESPAN_MS:
        section.wrong("learn", f"learn is at most 3650d, not {section.text('learn')}")
    return found


def _needed(section: Section) -> int:
    node = section.scalar("min_seen", "a number")
    if node is None:
        return 1
    found = number_of(node, "min_seen", section.problems)
    if found is None:
        return 1
    if found != int(found) or not 0 <= found <= MOST_NEEDED:
        section.wrong("min_seen", f"min_seen must be a whole number from 0 to {MOST_NEEDED}, not {node.text}")
        return 1
    return int(found)


FIRST_SEEN = CorrelationType(
    summary="a value that is new for its entity, after a time of learning",
    read=read,
    build=build,
    seen=seen,
    identity=identity,
    example=EXAMPLE,
    sigma=False,
    timespan=False,
    windowed=False,
    keys={
        "field": described("The field whose new values are told; several: their combinations.", TEXTS),
        "remember": described("How long a value stays known (90d).", DURATION),
        "learn": described("How long an entity is only learned of (7d).", DURATION),
        "min_seen": number("Sightings of the entity before anything is new (1).", highest=MOST_NEEDED),
    },
    required=("field",),
)
