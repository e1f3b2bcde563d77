"""Detect: one source -> triggers -> episodes -> its position committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from tocsin import telemetry
from tocsin.catalog.lookup import codes
from tocsin.errors import Error
from tocsin.grouping import by_tenant
from tocsin.loops.supervise import Health, Signals
from tocsin.model.alert import Change, ChangeKind, Triggers
from tocsin.model.event import Event
from tocsin.model.watermark import Watermarks
from tocsin.protocols import Alerts, Batch, Clock, Position, Positions, Quarantine, Quarantined, Source
from tocsin.reload import AtWork, LiveRules

TRIES = 3  # of a whole batch, before it is done event by event
NOTHING_READ = "0-0"  # a stream's position before its first body
log = structlog.get_logger()


@dataclass(slots=True)
class Detect:
    """One source -> triggers -> episodes -> its position committed."""

    source: Source
    rules: LiveRules
    alerts: Alerts
    positions: Positions
    quarantine: Quarantine
    watermarks: Watermarks
    clock: Clock
    signals: Signals
    health: Health
    trim: Callable[[Position], None] = lambda _: None
    _position: Position | None = None  # as it was committed
    _failing: tuple[Position, int] = ("", 0)  # the batch that failed last, and how often in a row
    _closed: dict[tuple[str, str, str, int], float] = field(default_factory=dict)  # folded, not committed

    def once(self) -> None:
        """Read on from what is committed until the source ends, fails, or it is time to stop."""
        name = self.source.name
        position, newest_ms = self.positions.load(name)
        self.watermarks.restore(name, newest_ms, self.source.allowed_lateness, self.clock.now())
        self._position = position
        for batch in self.source.read(position):
            self._survive(batch)
            self.health.troubles.pop(f"detect {name}", None)
            if self.signals.stop.is_set():
                return

    def step(self, batch: Batch) -> None:
        """One batch, whole, with the same rules: only when all of it is in the store is it committed."""
        now = self.clock.now()
        with self.rules.batch() as rules, telemetry.BATCH_SECONDS.time():
            changes = self._detect(rules, batch.events, now)
            self.watermarks.drained(self.source.name, empty=not batch.events)
            for tenant in self.watermarks.tenants():
                changes += self._close(rules, tenant, now)
            self._quarantine(batch, now)
            self._commit(batch.position)
        self._tell(changes)

    def _survive(self, batch: Batch) -> None:
        """Do the batch; one that keeps failing for a reason nobody foresaw is done event by event.

        What fails alone as well goes to quarantine, so that one event, or one rule, never stops the
        rest (reliability F11, F12).
        """
        try:
            self.step(batch)
        except Error:
            raise
        except Exception as exc:
            failed, times = self._failing
            self._failing = (batch.position, times + 1 if failed == batch.position else 1)
            if self._failing[1] < TRIES:
                raise
            log.exception("batch.failed", source=self.source.name, events=len(batch.events), error=str(exc))
            self.step(Batch([], batch.position, [*batch.quarantined, *self._one_by_one(batch.events)]))

    def _one_by_one(self, events: Sequence[Event]) -> list[Quarantined]:
        bad = []
        for event in events:
            try:
                with self.rules.batch() as rules:
                    self._tell(self._detect(rules, [event], self.clock.now()))
            except Error:
                raise
            except Exception as exc:  # noqa: BLE001 - whatever it is, it is this event's alone
                telemetry.LOOP_ERRORS.labels(loop=f"detect {self.source.name}").inc()
                bad.append(Quarantined(f"failed: {type(exc).__name__}", event.raw, 0))
        return bad

    def _detect(self, rules: AtWork, events: list[Event], now: datetime) -> list[Change]:
        """What these events change."""
        triggers = []
        for tenant, some in by_tenant(rules.readable(events)).items():
            committed_ms = self.watermarks.behind(tenant, now)
            triggers += rules.engine.process(tenant, some, committed_ms=committed_ms)
            _count_unknown(some)
            self._advance(tenant, some, committed_ms, now)
        _count_true(triggers)
        return self.alerts.fold(rules.marked(triggers), now=now)

    def _close(self, rules: AtWork, tenant: str, now: datetime) -> list[Change]:
        """What the passing of time changes: windows that close, episodes that end."""
        closing_ms = self.watermarks.closing(tenant, now)
        behind_ms = self.watermarks.behind(tenant, now)
        due = rules.engine.due(tenant, watermark_ms=closing_ms, committed_ms=behind_ms)
        fresh = [trigger for trigger in map(self._unfolded, due) if trigger.instants]
        _count_true(fresh)
        changes = self.alerts.fold(rules.marked(fresh), now=now) + self.alerts.close(tenant, closing_ms)
        self._closed = {
            key: score for key, score in self._closed.items() if key[0] != tenant or key[3] >= behind_ms
        }
        for trigger in fresh:
            for at_ms, score in trigger.instants:
                self._closed[tenant, trigger.state, trigger.group, at_ms] = score
        return changes

    def _unfolded(self, trigger: Triggers) -> Triggers:
        """Without the closings that were folded: the store says each again until it is committed."""
        key = (trigger.tenant, trigger.state, trigger.group)
        fresh = [(at, score) for at, score in trigger.instants if self._closed.get((*key, at)) != score]
        return trigger._replace(instants=fresh)

    def _commit(self, position: Position) -> None:
        name = self.source.name
        if position in (self._position, NOTHING_READ):
            return
        self.positions.commit(name, position, self.watermarks.newest(name))
        self._position = position
        self.watermarks.committed(name)
        self.trim(position)

    def _tell(self, changes: Sequence[Change]) -> None:
        for change in changes:
            alert = change.alert
            telemetry.ALERTS_CHANGED.labels(rule=alert.rule, kind=change.kind).inc()
            if change.kind is not ChangeKind.GROWN:
                log.info("alert.changed", change=str(change.kind), rule=alert.rule, alert=alert.id,
                         severity=alert.severity)  # fmt: skip
        if changes:
            self.signals.changed.set()

    def _advance(self, tenant: str, events: Sequence[Event], committed_ms: int, now: datetime) -> None:
        name = self.source.name
        telemetry.EVENTS_ACCEPTED.labels(source=name).inc(len(events))
        if late := sum(event.time_ms < committed_ms for event in events):
            telemetry.EVENTS_LATE.labels(source=name).inc(late)
        times = [event.time_ms for event in events]
        self.watermarks.advance(name, tenant, times, self.source.allowed_lateness, now)
        newest_ms = min(self.watermarks.newest(name).values())
        telemetry.SOURCE_WATERMARK_SECONDS.labels(source=name).set(newest_ms / 1000)

    def _quarantine(self, batch: Batch, now: datetime) -> None:
        if batch.quarantined:
            self.quarantine.put(self.source.name, batch.quarantined, now)
            for record in batch.quarantined:
                telemetry.EVENTS_QUARANTINED.labels(source=self.source.name, reason=record.reason).inc()
            log.warning("events.quarantined", source=self.source.name, count=len(batch.quarantined),
                        reason=batch.quarantined[0].reason)  # fmt: skip


def _count_true(triggers: Sequence[Triggers]) -> None:
    for trigger in triggers:
        telemetry.TRIGGERS.labels(rule=trigger.rule.name).inc(len(trigger.instants))


def _count_unknown(events: Sequence[Event]) -> None:
    """Vendors add codes without notice. A provider without a catalogue has no unknown ones."""
    for (provider, code), count in Counter((event.provider, event.code) for event in events).items():
        known = codes(provider)
        if known and code not in known:
            telemetry.EVENTS_UNKNOWN_CODE.inc(count)
