"""A changed threshold keeps its window, whatever the type and the store.

In the middle of a stream a rule's thresholds become others. From there on it says exactly what it would
have said had they been so from the beginning; what the watermark had passed by then is decided.
"""

from __future__ import annotations

import json
import random  # noqa: TID251 - seeded, and the seed is in what is told
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tocsin.clock import iso
from tocsin.engine import Engine
from tocsin.model.compiled import RuleSet, WindowSpec
from tocsin.model.event import Event
from tocsin.protocols import EvidenceStore, Windows
from tocsin.rules.load import load_rules
from tocsin.sources.decode import Decoder
from tocsin.state import ledgers_memory
from tocsin.state.connection import Store
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows

BASE_MS = 1_700_000_000_000
LATENESS_S = 5
STEPS = 40
SEEDS = 12
SELECTIONS = "{failed: {data.type: fp}, ok: {data.type: s}, condition: failed or ok}"


class Rule(NamedTuple):
    """The keys of a correlation, `@` where a threshold stands, and two thresholds."""

    kind: str
    keys: str
    thresholds: tuple[object, object]


RULES = {
    "event_count": Rule("event_count", "timespan: 20s, condition: {gte: @}", (2, 4)),
    "event_count_closing": Rule("event_count", "timespan: 20s, condition: {lte: @}", (1, 3)),
    "value_count": Rule("value_count", "timespan: 20s, condition: {gte: @, field: data.user_name}", (2, 3)),
    "value_count_closing": Rule(
        "value_count", "timespan: 20s, condition: {lt: @, field: data.user_name}", (2, 3)
    ),
    "value_sum": Rule("value_sum", "timespan: 20s, condition: {gte: @, field: data.cost}", (8, 15)),
    "value_avg": Rule("value_avg", "timespan: 20s, condition: {gte: @, field: data.cost}", (3, 5)),
    "value_avg_closing": Rule("value_avg", "timespan: 20s, condition: {lt: @, field: data.cost}", (3, 6)),
    "value_median": Rule("value_median", "timespan: 20s, condition: {gt: @, field: data.cost}", (3, 5)),
    "value_percentile": Rule(
        "value_percentile", "timespan: 20s, condition: {gte: @, field: data.cost, percentile: 90}", (4, 7)
    ),
    "ratio": Rule("ratio", "of: failed, over: 1 of them, timespan: 20s, condition: {gte: @, min_count: 2}",
                  (0.4, 0.7)),
    "ratio_least": Rule("ratio", "of: failed, over: 1 of them, timespan: 20s, "
                        "condition: {gte: 0.5, min_count: @}", (1, 3)),
    "ratio_closing": Rule("ratio", "of: failed, over: 1 of them, timespan: 20s, "
                          "condition: {lt: @, min_count: 2}", (0.4, 0.7)),
    "value_ratio": Rule("value_ratio", "of: failed, without: ok, timespan: 20s, "
                        "condition: {field: data.user_name, gte: @, min_count: 2}", (0.4, 0.7)),
    "value_ratio_least": Rule("value_ratio", "of: failed, without: ok, timespan: 20s, "
                              "condition: {field: data.user_name, gte: 0.5, min_count: @}", (1, 3)),
    "shape": Rule("shape", "per: data.user_name, timespan: 20s, "
                  "condition: {events: {gte: @}, values: {gte: 2}}", (2, 4)),
    "first_seen": Rule("first_seen", "field: data.client_name, remember: 60s, learn: @", ("5s", "20s")),
    "sequence": Rule("sequence", "timespan: 20s, steps: [{when: failed, at_least: @}, {when: ok}]", (1, 3)),
    "spike": Rule("spike", "bucket: 5s, baseline: {method: ewma, history: 50s, min_history: 10s}, "
                  "condition: {times: @, min_count: 1}", (1.2, 2)),
}  # fmt: skip


def loaded(folder: Path, rule: Rule, threshold: object) -> RuleSet:
    file = folder / "rule.yml"
    file.write_text(
        f"title: It\nname: it\nid: it-1\nlogsource: {{product: auth0}}\ndetection: {SELECTIONS}\nlevel: low\n"
        f"tocsin:\n    correlate: {{type: {rule.kind}, group-by: [data.ip], "
        f"{rule.keys.replace('@', str(threshold))}}}\n"
        # The store keeps what any of the thresholds needs.
        "    alert: {severity: [{gte: 50, is: high}]}\n"
    )
    return load_rules([file])


