"""One record with a future date never removes a member: whoever sends one hides nothing (reliability F8)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random  # noqa: TID251 - seeded: a failure names its seed
from typing import NamedTuple

import msgspec
import pytest

from tocsin.clock import MS, from_ms, iso, to_ms
from tocsin.engine import Engine
from tocsin.model import watermark
from tocsin.model.compiled import CompiledRule, Matcher, RuleSet, WindowSpec
from tocsin.model.rule import Rule
from tocsin.model.watermark import Watermarks
from tocsin.rules.correlations.counting import Bounds, Count
from tocsin.sources import decode
from tocsin.sources.decode import Decoder
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.windows_memory import MemoryWindows

from .oracle_ours import seeds

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATENESS = timedelta(seconds=60)
SPAN_MS = 120_000
SPEC = WindowSpec("r", SPAN_MS, "events", keep=4, floor=2)
RULE = Rule(name="r", id="r", title="t", severity="low", type="event_count", timespan_ms=SPAN_MS)


class Sent(NamedTuple):
    """A record that arrives when the clock is `now_ms`; `at_ms` is when it says it happened."""

    now_ms: int
    at_ms: int
    future: bool


def _stream(seed: int) -> list[Sent]:
    rng = Random(seed)
    now, sent = to_ms(START), []
    for _ in range(rng.randint(5, 25)):
        now += rng.randint(0, 30_000)
        sent.append(Sent(now, now - rng.choice([0, 0, 1, 1_000, rng.randint(0, 59_000)]), future=False))
        if rng.random() < 0.2:
            ahead = rng.choice([1, 1_000, 299_999, 300_000, 300_001, 3_600_000, 10**9, 10**11])
            sent.append(Sent(now, now + ahead, future=True))
    return sent


def _scores(sent: Sequence[Sent]) -> dict[int, float]:
    """The highest score of each instant, as the service finds it, a record at a time."""
    rules = RuleSet(
        (CompiledRule(RULE, (Matcher("r", "", None, None),), Count(SPEC, Bounds((("gte", 2),)))),)
    )
    engine, watermarks, decoder = (
        Engine(rules, MemoryWindows(), MemoryEvidence()),
        Watermarks(START),
        Decoder([]),
    )
    found: dict[int, float] = {}
    for number, one in enumerate(sent):
        record = {"log_id": f"{one.future}{number}", "date": iso(one.at_ms), "type": "fp", "tenant_name": "t"}
        line = msgspec.json.encode(record)
        events, _ = decoder.decode_lines(line, first_line=1, now_ms=one.now_ms)
        now = from_ms(one.now_ms)
        if events:
            committed_ms = watermarks.behind("t", now)
            for trigger in engine.process("t", events, committed_ms=committed_ms):
                for at_ms, score in trigger.instants:
                    found[at_ms] = max(score, found.get(at_ms, 0))
            watermarks.advance("a", "t", [event.time_ms for event in events], LATENESS, now)
            watermarks.committed("a")
        engine.sweep("t", committed_ms=watermarks.behind("t", now))
    return found


def _hide_nothing() -> None:
    for seed in seeds(300):
        _hides_nothing(seed)


def _hides_nothing(seed: int) -> None:
    """No window says less for what came from the future, as far as a score is exact."""
    sent, exact = _stream(seed), SPEC.keep or 0
    alone = _scores([one for one in sent if not one.future])
    beside = _scores(sent)

    assert [at for at, score in alone.items() if beside.get(at, 0) < min(score, exact)] == [], f"seed {seed}"


def test_a_record_from_the_future_removes_no_member() -> None:
    _hide_nothing()


def test_a_watermark_that_follows_the_future_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watermark, "to_ms", lambda _now: 10**15)

    with pytest.raises(AssertionError, match="seed"):
        _hide_nothing()


@pytest.mark.parametrize(("ahead_ms", "reads"), [(300_000, True), (300_001, False)])
def test_a_record_is_read_up_to_five_minutes_ahead_of_the_clock(ahead_ms: int, reads: bool) -> None:
    now_ms = to_ms(START)
    line = msgspec.json.encode({"log_id": "1", "date": iso(now_ms + ahead_ms), "type": "fp"})

    events, bad = Decoder([]).decode_lines(line, first_line=1, now_ms=now_ms)

    assert (len(events), len(bad)) == ((1, 0) if reads else (0, 1))
    assert timedelta(minutes=5) // MS == decode.FUTURE_MS


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2016-12-31T23:59:60.000Z", "2017-01-01T00:00:00.000Z"),  # a leap second
        ("2026-03-29T01:59:59.999+01:00", "2026-03-29T00:59:59.999Z"),  # before clocks go forward
        ("2026-03-29T03:00:00.000+02:00", "2026-03-29T01:00:00.000Z"),  # a millisecond later
        ("2026-10-25T02:30:00.000+02:00", "2026-10-25T00:30:00.000Z"),  # the hour that comes twice
        ("2026-10-25T02:30:00.000+01:00", "2026-10-25T01:30:00.000Z"),
    ],
)
def test_a_moment_is_the_same_whatever_clock_told_it(written: str, meant: str) -> None:
    line = msgspec.json.encode({"log_id": "1", "date": written, "type": "fp"})

    events, bad = Decoder([]).decode_lines(line, first_line=1, now_ms=None)

    assert not bad
    assert [iso(event.time_ms) for event in events] == [meant]
