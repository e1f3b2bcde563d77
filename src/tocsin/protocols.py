"""The seams. Read this first.

One event's way: a `Source` yields a batch; the engine matches it and asks `Windows` what the
matches changed; the triggers that follow are folded by `Alerts` into episodes; `Positions` commits
the batch. The planner decides what is told, `Outbox` keeps it until a `Channel` has taken it.

What a batch did is safe to do again: every store below is idempotent, so a crash anywhere
repeats the last uncommitted batch and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from tocsin.model.alert import Alert, Change, Sightings, Triggers
from tocsin.model.compiled import WindowSpec
from tocsin.model.event import Event
from tocsin.model.notification import Delivery, LastNotified, Notification, Outcome
from tocsin.model.observed import Counted, Observations, Sighted
from tocsin.model.silence import Silence

Position = str  # a source's own mark; what it means only the source knows


class Quarantined(NamedTuple):
    """A record that did not become an event, and why. `line` counts from 1 within its source or body."""

    reason: str
    raw: bytes
    line: int


class Batch(NamedTuple):
    """Events in arrival order; `position` is where to go on after them."""

    events: list[Event]
    position: Position
    quarantined: Sequence[Quarantined] = ()


class Source(Protocol):
    """Where events come from. Fails fast (`SourceUnavailable`); the loop supervises and tries again."""

    name: str
    allowed_lateness: timedelta

    def read(self, after: Position | None) -> Iterator[Batch]:
        """Batches that begin after `after` (None: at the oldest there is).

        A live source yields an empty batch about once a second while nothing comes, so that the
        caller can look at the clock and at its stop signal; a finite one ends.
        """


class Windows(Protocol):
    """Sliding event-time windows `[t - span, t]`, closed at both ends, per tenant, rule and group.

    A window's count is a pure function of the set of (time, member) observed, whatever the order,
    the batches and the repetitions, as long as no member is older than `committed_ms` by more than
    the span. Groups of different tenants never meet.
    """

    def observe(self, tenant: str, seen: Sequence[Observations], *, committed_ms: int) -> list[Counted]:
        """Add a batch; say which windows it may have changed. One round trip.

        Groups with one member, and no window to report, are left out of the answer. Only members
        behind `committed_ms` are ever let go, so a batch that is read again counts the same again.
        """

    def due(
        self,
        tenant: str,
        specs: Sequence[WindowSpec],
        *,
        watermark_ms: int,
        committed_ms: int | None = None,
    ) -> list[Counted]:
        """The windows of closing specs that end before `watermark_ms`, and not before `committed_ms`.

        A group's first member `u` opens `[u, u + span]`; the next window opens at the first member
        after it. A ledger says itself what is decided by then. What closed before `committed_ms` was
        answered and is forgotten; everything later is answered again when asked again, so a crash
        changes nothing (None: forget nothing more).
        """

    def sweep(self, tenant: str, specs: Sequence[WindowSpec], *, committed_ms: int) -> int:
        """Drop expired groups, and the least recently seen beyond `max_groups`; how many of these."""

    def forget(self, tenant: str, specs: Sequence[WindowSpec]) -> None:
        """Know nothing of these rules' groups any more. Safe to do again."""


class EvidenceStore(Protocol):
    """The context of a group's recent events, kept apart from its windows.

    Only groups that hold `from_size` members are worth keeping evidence of.
    """

    from_size: int

    def remember(self, tenant: str, seen: Sequence[Sighted], *, newest_ms: int, committed_ms: int) -> None:
        """Keep what a batch showed; sightings are a set by event id. One round trip.

        `newest_ms` is the batch's newest event time.
        """

    def recall(self, trigger: Triggers, from_ms: int, to_ms: int) -> Sightings:
        """The sightings of the trigger's rule and group inside `[from_ms, to_ms]`, by time and id.

        A store that keeps the newest only, and has none of these any more, may answer with later ones.
        """


class Alerts(Protocol):
    """Episodes. Folding is atomic per fingerprint and idempotent: the same triggers again change nothing."""

    def fold(self, triggers: Sequence[Triggers], *, now: datetime) -> list[Change]:
        """Turn triggers into episodes: open, extend, raise, merge."""

    def close(self, tenant: str, watermark_ms: int) -> list[Change]:
        """Resolve the episodes that were quiet for their `resolve_after` by then."""

    def get(self, alert_id: str) -> Alert | None:
        """One alert; None when there is none."""

    def find(self, *, status: str | None = None, limit: int = 100) -> list[Alert]:
        """Alerts, newest trigger first."""

    def unsettled(self) -> list[Alert]:
        """Fired alerts of which the planner may still have something to say: open, or not yet told off."""

    def settle(self, alert_ids: Iterable[str]) -> None:
        """The planner is done with these; one that a late event opened again meanwhile stays. Atomic."""

    def forget(self, before: datetime) -> int:
        """Delete resolved, settled alerts whose last trigger is older; how many."""