def batches(rng: random.Random, decoder: Decoder) -> Iterator[tuple[int, list[Event]]]:
    """Events a little out of order, some of them twice; with the second at which they came."""
    now, sent = 0, []
    for step in range(STEPS):
        now += rng.randint(0, 8)
        records = [
            {
                "log_id": f"log{step}.{number}",
                "type": rng.choice(["fp", "fp", "s"]),
                "date": iso(BASE_MS + 1_000 * (now - rng.randrange(LATENESS_S))),
                "ip": rng.choice(["192.0.2.1", "192.0.2.2"]),
                "user_name": rng.choice(["ann", "bob", "cy"]),
                "client_name": rng.choice(["web", "app", "cli", "tv"]),
                "cost": rng.randint(0, 8),
            }
            for number in range(rng.randint(0, 4))
        ]
        records += rng.sample(sent, min(len(sent), rng.randint(0, 1)))
        sent = records
        events, bad = decoder.decode_body(json.dumps(records).encode(), now_ms=None)
        assert not bad
        yield now, events


Told = set[tuple[str, int, float]]


@pytest.fixture(params=["memory", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def stores(kind: str, store: Store) -> Windows:
    return MemoryWindows() if kind == "memory" else RedisWindows(store)


def story(rule: Rule, folder: Path, kind: str, store: Store, seed: int) -> list[str]:
    """Play one; where the rule whose threshold changed says something else than the one it became."""
    rng = random.Random(seed)
    thresholds = list(rule.thresholds)
    rng.shuffle(thresholds)
    before, after = (loaded(folder, rule, threshold) for threshold in thresholds)
    tenants = (f"changed{seed}{rule.kind}{rule.keys}", f"always{seed}{rule.kind}{rule.keys}")
    windows = [stores(kind, store), stores(kind, store)]
    changing = Engine(before, windows[0], MemoryEvidence())
    always = Engine(after, windows[1], MemoryEvidence())
    decoder = Decoder(before.fields | after.fields)
    change_at = rng.randrange(5, STEPS - 5)
    wrong, decided_ms = [], 0
    for step, (now, events) in enumerate(batches(rng, decoder)):
        if step == change_at:
            changing = Engine(after, windows[0], MemoryEvidence())
        answers = [
            _told_as(tenant, engine, now, events)
            for tenant, engine in zip(tenants, (changing, always), strict=True)
        ]
        if step < change_at:
            decided_ms = 1_000 * (now - LATENESS_S)
        elif odd := {one for one in answers[0] ^ answers[1] if one[1] >= decided_ms}:
            wrong.append(f"{seed}: step {step} of {now} s, changed at {change_at}: {odd}")
    return wrong


def _told_as(tenant: str, engine: Engine, now: int, events: Sequence[Event]) -> Told:
    """Each story is a tenant of its own: they share a server."""
    watermark_ms = BASE_MS + 1_000 * (now - LATENESS_S)
    committed_ms = watermark_ms - 8_000
    found = engine.process(tenant, events, committed_ms=committed_ms) if events else []
    found += engine.due(tenant, watermark_ms=watermark_ms, committed_ms=committed_ms)
    return {(one.group, at_ms - BASE_MS, score) for one in found for at_ms, score in one.instants}


@pytest.mark.parametrize("name", RULES)
def test_a_changed_threshold_says_what_it_had_said_from_the_beginning(
    tmp_path: Path, kind: str, store: Store, name: str
) -> None:
    rule = RULES[name]
    low, high = (loaded(tmp_path, rule, threshold) for threshold in rule.thresholds)
    (one,), (other,) = low.rules, high.rules
    assert one.correlation is not None
    assert other.correlation is not None
    assert one.correlation.spec.state == other.correlation.spec.state

    assert [line for seed in range(SEEDS) for line in story(rule, tmp_path, kind, store, seed)] == []


def test_a_store_that_judges_by_the_old_threshold_would_be_found(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def once(self: Any, spec: WindowSpec) -> None:
        """The mistake: a ledger that is open goes on as it was opened."""

    monkeypatch.setattr(ledgers_memory._Groups, "judge_by", once)

    assert any(story(RULES["shape"], tmp_path, "memory", store, seed) for seed in range(SEEDS))


@pytest.mark.parametrize("name", ["event_count", "value_sum", "sequence", "ratio_closing"])
def test_a_state_that_begins_anew_with_a_threshold_would_be_found(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    class Anew(Engine):
        """The mistake: every rule set begins with nothing counted."""

        def __init__(self, ruleset: RuleSet, windows: Windows, evidence: EvidenceStore) -> None:
            super().__init__(ruleset, MemoryWindows(), evidence)

    monkeypatch.setattr(sys.modules[__name__], "Engine", Anew)

    assert any(story(RULES[name], tmp_path, "memory", store, seed) for seed in range(SEEDS))
