"""A notification: one message about a group of alerts, for one channel."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

DeliveryStatus = Literal["queued", "sent", "dead", "resent"]


class Notification(msgspec.Struct, kw_only=True, frozen=True):
    """One message, rendered.

    `id` stays the same over every retry: the idempotency key everywhere. `body` is what the
    channel sends, as its template made it (Slack: the JSON payload; e-mail: `{subject, text,
    html}`; webhook: the JSON document; console: text).
    """

    id: str
    channel: str
    group_key: str
    status: str  # firing | resolved
    severity: str
    summary: str  # one plain line, for lists and logs
    alert_ids: tuple[str, ...]
    body: dict[str, Any]
    created_at: datetime


class Delivery(msgspec.Struct, kw_only=True):
    """Where a notification is on its way out.

    `attempt` counts the tries begun; `ambiguous` those whose outcome is not known (we died between
    sending and writing it down). `token` names the lease; only its holder may settle.
    """

    notification: Notification
    status: DeliveryStatus = "queued"
    attempt: int = 0
    ambiguous: int = 0
    next_at: datetime | None = None
    last_error: str = ""
    token: str = ""
    settled_at: datetime | None = None


class Sent(msgspec.Struct, frozen=True):
    """It was taken; `detail` is what the other side said (a message id, a status)."""

    detail: str = ""


class Retry(msgspec.Struct, frozen=True):
    """Not yet: try again at `at`."""

    at: datetime
    reason: str


class Dead(msgspec.Struct, frozen=True):
    """Never: a dead letter, with the reason."""

    reason: str


Outcome = Sent | Retry | Dead


class LastNotified(msgspec.Struct, kw_only=True):
    """What a (group, channel) was last told: the planner's memory.

    `firing` maps the alert ids told as firing to the severity told; `resolved` are those told as
    resolved. `sequence` counts the notifications of this pair, so that the next one's id is known
    before it is written.
    """

    at: datetime
    sequence: int
    firing: dict[str, str] = msgspec.field(default_factory=dict)
    resolved: set[str] = msgspec.field(default_factory=set)
