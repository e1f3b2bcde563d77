"""The alert that an episode opens with: who it is about, how bad it is, what it says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from tocsin.clock import MS, format_duration, to_ms
from tocsin.model.alert import Alert, Sightings, Triggers, alert_id, fingerprint
from tocsin.model.event import as_text
from tocsin.model.fed import split
from tocsin.state.tally import VALUE_CHARACTERS

# What a group field names, by the last part of its path (`name` and `id` also by what they are of); the
# first kind that a group has is who it is about.
ENTITY_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ip", ("ip", "client_ip")),
    ("user", ("user_name", "user.name", "user_id", "user.id", "email", "name", "userid")),
    ("client", ("client_id", "client_name")),
)


def opened(triggers: Triggers, at_ms: int, score: float, window: Sightings, found_at: datetime) -> Alert:
    """The alert of an episode that begins at `at_ms`; `window` is what its group was seen with."""
    rule, tenant = triggers.rule, triggers.tenant
    mark = fingerprint(tenant, rule.id or rule.name, triggers.group)
    severity = rule.severity_of(score)
    group = _shown(triggers, window)
    own = {"rule": rule.name, "severity": severity, "tenant": tenant, "entity": entity(group, tenant)}
    return Alert(
        id=alert_id(mark, at_ms),
        fingerprint=mark,
        tenant=tenant,
        rule=rule.name,
        rule_id=rule.id,
        severity=severity,
        started_ms=at_ms,
        last_ms=at_ms,
        score=score,
        type=rule.type,
        floor=triggers.floor,
        sampled=triggers.sampled,
        late=at_ms < triggers.late_before_ms,
        warming=at_ms <= triggers.warming_until_ms,
        found_ms=to_ms(found_at),
        group=group,
        trigger=shown_at(at_ms, window, rule.context),
        labels={**rule.labels, **own},
        annotations={
            "headline": rule.headline or rule.title,
            "rule_title": rule.title,
            "description": rule.description,
            "runbook": rule.runbook,
            "timespan": format_duration(rule.timespan_ms * MS),
            "tags": " ".join(rule.tags),
            "params": msgspec.json.encode(dict(rule.params)).decode(),
        },
    )


def shown_at(at_ms: int, window: Sightings, context: Sequence[str]) -> dict[str, str]:
    """What the last event of a window showed, by context field, if it was at that instant."""
    if not window.times_ms or window.times_ms[-1] != at_ms:
        return {}
    texts = {field: as_text(column[-1]) for field, column in zip(context, window.columns, strict=False)}
    return {field: text[:VALUE_CHARACTERS] for field, text in texts.items() if text}


def _shown(triggers: Triggers, window: Sightings) -> dict[str, str]:
    """The group as it was first written: by the rule itself, or by the oldest event of the window."""
    fields = triggers.rule.group_by
    for written in triggers.rule.expected:
        if written.casefold() == triggers.group:
            return {fields[0]: written}
    values: Sequence[object] = split(triggers.group, len(fields))
    if fields and window.ids:
        values = [column[0] for column in window.columns[-len(fields) :]]
    return {name: as_text(value) or "" for name, value in zip(fields, values, strict=False)}


def entity(group: dict[str, str], tenant: str) -> str:
    """Who an alert is about: `ip:203.0.113.9`, `user:ann@example.com`, else `tenant:…`.

    Values are case-folded, so that all alerts of one attacker meet in one message.
    """
    last_parts = {_last_part(name.lower()): value for name, value in group.items() if value}
    for kind, names in ENTITY_KINDS:
        for name in names:
            if name in last_parts:
                return f"{kind}:{last_parts[name].casefold()}"
    return f"tenant:{tenant}"


def _last_part(path: str) -> str:
    """Its last key; of `organization.name` and the like both, but of an envelope's `data.name` not."""
    above, _, last = path.rpartition(".")
    whose = above.rpartition(".")[2]
    return f"{whose}.{last}" if last in ("name", "id") and whose not in ("", "data") else last
