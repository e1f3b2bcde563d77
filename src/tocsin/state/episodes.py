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

from tocsin.model.alert import Alert, Change, ChangeKind, Sightings, Triggers, ascending
from tocsin.model.rule import severity_rank
from tocsin.state.opening import opened, shown_at
from tocsin.state.tally import Tally

Recall = Callable[[Triggers, int, int], Sightings]  # evidence of a trigger's group inside [from, to]


@dataclass(slots=True)
class Episode:
    """An alert that may still change, and its growing evidence.

    `uncounted` are trigger instants whose events the tally does not hold yet.
    """

    alert: Alert
    tally: Tally
    resolve_after_ms: int
    for_ms: int = 0
    uncounted: list[int] = field(default_factory=list)

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
        return Change(kind, at_ms, msgspec.structs.replace(self.alert, labels=dict(self.alert.labels)))

    def resolve(self) -> Change | None:
        """Quiet for long enough; None when nobody was to hear of it (its `for` never passed)."""
        self.alert.status = "resolved"
        self.alert.resolved_ms = self.deadline_ms
        fired = self.alert.fired_ms is not None
        return self.change(ChangeKind.RESOLVED, self.deadline_ms) if fired else None

    def absorb(self, other: Episode) -> None:
        """Take over what another episode was, now that both are one."""
        alert, gone = self.alert, other.alert
        if gone.started_ms < alert.started_ms:
            alert.trigger = gone.trigger
        alert.started_ms = min(alert.started_ms, gone.started_ms)
        alert.last_ms = max(alert.last_ms, gone.last_ms)
        alert.score = max(alert.score, gone.score)
        alert.floor |= gone.floor
        alert.sampled |= gone.sampled
        alert.late |= gone.late
        alert.warming |= gone.warming
        alert.severity = max(alert.severity, gone.severity, key=severity_rank)
        alert.labels["severity"] = alert.severity
        if "firing" in (alert.status, gone.status):
            alert.status, alert.resolved_ms = "firing", None
        if gone.fired_ms is not None:
            alert.fired_ms = gone.fired_ms if alert.fired_ms is None else min(alert.fired_ms, gone.fired_ms)
        self.tally.merge(other.tally)
        self.uncounted += other.uncounted


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
        instants = triggers.instants
        if not ascending([at_ms for at_ms, _ in instants]):
            best = dict(sorted(instants))  # of one instant the higher score comes last, and stays
            instants = list(best.items())
        place = 0
        while place < len(instants):
            after = self._run_on(triggers, instants, place)
            if after == place:
                self._step(triggers, *instants[place])
                after += 1
            place = after
        for episode in self.touched.values():
            if episode.alert.merged_into is None:
                self._gather(episode, triggers)
                if episode.alert.fired_ms is not None:  # no copy: growth is common, and seldom told
                    self.changes.append(Change(ChangeKind.GROWN, episode.alert.last_ms, episode.alert))

    def _run_on(self, triggers: Triggers, instants: list[tuple[int, float]], place: int) -> int:
        """Take the instants that only prolong the newest episode; where the first that does more stands.

        Most triggers do no more than that, and it is done for them in one step.
        """
        if not self.episodes:
            return place
        episode = self.episodes[-1]
        alert, reach = episode.alert, episode.resolve_after_ms
        if alert.fired_ms is None or alert.status != "firing":
            return place
        last, most = alert.last_ms, max(alert.score, triggers.rule.score_within(alert.severity))
        start, end = place, len(instants)
        if last < instants[start][0] and instants[-1][0] <= last + reach:
            highest = max([score for _, score in instants[start:]])
            place = end if highest <= most else start  # what the loop below would find, at once
        while place < end and last < instants[place][0] <= last + reach and instants[place][1] <= most:
            last = instants[place][0]
            place += 1
        if place > start:
            run = instants[start:place]
            alert.last_ms = run[-1][0]
            alert.score = max(alert.score, *[score for _, score in run])
            alert.late |= run[0][0] < triggers.late_before_ms
            _mark(alert, triggers, run[0][0])
            # Of one stretch its ends say it all.
            whole = _solid(episode, triggers) or run[-1][0] - run[0][0] <= triggers.rule.timespan_ms
            shown = (run[0], run[-1]) if whole else run
            episode.uncounted += [at_ms for at_ms, _ in shown]
            self.touched[alert.id] = episode
        return place

    def _step(self, triggers: Triggers, at_ms: int, score: float) -> None:
        if self.episodes and self.episodes[-1].alert.started_ms <= at_ms:
            near = [self.episodes[-1]] if self.episodes[-1].near(at_ms) else []  # the common case: in order
        else:
            near = [episode for episode in self.episodes if episode.near(at_ms)]
        if not near:
            episode = self._open(triggers, at_ms, score)
        else:
            episode = self._join(near) if len(near) > 1 else near[0]
            episode.alert.late |= len(near) > 1 and at_ms < triggers.late_before_ms
            self._extend(episode, triggers, at_ms, score)
        self.touched[episode.alert.id] = episode

    def _open(self, triggers: Triggers, at_ms: int, score: float) -> Episode:
        rule = triggers.rule
        window = self._seen(triggers, at_ms - rule.evidence_ms, at_ms)
        alert = opened(triggers, at_ms, score, window, self.found_at)
        tally = Tally(rule.context)
        tally.add(window)
        tally.through_ms = max([at_ms, *window.times_ms[-1:]])
        episode = Episode(alert, tally, rule.resolve_after_ms, rule.for_ms)
        self.episodes.append(episode)
        self.episodes.sort(key=lambda one: one.alert.started_ms)
        self._fire(episode, at_ms)
        return episode

    def _extend(self, episode: Episode, triggers: Triggers, at_ms: int, score: float) -> None:
        alert = episode.alert
        episode.uncounted.append(at_ms)
        if not alert.started_ms <= at_ms <= alert.last_ms:
            alert.late |= at_ms < triggers.late_before_ms
        if at_ms > alert.last_ms:
            alert.last_ms = at_ms
            if alert.status == "resolved":  # a trigger older than the watermark that resolved it
                alert.status, alert.resolved_ms = "firing", None
        if at_ms < alert.started_ms:
            alert.started_ms = at_ms
            alert.trigger = shown_at(at_ms, self._seen(triggers, at_ms, at_ms), triggers.rule.context)
        _mark(alert, triggers, at_ms)
        if score > alert.score:
            alert.score = score
            self._raise(episode, triggers, at_ms)
        if alert.fired_ms is None:
            self._gather(episode, triggers)
            self._fire(episode, at_ms)

    def _raise(self, episode: Episode, triggers: Triggers, at_ms: int) -> None:
        """Say so when the score asks for a higher severity."""
        alert = episode.alert
        severity = triggers.rule.severity_of(alert.score)
        if severity_rank(severity) <= severity_rank(alert.severity):
            return
        alert.severity = severity
        alert.labels["severity"] = severity
        if alert.fired_ms is not None:
            self._gather(episode, triggers)
            self.changes.append(episode.change(ChangeKind.RAISED, at_ms))

    def _fire(self, episode: Episode, at_ms: int) -> None:
        alert = episode.alert
        if alert.last_ms - alert.started_ms >= episode.for_ms:
            alert.fired_ms = at_ms
            self.changes.append(episode.change(ChangeKind.OPENED, at_ms))

    def _join(self, near: Sequence[Episode]) -> Episode:
        """Two episodes are one: the one opened earlier lives, the other is merged into it."""
        kept, *others = sorted(near, key=lambda one: (one.alert.found_ms, one.alert.started_ms))
        for other in others:
            kept.absorb(other)
            self.episodes.remove(other)
            self.touched[other.alert.id] = other
            gone = other.alert
            gone.status, gone.merged_into = "resolved", kept.alert.id
            gone.resolved_ms = gone.last_ms
            if gone.fired_ms is not None:
                self.changes.append(other.change(ChangeKind.MERGED, gone.last_ms))
        self.episodes.sort(key=lambda one: one.alert.started_ms)
        return kept

    def _gather(self, episode: Episode, triggers: Triggers) -> None:
        """Count the events in the windows of the instants that were not counted yet."""
        tally, span_ms = episode.tally, triggers.rule.evidence_ms
        if tally.fields != triggers.rule.context:  # the rule was changed since it opened
            tally.turn_to(triggers.rule.context)
        if not episode.uncounted:
            return
        solid = _solid(episode, triggers)
        for from_ms, to_ms in _stretches(episode.uncounted, span_ms, tally.through_ms, solid=solid):
            if to_ms <= tally.through_ms:
                continue  # later events stood for those of a stretch before
            seen = self._seen(triggers, max(from_ms, tally.through_ms + 1), to_ms)
            tally.add(seen)
            tally.through_ms = max([to_ms, *seen.times_ms[-1:]])
        episode.uncounted = []

    def _seen(self, triggers: Triggers, from_ms: int, to_ms: int) -> Sightings:
        if triggers.state:
            return self.recall(triggers, from_ms, to_ms)
        inside = (event for event in triggers.events if from_ms <= event.time_ms <= to_ms)
        return Sightings.of(inside, triggers.readers)


