"""Deliver: the outbox -> the world, one channel."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.delivery.worker import Worker
from tocsin.loops.supervise import Health, Signals
from tocsin.protocols import Clock

TICK_S = 1.0


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
