"""`sequence`: steps in strict order inside one window, like five failures and then a success.

All events of a step come strictly before those of the next. It is told at once, at an event of the
last step: more events can only make it truer. The score is how many events of the first step came
before the rest of the chain, which begins as late as it can. Evidence is what completed it: the
events of the last step.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tocsin.model.alert import Reader
from tocsin.model.compiled import Correlation
from tocsin.model.event import Event
from tocsin.model.ledger import Scored, Seen, digest
from tocsin.rules.correlations.capped import MOST_COUNTED, capped, counted_value, event_name, whole_number
from tocsin.rules.correlations.counting import Bounds
from tocsin.rules.correlations.keys import PARAM, TEXT, TEXTS, closed, described, number
from tocsin.rules.correlations.kind import CorrelationSpec, CorrelationType, Counting, Input, Reading, SeenBy
from tocsin.rules.correlations.members import Members
from tocsin.rules.correlations.sliding import Law, sliding
from tocsin.rules.document import Scalar
from tocsin.rules.section import Section

EXAMPLE = "[{when: failed, at_least: 5}, {when: succeeded}]"
LEAST_STEPS, MOST_STEPS = 2, 10
_STEP = 15  # the bits of a member's name and value that say which step it is of


@dataclass(frozen=True, slots=True)
class Step:
    """At least so many events; where `distinct` fields are named, so many different values of these.

    Of the first step any number is scored, and the bounds decide.
    """

    at_least: int
    distinct: tuple[str, ...] = ()


def read(reading: Reading) -> Counting | None:
    """The steps; the first one's `at_least` is what the score is compared with."""
    section = reading.section
    before = len(section.problems.errors)
    if section.has("condition"):
        section.wrong("condition", "a sequence has no condition; say at_least in its steps")
    found = [_step(within, place) for place, within in enumerate(section.sections("steps", "a step"))]
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
    last = len(steps) - 1

    def judge(members: Members, span_ms: int, from_ms: int, until_ms: int) -> list[Scored]:
        return list(_scores(members, span_ms, from_ms, until_ms, steps))

    law = Law(spec.timespan_ms, judge, at_once=True, ends=lambda value: value & _STEP == last, merge=max)
    return capped(sliding(law), state, spec.timespan_ms, spec.bounds, closes=False)


def seen(source: Input) -> SeenBy:
    """A member is an event in a step; its value stands for what is counted of it, and the step."""
    step = source.step
    distinct = _steps_of(source.spec)[step].distinct
    value_of = counted_value(_readers(source, distinct)) if distinct else None

    def members(events: Sequence[Event]) -> list[Seen]:
        names = [event_name(event.id) & ~_STEP | step for event in events]
        if value_of is None:
            return [Seen(event.time_ms, name, name) for event, name in zip(events, names, strict=True)]
        valued = zip(events, names, map(value_of, events), strict=True)
        return [
            Seen(event.time_ms, name, digest(text) & ~_STEP | step) for event, name, text in valued if text
        ]

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
    distinct = section.texts("distinct")
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


def _scores(
    members: Members, span_ms: int, from_ms: int, until_ms: int, steps: Sequence[Step]
) -> Iterator[Scored]:
    """The scores of the instants of the last step in `[from_ms, until_ms)`, where the rest holds."""
    first, after = members.first_at(from_ms), members.first_at(until_ms)
    left = members.first_at(members.time(first) - span_ms)
    if all(map(_STEP.__and__, members.values(left, after))):
        return  # nothing of the first step
    times: dict[int, list[int]] = defaultdict(list)
    values: dict[int, list[int]] = defaultdict(list)
    for time_ms, value in zip(members.times(left, after), members.values(left, after), strict=True):
        times[value & _STEP].append(time_ms)
        values[value & _STEP].append(value)
    opening, *rest = [
        _Moving(times[place], values[place], distinct=bool(step.distinct)) for place, step in enumerate(steps)
    ]
    backwards = [*zip(rest, [step.at_least for step in steps[1:]], strict=True)][::-1]
    for now in dict.fromkeys(times[len(steps) - 1]):
        start = _rest_start(backwards, now) if now >= from_ms else None
        if start is not None and (score := opening.count(now - span_ms, start)):
            yield now, float(score)


def _rest_start(backwards: Sequence[tuple[_Moving, int]], now_ms: int) -> int | None:
    """When all steps but the first begin, at the latest, to end now; None where they do not."""
    before: int | None = now_ms + 1
    for moving, at_least in backwards:
        before = moving.latest_start(before, at_least) if before is not None else None
    return before


class _Moving:
    """The events of one step, by time, asked about stretches that only ever move on."""

    def __init__(self, times: Sequence[int], values: Sequence[int], *, distinct: bool) -> None:
        self._times, self._values, self._distinct = times, values, distinct
        self._head = self._tail = 0
        self._inside: dict[int, int] = {}  # value -> its events from tail to head

    def latest_start(self, before_ms: int, at_least: int) -> int | None:
        """The latest time from which on, and before `before_ms`, are so many; None: there never are."""
        if not self._distinct:
            place = bisect_left(self._times, before_ms) - at_least
            return self._times[place] if place >= 0 else None
        self._take_until(before_ms)
        while self._tail < self._head and len(self._inside) - self._is_last_of_its_value() >= at_least:
            self._let_go()
        return self._times[self._tail] if len(self._inside) >= at_least else None

    def count(self, from_ms: int, before_ms: int) -> int:
        """How many there are from `from_ms` on, and before `before_ms`."""
        if not self._distinct:
            return max(0, bisect_left(self._times, before_ms) - bisect_left(self._times, from_ms))
        self._take_until(before_ms)
        while self._tail < self._head and self._times[self._tail] < from_ms:
            self._let_go()
        return len(self._inside)

    def _take_until(self, before_ms: int) -> None:
        while self._head < len(self._times) and self._times[self._head] < before_ms:
            value = self._values[self._head]
            self._inside[value] = self._inside.get(value, 0) + 1
            self._head += 1

    def _let_go(self) -> None:
        value = self._values[self._tail]
        if self._is_last_of_its_value():
            del self._inside[value]
        else:
            self._inside[value] -= 1
        self._tail += 1

    def _is_last_of_its_value(self) -> bool:
        return self._inside[self._values[self._tail]] == 1


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
