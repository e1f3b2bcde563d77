"""Streams of records walked through a rule set as a live loop does: batches, crashes, commits.

A record arrives up to the lateness late, some twice, cut into batches anywhere; a batch may be read
again after a crash, cut elsewhere. What comes out is every trigger, before episodes are formed.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec
import pytest

from tocsin.alerts.headline import title
from tocsin.clock import iso
from tocsin.engine import Engine
from tocsin.model.alert import NEVER_MS, as_record
from tocsin.model.compiled import RuleSet, WindowSpec
from tocsin.model.ledger import Ledger, Seen
from tocsin.model.observed import Counted
from tocsin.protocols import Windows
from tocsin.sources.decode import Decoder
from tocsin.state import ledgers_memory
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.windows_memory import MemoryWindows
from tocsin.tune.replay import Replay

BASE_MS = 1_699_920_000_000  # a Tuesday's midnight, UTC
LATENESS_S = 60
Record = dict[str, Any]


@pytest.fixture
def reopened(monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory, too, a ledger is dumped and opened anew between any two calls."""
    groups = ledgers_memory._Groups

    def anew(call: Callable[..., Iterator[Counted]]) -> Callable[..., Iterator[Counted]]:
        def called(self: ledgers_memory._Groups, spec: WindowSpec, *given: Any) -> Iterator[Counted]:
            for held in (self.young, self.old):
                held.update({group: _opened_anew(spec, ledger) for group, ledger in held.items()})
            return call(self, spec, *given)

        return called

    monkeypatch.setattr(groups, "observe", anew(groups.observe))
    monkeypatch.setattr(groups, "due", anew(groups.due))


def _opened_anew(spec: WindowSpec, held: Ledger | list[Seen]) -> Ledger | list[Seen]:
    if isinstance(held, list):
        return held
    assert spec.ledger is not None
    return spec.ledger(held.dump(), spec.keep)


class Told(NamedTuple):
    """A trigger: of a rule and group (case-folded), at so many seconds."""

    rule: str
    group: str
    at: float
    score: float


def walked(
    rules: RuleSet,
    windows: Windows,
    records: Sequence[Record],
    *,
    seed: int,
    until: float = 0,
    exact: bool = False,
) -> set[Told]:
    """All triggers of these records; event time goes on until `until`, at least to the last record."""
    walk = _Walk(rules, windows, exact=exact)
    rng = random.Random(seed)
    stream = _arriving(records, rng)
    while stream:
        size = min(len(stream), rng.randint(1, 9))
        walk.step(stream[:size], decide=True, commit=rng.random() < 0.8)
        if rng.random() < 0.3:  # it dies after the batch, before or after the watermark moved
            walk.step(stream[size : size + 3], decide=rng.random() < 0.5, commit=False)
            walk.die()
        stream = stream[size if walk.took_all else 0 :]
        walk.took_all = True
    walk.end(max(until, max((record["at"] for record in records), default=0)))
    return walk.told


def lines(rules: RuleSet, records: Sequence[Record], *, seed: int | None) -> list[dict[str, Any]]:
    """What a replay tells of these records, in the order of a walk with that seed (None: by time)."""
    stream = sorted(records, key=lambda record: record["at"])
    rng = random.Random(seed)
    if seed is not None:
        stream = _arriving(records, rng)
    decoder, run = (
        Decoder(rules.fields),
        Replay(rules, MemoryWindows(), lateness=timedelta(seconds=LATENESS_S)),
    )
    changes = []
    while stream:
        size = len(stream) if seed is None else rng.randint(1, 30)
        batch, stream = stream[:size], stream[size:]
        events, _ = decoder.decode_lines(b"\n".join(map(_encoded, batch)), first_line=1, now_ms=None)
        changes += run.feed(events)
    changes += run.finish()
    return [as_record(change.alert, title(change.alert)) for change in changes]


class _Walk:
    """A loop that can die: what it knows by itself is gone then, what the store holds is not."""

    def __init__(self, rules: RuleSet, windows: Windows, *, exact: bool) -> None:
        self.told: set[Told] = set()
        self.took_all = True
        self._rules, self._windows, self._exact = rules, windows, exact
        self._decoder = Decoder(rules.fields)
        self._newest_ms = self._committed_newest_ms = NEVER_MS
        self._begin()

    def _begin(self) -> None:
        self._engine = Engine(self._rules, self._windows, MemoryEvidence(), exact=self._exact)

    def die(self) -> None:
        """Forget what was not committed; it comes again."""
        self._newest_ms = self._committed_newest_ms
        self._begin()

    def step(self, batch: Sequence[Record], *, decide: bool, commit: bool) -> None:
        lines = b"\n".join(map(_encoded, batch))
        events, bad = self._decoder.decode_lines(lines, first_line=1, now_ms=None)
        assert not bad
        committed_ms = self._behind(self._committed_newest_ms)
        if events:
            self._note(self._engine.process("acme", events, committed_ms=committed_ms))
        self._newest_ms = max([self._newest_ms, *(event.time_ms for event in events)])
        if decide:
            self._decide(self._behind(self._newest_ms))
        if commit and decide:
            self._committed_newest_ms = self._newest_ms
            self._engine.sweep("acme", committed_ms=self._behind(self._newest_ms))

    def end(self, at: float) -> None:
        self._decide(BASE_MS + int(at * 1000) + 1)

    def _decide(self, watermark_ms: int) -> None:
        committed_ms = self._behind(self._committed_newest_ms)
        self._note(self._engine.due("acme", watermark_ms=watermark_ms, committed_ms=committed_ms))

    def _behind(self, newest_ms: int) -> int:
        return newest_ms if newest_ms == NEVER_MS else newest_ms - LATENESS_S * 1000

    def _note(self, triggers: Iterator[Any] | list[Any]) -> None:
        for trigger in triggers:
            for at_ms, score in trigger.instants:
                at = (at_ms - BASE_MS) / 1000
                self.told.add(Told(trigger.rule.name, trigger.group, at, round(score, 6)))


def _arriving(records: Sequence[Record], rng: random.Random) -> list[Record]:
    arriving = [(record["at"] + rng.uniform(0, LATENESS_S), n, record) for n, record in enumerate(records)]
    twice = rng.sample(list(records), len(records) // 3)
    arriving += [
        (record["at"] + rng.uniform(0, LATENESS_S), -n - 1, record) for n, record in enumerate(twice)
    ]
    return [record for *_, record in sorted(arriving, key=lambda row: row[:2])]


def _encoded(record: Record) -> bytes:
    at_ms = BASE_MS + int(record["at"] * 1000)
    return msgspec.json.encode({**record, "date": iso(at_ms), "tenant_name": "acme"})
