"""Episodes in memory: for replay, rule tests and tuning."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from tocsin.clock import to_ms
from tocsin.model.alert import Alert, Change, Triggers, fingerprint
from tocsin.state.episodes import Episode, Folder, Recall


class MemoryAlerts:
    """Implements `protocols.Alerts`. Nothing outlives the process."""

    def __init__(self, recall: Recall) -> None:
        self._recall = recall
        self._by_fingerprint: dict[str, list[Episode]] = defaultdict(list)
        self._by_id: dict[str, Episode] = {}
        self._deadlines: dict[str, list[tuple[int, str]]] = defaultdict(list)  # heaps, by tenant
        self._timed: set[str] = set()  # alert ids that stand in a heap
        self._unsettled: set[str] = set()

    def fold(self, triggers: Sequence[Triggers], *, now: datetime) -> list[Change]:
        changes: list[Change] = []
        for trigger in triggers:
            mark = fingerprint(trigger.tenant, trigger.rule.id or trigger.rule.name, trigger.group)
            folder = Folder(self._by_fingerprint[mark], self._recall, now)
            folder.fold(trigger)
            for episode in folder.touched.values():
                self._note(episode)
            changes += folder.changes
        return changes

    def close(self, tenant: str, watermark_ms: int) -> list[Change]:
        changes = []
        heap = self._deadlines[tenant]
        while heap and heap[0][0] < watermark_ms:
            _, alert_id = heapq.heappop(heap)
            episode = self._by_id[alert_id]
            if episode.alert.status == "firing" and episode.deadline_ms >= watermark_ms:
                heapq.heappush(heap, (episode.deadline_ms, alert_id))
                continue
            self._timed.discard(alert_id)
            if episode.alert.status == "firing" and (change := episode.resolve()):
                changes.append(change)
        return changes

    def get(self, alert_id: str) -> Alert | None:
        episode = self._by_id.get(alert_id)
        return None if episode is None else _now(episode)

    def find(self, *, status: str | None = None, limit: int = 100) -> list[Alert]:
        fired = (e for e in self._by_id.values() if e.alert.fired_ms is not None)
        chosen = [e for e in fired if status is None or e.alert.status == status]
        chosen.sort(key=lambda e: (-e.alert.last_ms, e.alert.id))
        return [_now(episode) for episode in chosen[:limit]]

    def unsettled(self) -> list[Alert]:
        waiting = sorted(self._unsettled)
        return [_now(self._by_id[i]) for i in waiting if self._by_id[i].alert.fired_ms is not None]

    def settle(self, alert_ids: Iterable[str]) -> None:
        over = [i for i in alert_ids if i not in self._by_id or self._by_id[i].alert.status == "resolved"]
        self._unsettled.difference_update(over)

    def forget(self, before: datetime) -> int:
        limit = to_ms(before)
        gone = [
            episode
            for alert_id, episode in self._by_id.items()
            if episode.alert.status == "resolved"
            and episode.alert.last_ms < limit
            and alert_id not in self._unsettled
        ]
        for episode in gone:
            del self._by_id[episode.alert.id]
            siblings = self._by_fingerprint[episode.alert.fingerprint]
            if episode in siblings:
                siblings.remove(episode)
        return len(gone)

    def _note(self, episode: Episode) -> None:
        alert = episode.alert
        if alert.status == "firing" and alert.id not in self._timed:
            self._timed.add(alert.id)
            heapq.heappush(self._deadlines[alert.tenant], (episode.deadline_ms, alert.id))
        self._by_id[alert.id] = episode
        if alert.fired_ms is not None:
            self._unsettled.add(alert.id)


def _now(episode: Episode) -> Alert:
    episode.alert.evidence = episode.tally.evidence()
    return msgspec.structs.replace(episode.alert)
