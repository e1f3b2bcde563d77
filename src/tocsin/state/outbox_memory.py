"""The outbox in this process's memory: for dry runs and tests. It dies with the process.

Messages of one group and channel leave in the order they were put ("resolved" never overtakes
"firing"): they stand in a line, of which only the head can be leased. The head is as urgent as
the most severe message behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from threading import Lock

import msgspec

from tocsin.model.notification import Dead, Delivery, LastNotified, Notification, Outcome, Retry, Sent
from tocsin.model.rule import SEVERITIES

Pair = tuple[str, str]  # channel, group key


def urgency(severity: str) -> int:
    """0 to 4, as `severity_rank`; a severity that is none (a heartbeat's) is the least."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else 0


@dataclass(slots=True)
class _Entry:
    """A delivery; `born` orders lists, `order` the lease; `leased_until` is None unless it is out."""

    delivery: Delivery
    born: int
    order: int
    leased_until: datetime | None = None
    requeued: bool = False

    @property
    def due(self) -> datetime:
        moment = self.leased_until or self.delivery.next_at
        return moment or self.delivery.notification.created_at

    @property
    def pair(self) -> Pair:
        return self.delivery.notification.channel, self.delivery.notification.group_key


class MemoryOutbox:
    """`Outbox` in dicts."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._lines: dict[Pair, list[str]] = {}  # unsettled ids, in order
        self._last: dict[Pair, LastNotified] = {}
        self._count = count(1)
        self._lock = Lock()

    def put(self, notification: Notification, last: LastNotified) -> bool:
        with self._lock:
            if notification.id in self._entries:
                return False
            number = next(self._count)
            delivery = Delivery(notification=notification, next_at=notification.created_at)
            entry = self._entries[notification.id] = _Entry(delivery, number, number)
            self._lines.setdefault(entry.pair, []).append(notification.id)
            self._last[entry.pair] = deepcopy(last)
            return True

    def last(self, group_key: str, channel: str) -> LastNotified | None:
        return deepcopy(self._last.get((channel, group_key)))

    def lease(self, channel: str, now: datetime, *, limit: int, ttl: timedelta) -> list[Delivery]:
        with self._lock:
            due = sorted((-rank, e.order, e) for rank, e in self._heads(channel) if e.due <= now)
            return [self._take(entry, now + ttl) for _, _, entry in due[:limit]]

    def _heads(self, channel: str) -> Iterator[tuple[int, _Entry]]:
        for (name, _), line in self._lines.items():
            if name == channel:
                rank = max(urgency(self._entries[id_].delivery.notification.severity) for id_ in line)
                yield rank, self._entries[line[0]]

    def _take(self, entry: _Entry, until: datetime) -> Delivery:
        delivery = entry.delivery
        if entry.leased_until is not None:
            delivery.ambiguous += 1
        delivery.attempt += 1
        delivery.token = str(next(self._count))
        entry.leased_until = until
        return msgspec.structs.replace(delivery)

    def settle(self, delivery: Delivery, outcome: Outcome, now: datetime) -> bool:
        with self._lock:
            entry = self._held(delivery)
            if entry is None:
                return False
            entry.leased_until, entry.delivery.token = None, ""
            match outcome:
                case Retry(at=at, reason=reason):
                    entry.delivery.next_at, entry.delivery.last_error = at, reason
                case Sent(detail=detail):
                    entry.delivery.status = "resent" if entry.requeued else "sent"
                    self._end(entry, detail, now)
                case Dead(reason=reason):
                    entry.delivery.status = "dead"
                    self._end(entry, reason, now)
            return True

    def _held(self, delivery: Delivery) -> _Entry | None:
        entry = self._entries.get(delivery.notification.id)
        return entry if entry and delivery.token and entry.delivery.token == delivery.token else None

    def _end(self, entry: _Entry, said: str, now: datetime) -> None:
        entry.delivery.last_error, entry.delivery.settled_at = said, now
        line = self._lines[entry.pair]
        line.remove(entry.delivery.notification.id)
        if not line:
            del self._lines[entry.pair]

    def release(self, delivery: Delivery, now: datetime) -> None:  # noqa: ARG002 - it is due as it was
        with self._lock:
            entry = self._held(delivery)
            if entry is not None:
                entry.leased_until, entry.delivery.token = None, ""
                entry.delivery.attempt -= 1

    def next_due(self, channel: str) -> datetime | None:
        with self._lock:
            return min((entry.due for _, entry in self._heads(channel)), default=None)

    def waiting(self, channel: str) -> int:
        with self._lock:
            return sum(len(line) for (name, _), line in self._lines.items() if name == channel)

    def find(self, *, status: str | None = None, limit: int = 100) -> list[Delivery]:
        with self._lock:
            chosen = [e for e in self._entries.values() if status in (None, e.delivery.status)]
            chosen.sort(key=lambda e: e.born, reverse=True)
            return [msgspec.structs.replace(e.delivery) for e in chosen[:limit]]

    def requeue(self, notification_id: str, now: datetime) -> bool:
        with self._lock:
            entry = self._entries.get(notification_id)
            if entry is None or entry.delivery.status != "dead":
                return False
            delivery = entry.delivery
            delivery.status, delivery.attempt, delivery.next_at, delivery.settled_at = "queued", 0, now, None
            entry.requeued, entry.order = True, next(self._count)
            self._lines.setdefault(entry.pair, []).append(notification_id)
            return True

    def hasten(self, channel: str, now: datetime) -> int:
        with self._lock:
            late = [e for _, e in self._heads(channel) if e.leased_until is None and e.due > now]
            for entry in late:
                entry.delivery.next_at = now
            return len(late)

    def take_back(self, channel: str | None = None) -> int:
        with self._lock:
            out = [
                entry
                for entry in self._entries.values()
                if entry.leased_until is not None and channel in (None, entry.pair[0])
            ]
            for entry in out:
                entry.leased_until, entry.delivery.token = None, ""
                entry.delivery.ambiguous += 1
            return len(out)

    def forget(self, before: datetime) -> int:
        with self._lock:
            old = [i for i, e in self._entries.items() if (at := e.delivery.settled_at) and at < before]
            for id_ in old:
                del self._entries[id_]
            # A pair's sequence must outlive its deliveries: a new one may not take an old one's id.
            kept = {entry.pair for entry in self._entries.values()}
            for pair in [p for p, last in self._last.items() if last.at < before and p not in kept]:
                del self._last[pair]
            return len(old)