class Positions(Protocol):
    """How far each source was read, and the watermarks that went with it."""

    def load(self, source: str) -> tuple[Position | None, dict[str, int]]:
        """The committed position and, per tenant, the newest event time, in milliseconds."""

    def commit(self, source: str, position: Position, newest_ms: Mapping[str, int]) -> None:
        """Everything up to `position` is done. Atomic."""


class Silences(Protocol):
    """Silences, the expired ones for a while too."""

    def add(self, silence: Silence) -> None:
        """Add or replace by id."""

    def expire(self, silence_id: str, now: datetime) -> bool:
        """End it now; False when there is none."""

    def list(self) -> list[Silence]:
        """All, soonest to end first."""

    def forget(self, before: datetime) -> int:
        """Delete silences that ended before; how many."""


class Outbox(Protocol):
    """Notifications on their way out. Durable before anything is sent.

    The messages of one (channel, group) stand in line: only the oldest unsettled one can be leased,
    and it is as urgent as the most severe behind it. So "resolved" never overtakes "firing".
    """

    def put(self, notification: Notification, last: LastNotified) -> bool:
        """Queue it and remember what its (group, channel) now knows, in one step; False if it was there."""

    def last(self, group_key: str, channel: str) -> LastNotified | None:
        """What that pair was last told."""

    def lease(self, channel: str, now: datetime, *, limit: int, ttl: timedelta) -> list[Delivery]:
        """Take what is due, most severe first, then oldest; nobody else gets it before `now + ttl`.

        A delivery whose lease ran out unsettled comes again, with `ambiguous` one higher.
        """

    def settle(self, delivery: Delivery, outcome: Outcome, now: datetime) -> bool:
        """Write the outcome down; False if the lease was lost to another."""

    def release(self, delivery: Delivery, now: datetime) -> None:
        """Give it back untried (we are stopping)."""

    def next_due(self, channel: str) -> datetime | None:
        """When the channel's next delivery is due; None when nothing waits."""

    def waiting(self, channel: str) -> int:
        """How many of the channel's deliveries are neither sent nor dead."""

    def find(self, *, status: str | None = None, limit: int = 100) -> Sequence[Delivery]:
        """Deliveries, newest first."""

    def requeue(self, notification_id: str, now: datetime) -> bool:
        """Send a dead letter again; False when there is none of that id."""

    def hasten(self, channel: str, now: datetime) -> int:
        """Make due now what the channel waits with (it works again); how many."""

    def take_back(self, channel: str | None = None) -> int:
        """End every lease (of a channel), as ambiguous: their holders are known to be gone; how many."""

    def forget(self, before: datetime) -> int:
        """Delete deliveries settled before; how many."""


class Quarantine(Protocol):
    """Records that could not become events: the newest thousand, and how many there ever were."""

    def put(self, source: str, records: Sequence[Quarantined], now: datetime) -> None:
        """Keep them; the oldest go."""

    def find(self, limit: int = 100) -> list[tuple[str, datetime, Quarantined]]:
        """(source, when, record), newest first."""


class Channel(Protocol):
    """A way to reach people. No retry, no backoff in here: the delivery worker supervises."""

    name: str

    def send(self, notification: Notification) -> str:
        """Send it; what the other side answered, in a word.

        Raises:
            TemporaryFailure: the worker tries again, not before its `retry_after`.
            PermanentFailure: it becomes a dead letter.
        """


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """Aware, UTC."""


class Inbox(Protocol):
    """The receiver's door: bodies as they came, durable before the sender hears 204."""

    def append(self, source: str, body: bytes, now: datetime) -> str:
        """Append one body; its position.

        Raises:
            StoreUnavailable: the store is gone, full or nearly full; nothing was taken.
        """


class InboxReader(Protocol):
    """The inbox from the other side: what a stream source reads."""

    def read(
        self, source: str, after: Position | None, *, block_ms: int, count: int
    ) -> list[tuple[Position, bytes, int]]:
        """Up to `count` bodies after `after` (None: from the oldest): position, body, received (ms).

        Waits up to `block_ms` for the first; empty when none came.

        Raises:
            StoreUnavailable: the store is gone.
        """

    def trim(self, source: str, upto: Position) -> None:
        """Delete the bodies up to and including `upto`: they are committed."""
