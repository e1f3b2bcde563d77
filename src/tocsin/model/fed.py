"""What one correlation tells another: that it was true, when, and for whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from tocsin.model.alert import Reader, Triggers
from tocsin.model.event import Event
from tocsin.model.rule import Rule

VALUE_SEPARATOR = "\x1f"  # between the parts of a group key or of a counted tuple


class Fed(Event, kw_only=True, eq=False, gc=False):
    """What a correlation tells those that count it, as an event of theirs.

    `parts` are the values of its group-by fields (case-folded). It is either an instant at which it
    was true, or has `events`: those that it counted of that group, for evidence.
    """

    parts: tuple[str, ...] = ()
    events: Sequence[Event] = ()


def instants_of(triggers: Triggers) -> Iterator[Fed]:
    """The instants of these triggers; those of one group and time have one id, whoever tells them."""
    parts = _parts(triggers.rule, triggers.group)
    for at_ms, _ in triggers.instants:
        id_ = f"{triggers.state}:{triggers.group}:{at_ms}"
        yield Fed(id=id_, time_ms=at_ms, tenant=triggers.tenant, parts=parts)


def counted_by(rule: Rule, groups: Mapping[str, Sequence[Event]]) -> Iterator[Fed]:
    """The events that this rule counted, by group."""
    for group, events in groups.items():
        yield Fed(parts=_parts(rule, group), events=events)


def _parts(rule: Rule, group: str) -> tuple[str, ...]:
    if len(rule.group_by) == 1:
        return (group,)  # whatever a stranger wrote into it
    return tuple(group.split(VALUE_SEPARATOR)) if rule.group_by else ()


@lru_cache(maxsize=256)
def part(place: int) -> Reader:
    """Reads one part of the group; one reader a place, so that the engine sees who groups alike."""

    def read(event: Event) -> object:
        return event.parts[place] if isinstance(event, Fed) else None

    return read
