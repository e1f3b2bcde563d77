"""What nobody foresaw stops only what it is about: one event, one message."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tocsin.alerts.render import Renderer
from tocsin.alerts.route import Route
from tocsin.clock import ManualClock, to_ms
from tocsin.engine import Engine
from tocsin.errors import StoreUnavailable
from tocsin.loops import Detect, Health, Notify, Signals
from tocsin.loops.detect import TRIES
from tocsin.model.alert import NEVER_MS, Sightings
from tocsin.model.compiled import CompiledRule, Matcher, RuleSet, WindowSpec
from tocsin.model.event import Event
from tocsin.model.rule import Rule
from tocsin.model.watermark import Watermarks
from tocsin.protocols import Batch
from tocsin.reload import AtWork, LiveRules
from tocsin.rules.correlations.counting import Bounds, Count
from tocsin.settings import shipped
from tocsin.state.alerts_memory import MemoryAlerts
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.outbox_memory import MemoryOutbox
from tocsin.state.positions import MemoryPositions
from tocsin.state.quarantine import MemoryQuarantine
from tocsin.state.silences import MemorySilences
from tocsin.state.windows_memory import MemoryWindows

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULE = Rule(name="seen", id="seen", title="Seen", severity="high", group_by=("ip",), allow_missing=True)
FEW = Rule(name="few", id="few", title="Few", severity="low", type="event_count", timespan_ms=10_000,
           resolve_after_ms=10_000)  # fmt: skip


class Finite:
    """A source of some batches, each a position."""

    name = "auth0"
    allowed_lateness = timedelta(seconds=60)

    def __init__(self, *batches: list[Event]) -> None:
        self._batches = batches

    def read(self, after: str | None) -> Iterator[Batch]:
        for place in range(int(after or 0), len(self._batches)):
            yield Batch(self._batches[place], str(place + 1))


def _event(name: str, seconds: float = 0) -> Event:
    at_ms = to_ms(START + timedelta(seconds=seconds))
    return Event(id=name, time_ms=at_ms, provider="auth0", tenant="acme", code="fp", raw=name.encode())


def _rules(correlation: Count | None = None) -> RuleSet:
    matcher = Matcher("seen", "auth0", None, None, (lambda event: event.id,))
    if correlation is None:
        return RuleSet((CompiledRule(RULE, (matcher,), group=matcher.group_by),))
    return RuleSet((CompiledRule(FEW, (Matcher("few", "auth0", None, None),), correlation),))


def _detect(source: Finite, rules: RuleSet, clock: ManualClock) -> Detect:
    evidence = MemoryEvidence()
    at_work = AtWork(rules, Engine(rules, MemoryWindows(), evidence))
    return Detect(
        source, LiveRules(at_work), MemoryAlerts(evidence.recall), MemoryPositions(), MemoryQuarantine(),
        Watermarks(START), clock, Signals(), Health(),
    )  # fmt: skip


def _break_on(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    process = Engine.process

    def broken(self: Engine, tenant: str, events: list[Event], **rest: Any) -> Any:
        if any(event.id == name for event in events):
            raise error
        return process(self, tenant, events, **rest)

    monkeypatch.setattr(Engine, "process", broken)


def test_an_event_that_always_fails_is_set_aside_and_the_rest_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _break_on(monkeypatch, "bad", RuntimeError("secret text"))
    source = Finite([_event("one"), _event("bad"), _event("two")], [_event("three")])
    detect = _detect(source, _rules(), ManualClock(START))

    for _ in range(TRIES - 1):
        with pytest.raises(RuntimeError):
            detect.once()
    detect.once()

    assert {alert.group["ip"] for alert in detect.alerts.find()} == {"one", "two", "three"}
    assert [(r.reason, r.raw) for _, _, r in detect.quarantine.find()] == [("failed: RuntimeError", b"bad")]
    assert detect.positions.load("auth0")[0] == "2"


def test_a_store_that_is_away_is_no_fault_of_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    _break_on(monkeypatch, "one", StoreUnavailable("away"))
    detect = _detect(Finite([_event("one")]), _rules(), ManualClock(START))

    for _ in range(3 * TRIES):
        with pytest.raises(StoreUnavailable):
            detect.once()

    assert detect.quarantine.find() == []
    assert detect.positions.load("auth0")[0] is None


def test_a_batch_of_nothing_is_committed_too() -> None:
    detect = _detect(Finite([], []), _rules(), ManualClock(START))

    detect.once()

    assert detect.positions.load("auth0")[0] == "2"


def test_a_window_that_closed_while_all_is_quiet_is_told_once() -> None:
    spec = WindowSpec("few", 10_000, "events", keep=5, closes=True)
    clock = ManualClock(START)
    detect = _detect(Finite([_event("one")]), _rules(Count(spec, Bounds((("lte", 3),)))), clock)
    detect.once()
    clock.advance(timedelta(minutes=10))
    detect.step(Batch([], "1"))
    detect.signals.changed.clear()

    for _ in range(5):
        clock.advance(timedelta(seconds=1))
        detect.step(Batch([], "1"))

    assert len(detect.alerts.find()) == 1
    assert not detect.signals.changed.is_set()


@pytest.fixture
def notify() -> Notify:
    alerts = MemoryAlerts(lambda *_: Sightings([], [], []))
    route = Route(path="{}", group="{}", channels=("soc",), group_by=("rule", "entity", "alertname"),
                  group_wait=timedelta(), group_interval=timedelta(minutes=5),
                  repeat_interval=timedelta(hours=4))  # fmt: skip
    templates: list[Path] = [shipped("alerts") / "templates"]
    return Notify(
        alerts, MemoryOutbox(), MemorySilences(), route, Renderer(templates), {"soc": "webhook"},
        None, ManualClock(START), Signals(), Health(),
    )  # fmt: skip


def _open(notify: Notify, *names: str) -> None:
    rules = [Rule(name=name, id=name, title=name, severity="high") for name in names]
    for rule in rules:
        compiled = RuleSet((CompiledRule(rule, (Matcher(rule.name, "auth0", None, None),)),))
        engine = Engine(compiled, MemoryWindows(), MemoryEvidence())
        notify.alerts.fold(engine.process("acme", [_event("e")], committed_ms=NEVER_MS), now=START)


def test_a_message_that_cannot_be_made_holds_up_no_other(
    notify: Notify, monkeypatch: pytest.MonkeyPatch
) -> None:
    _open(notify, "a", "b", "c")
    render = Renderer.render

    def broken(self: Renderer, send: Any, *rest: Any) -> Any:
        if send.firing[0].rule == "b":
            raise RuntimeError("no words")
        return render(self, send, *rest)

    monkeypatch.setattr(Renderer, "render", broken)
    notify.step()
    assert len(notify.outbox.find()) == 2
    assert notify.health.trouble() == "notify: a message is not made: RuntimeError"

    monkeypatch.setattr(Renderer, "render", render)
    notify.step()

    assert len(notify.outbox.find()) == 3
    assert notify.health.trouble() is None
