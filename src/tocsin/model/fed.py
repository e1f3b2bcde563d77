"""What one correlation tells another: that it was true, when, and for whom."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from tocsin.model.alert import Reader, Triggers
from tocsin.model.event import Event

VALUE_SEPARATOR = "\x1f"  # between the parts of a group key or of a counted tuple


class Fed(Event, kw_only=True, eq=False, gc=False):
    """An instant at which a correlation was true, as an event for those that count it.

    `parts` are the values of its group-by fields (case-folded), `score` what it came to, `events`
    what the batch held of that group.
    """

    parts: tuple[str, ...] = ()
    score: float = 0.0
    events: tuple[Event, ...] = ()


def fed_by(triggers: Triggers) -> Iterator[Fed]:
    """The instants of these triggers; those of one group and time have one id, whoever tells them."""
    fields = len(triggers.rule.group_by)
    parts = tuple(triggers.group.split(VALUE_SEPARATOR)) if fields else ()
    events = tuple(triggers.events)
    for at_ms, score in triggers.instants:
        yield Fed(
            id=f"{triggers.state}:{triggers.group}:{at_ms}",
            time_ms=at_ms,
            tenant=triggers.tenant,
            parts=parts,
            score=score,
            events=events,
        )


@lru_cache(maxsize=256)
def part(place: int) -> Reader:
    """Reads one part of the group; one reader a place, so that the engine sees who groups alike."""

    def read(event: Event) -> object:
        return event.parts[place] if isinstance(event, Fed) else None

    return read
