"""`spike`: a bucket of time counts more than is usual for it.

Usual is what the group's own closed buckets say. A late event can make a bucket more, or another one
usual, so the watermark decides when it has passed the bucket's end, which is the trigger's time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from tocsin.clock import WEEK_MS
from tocsin.model.compiled import Correlation, WindowSpec
from tocsin.model.event import Event
from tocsin.model.ledger import Seen, digest
from tocsin.rules.correlations.baseline import Ewma, Weekly
from tocsin.rules.correlations.bounds import condition_of
from tocsin.rules.correlations.bucket_counts import SpikeLaw, bucket_counts
from tocsin.rules.correlations.capped import counted_value
from tocsin.rules.correlations.counting import HIGHEST_COUNT, Bounds
from tocsin.rules.correlations.judged import Judged
from tocsin.rules.correlations.keys import DURATION, TEXTS, closed, condition, described, number
from tocsin.rules.correlations.kind import CorrelationSpec, CorrelationType, Counting, Input, Reading, SeenBy
from tocsin.rules.correlations.named import named
from tocsin.rules.correlations.sliding import MAX_MEMBERS
from tocsin.rules.correlations.spans import timespan
from tocsin.rules.problems import did_you_mean
from tocsin.rules.section import Section, number_of

EXAMPLE = "{times: 3, min_count: 50}"
MOST_BUCKETS = 10_000  # of a history
MIN_COUNT = 10  # where none is written: fewer are chance
_EWMA, _WEEKLY = METHODS = ("ewma", "same_hour_of_week")
_BASELINE = "baseline: {method: same_hour_of_week, history: 4w}"


class Past(NamedTuple):
    """What a bucket is compared with; `needed` is how many buckets, before anything is a spike."""

    method: str
    bucket_ms: int
    history_ms: int
    needed: int


class More(NamedTuple):
    """What makes a bucket a spike; None: not asked for."""

    times: float | None
    sigmas: float | None
    min_count: int


class Own(NamedTuple):
    """Of a spike whatever its bounds do not say."""

    past: Past
    more: More


def read(reading: Reading) -> Counting | None:
    """The buckets, what they are compared with, and how much more is too much."""
    before = len(reading.section.problems.errors)
    bucket_ms, _ = timespan(reading.section, "bucket"), reading.section.has("baseline")  # a key all the same
    past = _past(reading.section, bucket_ms) if bucket_ms else None
    within = condition_of(reading, EXAMPLE)
    if within is None:
        return None
    fields, more = within.names("field", "data.user_name"), _more(within)
    within.done()
    if len(within.problems.errors) > before or past is None or more is None:
        return None
    asked = more.sigmas if more.times is None else more.times
    bounds = Bounds((("gte", asked or 0),))
    return Counting(bounds, fields=fields, own=Own(past, more), timespan_ms=bucket_ms)


def build(state: str, spec: CorrelationSpec, _highest: float) -> Correlation:
    """A spike, ready to be found."""
    past, more = _own(spec)
    history = past.history_ms // past.bucket_ms
    baseline = partial(Weekly, history, WEEK_MS // past.bucket_ms)
    law = SpikeLaw(
        bucket_ms=past.bucket_ms,
        history=history,
        needed=past.needed,
        min_count=more.min_count,
        times=more.times,
        sigmas=more.sigmas,
        baseline=baseline if past.method == _WEEKLY else partial(Ewma, history),
    )
    span_ms = past.history_ms + past.bucket_ms
    window = WindowSpec(state, span_ms, "members", keep=MAX_MEMBERS, closes=True, ledger=bucket_counts(law))
    return Judged(window, spec.bounds)


def seen(source: Input) -> SeenBy:
    """A member is an event, by its id; with a field, one of its values."""
    value_of = counted_value(source.values) if source.values else None

    def members(events: Sequence[Event]) -> list[Seen]:
        if value_of is None:
            return [Seen(event.time_ms, digest(event.id)) for event in events]
        both = ((event.time_ms, value_of(event)) for event in events)
        return [Seen(time_ms, named(value)) for time_ms, value in both if value is not None]

    return members


def identity(spec: CorrelationSpec) -> object:
    """What the counts are of, and which are kept; how many are needed is a threshold."""
    return _own(spec).past._replace(needed=0)


def _own(spec: CorrelationSpec) -> Own:
    assert isinstance(spec.own, Own)  # noqa: S101 - `read` made it
    return spec.own


def _past(section: Section, bucket_ms: int) -> Past | None:
    within = section.section("baseline")
    if within is None:
        if section.lacks("baseline"):
            section.problems.error(section.mark, f"a spike compares with a baseline; write {_BASELINE}")
        return None
    before = len(section.problems.errors)
    method = within.text("method")
    if method not in METHODS:
        hint = did_you_mean(method, METHODS) if method else f"write {_BASELINE}"
        within.wrong("method", f'unknown method "{method}"; {hint}' if method else f"no method; {hint}")
    history_ms = timespan(within, "history", default_ms=4 * WEEK_MS)
    each_ms = WEEK_MS if method == _WEEKLY else bucket_ms
    needed_ms = timespan(within, "min_history", default_ms=max(each_ms, history_ms // 2))
    within.done()
    if len(section.problems.errors) == before:
        _check_history(section, within, Past(method, bucket_ms, history_ms, needed_ms))
    if len(section.problems.errors) > before:
        return None
    return Past(method, bucket_ms, history_ms, -(-needed_ms // each_ms))


def _check_history(section: Section, within: Section, past: Past) -> None:
    """Note what does not go together; `needed` is still a time here."""
    method, bucket_ms, history_ms, needed_ms = past
    if method == _WEEKLY and WEEK_MS % bucket_ms:
        section.wrong("bucket", "the same hour of another week needs a bucket that divides a week, like 1h")
    elif method == _WEEKLY and history_ms < WEEK_MS:
        within.wrong("history", "same_hour_of_week compares with weeks before; write a history of 1w or more")
    elif history_ms < bucket_ms:
        within.wrong("history", "the history is shorter than a bucket; write more of it")
    elif history_ms // bucket_ms > MOST_BUCKETS:
        within.wrong(
            "history", f"a history has {MOST_BUCKETS} buckets at most; write less of it, or a longer bucket"
        )
    elif needed_ms > history_ms:
        within.wrong("min_history", "min_history is longer than the history, so nothing would ever fire")


def _more(within: Section) -> More | None:
    before = len(within.problems.errors)
    times, sigmas = _positive(within, "times"), _positive(within, "sigmas")
    least = _positive(within, "min_count")
    if len(within.problems.errors) > before:
        return None
    if least is not None and least != int(least):
        within.wrong("min_count", f"min_count must be a whole number, not {least:g}")
        return None
    if times is None and sigmas is None:
        within.problems.error(within.mark, f"the condition needs times or sigmas; write {EXAMPLE}")
        return None
    return More(times, sigmas, MIN_COUNT if least is None else int(least))


def _positive(within: Section, key: str) -> float | None:
    node = within.scalar(key, "a number")
    found = None if node is None else number_of(node, key, within.problems)
    if found is None:
        return None
    if not math.isfinite(found) or not 0 < found <= HIGHEST_COUNT:
        within.wrong(key, f"{key} must be more than 0 and at most {HIGHEST_COUNT}, not {within.text(key)}")
        return None
    return found


SPIKE = CorrelationType(
    summary="a bucket of time counts more than is usual for it",
    read=read,
    build=build,
    seen=seen,
    identity=identity,
    example=EXAMPLE,
    sigma=False,
    timespan=False,
    keys={
        "bucket": described("How long a bucket is; buckets begin at the epoch, in UTC.", DURATION),
        "baseline": described(
            "What a bucket is compared with.",
            closed(
                {
                    "method": {
                        "description": "Lately, or the same bucket of past weeks.",
                        "enum": list(METHODS),
                    },
                    "history": described("How far back (4w).", DURATION),
                    "min_history": described(
                        "How much of it there must be before anything fires (half).", DURATION
                    ),
                },
                ("method",),
            ),
        ),
        "condition": condition(
            {
                "times": number("So many times the usual count."),
                "sigmas": number("So many spreads above the usual count."),
                "min_count": number(f"A count of at least so many ({MIN_COUNT})."),
                "field": described("Count its different values instead of events.", TEXTS),
            }
        ),
    },
    required=("bucket", "baseline", "condition"),
)
