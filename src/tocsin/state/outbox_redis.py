"""The outbox on Redis: every step one script, so that a crash is always between two steps.

Under the root key: `delivery:ID` a hash per delivery; per channel the sorted sets `waiting` (by due
time), `ready` (by urgency) and `leased` (by the lease's end); `line:PAIR` the unsettled deliveries
of a (channel, group) in order, of which only the head is in those sets; `pair:PAIR` what it was
last told; `queued` counts by channel; `all`, `status:STATUS` and `settled` for lists and retention.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec

from tocsin.clock import MS, from_ms, to_ms
from tocsin.model.notification import Dead, Delivery, LastNotified, Notification, Outcome, Retry, Sent
from tocsin.state.connection import Store
from tocsin.state.outbox_memory import urgency

_FIELDS = ("notification", "status", "attempt", "ambiguous", "next_ms", "said", "token", "settled_ms")
_FORGET_AT_ONCE = 500

_notification = msgspec.json.Decoder(Notification)
_last = msgspec.json.Decoder(LastNotified)


class RedisOutbox:
    """`Outbox` on a Redis or Valkey server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._root = store.key("outbox")
        self._put = store.script("outbox_put")
        self._lease = store.script("outbox_lease")
        self._settle = store.script("outbox_settle")
        self._requeue = store.script("outbox_requeue")
        self._hasten = store.script("outbox_hasten")
        self._take_back = store.script("outbox_take_back")
        self._forget = store.script("outbox_forget")

    def put(self, notification: Notification, last: LastNotified) -> bool:
        arguments = [
            notification.id,
            notification.channel,
            _pair(notification.channel, notification.group_key),
            urgency(notification.severity),
            to_ms(notification.created_at),
            _encode(notification),
            _encode(last),
            to_ms(last.at),
        ]
        return bool(self._put([self._root], arguments))

    def last(self, group_key: str, channel: str) -> LastNotified | None:
        with self._store.reaching():
            raw = self._store.client.hget(self._under("pair", _pair(channel, group_key)), "last")
        return None if raw is None else _last.decode(raw)

    def lease(self, channel: str, now: datetime, *, limit: int, ttl: timedelta) -> list[Delivery]:
        now_ms = to_ms(now)
        taken = self._lease([self._root], [channel, now_ms, now_ms + ttl // MS, limit])
        return [_delivery(fields) for fields in taken]

    def settle(self, delivery: Delivery, outcome: Outcome, now: datetime) -> bool:
        match outcome:
            case Sent(detail=detail):
                return self._end(delivery, "sent", now, said=detail)
            case Dead(reason=reason):
                return self._end(delivery, "dead", now, said=reason)
            case Retry(at=at, reason=reason):
                # Rounded up: never a moment earlier than the other side asked for.
                return self._end(
                    delivery, "retry", now, next_ms=to_ms(at + MS - timedelta.resolution), said=reason
                )

    def release(self, delivery: Delivery, now: datetime) -> None:
        self._end(delivery, "release", now)

    def _end(
        self, delivery: Delivery, outcome: str, now: datetime, *, next_ms: int = 0, said: str = ""
    ) -> bool:
        told = said.encode("utf-8", "replace")
        arguments = [delivery.notification.id, delivery.token, outcome, to_ms(now), next_ms, told]
        return bool(self._settle([self._root], arguments))

    def next_due(self, channel: str) -> datetime | None:
        with self._store.reaching(), self._store.pipeline() as pipe:
            for name in ("waiting", "leased"):
                pipe.zrange(self._under(name, channel), 0, 0, withscores=True)
            pipe.zrange(self._under("ready", channel), 0, 0)
            waiting, leased, ready = pipe.execute()
            if ready:
                raw = self._store.client.hget(self._under("delivery", ready[0]), "next_ms")
                return from_ms(int(raw or 0))
        return min((from_ms(int(score)) for _, score in [*waiting, *leased]), default=None)

    def waiting(self, channel: str) -> int:
        with self._store.reaching():
            return int(self._store.client.hget(self._under("queued"), channel) or 0)

    def find(self, *, status: str | None = None, limit: int = 100) -> list[Delivery]:
        listed = self._under("all") if status is None else self._under("status", status)
        with self._store.reaching(), self._store.pipeline() as pipe:
            for id_ in cast("list[bytes]", self._store.client.zrevrange(listed, 0, limit - 1)):
                pipe.hmget(self._under("delivery", id_), _FIELDS)
            return [_delivery(fields) for fields in pipe.execute() if fields[0] is not None]

    def requeue(self, notification_id: str, now: datetime) -> bool:
        return bool(self._requeue([self._root], [notification_id, to_ms(now)]))

    def hasten(self, channel: str, now: datetime) -> int:
        return int(self._hasten([self._root], [channel, to_ms(now)]))

    def take_back(self, channel: str | None = None) -> int:
        return int(self._take_back([self._root], [] if channel is None else [channel]))

    def forget(self, before: datetime) -> int:
        return sum(self._forget_some(to_ms(before)))

    def _forget_some(self, before_ms: int) -> Iterator[int]:
        while True:
            deliveries, pairs = self._forget([self._root], [before_ms, _FORGET_AT_ONCE])
            yield int(deliveries)
            if not deliveries and not pairs:
                return

    def _under(self, *parts: str | bytes) -> bytes:
        return self._store.key("outbox", *parts)


def _pair(channel: str, group_key: str) -> str:
    """The key of a (channel, group); a group's key has an attacker's words in it."""
    text = f"{len(channel)}:{channel}{group_key}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _delivery(fields: Sequence[bytes]) -> Delivery:
    notification, status, attempt, ambiguous, next_ms, said, token, settled_ms = fields
    return Delivery(
        notification=_notification.decode(notification),
        status=status.decode(),  # type: ignore[arg-type]  # written by our scripts only
        attempt=int(attempt),
        ambiguous=int(ambiguous),
        next_at=from_ms(int(next_ms)),
        last_error=said.decode("utf-8", "replace"),
        token=token.decode(),
        settled_at=from_ms(int(settled_ms)) if settled_ms else None,
    )


def _encode(noun: Notification | LastNotified) -> bytes:
    try:
        return msgspec.json.encode(noun)
    except UnicodeEncodeError:  # half a surrogate pair somewhere: an alert is never lost to that
        return msgspec.json.encode(_whole(msgspec.to_builtins(noun)))


def _whole(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {_whole(key): _whole(item) for key, item in value.items()}
        case list() | tuple() | set():
            return [_whole(item) for item in value]
        case _:
            return value
