"""What the planner decides: values, so that "why was I (not) paged?" always has an answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tocsin.model.alert import Alert
from tocsin.model.notification import LastNotified


class Reason(StrEnum):
    """Why a message is sent; of several, the first in this order."""

    FIRST = "first"
    RAISED = "severity raised"
    NEW = "new alerts"
    RESOLVED = "resolved"
    REPEAT = "repeat"


class Hold(StrEnum):
    """Why an alert is not told now."""

    WAITING = "waiting"  # the group gathers for group_wait
    INTERVAL = "interval"  # the group was told less than group_interval ago
    SILENCED = "silenced"
    HISTORY = "history"  # over for longer than notify_max_age before anybody could be told
    MERGED = "merged"  # part of another alert, and nobody had heard of it
    UNROUTED = "unrouted"  # its route names no channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """One message to make, put and forget. `last` must be stored in the same step as the message.

    `firing` is everything in the group that fires now and is not silenced, `resolved` what this
    message tells the end of; both worst first. `news` are the ids it is sent for (none: a repeat),
    `unheard` those its channel was never told of before.
    """

    id: str
    group_key: str
    channel: str
    route: str
    labels: dict[str, str]
    firing: list[Alert]
    resolved: list[Alert]
    reason: Reason
    news: frozenset[str]
    last: LastNotified
    unheard: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Held:
    """An alert of which a channel (empty: nobody) is told nothing now; `until` None: ever."""

    alert_id: str
    channel: str
    reason: Hold
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now.

    Settle the alerts of `done` only after every Send was put. Plan again at `next_at`; None: only a
    change of an alert or a silence can change anything.
    """

    decisions: list[Send | Held]
    done: frozenset[str]
    next_at: datetime | None

    @property
    def sends(self) -> list[Send]:
        """The messages, worst first."""
        return [decision for decision in self.decisions if isinstance(decision, Send)]

    @property
    def held(self) -> list[Held]:
        """What is not told, and why."""
        return [decision for decision in self.decisions if isinstance(decision, Held)]
