"""What rules saw in a batch, and what the stores made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tocsin.model.alert import Reader
from tocsin.model.compiled import WindowSpec
from tocsin.model.event import Event
from tocsin.model.ledger import Scored, Seen


class Observations(NamedTuple):
    """What one rule saw in a batch: group key -> `(time_ms, member)`, in any order.

    A member is what counts once: the event id for `events`, the counted value for `values`. What a
    ledger counts is in `members` instead.
    """

    spec: WindowSpec
    groups: Mapping[str, list[tuple[int, str]]]
    members: Mapping[str, list[Seen]] = {}


class Counted(NamedTuple):
    """What a batch did to one group.

    `windows` are `(at_ms, count)`, ascending: every window of at least `floor` that ends at the time of
    a member of the group and whose count may have changed, so a late member's later ones too (for a
    spec that `closes`: those that closed). Of a ledger they are what it decided, `(at_ms, score)`.
    `size` is how many members the store now holds. `floored`: a cap let members go, so that counts
    above `keep` are a floor.
    """

    state: str
    group: str
    windows: Sequence[Scored]
    size: int
    floored: bool = False


class Sighted(NamedTuple):
    """The events of a batch that one rule counted, by group key; `readers` read what evidence keeps.

    `context` are the rule's context fields: what was read for others is no evidence for these.
    """

    state: str
    span_ms: int
    readers: tuple[Reader, ...]
    groups: Mapping[str, list[Event]]
    context: tuple[str, ...] = ()
