"""An alert: one episode of one rule and one group. Alertmanager's nouns.

Times are integer milliseconds in here, because the store and the folding compare them;
the `*_at` properties are aware datetimes for everything that shows them.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, NamedTuple

import msgspec

from tocsin.clock import from_ms, iso
from tocsin.model.event import Event
from tocsin.model.rule import Rule, Severity

TOP_VALUES = 20  # how many values of a field evidence keeps
NEVER_MS = -(1 << 62)  # before any event

Status = Literal["firing", "resolved"]


class Value(msgspec.Struct, frozen=True):
    """One value of a context field, and in how many events it was seen (approximate when capped)."""

    text: str
    count: int


class Evidence(msgspec.Struct, kw_only=True):
    """What the alert's events had in common.

    `values` holds, per context field as written in the rule, its top values, most seen first;
    `events` the newest event ids, oldest first; `total` how many events were gathered;
    `approximate` whether a cap made the counts a floor.
    """

    total: int = 0
    events: list[str] = msgspec.field(default_factory=list)
    values: dict[str, list[Value]] = msgspec.field(default_factory=dict)
    approximate: bool = False


class Alert(msgspec.Struct, kw_only=True):
    """One episode.

    `fingerprint` names the (tenant, rule, group); `id` the episode, and never changes. `type` is its
    rule's. `score` is the episode's highest so far; `floor` says that it counted at least that many,
    `sampled` that the score is of a part of the events, because a cap let others go. `warming`: some of
    its windows began before the rule's state did, so what happened earlier may be missing in them.
    `trigger` is what the event at the first trigger showed, by context field; what it did not show, or
    what is kept of no event, is left out. `fired_ms` is the trigger at which it fired (None while the
    rule's `for` has not passed: nobody is told of it). `found_ms` is the wall time at which it was
    found. `merged_into` names the episode that a late event made this one a part of.
    """

    id: str
    fingerprint: str
    tenant: str
    rule: str
    rule_id: str
    severity: Severity
    started_ms: int
    last_ms: int
    score: float
    type: str = ""
    status: Status = "firing"
    floor: bool = False
    sampled: bool = False
    late: bool = False
    warming: bool = False
    fired_ms: int | None = None
    resolved_ms: int | None = None
    found_ms: int = 0
    merged_into: str | None = None
    group: dict[str, str] = msgspec.field(default_factory=dict)
    trigger: dict[str, str] = msgspec.field(default_factory=dict)
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    evidence: Evidence = msgspec.field(default_factory=Evidence)

    @property
    def started_at(self) -> datetime:
        """The first trigger."""
        return from_ms(self.started_ms)

    @property
    def last_at(self) -> datetime:
        """The newest trigger."""
        return from_ms(self.last_ms)

    @property
    def resolved_at(self) -> datetime | None:
        """When it had been quiet for long enough; None while it fires."""
        return None if self.resolved_ms is None else from_ms(self.resolved_ms)


class ChangeKind(StrEnum):
    """What happened to an alert."""

    OPENED = "opened"
    RAISED = "raised"  # its severity rose
    GROWN = "grown"
    RESOLVED = "resolved"
    MERGED = "merged"


class Change(NamedTuple):
    """A change of an alert at an event time; `alert` is a copy as it was then."""

    kind: ChangeKind
    at_ms: int
    alert: Alert


@dataclass(frozen=True, slots=True)
class Sightings:
    """What evidence keeps of some events, by column; ordered by time and id, each event once.

    `columns` are what the trigger's readers read: a list of values per reader.
    """

    times_ms: list[int]
    ids: list[str]
    columns: list[list[object]]

    @classmethod
    def of(cls, events: Iterable[Event], readers: Sequence[Reader]) -> Sightings:
        """The sightings of these events."""
        ordered = list(events)
        times_ms = [event.time_ms for event in ordered]
        if not ascending(times_ms):
            by_id = {(event.time_ms, event.id): event for event in ordered}
            ordered = [by_id[key] for key in sorted(by_id)]
            times_ms = [event.time_ms for event in ordered]
        columns: list[list[object]] = [list(map(reader, ordered)) for reader in readers]
        return cls(times_ms, [event.id for event in ordered], columns)


def ascending(times_ms: Sequence[int]) -> bool:
    """Whether they only ever rise, as they mostly do: then there is nothing to sort, and nothing twice."""
    return all(map(operator.lt, times_ms, times_ms[1:]))


Reader = Callable[[Event], object]  # one field of an event; None where it has none


class Triggers(NamedTuple):
    """The instants at which a rule was true for a group, found in one batch.

    `instants` are `(at_ms, score)`, in any order, an instant possibly twice (the higher score
    counts). `events` are the batch's events of that group. `readers` read of an event the rule's
    context fields, then its group-by fields. `state` names the rule's windows and evidence (empty
    for a plain detection). Older members were let go, so that of what is counted the scores may be too
    low (`floor`), or that other scores are of what was left (`sampled`).
    Instants before `late_before_ms` are late: they were behind the watermark when they were found.
    Those up to `warming_until_ms` end windows that began before the rule's state did.
    """

    rule: Rule
    tenant: str
    group: str
    instants: list[tuple[int, float]]
    events: list[Event]
    readers: tuple[Reader, ...] = ()
    state: str = ""
    floor: bool = False
    sampled: bool = False
    late_before_ms: int = NEVER_MS
    warming_until_ms: int = NEVER_MS


def fingerprint(tenant: str, rule_id: str, group_key: str) -> str:
    """16 hex digits that name (tenant, rule, group), the same everywhere and for ever."""
    text = f"{len(tenant)}:{tenant}{len(rule_id)}:{rule_id}{group_key}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def alert_id(fingerprint_: str, started_ms: int) -> str:
    """The id of the episode that opened at `started_ms`."""
    return hashlib.blake2b(f"{fingerprint_}{started_ms}".encode(), digest_size=8).hexdigest()


def as_record(alert: Alert, title: str) -> dict[str, Any]:
    """The alert as `replay --format json` and the webhook write it: plain data, times in ISO 8601."""
    return {
        "status": alert.status,
        "id": alert.id,
        "fingerprint": alert.fingerprint,
        "rule": alert.rule,
        "type": alert.type,
        "title": title,
        "severity": alert.severity,
        "group": alert.group,
        "trigger": alert.trigger,
        "score": int(alert.score) if alert.score == int(alert.score) else alert.score,
        "started_at": iso(alert.started_ms),
        "last_at": iso(alert.last_ms),
        "resolved_at": None if alert.resolved_ms is None else iso(alert.resolved_ms),
        "events": alert.evidence.events,
        "evidence": {
            name: [{"value": value.text, "count": value.count} for value in values]
            for name, values in alert.evidence.values.items()
        },
        "tenant": alert.tenant,
        "labels": alert.labels,
        "annotations": {k: v for k, v in alert.annotations.items() if k != "headline"},
        **({"score_is_floor": True} if alert.floor else {}),
        **({"sampled": True} if alert.sampled else {}),
        **({"late": True} if alert.late else {}),
        **({"warming": True} if alert.warming else {}),
        **({"merged_into": alert.merged_into} if alert.merged_into else {}),
    }
