"""`absence` against its definition: any order within the lateness, any batches, any crash."""

from __future__ import annotations

import random  # noqa: TID251 - seeded
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tocsin.engine import Engine
from tocsin.model.alert import NEVER_MS
from tocsin.model.compiled import RuleSet
from tocsin.model.ledger import Seen
from tocsin.rules.correlations import absence
from tocsin.rules.correlations.quiet import Quiet, QuietLaw
from tocsin.rules.correlations.unanswered import WITHOUT, Unanswered
from tocsin.rules.load import load_rules
from tocsin.state.connection import Store
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows

from .ledger_walk import Record, Told, lines, reopened, walked

DAY = 86_400
UNTIL = 12 * DAY


__all__ = ["reopened"]  # a fixture


class Case(NamedTuple):
    """A rule, as the oracle reads it; the span in seconds. `after` and `without` are codes of events."""

    name: str
    by: tuple[str, ...]
    span: int
    after: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    written: str = ""
    expected: tuple[str, ...] = ()


CASES = (
    Case("nothing", (), 300),
    Case("nobody", ("user_name",), 7_200),
    Case("expected", ("user_name",), 7_200, written="expected: [Zoe, bob, Bob]", expected=("bob", "zoe")),
    Case("for_days", ("user_name", "ip"), 2 * DAY),
    Case("not_on_again", ("user_name",), 150, ("off",), ("on",), "after: off, without: on"),
    Case("not_any_other", ("ip",), 100, ("off",), ("on", "s"), "after: off"),
    Case("either_way", (), 60, ("off", "both"), ("on", "both"), "after: off or both, without: on or both"),
)


def _yaml(case: Case) -> str:
    return (
        f"title: {case.name}\nname: {case.name}\nlogsource: {{product: auth0}}\n"
        "detection: {off: {data.type: 'off'}, on: {data.type: 'on'}, other: {data.type: s}, "
        "both: {data.type: both}, condition: 1 of them}\nlevel: low\ntocsin:\n"
        f"    correlate: {{type: absence, group-by: [{', '.join(case.by)}], timespan: {case.span}s"
        f"{', ' if case.written else ''}{case.written}}}\n"
        "    alert: {context: [data.ip, data.user_name]}\n"
    ).replace("1 of them", "off or on or other" if case.name == "not_any_other" else "1 of them")


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> RuleSet:
    path: Path = tmp_path_factory.mktemp("rules") / "absence.yml"
    path.write_text("---\n".join(map(_yaml, CASES)))
    return load_rules([path])


def _text(value: object) -> str:
    return "" if value is None else str(value).casefold()


def oracle(records: list[Record]) -> set[Told]:
    """By definition, over all events at once."""
    found: set[Told] = set()
    for case in CASES:
        groups: dict[str, set[tuple[float, str]]] = defaultdict(set)
        for record in records:
            key = [_text(record[name]) for name in case.by]
            if all(key) and record["type"] in ("off", "on", "s", "both"):
                groups["\x1f".join(key)].add((record["at"], record["type"]))
        if case.expected:
            began = min(record["at"] for record in records)
            groups = {key: groups.get(key, set()) for key in case.expected}  # type: ignore[assignment]
        for key, events in groups.items():
            if case.expected:
                told = _missed(case, {at for at, _ in events}, began)
                found |= {Told(case.name, key, at, score) for at, score in told}
                continue
            told = _unanswered(case, events) if case.after else _quiet(case, events)
            found |= {Told(case.name, key, at, score) for at, score in told if at <= UNTIL}
    return found


def _quiet(case: Case, events: set[tuple[float, str]]) -> Iterator[tuple[float, float]]:
    times = sorted({at for at, _ in events})
    for at, following in pairwise([*times, float("inf")]):
        quiet = case.span
        while quiet <= max(case.span, min(7 * DAY, 2_000 * case.span)):
            if not any(at < other <= at + quiet for other in times):
                yield at + quiet, quiet // case.span
            if at + quiet >= following:
                break
            quiet += min(case.span, DAY)


