"""Reading a correlation: Sigma's `correlation:` and its shorthand `tocsin.correlate`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from tocsin.rules.correlations import CORRELATIONS, OTHER_TYPES
from tocsin.rules.correlations.counting import HIGHEST_COUNT, OPERATORS, Bounds
from tocsin.rules.document import Scalar
from tocsin.rules.params import Param
from tocsin.rules.problems import did_you_mean
from tocsin.rules.section import Section, number_of
from tocsin.rules.spec import CorrelationSpec

_CALENDAR = re.compile(r"\s*\d+\s*[My]\s*")


def read_correlation(
    section: Section, params: Mapping[str, Param], *, shorthand: bool = False
) -> CorrelationSpec | None:
    """The correlation; None after a mistake. The shorthand counts its own document, so it names no rules."""
    before = len(section.problems.errors)
    kind = section.text("type")
    _check_type(section, kind)
    rules = () if shorthand else section.scalars("rules")
    if not shorthand and not section.has("rules"):
        section.problems.error(section.mark_of("rules"), "a correlation needs rules; name what it counts")
    timespan = _timespan(section)
    bounds, fields, highest = _condition(section, kind, params)
    aliases = {} if shorthand else _aliases(section)
    spec = CorrelationSpec(
        type=kind,
        mark=section.mark,
        rules=rules,
        group_by=section.texts("group-by"),
        timespan_ms=timespan,
        bounds=bounds,
        fields=fields,
        aliases=aliases,
        highest=highest,
        allow_missing=section.flag("allow_missing"),
        generate=section.flag("generate"),
    )
    section.done()
    sound = len(section.problems.errors) == before and kind in CORRELATIONS and timespan > 0
    return spec if sound else None


def _check_type(section: Section, kind: str) -> None:
    runs = ", ".join(CORRELATIONS)
    if kind in CORRELATIONS:
        return
    if not kind:
        if section.lacks("type"):
            section.problems.error(section.mark, f"a correlation needs a type; this version runs {runs}")
    elif kind in OTHER_TYPES:
        section.wrong("type", f'this version does not run the correlation type "{kind}"; it runs {runs}')
    else:
        hint = did_you_mean(kind, (*CORRELATIONS, *OTHER_TYPES))
        section.wrong("type", f'unknown correlation type "{kind}"; {hint}')


def _timespan(section: Section) -> int:
    node = section.scalar("timespan", "a duration like 10m, 4h or 7d")
    if node is None:
        if section.lacks("timespan"):
            section.problems.error(section.mark, "a correlation needs a timespan, like 10m")
        return 0
    if _CALENDAR.fullmatch(node.text):
        section.wrong(
            "timespan", f"{node.text}: months and years have no fixed length; write days or weeks, like 30d"
        )
        return 0
    before = len(section.problems.errors)
    found = section.duration_ms("timespan") or 0
    if len(section.problems.errors) == before and not 0 < found <= LONGEST_TIMESPAN_MS:
        section.wrong("timespan", f"a timespan is more than 0 and at most 3650d, not {node.text}")
    return found


def _condition(
    section: Section, kind: str, params: Mapping[str, Param]
) -> tuple[Bounds, tuple[str, ...], float]:
    """The bounds, the counted fields, and the highest bound that a param may come to.

    Of a type that does not run, only the numbers are judged: nobody knows what else it needs.
    """
    runs = kind in CORRELATIONS
    nothing = Bounds((("gte", 1),))
    condition = section.section("condition", "condition")
    if condition is None:
        if runs and section.lacks("condition"):
            section.problems.error(section.mark, f"a correlation needs a condition, like {_EXAMPLES[kind]}")
        return nothing, (), 0
    pairs: list[tuple[str, float]] = []
    highest = 0.0
    for name in OPERATORS:
        node = condition.scalar(name, "a number")
        number = None if node is None else number_of(node, name, section.problems)
        if node is not None and number is not None and _is_count(node, number, name, section):
            pairs.append((name, number))
            param = params.get(node.param)
            highest = max(highest, param.highest or 0) if param else highest
    fields = _fields(condition, kind) if runs else ()
    if runs:
        condition.done()
    if not pairs:
        if runs and not condition.table.entries.keys() - {"field"}:
            condition.problems.error(
                condition.mark, f"the condition compares with nothing; write {_EXAMPLES[kind]}"
            )
        return nothing, fields, highest
    bounds = Bounds(tuple(pairs))
    if not bounds.satisfiable:
        condition.problems.error(condition.mark, "no count can meet this condition; check its numbers")
    return bounds, fields, highest


LONGEST_TIMESPAN_MS = 3_650 * 86_400_000
_EXAMPLES = {"event_count": "{gte: 10}", "value_count": "{gte: 10, field: data.user_name}"}


def _is_count(node: Scalar, number: float, name: str, section: Section) -> bool:
    if math.isfinite(number) and 0 <= number <= HIGHEST_COUNT:
        return True
    section.problems.error(node.mark, f"{name} must be from 0 to {HIGHEST_COUNT}, not {node.text}")
    return False


def _fields(condition: Section, kind: str) -> tuple[str, ...]:
    fields = condition.texts("field")
    if CORRELATIONS[kind].counts_field:
        if not fields and condition.lacks("field"):
            condition.problems.error(
                condition.mark, f"{kind} counts the values of a field; write {_EXAMPLES[kind]}"
            )
        return fields
    if fields:
        condition.problems.warning(
            condition.mark_of("field"),
            f"{kind} counts events and ignores field; use value_count, or remove it",
        )
    return ()


def _aliases(section: Section) -> dict[str, dict[str, str]]:
    within = section.section("aliases")
    if within is None:
        return {}
    return {alias: within.text_map(alias) for alias in within.table.entries}
