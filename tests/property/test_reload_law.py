"""The laws of changing rules in the middle of a stream, against a model that knows no state at all.

A rule nobody touched says what it says without any reload. Of a rule that is changed at random moments,
with and without a restart: what is not marked warming is true of all events there ever were, by the
rule as it is now; whatever an event makes true of a window that lies wholly after the last change of
what is counted, is told and not marked; and all else is marked.
"""

from __future__ import annotations

import json
import random  # noqa: TID251 - seeded, and the seed is in what is told
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tocsin.clock import ManualClock, iso, to_ms
from tocsin.engine import Engine
from tocsin.loops import Detect, Health, Signals
from tocsin.model.alert import NEVER_MS, Change, Triggers
from tocsin.model.event import Event
from tocsin.model.rule_state import RuleState, carried_on
from tocsin.model.watermark import Watermarks
from tocsin.protocols import Batch
from tocsin.reload import Changes, Reloader, load_of, reloader, signature_of
from tocsin.settings import Settings
from tocsin.sources.decode import Decoder
from tocsin.state.alerts_memory import MemoryAlerts
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.positions import MemoryPositions
from tocsin.state.quarantine import MemoryQuarantine
from tocsin.state.rule_states import MemoryRuleStates
from tocsin.state.windows_memory import MemoryWindows

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
START_MS = to_ms(START)
LATENESS_S = 5
STORIES = 150  # some thousand edits
STEPS = 30


class Variant(NamedTuple):
    """What a rule is for a while."""

    kind: str
    code: str
    by: str
    span_s: int
    gte: int


class Sent(NamedTuple):
    """An event: seconds of the story, and what its record says."""

    at_s: int
    code: str
    ip: str
    user_name: str


class Instant(NamedTuple):
    """An instant at which a rule is true."""

    group: str
    at_s: int
    score: float


STEADY = Variant("event_count", "fp", "user_name", 15, 2)
Marked = dict[Instant, bool]  # whether it is warming


def yaml_of(name: str, variant: Variant) -> str:
    counted = ", field: data.user_name" if variant.kind == "value_count" else ""
    return (
        f"title: {name}\nname: {name}\nid: {name}-1\nlogsource: {{product: auth0}}\n"
        f"detection: {{seen: {{data.type: {variant.code}}}, condition: seen}}\nlevel: low\n"
        f"tocsin:\n    correlate: {{type: {variant.kind}, group-by: [data.{variant.by}], "
        f"timespan: {variant.span_s}s, condition: {{gte: {variant.gte}{counted}}}}}\n"
        # The high bound makes the store keep what any of the thresholds may need.
        "    alert: {resolve_after: 0s, severity: [{gte: 99, is: high}]}\n"
    )


def true_of(variant: Variant, events: Sequence[Sent]) -> set[Instant]:
    """Every instant at which the rule is true, by definition."""
    found = set()
    mine = [event for event in events if event.code == variant.code]
    for group in {getattr(event, variant.by) for event in mine}:
        own = [event for event in mine if getattr(event, variant.by) == group]
        for at_s in {event.at_s for event in own}:
            inside = [event for event in own if at_s - variant.span_s <= event.at_s <= at_s]
            counted = {event.user_name for event in inside} if variant.kind == "value_count" else inside
            if len(counted) >= variant.gte:
                found.add(Instant(group, at_s, len(counted)))
    return found


