"""What a correlation reads of its rules' matches: groups, values, members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tocsin.model.alert import Reader
from tocsin.model.compiled import Matcher
from tocsin.model.event import Event
from tocsin.model.fed import part
from tocsin.model.place import Locator
from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.correlations.kind import CorrelationSpec, Input
from tocsin.rules.made import Base, Made
from tocsin.rules.prefixes import prefixed


def matchers_of(spec: CorrelationSpec, bases: Sequence[Base], locator: Locator | None) -> tuple[Matcher, ...]:
    """One matcher for each rule; of a document that sorts its events into steps, one for each step."""
    if spec.steps:
        (base,) = bases
        found = [_matcher(spec, base, 0, step) for step in range(len(spec.steps))]
    else:
        found = [_matcher(spec, base, position, None) for position, base in enumerate(bases)]
    kind = CORRELATIONS[spec.type]
    seen = kind.seen
    if seen is None:
        return tuple(found)
    shown = _shown(bases) or range(len(found)) if kind.shows is None else (range(len(found))[kind.shows],)
    return tuple(
        replace(
            matcher,
            seen=seen(Input(spec, step, matcher.value, matcher.group_by, locator)),
            shown=step in shown,
        )
        for step, matcher in enumerate(found)
    )


def _shown(bases: Sequence[Base]) -> tuple[int, ...]:
    """The sequences among what is counted: who got in is not to drown among those who did not."""
    return tuple(
        place
        for place, base in enumerate(bases)
        if isinstance(base, Made) and base.spec is not None and base.spec.type == "sequence"
    )


def group_readers(spec: CorrelationSpec, bases: Sequence[Base]) -> tuple[Reader, ...]:
    """Readers of the group-by fields of an event, whichever rule it came through."""
    each = [_real_readers(spec, base, position) for position, base in enumerate(bases)]
    return tuple(_first_of(list(dict.fromkeys(column))) for column in zip(*each, strict=True))


def fields_read(spec: CorrelationSpec, bases: Sequence[Base], context: Sequence[str]) -> frozenset[str]:
    """The top-level fields that must be there to group, to count and to show."""
    found: list[frozenset[str]] = []
    for position, base in enumerate(bases):
        if isinstance(base, Made):
            found.append(base.fields.union(*(detection.flat(context) for detection in base.bases)))
        else:
            named = (*fields_for(spec, position, spec.group_by), *fields_for(spec, position, spec.fields))
            found.append(base.fields | base.flat((*named, *context)))
    return frozenset().union(*found)


def fields_for(spec: CorrelationSpec, position: int, fields: Sequence[str]) -> tuple[str, ...]:
    """The fields as the base rule of that position calls them."""
    if not spec.rules:
        return tuple(fields)
    base = spec.rules[position].text
    return tuple(spec.aliases[field].get(base, field) if field in spec.aliases else field for field in fields)


def _matcher(spec: CorrelationSpec, base: Base, position: int, step: int | None) -> Matcher:
    groups = fields_for(spec, position, spec.group_by)
    values = fields_for(spec, position, spec.fields)
    if isinstance(base, Made):
        matcher = _chained(base, groups, values)
    else:
        matcher = base.matcher(groups, values, step=step)
    return replace(
        matcher,
        group_by=prefixed(matcher.group_by, spec.group_by, spec.prefixes),
        value=prefixed(matcher.value, spec.fields, spec.prefixes),
    )


def _chained(child: Made, groups: Sequence[str], values: Sequence[str]) -> Matcher:
    """Reads when the child was true, in place of events; it is known by its group-by fields alone."""
    correlation, rule = child.compiled.correlation, child.compiled.rule
    places = {name: place for place, name in enumerate(rule.group_by)}
    return Matcher(
        name=rule.name,
        product="",
        codes=None,
        matches=None,
        group_by=tuple(part(places[name]) for name in groups),
        value=tuple(part(places[name]) for name in values),
        of=correlation.spec.state if correlation else "",
    )


def _real_readers(spec: CorrelationSpec, base: Base, position: int) -> tuple[Reader, ...]:
    """How the group of an event is read that came through this rule."""
    named = fields_for(spec, position, spec.group_by)
    if isinstance(base, Made):
        rule = base.compiled.rule
        readers = tuple(base.compiled.group[rule.group_by.index(name)] for name in named)
    else:
        readers = base.readers(named)
    return prefixed(readers, spec.group_by, spec.prefixes)


def _first_of(each: Sequence[Reader]) -> Reader:
    if len(each) == 1:
        return each[0]

    def read(event: Event) -> object:
        for reader in each:
            found = reader(event)
            if found not in (None, ""):
                return found
        return None

    return read
