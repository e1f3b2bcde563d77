"""A million random rule files and a million random records raise nothing but our own errors.

Here a part of them, `make fuzz` runs all: see `fuzzing.SHARE`. A failure names the seed that made it.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded: a failure names its seed
from dataclasses import replace
from datetime import timedelta
from functools import cache

import msgspec
import pytest

from tocsin import telemetry
from tocsin.errors import RuleErrors
from tocsin.model.compiled import RuleSet
from tocsin.model.event import Event
from tocsin.rules.load import load, load_rules
from tocsin.sources.decode import Decoder
from tocsin.sources.file import demo_records
from tocsin.state.windows_memory import MemoryWindows
from tocsin.tune.replay import Replay
from tocsin.tune.ruletests import provider_of, records_of

from .fuzzing import MILLION, ROOT, SHARE, memory_file, mutated_file, mutated_record, shipped_documents

SHARDS = range(8)
FILES = int(MILLION * SHARE) // len(SHARDS)
RECORDS = int(MILLION * SHARE) // len(SHARDS)
AT_ONCE = 500  # records of one batch


@cache
def documents() -> list[bytes]:
    return shipped_documents()


@cache
def records() -> dict[str, list[bytes]]:
    """Records of each provider: those of the shipped rules' tests, and of the bundled attack."""
    found: dict[str, list[bytes]] = {"auth0": [], "frontegg": []}
    loaded = load([ROOT / "rules"])
    for made in loaded.made:
        for case in loaded.cases.get(made.compiled.rule.id, ()):
            provider = provider_of(made)
            found.setdefault(provider, []).extend(map(msgspec.json.encode, records_of(case, provider)[:3]))
    found["auth0"] += demo_records().splitlines()[:200]
    return {provider: some for provider, some in found.items() if some}


def loaded_or_told(data: bytes) -> RuleSet | None:
    """The rule set of a file; None where its mistakes were told."""
    try:
        return load_rules([memory_file("rule.yml", data)])
    except RuleErrors as exc:
        told = exc.errors
    assert told
    assert all(error.line >= 1 and error.column >= 1 and error.message for error in told)
    return None


def decoded(ruleset: RuleSet, provider: str, lines: list[bytes]) -> list[Event]:
    events, bad = Decoder(ruleset.fields, provider=provider).decode_records(lines, first=1, now_ms=None)
    assert all(record.reason for record in bad)
    assert len(events) + len(bad) >= len(lines) - sum(not line.strip() for line in lines)
    return events


def failures_of_rules() -> float:
    """How often a rule broke on an event: the engine counts it, and goes on."""
    return sum(
        sample.value
        for metric in telemetry.RULE_ERRORS.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    )


@pytest.mark.slow
@pytest.mark.parametrize("shard", SHARDS)
def test_any_rule_file_loads_or_tells_its_mistakes_and_one_that_loads_takes_any_record(shard: int) -> None:
    sound = 0
    before = failures_of_rules()
    for number in range(FILES):
        rng = random.Random(f"{shard}/{number}")
        data = mutated_file(rng, documents())
        try:
            ruleset = loaded_or_told(data)
            if ruleset is not None and ruleset.rules:
                sound += 1
                _run(ruleset, rng)
        except Exception as exc:
            raise AssertionError(f"seed {shard}/{number}: {data!r}") from exc
        assert failures_of_rules() == before, f"seed {shard}/{number}: {data!r}"

    assert sound >= FILES // 20  # else nothing but mistakes was tried


def _run(ruleset: RuleSet, rng: random.Random) -> None:
    provider = rng.choice(sorted(records()))
    lines = [mutated_record(rng, records()[provider]) for _ in range(3)]
    events = decoded(ruleset, provider, lines)
    replay = Replay(ruleset, MemoryWindows(), lateness=timedelta(seconds=60))
    replay.feed(events)
    replay.finish()


@pytest.mark.slow
@pytest.mark.parametrize("shard", SHARDS)
def test_any_record_becomes_an_event_or_is_quarantined_and_no_shipped_rule_breaks_on_it(shard: int) -> None:
    ruleset = load_rules([ROOT / "rules"])
    before = failures_of_rules()
    taken = 0
    for number in range(-(-RECORDS // AT_ONCE)):
        rng = random.Random(f"{shard}/{number}")
        provider = rng.choice(sorted(records()))
        lines = [mutated_record(rng, records()[provider]) for _ in range(AT_ONCE)]
        try:
            events = decoded(ruleset, provider, lines)
            replay = Replay(ruleset, MemoryWindows(), lateness=timedelta(seconds=60))
            replay.feed(events)
            replay.finish()
        except Exception as exc:
            raise AssertionError(f"seed {shard}/{number}") from exc
        assert failures_of_rules() == before, f"seed {shard}/{number}"
        taken += len(events)

    assert taken >= RECORDS // 3  # else nothing but garbage was tried


def test_a_rule_that_breaks_on_a_record_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    before = failures_of_rules()
    rule = b"title: t\nlogsource: {product: auth0}\ndetection: {s: {u|re: x}, condition: s}\n"
    ruleset = loaded_or_told(rule)
    assert ruleset is not None

    def broken(_event: Event) -> bool:
        raise ValueError("planted")

    (compiled,) = ruleset.rules
    planted = replace(compiled, matchers=(replace(compiled.matchers[0], matches=broken),))
    lines = records()["auth0"][:3]
    replay = Replay(replace(ruleset, rules=(planted,)), MemoryWindows(), lateness=timedelta(seconds=60))
    replay.feed(decoded(ruleset, "auth0", lines))

    assert failures_of_rules() == before + 3


def test_a_loader_that_breaks_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise KeyError("planted")

    monkeypatch.setattr("tocsin.rules.load.check_unique", broken)

    with pytest.raises(KeyError, match="planted"):
        loaded_or_told(b"title: t\n")