class Hearing(MemoryAlerts):
    """Notes what it is told to fold."""

    def __init__(self) -> None:
        super().__init__(MemoryEvidence().recall)
        self.heard: dict[str, Marked] = {}

    def fold(self, triggers: Sequence[Triggers], *, now: datetime) -> list[Change]:
        for trigger in triggers:
            marked = self.heard.setdefault(trigger.rule.name, {})
            for at_ms, score in trigger.instants:
                one = Instant(trigger.group, (at_ms - START_MS) // 1_000, score)
                marked[one] = at_ms <= trigger.warming_until_ms
        return super().fold(triggers, now=now)


class Source:
    """What the loop wants to know of where events come from."""

    name = "auth0"
    allowed_lateness = timedelta(seconds=LATENESS_S)


@dataclass
class House:
    """A detect loop on memory stores that outlive its restarts."""

    folder: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    windows: MemoryWindows = field(default_factory=MemoryWindows)
    states: MemoryRuleStates = field(default_factory=MemoryRuleStates)
    positions: MemoryPositions = field(default_factory=MemoryPositions)
    alerts: Hearing = field(default_factory=Hearing)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.change(None, restart=True)

    def change(self, variant: Variant | None, *, restart: bool) -> None:
        more = [] if variant is None else [yaml_of("changing", variant)]
        (self.folder / "rules.yml").write_text("---\n".join([yaml_of("steady", STEADY), *more]))
        if restart:
            self.start()
        else:
            assert isinstance(self.reloader.reload(), Changes)

    def start(self) -> None:
        """A new process: nothing but the stores is left."""
        config = Settings(rules=[self.folder / "rules.yml"])
        loaded = load_of(config)
        self.decoder = Decoder(loaded.ruleset.fields)
        watermarks = Watermarks(self.clock.now())
        self.reloader = Reloader(
            config,
            loaded,
            signature=signature_of(config),
            engine=lambda ruleset: Engine(ruleset, self.windows, MemoryEvidence()),
            states=self.states,
            sources=[self],
            watermarks=watermarks,
            clock=self.clock,
        )
        source: Any = Source()
        self.detect = Detect(
            source, self.reloader.rules, self.alerts, self.positions, MemoryQuarantine(), watermarks,
            self.clock, Signals(), Health(),
        )  # fmt: skip
        _, newest_ms = self.positions.load("auth0")
        watermarks.restore("auth0", newest_ms, Source.allowed_lateness, self.clock.now())
        self.reloader.begin()

    def hold(self, fields: frozenset[str]) -> None:
        self.decoder = self.decoder.holding(fields)

    def decoded(self, events: Sequence[Sent]) -> list[Event]:
        records = [
            {"log_id": f"log{next(self.numbers)}", "type": event.code, "ip": event.ip,
             "date": iso(START_MS + event.at_s * 1_000), "user_name": event.user_name}
            for event in events
        ]  # fmt: skip
        found, bad = self.decoder.decode_body(json.dumps(records).encode(), now_ms=None)
        assert not bad
        return found

    def step(self, events: list[Event], now_s: int) -> dict[str, Marked]:
        """Evaluate a batch; what each rule said."""
        self.clock.set(START + timedelta(seconds=now_s))
        self.alerts.heard = {}
        self.detect.step(Batch(events, str(next(self.numbers))))
        return self.alerts.heard


def some_events(rng: random.Random, now_s: int, most: int = 4) -> list[Sent]:
    return [
        Sent(
            now_s - rng.randrange(LATENESS_S),
            rng.choice(["fp", "fp", "fu"]),
            rng.choice(["192.0.2.1", "192.0.2.2"]),
            rng.choice(["ann", "bob", "cy"]),
        )
        for _ in range(rng.randint(1, most))
    ]


def another(rng: random.Random, now: Variant | None, last: Variant | None) -> Variant | None:
    """No rule, the one from before there was none, another threshold, or another rule altogether."""
    if now is None and rng.random() < 0.5:
        return last
    if rng.random() < 0.3:
        return None
    if now is not None and rng.random() < 0.4:
        return now._replace(gte=5 - now.gte)
    return Variant(
        rng.choice(["event_count", "value_count"]),
        rng.choice(["fp", "fu"]),
        rng.choice(["ip", "user_name"]),
        rng.choice([10, 20]),
        rng.choice([2, 3]),
    )


def story(folder: Path, seed: int) -> list[str]:
    """Play one, and say where the laws do not hold."""
    rng = random.Random(seed)
    house, quiet = House(folder / f"{seed}"), House(folder / f"{seed}-quiet")
    told: list[str] = []
    events: list[Sent] = []
    variant, last, since_s, now_s = None, None, -(10**9), 0
    for _ in range(STEPS):
        now_s += rng.randint(0, 12)
        coming = some_events(rng, now_s)
        batch = house.decoded(coming)
        if rng.random() < 0.25:  # with the batch already read
            before, variant, last = variant, another(rng, variant, last), variant or last
            if variant is not None and not goes_on(before, variant):
                since_s = max((event.at_s for event in events), default=since_s)
            house.change(variant, restart=rng.random() < 0.3)
        known = true_of(variant, events) if variant else set()
        events += coming
        said = house.step(batch, now_s)
        if said.get("steady") != quiet.step(quiet.decoded(coming), now_s).get("steady"):
            told.append(f"{seed}: the steady rule says something else at {now_s}")
        if variant is not None:
            told += [f"{seed} at {now_s}: {what}" for what in wrong(
                said.get("changing", {}), known, true_of(variant, events), since_s + variant.span_s
            )]  # fmt: skip
    return told


def goes_on(before: Variant | None, now: Variant) -> bool:
    return before is not None and before._replace(gte=now.gte) == now


def wrong(said: Marked, known: set[Instant], true: set[Instant], warming_s: int) -> Iterator[str]:
    """What one batch made a rule say, and what was true of it before and is true now."""
    for one, warming in said.items():
        if warming != (one.at_s <= warming_s):
            yield f"{one} is {'' if warming else 'not '}marked"
        if not warming and one not in true:
            yield f"{one} is not true"
    for one in true - known:
        if one.at_s > warming_s and one not in said:
            yield f"{one} is missing"


@pytest.mark.parametrize("seed", range(0, STORIES, 50))
def test_rules_that_change_never_say_what_is_not_true_unmarked(tmp_path: Path, seed: int) -> None:
    told = [line for number in range(seed, seed + 50) for line in story(tmp_path, number)]

    assert told == []


def never_warming(
    before: Mapping[str, RuleState], states: Mapping[str, str], newest_ms: int
) -> dict[str, RuleState]:
    del newest_ms
    return carried_on(before, states, NEVER_MS)


def never_forgotten(
    before: Mapping[str, RuleState], states: Mapping[str, str], newest_ms: int
) -> dict[str, RuleState]:
    """A rule that was away goes on as if it had not been."""
    return {**before, **carried_on(before, states, newest_ms)}


def by_rule_alone(
    before: Mapping[str, RuleState], states: Mapping[str, str], newest_ms: int
) -> dict[str, RuleState]:
    return {
        key: RuleState(state, before[key].since_ms) if key in before else RuleState(state, newest_ms)
        for key, state in states.items()
    }


def a_second_short(
    before: Mapping[str, RuleState], states: Mapping[str, str], newest_ms: int
) -> dict[str, RuleState]:
    return carried_on(before, states, newest_ms - 1_000 if newest_ms > NEVER_MS else newest_ms)


def always_warming(
    before: Mapping[str, RuleState], states: Mapping[str, str], newest_ms: int
) -> dict[str, RuleState]:
    del before
    return carried_on({}, states, newest_ms)


MISTAKES: list[Callable[..., dict[str, RuleState]]] = [
    never_warming, never_forgotten, by_rule_alone, a_second_short, always_warming,
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_the_laws_find_a_planted_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: Callable[..., dict[str, RuleState]]
) -> None:
    monkeypatch.setattr(reloader, "carried_on", mistake)

    assert any(story(tmp_path, seed) for seed in range(STORIES))


def test_the_laws_find_that_a_change_loses_the_state_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = House.change

    def forgetful(self: House, variant: Variant | None, *, restart: bool) -> None:
        self.windows._states.clear()
        change(self, variant, restart=restart)

    monkeypatch.setattr(House, "change", forgetful)

    assert any("steady" in line for seed in range(STORIES) for line in story(tmp_path, seed))
