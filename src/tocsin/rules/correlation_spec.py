"""Reading a correlation: Sigma's `correlation:` and its shorthand `tocsin.correlate`."""

from __future__ import annotations

from collections.abc import Mapping

from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.correlations.kind import CorrelationSpec, CorrelationType, Reading
from tocsin.rules.correlations.spans import timespan
from tocsin.rules.detection.condition import names_in
from tocsin.rules.detection.fields import Vocabulary
from tocsin.rules.document import Items, Scalar
from tocsin.rules.params import Param
from tocsin.rules.problems import did_you_mean
from tocsin.rules.section import Section


def read_correlation(
    section: Section, params: Mapping[str, Param], own: Vocabulary | None = None
) -> CorrelationSpec | None:
    """The correlation; None after a mistake.

    The shorthand counts its own document, which has a vocabulary, so it names no rules.
    """
    shorthand = own is not None
    before = len(section.problems.errors)
    name = section.text("type")
    kind = _kind(section, name, shorthand=shorthand)
    rules = () if shorthand else _rules(section)
    timespan_ms = timespan(section) if kind is None or kind.timespan else 0
    aliases = {} if shorthand else _aliases(section)
    group_by = section.names("group-by", "data.ip", none=True)
    allow_missing, generate = section.flag("allow_missing"), section.flag("generate")
    counting = kind.read(Reading(section, params, rules, group_by, timespan_ms, own)) if kind else None
    if kind is None:
        return None  # of a type that nobody knows, nobody knows what else it needs
    section.done()
    if counting is None:
        section.problems.unread(section.mark, "the correlation")
    if len(section.problems.errors) > before or counting is None:
        return None
    return CorrelationSpec(
        type=name,
        mark=section.mark,
        rules=rules,
        group_by=group_by,
        timespan_ms=counting.timespan_ms or timespan_ms,
        bounds=counting.bounds,
        fields=counting.fields,
        aliases=aliases,
        highest=counting.highest,
        allow_missing=allow_missing,
        generate=generate,
        steps=counting.steps,
        own=counting.own,
        expected=counting.expected,
    )


def _kind(section: Section, name: str, *, shorthand: bool) -> CorrelationType | None:
    kind = CORRELATIONS.get(name)
    known = [each for each, one in CORRELATIONS.items() if one.sigma or shorthand]
    if kind is not None and (kind.sigma or shorthand):
        return kind
    if kind is not None:
        section.wrong(
            "type", f"{name} is not Sigma's; write it as tocsin.correlate, beside a detection of its own"
        )
    elif name:
        section.wrong("type", f'unknown correlation type "{name}"; {did_you_mean(name, known)}')
    elif section.lacks("type"):
        section.problems.error(section.mark, f"a correlation needs a type: {', '.join(known)}")
    return None


def _rules(section: Section) -> tuple[Scalar, ...]:
    rules = section.scalars("rules") or rules_said(section)
    if not section.has("rules") and not rules:
        section.problems.error(section.mark_of("rules"), "a correlation needs rules; name what it counts")
    elif isinstance(node := section.node("rules"), Items) and not node.items:
        section.wrong("rules", "rules is empty; name what the correlation counts")
    return rules


def rules_said(section: Section) -> tuple[Scalar, ...]:
    """The rules that a condition names, where nothing but the condition does."""
    condition = section.table.entries.get("condition")
    kind = section.table.entries.get("type")
    if (
        section.has("rules")
        or not (condition and isinstance(condition.node, Scalar))
        or not (kind and isinstance(kind.node, Scalar) and kind.node.text in ("temporal", "temporal_ordered"))
    ):
        return ()
    return names_in(condition.node)


def _aliases(section: Section) -> dict[str, dict[str, str]]:
    within = section.section("aliases")
    if within is None:
        return {}
    return {alias: within.text_map(alias) for alias in within.table.entries}
