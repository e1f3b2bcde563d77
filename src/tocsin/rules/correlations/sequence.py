"""`sequence`: steps in strict order inside one window, like five failures and then a success.

All events of a step come strictly before those of the next. It is told at once, at an event of the
last step: more events can only make it truer. The score is how many events of the first step came
before the rest of the chain, which begins as late as it can. Evidence is what completed it: the
events of the last step.
"""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.model.alert import Reader
from tocsin.model.compiled import Correlation
from tocsin.model.event import Event
from tocsin.model.ledger import Seen
from tocsin.rules.correlations.capped import MOST_COUNTED, capped, counted_value, event_name, whole_number
from tocsin.rules.correlations.counting import Bounds
from tocsin.rules.correlations.keys import PARAM, TEXT, TEXTS, closed, described, number
from tocsin.rules.correlations.kind import CorrelationSpec, CorrelationType, Counting, Input, Reading, SeenBy
from tocsin.rules.correlations.named import named
from tocsin.rules.correlations.sequence_ledger import STEP, Step, chained
from tocsin.rules.document import Scalar
from tocsin.rules.section import Section

EXAMPLE = "[{when: failed, at_least: 5}, {when: succeeded}]"
LEAST_STEPS, MOST_STEPS = 2, 10


def read(reading: Reading) -> Counting | None:
    """The steps; the first one's `at_least` is what the score is compared with."""
    section = reading.section
    before = len(section.problems.errors)
    if section.has("condition"):
        section.wrong("condition", "a sequence has no condition; say at_least in its steps")
    written = section.sections("steps", "a step", "when")
    found = [_step(within, place) for place, within in enumerate(written)]
    if section.lacks("steps"):
        section.problems.error(section.mark, f"a sequence needs steps, like {EXAMPLE}")
    elif len(section.problems.errors) == before and not LEAST_STEPS <= len(found) <= MOST_STEPS:
        hint = "; to count one kind of event use event_count" if len(found) == 1 else ""
        section.wrong(
            "steps", f"a sequence has from {LEAST_STEPS} to {MOST_STEPS} steps, not {len(found)}{hint}"
        )
    sound = [one for one in found if one is not None]
    if len(section.problems.errors) > before or len(sound) < len(found):
        return None
    (_, first), *others = sound
    steps = (Step(1, first.distinct), *[step for _, step in others])
    return Counting(
        Bounds((("gte", first.at_least),)),
        fields=tuple(dict.fromkeys(name for step in steps for name in step.distinct)),
        steps=tuple(when for when, _ in sound),
        own=steps,
    )


def build(state: str, spec: CorrelationSpec, _highest: float) -> Correlation:
    """A sequence, ready to run."""
    steps = _steps_of(spec)
    least = spec.bounds.floor + sum(step.at_least for step in steps[1:])
    ledger = chained(spec.timespan_ms, steps)
    return capped(ledger, state, spec.timespan_ms, spec.bounds, closes=False, least=least)


def seen(source: Input) -> SeenBy:
    """A member is an event in a step; its value stands for what is counted of it, and the step."""
    step = source.step
    distinct = _steps_of(source.spec)[step].distinct
    value_of = counted_value(_readers(source, distinct)) if distinct else None

    def members(events: Sequence[Event]) -> list[Seen]:
        found = []
        for event in events:
            name = value = event_name(event.id) & ~STEP | step
            if value_of is not None:
                text = value_of(event)
                if text is None:
                    continue
                value = named(text) & ~STEP | step
            found.append(Seen(event.time_ms, name, value))
        return found

    return members


def identity(spec: CorrelationSpec) -> object:
    """What each step counts."""
    return tuple(step.distinct for step in _steps_of(spec))


def _step(section: Section, place: int) -> tuple[Scalar, Step] | None:
    when = section.scalar("when", "a condition over selections")
    if section.lacks("when"):
        section.problems.error(
            section.mark, "a step needs when, a condition over selections, like when: failed"
        )
    at_least = whole_number(section, "at_least", 1)
    distinct = section.names("distinct", "data.user_name")
    section.done()
    if when is None or at_least is None:
        return None
    if distinct and at_least == 1 and place:
        section.problems.warning(
            section.mark_of("distinct"),
            "distinct changes nothing where one event is enough; write at_least",
        )
    return when, Step(at_least, distinct)


def _steps_of(spec: CorrelationSpec) -> tuple[Step, ...]:
    steps = spec.own
    assert isinstance(steps, tuple)  # noqa: S101 - `read` made it
    return steps


def _readers(source: Input, fields: Sequence[str]) -> tuple[Reader, ...]:
    readers = dict(zip(source.spec.fields, source.values, strict=True))
    return tuple(readers[name] for name in fields)


_STEP_KEYS = {
    "when": described("A condition over selections.", {"anyOf": [TEXT, PARAM]}),
    "at_least": number("So many events (1).", lowest=1, highest=MOST_COUNTED),
    "distinct": described("A field: at_least counts its different values. Several: combinations.", TEXTS),
}

SEQUENCE = CorrelationType(
    summary="steps in strict order, in the window",
    read=read,
    build=build,
    seen=seen,
    identity=identity,
    shows=-1,
    example=EXAMPLE,
    sigma=False,
    keys={
        "steps": {
            "description": "What comes first, and what then.",
            "type": "array",
            "minItems": LEAST_STEPS,
            "maxItems": MOST_STEPS,
            "items": closed(_STEP_KEYS, ("when",)),
        }
    },
    required=("steps",),
)
