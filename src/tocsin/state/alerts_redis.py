"""Episodes on Redis.

One string per alert, and per fingerprint a sorted set of its episodes by start. A fold reads the
episodes near the triggers, folds them here, and writes them back in one script that refuses a
fingerprint that somebody else folded in between; that one is then read and folded again. So the
folding law has one implementation, and the store only has to be atomic.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from tocsin.clock import to_ms
from tocsin.errors import StoreUnavailable
from tocsin.model.alert import Alert, Change, Triggers, fingerprint
from tocsin.state.connection import Store
from tocsin.state.episodes import Episode, Folder, Recall
from tocsin.state.tally import Tally

CONFLICTS = 20  # folds of one fingerprint in a row that may lose against others
PAGE = 500


class Stored(msgspec.Struct, kw_only=True):
    """An episode as it lies in the store."""

    alert: Alert
    resolve_after_ms: int
    for_ms: int
    fields: tuple[str, ...]
    through_ms: int


class _Read(NamedTuple):
    """The episodes of a fingerprint as they were read, and the version they had."""

    version: bytes
    tenant: str
    episodes: list[Episode]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Stored).decode


class RedisAlerts:
    """Implements `protocols.Alerts`; every call can be repeated."""

    def __init__(self, store: Store, recall: Recall) -> None:
        self._store = store
        self._client: Any = store.client  # its answers' types depend on its options
        self._recall = recall
        self._write = store.script("alerts_write")
        self._settle = store.script("alerts_settle")

    def fold(self, triggers: Sequence[Triggers], *, now: datetime) -> list[Change]:
        waiting: dict[str, list[Triggers]] = defaultdict(list)
        for trigger in triggers:
            mark = fingerprint(trigger.tenant, trigger.rule.id or trigger.rule.name, trigger.group)
            if trigger.instants:
                waiting[mark].append(trigger)
        marks = list(waiting)
        changes: list[Change] = []
        for start in range(0, len(marks), PAGE):
            changes += self._fold_page({mark: waiting[mark] for mark in marks[start : start + PAGE]}, now)
        return changes

    def close(self, tenant: str, watermark_ms: int) -> list[Change]:
        changes: list[Change] = []
        while True:
            with self._store.reaching():
                quiet = self._client.zrangebyscore(
                    _open(self._store, tenant), "-inf", f"({watermark_ms}", 0, PAGE
                )
            if not quiet:
                return changes
            changes += self._resolve(tenant, quiet, watermark_ms)

    def get(self, alert_id: str) -> Alert | None:
        return next((episode.alert for episode in self._episodes([alert_id.encode()])), None)

    def find(self, *, status: str | None = None, limit: int = 100) -> list[Alert]:
        found: list[Alert] = []
        start = 0
        while len(found) < limit:
            with self._store.reaching():
                ids = self._client.zrevrange(self._store.key("alerts"), start, start + PAGE - 1)
            if not ids:
                break
            start += PAGE
            fired = (e.alert for e in self._episodes(ids) if e.alert.fired_ms is not None)
            found += [alert for alert in fired if status is None or alert.status == status]
        return found[:limit]

    def unsettled(self) -> list[Alert]:
        with self._store.reaching():
            ids = sorted(self._client.smembers(self._store.key("unsettled")))
        return [episode.alert for episode in self._episodes(ids) if episode.alert.fired_ms is not None]

    def settle(self, alert_ids: Iterable[str]) -> None:
        ids = list(alert_ids)
        for start in range(0, len(ids), PAGE):
            page = ids[start : start + PAGE]
            self._settle([self._store.key("unsettled"), *(self._store.key("alert", i) for i in page)], page)

    def forget(self, before: datetime) -> int:
        limit = f"({to_ms(before)}"
        forgotten = kept = 0
        while True:
            with self._store.reaching():
                ids = self._client.zrangebyscore(self._store.key("alerts"), "-inf", limit, kept, PAGE)
                settled = self._client.smismember(self._store.key("unsettled"), ids) if ids else []
            done = [alert_id for alert_id, waiting in zip(ids, settled, strict=True) if not waiting]
            gone = [episode.alert for episode in self._episodes(done) if episode.alert.status == "resolved"]
            self._delete(gone)
            forgotten += len(gone)
            kept += len(ids) - len(gone)
            if len(ids) < PAGE:
                return forgotten

    def _delete(self, gone: Iterable[Alert]) -> None:
        with self._store.reaching(), self._store.pipeline(transaction=True) as pipe:
            for alert in gone:
                pipe.zrem(self._store.key("episodes", alert.fingerprint), alert.id)
                pipe.zrem(self._store.key("alerts"), alert.id)
                pipe.delete(self._store.key("alert", alert.id))
            pipe.execute()

    def _fold_page(self, waiting: dict[str, list[Triggers]], now: datetime) -> list[Change]:
        changes: list[Change] = []
        for _ in range(CONFLICTS):
            for mark, folder in self._save(self._folded(waiting, now)):
                changes += folder.changes
                del waiting[mark]
            if not waiting:
                return changes
        raise StoreUnavailable(f"{len(waiting)} alerts were changed by others {CONFLICTS} times in a row")

    def _resolve(self, tenant: str, ids: Sequence[bytes], watermark_ms: int) -> list[Change]:
        """Resolve these, unless they grew since; those whose write was refused come again."""
        marks = {episode.alert.id: episode.alert.fingerprint for episode in self._episodes(ids)}
        with self._store.reaching():
            for alert_id in {alert_id.decode() for alert_id in ids} - marks.keys():
                self._client.zrem(_open(self._store, tenant), alert_id)  # deleted meanwhile
            keys = [self._store.key("episodes-version", mark) for mark in marks.values()]
            read = self._client.mget(keys) if keys else []
        versions = dict(zip(marks, read, strict=True))
        changes: dict[str, list[Change]] = {}
        saves: dict[str, tuple[_Read, Folder]] = {}
        for episode in self._episodes(ids):  # read after its version
            version, mark = versions.get(episode.alert.id), episode.alert.fingerprint
            if mark in saves:
                continue  # two of one fingerprint: one now, one in the next round
            change = episode.resolve() if episode.deadline_ms < watermark_ms else None
            changes[mark] = [change] if change else []
            folder = Folder(
                [episode], self._recall, episode.alert.started_at, touched={episode.alert.id: episode}
            )
            saves[mark] = (_Read(version or b"0", tenant, [episode]), folder)
        return [change for mark, _ in self._save(saves) for change in changes[mark]]

    def _folded(
        self, waiting: Mapping[str, list[Triggers]], now: datetime
    ) -> dict[str, tuple[_Read, Folder]]:
        read = self._read_near(waiting)
        folded = {}
        for mark, triggers in waiting.items():
            folder = Folder(read[mark].episodes, self._recall, now)
            for trigger in triggers:
                folder.fold(trigger)
            folded[mark] = (read[mark], folder)
        return folded

    def _read_near(self, waiting: Mapping[str, list[Triggers]]) -> dict[str, _Read]:
        """The episodes that triggers may be part of: those that start in their reach, and one before."""
        with self._store.reaching(), self._store.pipeline() as pipe:
            for mark, triggers in waiting.items():
                reach = triggers[0].rule.resolve_after_ms
                times = [at_ms for trigger in triggers for at_ms, _ in trigger.instants]
                low, high = min(times) - reach, max(times) + reach
                pipe.get(self._store.key("episodes-version", mark))
                pipe.zrevrangebyscore(self._store.key("episodes", mark), f"({low}", "-inf", 0, 1)
                pipe.zrangebyscore(self._store.key("episodes", mark), low, high)
            answers = iter(pipe.execute())
        versions: dict[str, bytes] = {}
        ids: dict[str, list[bytes]] = {}
        for mark in waiting:
            versions[mark] = next(answers) or b"0"
            ids[mark] = [*next(answers), *next(answers)]
        episodes = {e.alert.id: e for e in self._episodes([i for some in ids.values() for i in some])}
        return {
            mark: _Read(
                versions[mark],
                waiting[mark][0].tenant,
                [episodes[i.decode()] for i in ids[mark] if i.decode() in episodes],
            )
            for mark in waiting
        }

    def _save(self, folded: Mapping[str, tuple[_Read, Folder]]) -> Iterator[tuple[str, Folder]]:
        """Write what was folded; those that were written (the others were changed in between)."""
        keys = [self._store.key("alerts"), self._store.key("unsettled")]
        args: list[bytes | str | int] = []
        for mark, (read, folder) in folded.items():
            keys += [self._store.key("episodes-version", mark), self._store.key("episodes", mark)]
            keys.append(_open(self._store, read.tenant))
            args += [read.version, len(folder.touched)]
            for alert_id, episode in folder.touched.items():
                keys.append(self._store.key("alert", alert_id))
                args += _written(episode)
        written = self._write(keys, args)
        for (mark, (_, folder)), done in zip(folded.items(), written, strict=True):
            if done:
                yield mark, folder

    def _episodes(self, ids: Sequence[bytes]) -> Iterator[Episode]:
        if not ids:
            return
        with self._store.reaching():
            bodies = self._client.mget([self._store.key("alert", i.decode()) for i in ids])
        for body in bodies:
            if body is not None:
                stored = _decode(body)
                tally = Tally.of(stored.alert.evidence, stored.fields, stored.through_ms)
                yield Episode(stored.alert, tally, stored.resolve_after_ms, stored.for_ms)


def _open(store: Store, tenant: str) -> bytes:
    """The open alerts of a tenant, by deadline."""
    return store.key("open", fingerprint(tenant, "", ""))


def _written(episode: Episode) -> tuple[str, bytes, int, int, int | str, str, str]:
    alert = episode.alert
    alert.evidence = episode.tally.evidence()
    body = _encode(
        Stored(
            alert=alert,
            resolve_after_ms=episode.resolve_after_ms,
            for_ms=episode.for_ms,
            fields=episode.tally.fields,
            through_ms=episode.tally.through_ms,
        )
    )
    deadline = episode.deadline_ms if alert.status == "firing" else ""
    merged = "1" if alert.merged_into else "0"
    fired = "0" if alert.fired_ms is None else "1"
    return alert.id, body, alert.started_ms, alert.last_ms, deadline, merged, fired
