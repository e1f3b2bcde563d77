"""`temporal`: several rules within one window, in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tocsin.model.compiled import Correlation, WindowSpec
from tocsin.rules.correlations.bounds import NOTHING, fields_ignored, read_bounds
from tocsin.rules.correlations.closing import ClosingLaw, closing
from tocsin.rules.correlations.counting import Bounds
from tocsin.rules.correlations.expression import Said, denies, holding, read_expression
from tocsin.rules.correlations.judged import Judged
from tocsin.rules.correlations.keys import COMPARED, IGNORED_FIELD, condition
from tocsin.rules.correlations.kind import CorrelationSpec, CorrelationType, Counting, Reading
from tocsin.rules.correlations.sliding import MAX_MEMBERS, Law, Slide, sliding
from tocsin.rules.correlations.steps import Present, newest_of_each, seen_rules, several_rules
from tocsin.rules.document import Scalar

EXAMPLE = '{gte: 2}, or "a and b and not c"'
TEXT = {"description": "Rules by name, with `and`, `or`, `not` and brackets.", "type": "string"}


def read(reading: Reading) -> Counting | None:
    """How many different rules, or which; without a condition all of them."""
    section = reading.section
    written = section.node("condition")
    if not several_rules(reading, "temporal"):
        return None
    if isinstance(written, Scalar):
        said = read_expression(written, reading.rules, section.problems)
        return None if said is None else Counting(NOTHING, own=said)
    different = len({rule.text for rule in reading.rules})
    within = section.section("condition")
    if within is None:
        return Counting(Bounds((("gte", different),))) if section.lacks("condition") else None
    compared = read_bounds(reading, within, EXAMPLE)
    fields_ignored(within, "temporal", "rules")
    within.done()
    if compared is None:
        return None
    if not any(compared.bounds.holds(count) for count in range(1, different + 1)):
        section.problems.error(
            within.mark, f"of {different} rules no window can meet this condition; check its numbers"
        )
        return None
    if compared.bounds.monotone and compared.bounds.holds(1):
        section.problems.warning(
            within.mark,
            "the condition is true at the first match of any rule; ask for two rules, or count events",
        )
    return Counting(*compared)


def build(state: str, spec: CorrelationSpec, _highest: float) -> Correlation:
    """A count of different rules, ready to run."""
    steps = len({rule.text for rule in spec.rules})
    holds: Callable[[Sequence[int]], bool] = _any
    if isinstance(spec.own, Said):
        holds = holding(spec.own)

    def score(values: Sequence[int]) -> float | None:
        return Present(steps, holds, set(values)).score()

    closes = _closes(spec)
    judge = Slide(lambda values: Present(steps, holds, values))
    law = Law(spec.timespan_ms, judge, at_once=True, stay=newest_of_each)
    ledger = closing(ClosingLaw(spec.timespan_ms, score, each_value=True)) if closes else sliding(law)
    windows = WindowSpec(
        state, spec.timespan_ms, "members", keep=MAX_MEMBERS, closes=closes, ledger=ledger, shows_one=True
    )
    return Judged(windows, spec.bounds)


def _any(_counts: Sequence[int]) -> bool:
    return True


def _closes(spec: CorrelationSpec) -> bool:
    return not spec.bounds.monotone or (isinstance(spec.own, Said) and denies(spec.own))


def identity(spec: CorrelationSpec) -> object:
    """Windows that are judged when they close are kept in another way: of bounds that is known anyhow."""
    return "closes" if spec.bounds.monotone and _closes(spec) else None


TEMPORAL = CorrelationType(
    summary="several rules in the window, in any order",
    read=read,
    build=build,
    example=EXAMPLE,
    keys={"condition": {"anyOf": [condition({**COMPARED, "field": IGNORED_FIELD}), TEXT]}},
    required=(),
    seen=seen_rules,
    identity=identity,
)
