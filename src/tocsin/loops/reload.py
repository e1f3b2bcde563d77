"""Reload: a wish (SIGHUP, files that changed) -> the rules read anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tocsin.errors import StoreError
from tocsin.loops.supervise import Health, Signals
from tocsin.reload import Changes, Refused

TICK_S = 1.0
NAME = "reload"


@dataclass(slots=True)
class Reload:
    """A wish -> the rules read anew. Nobody waits for the answer, so `tell` hears it."""

    reload: Callable[[], Changes | Refused]
    tell: Callable[[Changes | Refused], None]
    signals: Signals
    health: Health

    def once(self) -> None:
        """Wait for a wish, and grant it; while the store is away it stays a wish."""
        if not self.signals.reload.wait(TICK_S) or self.signals.stop.is_set():
            return
        self.signals.reload.clear()  # before a file is read: who asks from here on is not heard yet
        try:
            self.tell(self.reload())
        except StoreError:
            self.signals.reload.set()
            raise
        self.health.troubles.pop(NAME, None)
