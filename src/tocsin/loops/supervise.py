"""What all loops share: how they hear of each other, what is wrong now, and who starts them again."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from tocsin import telemetry

SHORTEST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
log = structlog.get_logger()


@dataclass(slots=True)
class Signals:
    """How the loops hear of each other: a change to tell, a message to send, rules to read, the end."""

    stop: threading.Event = field(default_factory=threading.Event)
    changed: threading.Event = field(default_factory=threading.Event)
    reload: threading.Event = field(default_factory=threading.Event)
    queued: dict[str, threading.Event] = field(default_factory=lambda: defaultdict(threading.Event))

    def end(self) -> None:
        """Tell every loop to finish its step and return."""
        self.stop.set()
        self.changed.set()
        self.reload.set()
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
    pause = SHORTEST_PAUSE_S
    while not signals.stop.is_set():
        try:
            once()
        except Exception as exc:
            telemetry.LOOP_ERRORS.labels(loop=name).inc()
            # Anybody may ask whether we are ready, and a stranger's error may quote an event.
            health.troubles[name] = type(exc).__name__ if _unexpected(exc) else str(exc)
            # A trace only for what nobody foresaw: our own errors say all there is to say.
            log.error("loop.failed", loop=name, error=str(exc), again_in_s=pause, exc_info=_unexpected(exc))  # noqa: TRY400
            signals.stop.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
        else:
            pause = SHORTEST_PAUSE_S


def _unexpected(exc: Exception) -> bool:
    """Whether it is none of our own errors."""
    return not type(exc).__module__.startswith("tocsin.")
