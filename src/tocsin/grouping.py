"""Events by group: what a rule counts apart. The engine asks once for all rules that group alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tocsin.model.alert import Reader
from tocsin.model.event import Event, as_text
from tocsin.model.fed import joined

_TEXT_OR_NONE = {str, type(None)}

Groups = Mapping[str, list[Event]]


class Grouped(NamedTuple):
    """Events by their case-folded group, and how many are left out because they have none."""

    groups: Groups
    missing: int = 0


def by_tenant(events: Sequence[Event]) -> Mapping[str, Sequence[Event]]:
    """Events by tenant; of one tenant, as mostly, the events themselves."""
    if len({event.tenant for event in events}) == 1:
        return {events[0].tenant: events}
    tenants: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        tenants[event.tenant].append(event)
    return tenants


def grouped_by(events: list[Event], group_by: tuple[Reader, ...], *, allow_missing: bool) -> Grouped:
    """Group events by the text of these fields; without fields all are one group, called by nothing."""
    if not events:
        return Grouped({})
    if not group_by:
        return Grouped({"": events})
    if len(group_by) == 1:
        return _grouped_by_one(events, group_by[0], allow_missing=allow_missing)
    groups: dict[str, list[Event]] = {}
    missing = 0
    for event in events:
        parts = [as_text(reader(event)) for reader in group_by]
        if None in parts and not allow_missing:
            missing += 1
        else:
            key = joined([part or "" for part in parts]).casefold()
            groups.setdefault(key, []).append(event)
    return Grouped(groups, missing)


def _grouped_by_one(events: list[Event], reader: Reader, *, allow_missing: bool) -> Grouped:
    """The same for one field, the common case: fold each distinct value once, not each event's."""
    raw: dict[object, list[Event]] = defaultdict(list)
    try:
        for event in events:
            raw[reader(event)].append(event)
    except TypeError:  # a list or an object where text is expected: no key of a dict
        raw = _by_text(events, reader)
    if not _TEXT_OR_NONE.issuperset(map(type, raw)):
        raw = _by_text(events, reader)  # true and 1 are one key of a dict, but two values
    groups: dict[str, list[Event]] = {}
    missing = 0
    for value, some in raw.items():
        if not value and not allow_missing:
            missing += len(some)
            continue
        key = str(value or "").casefold()
        groups[key] = [*groups[key], *some] if key in groups else some
    return Grouped(groups, missing)


def _by_text(events: list[Event], reader: Reader) -> dict[object, list[Event]]:
    groups: dict[object, list[Event]] = defaultdict(list)
    for event in events:
        groups[as_text(reader(event))].append(event)
    return groups
