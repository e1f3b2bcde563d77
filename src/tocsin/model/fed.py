"""What one correlation tells another: that it was true, when, and for whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from tocsin.model.alert import Reader, Triggers
from tocsin.model.event import Event
from tocsin.model.rule import Rule

VALUE_SEPARATOR = "\x1f"  # between the parts of a group key or of a counted tuple
_ESCAPE = "\x1e"  # before what stands for one of these two, where a stranger wrote it into a part


def joined(parts: Sequence[str]) -> str:
    """The parts as one text, which no other parts give; a single part is itself."""
    text = VALUE_SEPARATOR.join(parts)
    if len(parts) > 1 and (_ESCAPE in text or text.count(VALUE_SEPARATOR) >= len(parts)):
        return VALUE_SEPARATOR.join([_escaped(part) for part in parts])
    return text


def split(text: str, count: int) -> tuple[str, ...]:
    """The so many parts that were joined."""
    if count <= 1:
        return (text,) * count
    parts = text.split(VALUE_SEPARATOR)
    return tuple(map(_unescaped, parts) if _ESCAPE in text else parts)


def _escaped(part: str) -> str:
    return part.replace(_ESCAPE, f"{_ESCAPE}e").replace(VALUE_SEPARATOR, f"{_ESCAPE}s")


def _unescaped(part: str) -> str:
    return part.replace(f"{_ESCAPE}s", VALUE_SEPARATOR).replace(f"{_ESCAPE}e", _ESCAPE)


class Fed(Event, kw_only=True, eq=False, gc=False):
    """What a correlation tells those that count it, as an event of theirs.

    `parts` are the values of its group-by fields (case-folded). It is either an instant at which it
    was true, or has `events`: those that it counted of that group, for evidence.
    """

    parts: tuple[str, ...] = ()
    events: Sequence[Event] = ()


def instants_of(triggers: Triggers) -> Iterator[Fed]:
    """The instants of these triggers; those of one group and time have one id, whoever tells them."""
    parts = split(triggers.group, len(triggers.rule.group_by))
    for at_ms, _ in triggers.instants:
        id_ = f"{triggers.state}:{triggers.group}:{at_ms}"
        yield Fed(id=id_, time_ms=at_ms, tenant=triggers.tenant, parts=parts)


def counted_by(rule: Rule, groups: Mapping[str, Sequence[Event]]) -> Iterator[Fed]:
    """The events that this rule counted, by group."""
    for group, events in groups.items():
        yield Fed(parts=split(group, len(rule.group_by)), events=events)


@lru_cache(maxsize=256)
def part(place: int) -> Reader:
    """Reads one part of the group; one reader a place, so that the engine sees who groups alike."""

    def read(event: Event) -> object:
        return event.parts[place] if isinstance(event, Fed) else None

    return read
