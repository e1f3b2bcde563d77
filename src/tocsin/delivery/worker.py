"""One channel's worker: lease -> send -> settle, a message at a time.

Failures are of two kinds of things. A message's own next attempt is in the outbox; besides, a
channel that fails is left alone for a while, longer each time up to `CHANNEL_PAUSE.longest`, so that
a dead Slack costs one message an attempt, not all of them. When it answers again after a real
outage, everything that waits is due at once, most severe first, at the channel's pace.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING

import structlog

from tocsin import telemetry
from tocsin.clock import EPOCH
from tocsin.delivery.channels import PacedChannel
from tocsin.delivery.retry import RetryPolicy, next_attempt
from tocsin.errors import PermanentFailure, TemporaryFailure
from tocsin.model.notification import Dead, Delivery, Outcome, Retry, Sent
from tocsin.protocols import Clock, Outbox

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - for the type only; chance is an argument

# Longer than a send takes; a page whose lease was lost with its worker waits no longer than this.
LEASE = timedelta(minutes=2)
CHANNEL_PAUSE = RetryPolicy(first=timedelta(seconds=1), longest=timedelta(seconds=30), attempts=sys.maxsize)
OUTAGE = 3  # failures in a row from which on an answer is a recovery
# A message in whose sending we died this often is what kills us.
MOST_AMBIGUOUS = 20

# Below, a clock that runs back is only being slewed.
CLOCK_STEP = timedelta(seconds=1)

log = structlog.get_logger()


class Worker:
    """The only one that sends on its channel.

    `on_dead(delivery, reason)` is called before a dead letter is written down, and again should we
    die in between: what it does must be idempotent by the delivery's id. `alone`: no other process
    can hold a lease, so one whose answer was lost is taken back at once.
    """

    def __init__(
        self,
        outbox: Outbox,
        channel: PacedChannel,
        clock: Clock,
        rng: Random,
        *,
        policy: RetryPolicy | None = None,
        stop: Event | None = None,
        on_dead: Callable[[Delivery, str], None] = lambda _delivery, _reason: None,
        alone: bool = False,
    ) -> None:
        self.channel = channel
        self._outbox = outbox
        self._clock = clock
        self._rng = rng
        self._policy = policy or RetryPolicy()
        self._stop = stop or Event()
        self._on_dead = on_dead
        self._alone = alone
        self._unsure = False  # whether a lease was asked for, and the answer lost
        self._failures = 0  # of the channel, in a row
        self._recovered = False
        self._not_before = EPOCH
        self._seen = EPOCH
        self._unwritten: tuple[Delivery, Outcome] | None = None

    def run_once(self, now: datetime) -> datetime | None:
        """Deliver the most urgent message that is due, if the channel may be used now.

        When to look again, possibly in the past; None: when something is put. Safe to call again
        after any error.

        Raises:
            StoreUnavailable: what became of a message is kept, and written down by the next call.
        """
        self._settle_up(now)
        if now < self._not_before:
            return self._not_before
        for delivery in self._lease(now):
            if self._stop.is_set():
                self._outbox.release(delivery, now)
                return now
            self._unwritten = (delivery, self._attempt(delivery))
            self._settle_up(self._clock.now())
        name = self.channel.name
        telemetry.OUTBOX_WAITING.labels(channel=name).set(self._outbox.waiting(name))
        due = self._outbox.next_due(name)
        return None if due is None else max(due, self._not_before)

    def _lease(self, now: datetime) -> list[Delivery]:
        if self._unsure and self._alone:
            self._outbox.take_back(self.channel.name)
        self._unsure = True
        leased = self._outbox.lease(self.channel.name, now, limit=1, ttl=LEASE)
        self._unsure = False
        return leased

    def _attempt(self, delivery: Delivery) -> Outcome:
        if delivery.attempt > self._policy.attempts or delivery.ambiguous > MOST_AMBIGUOUS:
            return Dead(f"gave up: {delivery.ambiguous} of {delivery.attempt - 1} attempts ended unknown")
        try:
            answer = self.channel.send(delivery.notification)
        except TemporaryFailure as exc:
            return self._again(delivery, exc)
        except PermanentFailure as exc:
            self._pace(self._clock.now())
            return Dead(str(exc))
        self._pace(self._clock.now())
        return Sent(answer)

    def _again(self, delivery: Delivery, exc: TemporaryFailure) -> Outcome:
        now = self._clock.now()
        self._failures += 1
        self._not_before = max(now + self.channel.min_interval, self._pause_until(now, exc.retry_after))
        at = next_attempt(delivery.attempt, now, self._policy, retry_after=exc.retry_after, rng=self._rng)
        if at is None:
            return Dead(f"gave up after {delivery.attempt} attempts: {exc}")
        return Retry(at, str(exc))

    def _pause_until(self, now: datetime, retry_after: timedelta | None) -> datetime:
        # What the server asks for holds for the whole channel, not for one message.
        until = next_attempt(self._failures, now, CHANNEL_PAUSE, retry_after=retry_after, rng=self._rng)
        return until or now

    def _pace(self, now: datetime) -> None:
        """The channel answered."""
        self._not_before = now + self.channel.min_interval
        self._recovered = self._recovered or self._failures >= OUTAGE
        self._failures = 0

    def _settle_up(self, now: datetime) -> None:
        """Tell the store what we know and it does not; what it cannot take now, the next call tells it."""
        self._mind_the_clock(now)
        self._write_down(now)
        if self._recovered:
            waiting = self._outbox.hasten(self.channel.name, now)
            self._recovered = False
            log.info("channel.recovered", channel=self.channel.name, waiting=waiting)

    def _mind_the_clock(self, now: datetime) -> None:
        """A clock that was set back must not make waits longer: the channel's is kept, the messages' end."""
        if self._seen - now > CLOCK_STEP:
            self._not_before -= self._seen - now
            self._recovered = True
        self._seen = now

    def _write_down(self, now: datetime) -> None:
        """Settle what was tried; kept until the store took it, since a sent message is not sent again."""
        if self._unwritten is None:
            return
        delivery, outcome = self._unwritten
        if isinstance(outcome, Dead):
            self._on_dead(delivery, outcome.reason)
        held = self._outbox.settle(delivery, outcome, now)
        self._unwritten = None
        _tell(delivery, outcome, held=held)


def _tell(delivery: Delivery, outcome: Outcome, *, held: bool) -> None:
    note = delivery.notification
    kind = type(outcome).__name__.lower()
    telemetry.NOTIFICATIONS.labels(channel=note.channel, outcome=kind).inc()
    bound = log.bind(id=note.id, channel=note.channel, attempt=delivery.attempt, ambiguous=delivery.ambiguous)
    if not held:
        bound.warning("delivery.lease_lost", outcome=kind)
    match outcome:
        case Sent(detail=detail):
            bound.info("delivery.sent", answer=detail)
        case Retry(at=at, reason=reason):
            bound.warning("delivery.failed", reason=reason, again_at=at.isoformat())
        case Dead(reason=reason):
            bound.error("delivery.dead", reason=reason)