def _mark(alert: Alert, triggers: Triggers, at_ms: int) -> None:
    """What a trigger at `at_ms` adds to what is to be known of the alert's score."""
    alert.floor |= triggers.floor
    alert.sampled |= triggers.sampled
    alert.warming |= at_ms <= triggers.warming_until_ms


def _solid(episode: Episode, triggers: Triggers) -> bool:
    """Whether triggers are never further apart than a window is long: their windows are one stretch."""
    return not triggers.state or episode.resolve_after_ms <= triggers.rule.evidence_ms


def _stretches(
    instants: Iterable[int], span_ms: int, through_ms: int, *, solid: bool
) -> list[tuple[int, int]]:
    """The union of the windows `[at - span, at]`, without what lies up to `through_ms`."""
    ordered = sorted([at_ms for at_ms in instants if at_ms > through_ms])
    if ordered and (solid or ordered[-1] - ordered[0] <= span_ms):
        return [(max(ordered[0] - span_ms, through_ms + 1), ordered[-1])]
    stretches: list[tuple[int, int]] = []
    for at_ms in ordered:
        from_ms = max(at_ms - span_ms, through_ms + 1)
        if stretches and from_ms <= stretches[-1][1] + 1:
            stretches[-1] = (stretches[-1][0], at_ms)
        else:
            stretches.append((from_ms, at_ms))
    return stretches
