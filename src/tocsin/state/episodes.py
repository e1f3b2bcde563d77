"""Folding: triggers into episodes. Pure; every store of alerts folds with this.

The law (rule-language.md, section 2): an episode is a maximal run of triggers of one rule and
group in which no gap is greater than `resolve_after`. So a trigger at `t` belongs to every episode
whose span, widened by `resolve_after` on both sides, holds `t`: none, and it opens one; one, and
it is part of it; two, and it joins them into one (never more: what lies between two episodes is
wider than `resolve_after`). That makes the set of episodes a function of the set of triggers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from tocsin.clock import MS, format_duration, to_ms
from tocsin.model.alert import Alert, Change, ChangeKind, Sighting, Triggers, alert_id, fingerprint
from tocsin.model.event import Event, as_text
from tocsin.model.rule import severity_rank
from tocsin.state.tally import Tally

Recall = Callable[[Triggers, int, int], list[Sighting]]  # evidence of a trigger's group inside [from, to]


@dataclass(slots=True)
class Episode:
    """An alert that may still change, and its growing evidence."""

    alert: Alert
    tally: Tally
    resolve_after_ms: int
    for_ms: int = 0

    @property
    def deadline_ms(self) -> int:
        """When it resolves, if nothing more comes."""
        return self.alert.last_ms + self.resolve_after_ms

    def near(self, at_ms: int) -> bool:
        """Whether a trigger then is part of this episode."""
        return self.alert.started_ms - self.resolve_after_ms <= at_ms <= self.deadline_ms

    def change(self, kind: ChangeKind, at_ms: int) -> Change:
        """The change, with the alert as it is now."""
        self.alert.evidence = self.tally.evidence()
        return Change(kind, at_ms, msgspec.structs.replace(self.alert))

    def resolve(self) -> Change | None:
        """Quiet for long enough; None when nobody was to hear of it (its `for` never passed)."""
        self.alert.status = "resolved"
        self.alert.resolved_ms = self.deadline_ms
        fired = self.alert.fired_ms is not None
        return self.change(ChangeKind.RESOLVED, self.deadline_ms) if fired else None


@dataclass(slots=True)
class Folder:
    """Folds triggers of one fingerprint into `episodes` (ordered by start), noting the changes."""

    episodes: list[Episode]
    recall: Recall
    found_at: datetime
    changes: list[Change] = field(default_factory=list)
    touched: dict[str, Episode] = field(default_factory=dict)  # by alert id, the merged ones too

    def fold(self, triggers: Triggers) -> None:
        """Fold one batch's triggers; the instants in time order, so that the first opens."""
        best: dict[int, float] = {}
        for at_ms, score in triggers.instants:
            if score > best.get(at_ms, -1.0):
                best[at_ms] = score
        events = _in_order(triggers.events)
        for at_ms in sorted(best):
            episode = self._step(triggers, at_ms, best[at_ms], events)
            self.touched[episode.alert.id] = episode
        for episode in self.touched.values():
            if episode.alert.merged_into is None:
                _gather(episode, triggers, events, through_ms=episode.alert.last_ms)
                if episode.alert.fired_ms is not None:  # no copy: growth is common, and seldom told
                    self.changes.append(Change(ChangeKind.GROWN, episode.alert.last_ms, episode.alert))

    def _step(self, triggers: Triggers, at_ms: int, score: float, events: list[Event]) -> Episode:
        if self.episodes and self.episodes[-1].alert.started_ms <= at_ms:
            near = [self.episodes[-1]] if self.episodes[-1].near(at_ms) else []  # the common case: in order
        else:
            near = [episode for episode in self.episodes if episode.near(at_ms)]
        if not near:
            episode = self._open(triggers, at_ms, score)
        else:
            episode = self._join(near) if len(near) > 1 else near[0]
            self._extend(episode, triggers, at_ms, score, events)
        return episode

    def _open(self, triggers: Triggers, at_ms: int, score: float) -> Episode:
        rule = triggers.rule
        sightings = self.recall(triggers, at_ms - rule.timespan_ms, at_ms) if triggers.state else []
        tally = Tally(rule.context)
        tally.through_ms = at_ms - rule.timespan_ms - 1  # what came before is no part of it
        alert = _new_alert(triggers, at_ms, score, _shown(triggers, sightings, at_ms), self.found_at)
        episode = Episode(alert, tally, rule.resolve_after_ms, rule.for_ms)
        if sightings:
            tally.add_sightings(sightings)
            tally.through_ms = at_ms
        else:
            _gather(episode, triggers, _in_order(triggers.events), through_ms=at_ms)
        self.episodes.append(episode)
        self.episodes.sort(key=lambda one: one.alert.started_ms)
        self._fire(episode, at_ms)
        return episode

    def _extend(
        self, episode: Episode, triggers: Triggers, at_ms: int, score: float, events: list[Event]
    ) -> None:
        alert = episode.alert
        if not alert.started_ms <= at_ms <= alert.last_ms:
            alert.late |= at_ms < triggers.late_before_ms
        if at_ms > alert.last_ms:
            alert.last_ms = at_ms
            if alert.status == "resolved":  # a trigger older than the watermark that resolved it
                alert.status, alert.resolved_ms = "firing", None
        elif at_ms < alert.started_ms:
            alert.started_ms = at_ms
        alert.floor |= triggers.floor
        if score > alert.score:
            alert.score = score
            severity = triggers.rule.severity_of(score)
            if severity_rank(severity) > severity_rank(alert.severity):
                alert.severity = severity
                alert.labels["severity"] = severity
                if alert.fired_ms is not None:
                    _gather(episode, triggers, events, through_ms=at_ms)
                    self.changes.append(episode.change(ChangeKind.RAISED, at_ms))
        if alert.fired_ms is None:
            _gather(episode, triggers, events, through_ms=at_ms)
            self._fire(episode, at_ms)

    def _fire(self, episode: Episode, at_ms: int) -> None:
        alert = episode.alert
        if alert.last_ms - alert.started_ms >= episode.for_ms:
            alert.fired_ms = at_ms
            self.changes.append(episode.change(ChangeKind.OPENED, at_ms))

    def _join(self, near: Sequence[Episode]) -> Episode:
        """Two episodes are one: the one opened earlier lives, the other is merged into it."""
        kept, *others = sorted(near, key=lambda one: (one.alert.found_ms, one.alert.started_ms))
        for other in others:
            _absorb(kept, other)
            self.episodes.remove(other)
            self.touched[other.alert.id] = other
            gone = other.alert
            gone.status, gone.merged_into = "resolved", kept.alert.id
            gone.resolved_ms = gone.last_ms
            if gone.fired_ms is not None:
                self.changes.append(other.change(ChangeKind.MERGED, gone.last_ms))
        self.episodes.sort(key=lambda one: one.alert.started_ms)
        return kept


