"""What tocsin tells of itself, through the same outbox as everything else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog

from tocsin.alerts.decision import Send
from tocsin.alerts.escape import cut
from tocsin.alerts.notice import NOTICE, notice
from tocsin.app import Parts
from tocsin.errors import RuleError
from tocsin.loops import Signals
from tocsin.model.notification import Delivery
from tocsin.reload import Changes, Refused
from tocsin.state.inbox import FULL

DEAD_LETTER = "tocsin_dead_letter"
HEARTBEAT = "tocsin_heartbeat"
FREED = FULL - 0.05  # of maxmemory; between the two it is neither told again nor forgotten
RULES_REFUSED = "tocsin_rules_refused"
SHOWN_ERRORS = 10
LONGEST_ERROR = 300
LONGEST_ERRORS = 1_200  # together: what a message cuts off is nobody's to read
STORE_FULL = "tocsin_store_full"
log = structlog.get_logger()


class Notices:
    """Puts notices into the outbox."""

    def __init__(self, parts: Parts, signals: Signals) -> None:
        self._parts = parts
        self._signals = signals
        self._full = False
        self._refused: Refused | None = None

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
        """A message will never arrive: tell the other channels, so that it does not end in silence.

        Once an hour for a channel, however many die: a revoked webhook kills every message, and its
        fallback must not be flooded. Called again after a crash it makes the same notice. A notice
        that dies is only logged, or two dead channels would tell each other for ever.
        """
        gone = delivery.notification
        if gone.group_key.startswith(NOTICE):
            return
        hour = gone.created_at.replace(minute=0, second=0, microsecond=0)
        text = (
            f"{reason}\n\nThe first one of this hour was: {gone.summary}\n"
            "See them all: tocsin outbox list --status dead\n"
            f"Send it again: tocsin outbox retry {gone.id}, or --all-dead"
        )
        title = f"Messages cannot be delivered to {gone.channel}"
        for name in self._parts.channels:
            if name != gone.channel:
                self._put(
                    notice(DEAD_LETTER, channel=name, about=gone.channel, severity="high",
                           title=title, text=text, now=hour)
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
        for channel in self._everybody():
            self._put(
                notice(STORE_FULL, channel=channel, about="store", severity="high",
                       title=title, text=text, now=now)
            )  # fmt: skip
        self._full = True

    def rules_read(self, answer: Changes | Refused) -> None:
        """Rules were read anew and nobody waited for the answer: a refusal is told, the same one once."""
        if isinstance(answer, Changes):
            self._refused = None
            return
        told = self._refused
        if told is not None and told.as_record() == answer.as_record():
            return
        now = self._parts.clock.now()
        text = (
            f"The rules from before ({len(self._parts.ruleset.rules)}) are at work. "
            f"See all of it: tocsin rules check\n{_first_of(answer.errors)}"
        )
        for channel in self._everybody():
            self._put(
                notice(RULES_REFUSED, channel=channel, about="rules", severity="medium",
                       title="The changed rules are refused", text=text, now=now)
            )  # fmt: skip
        self._refused = answer

    def _everybody(self) -> Sequence[str]:
        """The channels that hear of what concerns all."""
        return self._parts.routes.channels or tuple(self._parts.channels)

    def _put(self, send: Send, now: datetime | None = None) -> None:
        parts = self._parts
        made = parts.renderer.render(
            send, parts.channel_types[send.channel], send.channel, now or parts.clock.now()
        )
        parts.outbox.put(made, send.last)
        self._signals.queued[send.channel].set()


def _first_of(errors: Sequence[RuleError]) -> str:
    """The first mistakes with their places, a line each, then how many more there are."""
    shown = [cut(" ".join(str(error).split()), LONGEST_ERROR) for error in errors[:SHOWN_ERRORS]]
    while sum(map(len, shown)) > LONGEST_ERRORS:
        shown.pop()
    more = len(errors) - len(shown)
    return "\n".join([*shown, f"and {more} more"] if more else shown)
