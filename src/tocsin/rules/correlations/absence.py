"""`absence`: nothing came for so long; with `after`, nothing came that should have followed.

The only type that is true at instants without an event: the watermark decides, and while all is
quiet the clock moves it.
"""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.clock import DAY_MS
from tocsin.model.compiled import Correlation, WindowSpec
from tocsin.model.event import Event, as_text
from tocsin.model.ledger import Seen
from tocsin.rules.correlations.counting import Bounds
from tocsin.rules.correlations.judged import Judged
from tocsin.rules.correlations.keys import PARAM, TEXT, TEXTS, described
from tocsin.rules.correlations.kind import CorrelationSpec, CorrelationType, Counting, Input, Reading, SeenBy
from tocsin.rules.correlations.quiet import QuietLaw, quiet, thinned
from tocsin.rules.correlations.sliding import MAX_MEMBERS
from tocsin.rules.correlations.unanswered import AFTER, WITHOUT, unanswered
from tocsin.rules.document import Scalar

EXAMPLE = "timespan: 1h"
MOST_EXPECTED = 1_000  # groups
MOST_STEPS = 2_000  # instants at which one silence is told; of an expected group ten times as many
_LONGEST_MS = 7 * DAY_MS  # of a silence, of groups that are not expected for ever
_BOUNDS = Bounds((("gte", 1),))


def read(reading: Reading) -> Counting | None:
    """Either whose silence, or after what and without what."""
    section = reading.section
    before = len(section.problems.errors)
    written = section.names("expected", "192.0.2.1")
    expected = tuple(dict.fromkeys(text.casefold() for text in written))
    after = section.scalar("after", "a condition over selections")
    without = section.scalar("without", "a condition over selections")
    if expected:
        _check_expected(reading, expected, after)
    if without is not None and section.lacks("after"):
        section.wrong("without", "without says what should follow; write after, what it should follow")
    if after is not None and without is not None and after.text.split() == without.text.split():
        section.wrong("without", "after and without are the same; name what should follow")
    if len(section.problems.errors) > before:
        return None
    if after is None:
        return Counting(_BOUNDS, own=expected, expected=written)
    return Counting(_BOUNDS, steps=(after, without or Scalar(f"not ({after.text})", after.mark)), own=())


def build(state: str, spec: CorrelationSpec, _highest: float) -> Correlation:
    """Silence, ready to be found."""
    law = _law_of(spec)
    waiting = WindowSpec(
        state, spec.timespan_ms, "members", keep=MAX_MEMBERS, closes=True, ledger=unanswered(spec.timespan_ms)
    )
    silent = waiting._replace(span_ms=law.longest_ms, ledger=quiet(law), expected=_expected(spec))
    return Judged(waiting._replace(shows_one=True) if spec.steps else silent, spec.bounds)


def seen(source: Input) -> SeenBy:
    """A member is an instant; of a busy group only those that can matter."""
    if source.spec.steps:
        bit = (AFTER, WITHOUT)[source.step]
        return lambda events: [Seen(event.time_ms, 0, bit) for event in events]
    expected, span_ms = _expected(source.spec), source.spec.timespan_ms

    def members(events: Sequence[Event]) -> list[Seen]:
        if expected and (as_text(source.group[0](events[0])) or "").casefold() not in expected:
            return []
        return [Seen(time_ms, 0) for time_ms in thinned({event.time_ms for event in events}, span_ms)]

    return members


def identity(spec: CorrelationSpec) -> object:
    """What is expected: a group that no longer is must not be missed."""
    return _expected(spec)


def _expected(spec: CorrelationSpec) -> tuple[str, ...]:
    assert isinstance(spec.own, tuple)  # noqa: S101 - `read` made it
    return spec.own


def _law_of(spec: CorrelationSpec) -> QuietLaw:
    """Told again every span, so that the alert goes on; every day at least, as no alert waits longer."""
    span_ms, step_ms = spec.timespan_ms, min(spec.timespan_ms, DAY_MS)
    if _expected(spec):
        return QuietLaw(span_ms, step_ms, span_ms + 10 * MOST_STEPS * step_ms, begins=True)
    longest_ms = max(span_ms, min(_LONGEST_MS, MOST_STEPS * step_ms))
    return QuietLaw(span_ms, step_ms, longest_ms, begins=False)


def _check_expected(reading: Reading, expected: Sequence[str], after: Scalar | None) -> None:
    section = reading.section
    if after is not None:
        section.wrong("expected", "expected groups are missed whatever came before; remove it, or after")
    elif len(reading.group_by) != 1:
        section.wrong("expected", "expected are values of one group-by field; write group-by: [data.ip]")
    elif len(expected) > MOST_EXPECTED:
        section.wrong("expected", f"expected has {len(expected)} values; it may have {MOST_EXPECTED}")


ABSENCE = CorrelationType(
    summary="nothing came for so long; with after, nothing that should have followed",
    read=read,
    build=build,
    seen=seen,
    identity=identity,
    example=EXAMPLE,
    sigma=False,
    keys={
        "expected": described("Values of the group-by field that are watched from the start.", TEXTS),
        "after": described("What something should follow: a selection.", {"anyOf": [TEXT, PARAM]}),
        "without": described(
            "What should follow: a selection; any other match where it is left out.", {"anyOf": [TEXT, PARAM]}
        ),
    },
    required=(),
)
