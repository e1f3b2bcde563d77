"""Notify: open episodes -> notifications in the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from tocsin import telemetry
from tocsin.alerts.decision import Plan, Send
from tocsin.alerts.plan import plan
from tocsin.alerts.render import Renderer
from tocsin.alerts.route import Route
from tocsin.errors import Error
from tocsin.loops.supervise import Health, Signals
from tocsin.protocols import Alerts, Clock, Outbox, Silences

SILENCES_S = 5.0  # how soon a silence that came or went is seen
log = structlog.get_logger()


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
        wait_s = SILENCES_S  # a silence may come or go without a word to us
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
        unsent: set[str] = set()
        for send in decided.sends:
            try:
                self._put(send, now)
            except Error:
                raise
            except Exception as exc:
                # The others are not held up by it; this one is tried again with every plan.
                unsent.update(alert.id for alert in [*send.firing, *send.resolved])
                telemetry.LOOP_ERRORS.labels(loop="notify").inc()
                self.health.troubles["notify"] = f"a message is not made: {type(exc).__name__}"
                log.exception("notification.failed", id=send.id, channel=send.channel)
        if done := decided.done - unsent:
            self.alerts.settle(done)
        if not unsent:
            self.health.troubles.pop("notify", None)
        return decided

    def _put(self, send: Send, now: datetime) -> None:
        notification = self.renderer.render(send, self.channel_types[send.channel], send.channel, now)
        self.outbox.put(notification, send.last)
        self.signals.queued[send.channel].set()
        log.info("notification.queued", id=notification.id, channel=send.channel, reason=send.reason)
