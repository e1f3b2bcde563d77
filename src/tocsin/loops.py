"""The three loops, joined only by durable state: detect, notify, deliver.

Each runs in a thread of its own until `stop`, does one small step at a time, and survives whatever
a step throws: it is logged, counted, and the step is done again after a pause. A step is safe to
repeat, so a crash anywhere costs nothing but time.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from tocsin import telemetry
from tocsin.alerts.decision import Plan
from tocsin.alerts.plan import plan
from tocsin.alerts.render import Renderer
from tocsin.alerts.route import Route
from tocsin.catalog.lookup import codes
from tocsin.clock import from_ms
from tocsin.delivery.worker import Worker
from tocsin.engine import Engine
from tocsin.model.alert import ChangeKind, Triggers
from tocsin.model.event import Event
from tocsin.model.watermark import Watermarks
from tocsin.protocols import (
    Alerts,
    Batch,
    Clock,
    Outbox,
    Position,
    Positions,
    Quarantine,
    Silences,
    Source,
)

LONGEST_PAUSE_S = 30.0
TICK_S = 1.0
log = structlog.get_logger()


@dataclass(slots=True)
class Signals:
    """How the loops hear of each other: a change to tell, a message to send, the end."""

    stop: threading.Event = field(default_factory=threading.Event)
    changed: threading.Event = field(default_factory=threading.Event)
    queued: dict[str, threading.Event] = field(default_factory=lambda: defaultdict(threading.Event))

    def end(self) -> None:
        """Tell every loop to finish its step and return."""
        self.stop.set()
        self.changed.set()
        for channel in list(self.queued.values()):
            channel.set()


@dataclass(slots=True)
class Health:
    """What is wrong now, per loop; ready means nothing is."""

    troubles: dict[str, str] = field(default_factory=dict)

    def trouble(self) -> str | None:
        """All of it in one line; None when all is well."""
        return "; ".join(f"{name}: {what}" for name, what in sorted(self.troubles.items())) or None


def supervise(name: str, once: Callable[[], None], signals: Signals, health: Health) -> None:
    """Call `once` until it is time to stop; after a failure pause, longer each time, and call it again."""
    pause = TICK_S / 4
    while not signals.stop.is_set():
        try:
            once()
        except Exception as exc:
            telemetry.LOOP_ERRORS.labels(loop=name).inc()
            health.troubles[name] = str(exc) or type(exc).__name__
            # A trace only for what nobody foresaw: our own errors say all there is to say.
            log.error("loop.failed", loop=name, error=str(exc), again_in_s=pause, exc_info=_unexpected(exc))  # noqa: TRY400
            signals.stop.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
        else:
            pause = TICK_S / 4


@dataclass(slots=True)
class Detect:
    """One source -> triggers -> episodes -> its position committed."""

    source: Source
    engine: Engine
    alerts: Alerts
    positions: Positions
    quarantine: Quarantine
    watermarks: Watermarks
    clock: Clock
    signals: Signals
    health: Health
    trim: Callable[[Position], None] = lambda _: None

    def once(self) -> None:
        """Read on from what is committed until the source ends, fails, or it is time to stop."""
        name = self.source.name
        position, newest_ms = self.positions.load(name)
        self.watermarks.restore(name, newest_ms, self.source.allowed_lateness)
        for batch in self.source.read(position):
            self.step(batch)
            self.health.troubles.pop(f"detect {name}", None)
            if self.signals.stop.is_set():
                return

    def step(self, batch: Batch) -> None:
        """One batch, whole: only when all of it is in the store is the position committed."""
        name, now = self.source.name, self.clock.now()
        with telemetry.BATCH_SECONDS.time():
            self._quarantine(batch, now)
            triggers = []
            for tenant, events in _by_tenant(batch.events).items():
                committed_ms = self.watermarks.behind(tenant, now)
                triggers += self.engine.process(tenant, events, committed_ms=committed_ms)
                _count_unknown(events)
                self._advance(tenant, events, committed_ms, now)
            _count_true(triggers)
            changes = self.alerts.fold(triggers, now=now)
            self.watermarks.drained(name, empty=not batch.events)
            for tenant in self.watermarks.tenants():
                closing_ms = self.watermarks.closing(tenant, now)
                behind_ms = self.watermarks.behind(tenant, now)
                if due := self.engine.due(tenant, watermark_ms=closing_ms, committed_ms=behind_ms):
                    _count_true(due)
                    changes += self.alerts.fold(due, now=now)
                changes += self.alerts.close(tenant, closing_ms)
            if batch.events or batch.quarantined:
                self.positions.commit(name, batch.position, self.watermarks.newest(name))
                self.watermarks.committed(name)
                self.trim(batch.position)
        for change in changes:
            telemetry.ALERTS_CHANGED.labels(rule=change.alert.rule, kind=change.kind).inc()
            if change.kind is not ChangeKind.GROWN:
                alert = change.alert
                log.info(
                    "alert.changed",
                    change=str(change.kind),
                    rule=alert.rule,
                    alert=alert.id,
                    severity=alert.severity,
                )
        if changes:
            self.signals.changed.set()

    def _advance(self, tenant: str, events: Sequence[Event], committed_ms: int, now: datetime) -> None:
        name = self.source.name
        telemetry.EVENTS_ACCEPTED.labels(source=name).inc(len(events))
        if late := sum(event.time_ms < committed_ms for event in events):
            telemetry.EVENTS_LATE.labels(source=name).inc(late)
        times = [event.time_ms for event in events]
        self.watermarks.advance(name, tenant, times, self.source.allowed_lateness, now)
        behind = now - from_ms(max(times))
        telemetry.SOURCE_WATERMARK_SECONDS.labels(source=name).set(behind.total_seconds())

    def _quarantine(self, batch: Batch, now: datetime) -> None:
        if batch.quarantined:
            self.quarantine.put(self.source.name, batch.quarantined, now)
            for record in batch.quarantined:
                telemetry.EVENTS_QUARANTINED.labels(source=self.source.name, reason=record.reason).inc()
            log.warning("events.quarantined", source=self.source.name, count=len(batch.quarantined),
                        reason=batch.quarantined[0].reason)  # fmt: skip


@dataclass(slots=True)
class Notify:
    """Open episodes -> notifications in the outbox."""

    alerts: Alerts
    outbox: Outbox
    silences: Silences
    routes: Route
    renderer: Renderer
    channel_types: dict[str, str]
    notify_max_age: timedelta | None
    clock: Clock
    signals: Signals
    health: Health

    def once(self) -> None:
        """Plan, put, settle; then wait for a change or until time alone changes the answer."""
        self.signals.changed.clear()
        decided = self.step()
        self.health.troubles.pop("notify", None)
        wait_s = TICK_S
        if decided.next_at is not None:
            wait_s = min(wait_s, max(0.0, (decided.next_at - self.clock.now()).total_seconds()))
        self.signals.changed.wait(wait_s)

    def step(self) -> Plan:
        """One round of planning, put into the outbox."""
        now = self.clock.now()
        silences, unsettled = self.silences.list(), self.alerts.unsettled()
        decided = plan(
            unsettled, self.routes, silences, self.outbox.last, now, notify_max_age=self.notify_max_age
        )
        for send in decided.sends:
            notification = self.renderer.render(send, self.channel_types[send.channel], send.channel, now)
            self.outbox.put(notification, send.last)
            self.signals.queued[send.channel].set()
            log.info("notification.queued", id=notification.id, channel=send.channel, reason=send.reason)
        if decided.done:
            self.alerts.settle(decided.done)
        return decided


@dataclass(slots=True)
class Deliver:
    """The outbox -> the world, one channel."""

    worker: Worker
    clock: Clock
    signals: Signals
    health: Health

    def once(self) -> None:
        """Send what is due; then wait for more, or for the next attempt's time."""
        name = f"deliver {self.worker.channel.name}"
        next_at = self.worker.run_once(self.clock.now())
        self.health.troubles.pop(name, None)
        wait_s = TICK_S
        if next_at is not None:
            wait_s = min(wait_s, max(0.0, (next_at - self.clock.now()).total_seconds()))
        queued = self.signals.queued[self.worker.channel.name]
        if queued.wait(wait_s):
            queued.clear()


def _count_true(triggers: Sequence[Triggers]) -> None:
    for trigger in triggers:
        telemetry.TRIGGERS.labels(rule=trigger.rule.name).inc(len(trigger.instants))


def _count_unknown(events: Sequence[Event]) -> None:
    """Vendors add codes without notice. A provider without a catalogue has no unknown ones."""
    for (provider, code), count in Counter((event.provider, event.code) for event in events).items():
        known = codes(provider)
        if known and code not in known:
            telemetry.EVENTS_UNKNOWN_CODE.inc(count)


def _by_tenant(events: Sequence[Event]) -> dict[str, list[Event]]:
    tenants: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        tenants[event.tenant].append(event)
    return tenants


def _unexpected(exc: Exception) -> bool:
    """Whether it is none of our own errors."""
    return not type(exc).__module__.startswith("tocsin.")
