"""What tocsin tells of itself, through the same outbox as everything else."""

from __future__ import annotations

from datetime import datetime

import structlog

from tocsin.alerts.decision import Send
from tocsin.alerts.notice import notice
from tocsin.app import Parts
from tocsin.loops import Signals
from tocsin.model.notification import Delivery

DEAD_LETTER = "tocsin_dead_letter"
HEARTBEAT = "tocsin_heartbeat"
log = structlog.get_logger()


class Notices:
    """Puts notices into the outbox."""

    def __init__(self, parts: Parts, signals: Signals) -> None:
        self._parts = parts
        self._signals = signals

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

    def _put(self, send: Send, now: datetime | None = None) -> None:
        parts = self._parts
        made = parts.renderer.render(
            send, parts.channel_types[send.channel], send.channel, now or parts.clock.now()
        )
        parts.outbox.put(made, send.last)
        self._signals.queued[send.channel].set()
