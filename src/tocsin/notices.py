"""What tocsin tells of itself, through the same outbox as everything else."""

from __future__ import annotations

from datetime import datetime

import structlog

from tocsin.alerts.decision import Send
from tocsin.alerts.notice import notice
from tocsin.app import Parts
from tocsin.loops import Signals
from tocsin.model.notification import Delivery
from tocsin.state.inbox import FULL

DEAD_LETTER = "tocsin_dead_letter"
HEARTBEAT = "tocsin_heartbeat"
FREED = FULL - 0.05  # of maxmemory; between the two it is neither told again nor forgotten
STORE_FULL = "tocsin_store_full"
log = structlog.get_logger()


class Notices:
    """Puts notices into the outbox."""

    def __init__(self, parts: Parts, signals: Signals) -> None:
        self._parts = parts
        self._signals = signals
        self._full = False

    def heartbeat(self, channel: str) -> None:
        """Tell the outside that we live; not while an earlier heartbeat still waits."""
        if self._parts.outbox.waiting(channel):
            return
        every = self._parts.settings.heartbeat.every if self._parts.settings.heartbeat else ""
        text = f"tocsin receives, detects and delivers. The next of these comes in {every}."
        now = self._parts.clock.now()
        title = "tocsin is alive"
        self._put(
            notice(
                HEARTBEAT,
                channel=channel,
                about="heartbeat",
                severity="informational",
                title=title,
                text=text,
                now=now,
            )
        )

    def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """A message will never arrive: tell another channel, so that it does not end in silence.

        Called again after a crash it makes the same notice. A notice that dies is only logged, or
        two dead channels would tell each other for ever.
        """
        gone = delivery.notification
        others = [name for name in self._parts.channels if name != gone.channel]
        if not others or gone.group_key.startswith("notice:"):
            return
        text = f"{reason}\n\nThe message was: {gone.summary}\nSend it again: tocsin outbox retry {gone.id}"
        title = f"A message could not be delivered to {gone.channel}"
        self._put(
            notice(DEAD_LETTER, channel=others[0], about=f"{gone.channel} {gone.id}", severity="high",
                   title=title, text=text, now=gone.created_at)
        )  # fmt: skip

    def store_filled(self, used: int, most: int) -> None:
        """How many bytes the store holds, and may hold: told once when the receiver has to refuse."""
        if self._full or not most or used <= FULL * most:
            self._full = self._full and used > FREED * most
            return
        log.error("store.nearly_full", used=used, most=most)
        now = self._parts.clock.now()
        title = "The state store is nearly full, and no events are taken"
        text = (
            f"{self._parts.store.shown} holds {used:,} of {most:,} bytes. Senders are answered 503 until it "
            f"is below {FULL:.0%}. Raise max_memory, or shorten retention."
        )
        for channel in self._parts.routes.channels or tuple(self._parts.channels):
            self._put(
                notice(STORE_FULL, channel=channel, about="store", severity="high",
                       title=title, text=text, now=now)
            )  # fmt: skip
        self._full = True

    def _put(self, send: Send, now: datetime | None = None) -> None:
        parts = self._parts
        made = parts.renderer.render(
            send, parts.channel_types[send.channel], send.channel, now or parts.clock.now()
        )
        parts.outbox.put(made, send.last)
        self._signals.queued[send.channel].set()
