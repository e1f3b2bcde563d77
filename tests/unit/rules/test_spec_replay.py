"""Replay keeps every member (rule language, section 2): it is exact where a live score is a floor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import msgspec
import pytest

from tocsin.clock import EPOCH, iso
from tocsin.engine import Engine
from tocsin.model.alert import Alert, ChangeKind
from tocsin.model.compiled import RuleSet
from tocsin.model.event import Event
from tocsin.protocols import Batch
from tocsin.sources.decode import Decoder
from tocsin.state.alerts_memory import MemoryAlerts
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.windows_memory import MemoryWindows
from tocsin.tune.replay import replay

BASE_MS = 1_700_000_000_000
LATENESS = timedelta(seconds=60)
RULE = (
    "title: t\nlogsource: {product: auth0}\ndetection: {s: {type: fp}, condition: s}\n"
    "tocsin: {correlate: {group-by: [data.ip], timespan: 12h, %s}}\n"
)


def _batches(rules: RuleSet, events: int) -> Iterator[list[Event]]:
    """So many events of one address, a second apart, in batches of two hundred."""
    decoder = Decoder(rules.fields)
    for start in range(0, events, 200):
        records = [
            {"log_id": f"id{n}", "type": "fp", "ip": "a", "user_name": f"u{n}", "n": 1,
             "date": iso(BASE_MS + n * 1_000)}
            for n in range(start, min(start + 200, events))
        ]  # fmt: skip
        found, bad = decoder.decode_lines(
            b"\n".join(map(msgspec.json.encode, records)), first_line=1, now_ms=None
        )
        assert not bad
        yield found


def _replayed(rules: RuleSet, events: int) -> Alert:
    batches = (Batch(some, "next") for some in _batches(rules, events))
    until_ms = BASE_MS + 10 * 86_400_000
    told = replay(rules, batches, windows=MemoryWindows(), lateness=LATENESS, until_ms=until_ms)
    (resolved,) = [change.alert for change in told if change.kind is ChangeKind.RESOLVED]
    return resolved


def _lived(rules: RuleSet, events: int) -> Alert:
    evidence = MemoryEvidence()
    engine, alerts = Engine(rules, MemoryWindows(), evidence), MemoryAlerts(evidence.recall)
    for some in _batches(rules, events):
        newest_ms = some[-1].time_ms
        alerts.fold(engine.process("default", some, committed_ms=newest_ms - 260_000), now=EPOCH)
        due = engine.due("default", watermark_ms=newest_ms - 60_000, committed_ms=newest_ms - 260_000)
        alerts.fold(due, now=EPOCH)
    (alert,) = alerts.find()
    return alert


@pytest.mark.parametrize(
    ("correlate", "events", "said"),
    [
        ("type: event_count, condition: {gte: 3}", 2_000, "floor"),
        ("type: value_count, condition: {gte: 3, field: data.user_name}", 2_000, "floor"),
        ("type: value_sum, condition: {gte: 3, field: data.n}", 11_000, "sampled"),
    ],
)
def test_a_score_of_a_replay_is_exact_where_a_live_one_is_a_floor(
    load_text: Callable[..., RuleSet], correlate: str, events: int, said: str
) -> None:
    rules = load_text(RULE % correlate)

    exact, floor = _replayed(rules, events), _lived(rules, events)

    assert (exact.score, exact.floor, exact.sampled) == (events, False, False)
    assert floor.score < events
    assert (floor.floor, floor.sampled) == (said == "floor", said == "sampled")