def _missed(case: Case, times: set[float], began: float) -> Iterator[tuple[float, float]]:
    """An expected group: quiet since the tenant's first event of any kind, for ever."""
    for at, following in pairwise([*sorted({began, *times}), UNTIL + 0.001]):
        for count in range(1, UNTIL // case.span + 1):
            if at + count * case.span < following:
                yield at + count * case.span, count


def _unanswered(case: Case, events: set[tuple[float, str]]) -> Iterator[tuple[float, float]]:
    for at, code in events:
        answers = [other for other, by in events if by in case.without and at < other <= at + case.span]
        if code in case.after and not answers:
            yield at + case.span, 1


def stream(seed: int, size: int = 150) -> list[Record]:
    rng = random.Random(seed)
    lasting = rng.choice([2_000, 20_000, 4 * DAY])
    return [
        {
            "at": rng.choice([rng.randrange(lasting), rng.randrange(lasting) // 50 * 50]),
            "type": rng.choice(["off", "on", "s", "both", "fp"]),
            "user_name": rng.choice(["Ann", "ann", "bob", "", None, 7, "7"]),
            "ip": rng.choice("ABa"),
            "log_id": f"id{number}",
        }
        for number in range(size)
    ]


@pytest.mark.parametrize("seed", range(40))
def test_in_memory_it_is_what_the_definition_says(rules: RuleSet, seed: int) -> None:
    records = stream(seed)

    told = walked(rules, MemoryWindows(), records, seed=seed, until=UNTIL)

    assert told == oracle(records)


@pytest.mark.usefixtures("reopened")
@pytest.mark.parametrize("seed", range(40, 60))
def test_what_is_kept_is_all_it_needs(rules: RuleSet, seed: int) -> None:
    records = stream(seed)

    told = walked(rules, MemoryWindows(), records, seed=seed, until=UNTIL)

    assert told == oracle(records)


@pytest.mark.parametrize("seed", range(6))
def test_on_redis_it_is_what_the_definition_says(rules: RuleSet, store: Store, seed: int) -> None:
    records = stream(seed)

    told = walked(rules, RedisWindows(store), records, seed=seed, until=UNTIL)

    assert told == oracle(records)


@pytest.mark.parametrize("seed", range(8))
def test_the_same_events_tell_the_same_story_in_whatever_order(rules: RuleSet, seed: int) -> None:
    records = stream(seed)

    told = lines(rules, records, seed=None)

    assert told
    assert lines(rules, records, seed=seed) == lines(rules, records, seed=seed + 1) == told


def _disagrees(rules: RuleSet) -> bool:
    return any(
        walked(rules, MemoryWindows(), stream(seed), seed=seed, until=UNTIL) != oracle(stream(seed))
        for seed in range(8)
    )


def test_there_is_something_to_find() -> None:
    assert {told.rule for seed in range(8) for told in oracle(stream(seed))} == {case.name for case in CASES}


def _law(change: Callable[[QuietLaw], QuietLaw]) -> Callable[[QuietLaw], Any]:
    from tocsin.rules.correlations.quiet import quiet

    return lambda law: quiet(change(law))


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("quiet", _law(lambda law: law._replace(span_ms=law.span_ms - 1))),
        ("quiet", _law(lambda law: law._replace(step_ms=law.step_ms * 2))),
        ("quiet", _law(lambda law: law._replace(longest_ms=law.longest_ms - 1))),
        ("quiet", _law(lambda law: law._replace(longest_ms=law.longest_ms + law.step_ms))),
        ("thinned", lambda times, span_ms: [max(times)]),
        ("thinned", lambda times, span_ms: [min(times), max(times)]),
    ],
    ids=["an edge", "every other", "too short", "too long", "only the newest", "only the ends"],
)
def test_a_mistake_in_what_is_quiet_is_found(
    rules: RuleSet, monkeypatch: pytest.MonkeyPatch, name: str, mistake: Callable[..., Any]
) -> None:
    monkeypatch.setattr(absence, name, mistake)

    assert _disagrees(load_rules([Path(rules.rules[0].rule.file)]))


@pytest.mark.parametrize(
    "mistake",
    [
        lambda begin: lambda *_told: None,
        lambda begin: lambda self, tenant, at_ms, _ms: begin(self, tenant, at_ms + 1_000, NEVER_MS),
    ],
    ids=["the watch begins at a watermark", "it begins too late"],
)
def test_a_watch_that_begins_where_a_batch_was_cut_is_found(
    rules: RuleSet, monkeypatch: pytest.MonkeyPatch, mistake: Callable[..., Any]
) -> None:
    monkeypatch.setattr(Engine, "_begin", mistake(Engine._begin))

    assert _disagrees(rules)


def test_a_beginning_told_again_as_if_it_were_new_is_found(
    rules: RuleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def anew(self: Quiet, at_ms: int, _committed_ms: int) -> None:
        self._begun_ms = at_ms

    monkeypatch.setattr(Quiet, "_begin", anew)

    assert _disagrees(rules)


@pytest.mark.parametrize("kind", [Quiet, Unanswered])
def test_a_ledger_that_trusts_the_order_of_arrival_is_found(
    rules: RuleSet, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    observe = kind.observe

    def hasty(self: Any, batch: list[Seen], _committed_ms: int) -> Any:
        return observe(self, batch, max(seen.time_ms for seen in batch) + 1_000)

    monkeypatch.setattr(kind, "observe", hasty)

    assert _disagrees(rules)


@pytest.mark.parametrize("by_ms", [-1, 1_000])
def test_an_edge_of_the_answer_is_found(rules: RuleSet, monkeypatch: pytest.MonkeyPatch, by_ms: int) -> None:
    take = Unanswered._take

    def moved(self: Unanswered, time_ms: int, bits: int) -> None:
        take(self, time_ms - by_ms if bits & WITHOUT else time_ms, bits)

    monkeypatch.setattr(Unanswered, "_take", moved)

    assert _disagrees(rules)


def test_the_control_has_no_mistake(rules: RuleSet) -> None:
    assert not _disagrees(rules)