def _absorb(kept: Episode, other: Episode) -> None:
    alert, gone = kept.alert, other.alert
    alert.started_ms = min(alert.started_ms, gone.started_ms)
    alert.last_ms = max(alert.last_ms, gone.last_ms)
    alert.score = max(alert.score, gone.score)
    alert.floor |= gone.floor
    alert.late |= gone.late
    alert.severity = max(alert.severity, gone.severity, key=severity_rank)
    alert.labels["severity"] = alert.severity
    if "firing" in (alert.status, gone.status):
        alert.status, alert.resolved_ms = "firing", None
    if gone.fired_ms is not None:
        alert.fired_ms = gone.fired_ms if alert.fired_ms is None else min(alert.fired_ms, gone.fired_ms)
    kept.tally.merge(other.tally)


def _gather(episode: Episode, triggers: Triggers, events: list[Event], *, through_ms: int) -> None:
    """Count the events up to `through_ms` that were not counted yet."""
    tally = episode.tally
    after = tally.through_ms
    fresh = [event for event in events if after < event.time_ms <= through_ms]
    if fresh:
        tally.add(fresh, triggers.readers)
    tally.through_ms = max(tally.through_ms, through_ms)


def _in_order(events: Iterable[Event]) -> list[Event]:
    """By time and id, each event once."""
    ordered = sorted(events, key=lambda event: (event.time_ms, event.id))
    return [
        event
        for index, event in enumerate(ordered)
        if index == 0 or (event.time_ms, event.id) != (ordered[index - 1].time_ms, ordered[index - 1].id)
    ]


def _shown(triggers: Triggers, sightings: Sequence[Sighting], at_ms: int) -> dict[str, str]:
    """The group as it was first written: by the oldest event of the window."""
    fields = triggers.rule.group_by
    if not fields:
        return {}
    if sightings:
        values: Sequence[object] = sightings[0].values[-len(fields) :]
    elif window := [e for e in triggers.events if at_ms - triggers.rule.timespan_ms <= e.time_ms <= at_ms]:
        oldest = min(window, key=lambda event: (event.time_ms, event.id))
        values = [reader(oldest) for reader in triggers.readers[-len(fields) :]]
    else:
        values = triggers.group.split("\x1f")
    return {name: as_text(value) or "" for name, value in zip(fields, values, strict=False)}


def _new_alert(
    triggers: Triggers, at_ms: int, score: float, group: dict[str, str], found_at: datetime
) -> Alert:
    rule = triggers.rule
    mark = fingerprint(triggers.tenant, rule.id or rule.name, triggers.group)
    severity = rule.severity_of(score)
    return Alert(
        id=alert_id(mark, at_ms),
        fingerprint=mark,
        tenant=triggers.tenant,
        rule=rule.name,
        rule_id=rule.id,
        severity=severity,
        started_ms=at_ms,
        last_ms=at_ms,
        score=score,
        floor=triggers.floor,
        late=at_ms < triggers.late_before_ms,
        found_ms=to_ms(found_at),
        group=group,
        labels={
            **rule.labels,
            "rule": rule.name,
            "severity": severity,
            "tenant": triggers.tenant,
            "entity": entity(group, triggers.tenant),
        },
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


# What a group field names, by the last part of its path; the first kind that a group has is who it is about.
ENTITY_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ip", ("ip", "client_ip")),
    ("user", ("user_name", "user_id", "email", "name", "userid")),
    ("client", ("client_id", "client_name")),
)


def entity(group: dict[str, str], tenant: str) -> str:
    """Who an alert is about: `ip:203.0.113.9`, `user:ann@example.com`, else `tenant:…`.

    Values are case-folded, so that all alerts of one attacker meet in one message.
    """
    last_parts = {name.rsplit(".", 1)[-1].lower(): value for name, value in group.items() if value}
    for kind, names in ENTITY_KINDS:
        for name in names:
            if name in last_parts:
                return f"{kind}:{last_parts[name].casefold()}"
    return f"tenant:{tenant}"
