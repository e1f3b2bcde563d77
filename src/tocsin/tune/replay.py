"""Replay: past events through the same engine, in event time.

Nothing here depends on the wall clock or on the order in which events arrive within the allowed
lateness: what a batch made true waits until the watermark has passed it, is then folded in time
order, and only then told. So the same set of events tells the same story, byte for byte.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Generic, TypeVar

from tocsin.clock import EPOCH, MS
from tocsin.engine import Engine
from tocsin.grouping import by_tenant
from tocsin.model.alert import NEVER_MS, Change, ChangeKind, Triggers
from tocsin.model.compiled import RuleSet
from tocsin.model.event import Event
from tocsin.protocols import Alerts, Batch, EvidenceStore, Windows
from tocsin.state.alerts_memory import MemoryAlerts
from tocsin.state.evidence import MemoryEvidence

Item = TypeVar("Item")

_AT_MS = itemgetter(0)  # of an instant

LONGEST_RUN_ON_MS = 60_000
# At one instant an alert ends before another begins, and begins before it grows worse.
_RANK = {ChangeKind.RESOLVED: 0, ChangeKind.MERGED: 1, ChangeKind.OPENED: 2, ChangeKind.RAISED: 3}


class Replay:
    """One run of a rule set over events; feed it batches, then finish it."""

    def __init__(
        self,
        ruleset: RuleSet,
        windows: Windows,
        *,
        lateness: timedelta,
        evidence: EvidenceStore | None = None,
        alerts: Alerts | None = None,
    ) -> None:
        kept: EvidenceStore = evidence or MemoryEvidence()
        self.alerts: Alerts = alerts or MemoryAlerts(kept.recall)
        self.late = 0
        self.latest = timedelta()  # how far behind the newest event the latest of the late ones came
        self._engine = Engine(ruleset, windows, kept, exact=True)
        self._lateness_ms = lateness // MS
        self._watermark_ms = NEVER_MS
        self._newest_ms = NEVER_MS
        self._tenants: dict[str, None] = {}
        self._waiting: dict[tuple[str, str, str], list[Triggers]] = defaultdict(list)

    def feed(self, events: Sequence[Event], newest_ms: int | None = None) -> list[Change]:
        """The changes that the watermark has passed with these events.

        `newest_ms` is the newest time of the source that is furthest behind; None: of all events.
        """
        if events:
            times_ms = [event.time_ms for event in events]
            self._newest_ms = max(self._newest_ms, *times_ms)
            if min(times_ms) < self._watermark_ms:
                behind_ms = self._watermark_ms + self._lateness_ms - min(times_ms)
                self.latest = max(self.latest, behind_ms * MS)
                self.late += sum(at_ms < self._watermark_ms for at_ms in times_ms)
        for tenant, some in by_tenant(events).items():
            self._tenants[tenant] = None
            self._wait(self._engine.process(tenant, some, committed_ms=self._watermark_ms))
        told = self._pass((self._newest_ms if newest_ms is None else newest_ms) - self._lateness_ms)
        for event in events:
            if (
                event.raw
            ):  # Evidence holds events for hours, and what was read of them is larger than they are.
                event.parsed = None
        return told

    def finish(self, until_ms: int | None = None) -> list[Change]:
        """The end of input: event time runs on for the lateness, a minute at most, or to `until_ms`.

        A minute is what a live service waits for as well. More would be made up: of a lateness of days
        whatever watches for silence would tell that the file ended.
        """
        if self._newest_ms == NEVER_MS:
            return []
        end_ms = self._newest_ms + min(self._lateness_ms, LONGEST_RUN_ON_MS)
        return self._pass(max(end_ms, end_ms if until_ms is None else until_ms) + 1)

    def _pass(self, watermark_ms: int) -> list[Change]:
        if watermark_ms <= self._watermark_ms:
            return []
        for tenant in self._tenants:
            self._wait(self._engine.due(tenant, watermark_ms=watermark_ms, committed_ms=self._watermark_ms))
            self._engine.sweep(tenant, committed_ms=watermark_ms)
        self._watermark_ms = watermark_ms
        changes = self.alerts.fold(self._passed(), now=EPOCH)
        for tenant in self._tenants:
            changes += self.alerts.close(tenant, watermark_ms)
        told = [change for change in changes if change.kind in _RANK]
        told.sort(key=_told_order)
        return told

    def _wait(self, triggers: Iterable[Triggers]) -> None:
        for trigger in triggers:
            self._waiting[trigger.tenant, trigger.rule.id or trigger.rule.name, trigger.group].append(trigger)

    def _passed(self) -> list[Triggers]:
        """What waited and is now behind the watermark, one a group; the rest waits on."""
        ready: list[Triggers] = []
        still: dict[tuple[str, str, str], list[Triggers]] = defaultdict(list)
        for key, triggers in self._waiting.items():
            past, rest = _split(triggers, self._watermark_ms)
            if past is not None:
                ready.append(past)
            if rest is not None:
                still[key].append(rest)
        self._waiting = still
        return ready


def _told_order(change: Change) -> tuple[int, int, str, str]:
    """By time; of one instant as `_RANK` says, but an alert never ends before its own beginning."""
    alert, rank = change.alert, _RANK[change.kind]
    if alert.status == "resolved" and alert.fired_ms == change.at_ms:
        rank = len(_RANK)
    return change.at_ms, rank, alert.rule, alert.fingerprint


def _split(triggers: list[Triggers], watermark_ms: int) -> tuple[Triggers | None, Triggers | None]:
    """All triggers of a group as one, cut at the watermark: what lies behind it, what does not."""
    first = triggers[0]
    if len(triggers) == 1 and max(map(_AT_MS, first.instants)) < watermark_ms:
        return first, None  # the common case
    instants = [instant for trigger in triggers for instant in trigger.instants]
    events = [event for trigger in triggers for event in trigger.events]
    whole = first._replace(
        instants=instants,
        events=events,
        floor=any(trigger.floor for trigger in triggers),
        sampled=any(trigger.sampled for trigger in triggers),
    )
    past = [instant for instant in instants if instant[0] < watermark_ms]
    if not past:
        return None, whole
    past_events = [event for event in events if event.time_ms < watermark_ms]
    done = whole._replace(instants=past, events=past_events)
    if len(past) == len(instants):
        return done, None
    rest = [instant for instant in instants if instant[0] >= watermark_ms]
    rest_events = [event for event in events if event.time_ms >= watermark_ms]
    return done, whole._replace(instants=rest, events=rest_events)


def codes_read_whole(ruleset: RuleSet) -> frozenset[str] | None:
    """The codes of events of which a rule may read more than attributes; None: of any code.

    The others need not keep their bytes: evidence holds events for hours, and without its bytes an
    event takes a third of the memory.
    """
    codes: set[str] = set()
    for rule in ruleset.rules:
        for matcher in rule.matchers:
            own = rule.group if matcher.of else (*matcher.group_by, *matcher.value)
            readers = (*rule.context, *own)
            if matcher.matches is None and all(isinstance(reader, attrgetter) for reader in readers):
                continue
            if matcher.codes is None:  # those that a chain reads below are not known here
                return None
            codes |= matcher.codes
    return frozenset(codes)


def in_step(sources: Sequence[Iterator[Batch]]) -> Iterator[tuple[Batch, int]]:
    """Batches of several sources, always of the one that is furthest behind in event time.

    With each comes the newest time of the source that is then furthest behind, so that files given
    in any order, or that overlap, are read as the one stream they are.
    """
    newest: dict[int, int] = dict.fromkeys(range(len(sources)), NEVER_MS)
    while newest:
        index = min(newest, key=lambda i: (newest[i], i))
        batch = next(sources[index], None)
        if batch is None:
            del newest[index]
            continue
        newest[index] = max([newest[index], *[event.time_ms for event in batch.events]])
        yield batch, min(newest.values())


class Ahead(Generic[Item]):
    """Hands on what comes, and takes the next one early when told to: while a server works, say."""

    def __init__(self) -> None:
        self._items: Iterator[Item] = iter(())
        self._taken: list[Item] = []

    def over(self, items: Iterator[Item]) -> Iterator[Item]:
        """The same items, in the same order."""
        self._items = items
        while True:
            self.take()
            if not self._taken:
                return
            yield self._taken.pop()

    def take(self) -> None:
        """Take the next item now, unless one is waiting."""
        if not self._taken:
            self._taken = [*islice(self._items, 1)]


def replay(
    ruleset: RuleSet,
    batches: Iterable[Batch],
    *,
    windows: Windows,
    lateness: timedelta,
    until_ms: int | None = None,
) -> Iterator[Change]:
    """The changes worth telling (opened, severity raised, resolved, merged) of one source's batches."""
    run = Replay(ruleset, windows, lateness=lateness)
    for batch in batches:
        yield from run.feed(batch.events)
    yield from run.finish(until_ms)
