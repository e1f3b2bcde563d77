"""Events that were decoded for other rules than those that are to read them now."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tocsin.model.event import Event, attribute, event_type


def readable(events: list[Event], fields: frozenset[str]) -> list[Event]:
    """The events, holding these top-level vendor fields as attributes.

    Those that do not are made anew from the bytes they came from. Mostly there are none, and it
    costs a look at their types.
    """
    if all(_holds(kind, fields) for kind in set(map(type, events))):
        return events
    made = event_type(fields)
    return [event if _holds(type(event), fields) else _anew(event, made, fields) for event in events]


@lru_cache(maxsize=64)
def _holds(kind: type[Event], fields: frozenset[str]) -> bool:
    return all(hasattr(kind, attribute(name)) for name in fields)


def _anew(event: Event, kind: type[Event], fields: frozenset[str]) -> Event:
    known = event.fields
    values: dict[str, Any] = {name: getattr(event, name) for name in Event.__struct_fields__}
    values |= {attribute(name): known.get(name) for name in fields}
    return kind(**values)
