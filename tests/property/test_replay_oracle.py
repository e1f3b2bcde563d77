"""Whole replays against a brute-force oracle: decode, match, count, fold, tell.

The oracle knows no windows, batches or stores: for each rule and group it takes all events, tests
the rule at every instant by definition, and cuts the instants into episodes.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tocsin import matching
from tocsin.alerts.headline import title
from tocsin.clock import iso
from tocsin.model.alert import as_record
from tocsin.model.compiled import RuleSet
from tocsin.protocols import Batch, Windows
from tocsin.rules.load import load_rules
from tocsin.sources.decode import Decoder
from tocsin.state import windows_memory
from tocsin.state.connection import Store
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows
from tocsin.tune.replay import Replay, in_step

BASE_MS = 1_700_000_000_000
LATENESS = timedelta(seconds=60)
FRESH = count()
Record = dict[str, Any]


class Spec(NamedTuple):
    """A rule, as the oracle reads it."""

    name: str
    codes: tuple[str, ...]
    by: tuple[str, ...]
    span_s: int = 0  # 0: a plain detection
    field: tuple[str, ...] = ()
    holds: Callable[[int], bool] = lambda _: True
    condition: str = ""
    closes: bool = False
    allow_missing: bool = False
    resolve_s: int = 0
    for_s: int = 0


SPECS = (
    Spec("plain", ("limit_mu",), ("ip",), resolve_s=7, allow_missing=True),
    Spec("whole_rule", ("limit_mu",), (), resolve_s=20),
    Spec("three_per_ip", ("fp", "fu"), ("ip",), 10, (), lambda n: n >= 3, "{gte: 3}", resolve_s=10),
    Spec("over_two_pairs", ("fp",), ("ip", "user_name"), 15, (), lambda n: n > 2, "{gt: 2}", resolve_s=3),
    Spec("two_users", ("fp", "fu"), ("ip",), 8, ("user_name",), lambda n: n >= 2,
         "{gte: 2, field: data.user_name}", resolve_s=8),
    Spec("two_tuples", ("fu",), (), 12, ("ip", "user_name"), lambda n: n >= 2,
         "{gte: 2, field: [data.ip, data.user_name]}", resolve_s=0),
    Spec("few", ("fp",), ("ip",), 9, (), lambda n: n <= 2, "{lte: 2}", closes=True, resolve_s=9),
    Spec("exactly_one_user", ("fp", "fu"), ("ip",), 6, ("user_name",), lambda n: n == 1,
         "{eq: 1, field: data.user_name}", closes=True, resolve_s=4),
    Spec("missing_is_a_group", ("fu",), ("user_name",), 10, (), lambda n: n >= 2, "{gte: 2}",
         allow_missing=True, resolve_s=10),
    Spec("lasting", ("fp", "fu"), ("ip",), 10, (), lambda n: n >= 2, "{gte: 2}", resolve_s=10, for_s=5),
)  # fmt: skip


def _yaml(spec: Spec) -> str:
    by = ", ".join(f"data.{name}" for name in spec.by)
    correlate = ""
    if spec.span_s:
        kind = "value_count" if spec.field else "event_count"
        missing = ", allow_missing: true" if spec.allow_missing else ""
        correlate = (
            f"    correlate: {{type: {kind}, group-by: [{by}], timespan: {spec.span_s}s, "
            f"condition: {spec.condition}{missing}}}\n"
        )
    key = f"key: [{by}], " if by and not spec.span_s else ""
    return (
        f"title: {spec.name}\nname: {spec.name}\nlogsource: {{product: auth0}}\n"
        f"detection: {{seen: {{data.type: [{', '.join(spec.codes)}]}}, condition: seen}}\nlevel: low\n"
        f"tocsin:\n{correlate}    alert: {{{key}resolve_after: {spec.resolve_s}s, for: {spec.for_s}s, "
        f"severity: [{{gte: 4, is: high}}], context: [data.user_name]}}\n"
    )


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> RuleSet:
    path: Path = tmp_path_factory.mktemp("rules") / "oracle.yml"
    path.write_text("---\n".join(map(_yaml, SPECS)))
    return load_rules([path])


# The oracle.

Episode = tuple[str, tuple[str, ...], int, int, int]  # rule, group, start, last, score


def _text(value: object) -> str:
    return "" if value is None else str(value).casefold()


def oracle(records: Sequence[Record]) -> set[Episode]:
    unique = {record["log_id"]: record for record in records}
    found: set[Episode] = set()
    if not unique:
        return found
    end = max(record["at"] for record in unique.values()) + LATENESS.seconds
    for spec in SPECS:
        groups: dict[tuple[str, ...], list[Record]] = defaultdict(list)
        for record in unique.values():
            key = tuple(_text(record[name]) for name in spec.by)
            if record["type"] in spec.codes and (all(key) or spec.allow_missing):
                groups[key].append(record)
        for key, members in groups.items():
            found |= {(spec.name, key, *run) for run in _episodes(_instants(spec, members, end), spec)}
    return found


def _instants(spec: Spec, members: list[Record], end: int) -> dict[int, int]:
    """Every instant at which the rule is true, with its score."""
    if not spec.span_s:
        return {record["at"]: 1 for record in members}
    if spec.field:
        members = [record for record in members if all(_text(record[name]) for name in spec.field)]
    times = sorted({record["at"] for record in members})
    if not spec.closes:
        counts = {at: _count(spec, members, at - spec.span_s, at) for at in times}
        return {at: n for at, n in counts.items() if spec.holds(n)}
    instants, after = {}, -1
    while (opener := next((at for at in times if at > after), None)) is not None:
        after = opener + spec.span_s
        n = _count(spec, members, opener, after)
        if after <= end and spec.holds(n):
            instants[after] = n
    return instants


def _count(spec: Spec, members: list[Record], start: int, end: int) -> int:
    inside = [record for record in members if start <= record["at"] <= end]
    names = spec.field or ("log_id",)
    return len({tuple(_text(record[name]) for name in names) for record in inside})


def _episodes(instants: dict[int, int], spec: Spec) -> Iterator[tuple[int, int, int]]:
    run: list[int] = []
    for at in [*sorted(instants), 1 << 40]:
        if run and at - run[-1] > spec.resolve_s:
            if run[-1] - run[0] >= spec.for_s:
                yield run[0], run[-1], max(instants[one] for one in run)
            run = []
        run.append(at)


# The program.


def _encoded(record: Record) -> bytes:
    at_ms = BASE_MS + record["at"] * 1000
    return msgspec.json.encode({**record, "date": iso(at_ms), "tenant_name": "acme"})


def replayed(rules: RuleSet, windows: Windows, batches: list[list[Record]]) -> list[Record]:
    decoder = Decoder(rules.fields)
    run = Replay(rules, windows, lateness=LATENESS)
    changes = []
    for batch in batches:
        events, bad = decoder.decode_lines(b"\n".join(map(_encoded, batch)), first_line=1, now_ms=None)
        assert not bad
        changes += run.feed(events)
    changes += run.finish()
    assert [c.at_ms for c in changes] == sorted(c.at_ms for c in changes)
    final = {alert.id: alert for alert in run.alerts.find(limit=100_000)}
    lines = [as_record(change.alert, title(change.alert)) for change in changes]
    first = {line["id"]: line["status"] for line in reversed(lines)}
    assert set(first.values()) <= {"firing"}  # nothing ends before it began
    opened = {line["id"] for line in lines if line["status"] == "firing"}
    assert opened == final.keys()
    replayed.episodes = {  # type: ignore[attr-defined]
        (
            alert.rule,
            tuple(value.casefold() for value in alert.group.values()),
            (alert.started_ms - BASE_MS) // 1000,
            (alert.last_ms - BASE_MS) // 1000,
            int(alert.score),
        )
        for alert in final.values()
    }
    return lines


def episodes_of(rules: RuleSet, windows: Windows, batches: list[list[Record]]) -> set[Episode]:
    replayed(rules, windows, batches)
    result: set[Episode] = replayed.episodes  # type: ignore[attr-defined]
    return result


RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "at": st.integers(0, 55),
            "type": st.sampled_from(["fp", "fu", "fp", "fu", "limit_mu", "s"]),
            "ip": st.sampled_from(["A", "a", "b", "B", "", None, 7]),
            "user_name": st.sampled_from(["Ann", "ann", "bob", "", None, 7, "7"]),
            "log_id": st.integers(0, 40).map(lambda n: f"id{n}"),
        }
    ),
    max_size=40,
    unique_by=lambda record: record["log_id"],
)
SHUFFLES = st.integers(0, 1 << 30)


def disordered(records: list[Record], seed: int) -> list[list[Record]]:
    """In any order, a third of them twice, cut into batches anywhere."""
    rng = random.Random(seed)
    stream = records + rng.sample(records, len(records) // 3)
    rng.shuffle(stream)
    batches: list[list[Record]] = []
    while stream:
        size = rng.randint(1, 9)
        batches.append(stream[:size])
        stream = stream[size:]
    return batches


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS, seed=SHUFFLES)
def test_replay_in_memory_finds_what_the_oracle_finds(
    rules: RuleSet, records: list[Record], seed: int
) -> None:
    assert episodes_of(rules, MemoryWindows(), disordered(records, seed)) == oracle(records)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS, seed=SHUFFLES)
def test_replay_on_redis_finds_what_the_oracle_finds(
    rules: RuleSet, store: Store, records: list[Record], seed: int
) -> None:
    fresh = Store(store.client, "unix://test", prefix=f"{store.prefix}-{next(FRESH)}")

    assert episodes_of(rules, RedisWindows(fresh), disordered(records, seed)) == oracle(records)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS, one=SHUFFLES, other=SHUFFLES)
def test_the_same_events_give_the_same_lines_in_whatever_order_they_come(
    rules: RuleSet, records: list[Record], one: int, other: int
) -> None:
    lines = replayed(rules, MemoryWindows(), disordered(records, one))

    assert replayed(rules, MemoryWindows(), disordered(records, other)) == lines


def _long_stream(seed: int) -> list[Record]:
    rng = random.Random(seed)
    return [
        {
            "at": rng.randrange(4000),
            "type": rng.choice(["fp", "fu", "limit_mu"]),
            "ip": rng.choice("ABCab"),
            "user_name": rng.choice(["Ann", "ann", "bob", "cy", None]),
            "log_id": f"id{number}",
        }
        for number in range(1500)
    ]


def _late_by_less_than_allowed(records: list[Record], seed: int) -> list[list[Record]]:
    """As a log arrives: each record up to 59 s late, some twice."""
    rng = random.Random(seed)
    arriving = [(record["at"] + rng.randrange(60), n, record) for n, record in enumerate(records)]
    arriving += [(at + rng.randrange(3), -n, record) for at, n, record in rng.sample(arriving, 300)]
    stream = [record for *_, record in sorted(arriving, key=lambda row: row[:2])]
    return [stream[at : at + 37] for at in range(0, len(stream), 37)]


@pytest.mark.parametrize("seed", range(6))
def test_a_long_stream_late_within_what_is_allowed_is_exact_while_state_expires(
    rules: RuleSet, store: Store, seed: int
) -> None:
    records = _long_stream(seed)
    expected = oracle(records)
    batches = _late_by_less_than_allowed(records, seed)

    # A duplicate may come later than allowed, which is best effort; a known event changes nothing.
    assert episodes_of(rules, MemoryWindows(), batches) == expected
    assert episodes_of(rules, RedisWindows(store), batches) == expected
    in_order = sorted(records, key=lambda record: record["at"])
    assert replayed(rules, MemoryWindows(), batches) == replayed(rules, MemoryWindows(), [in_order])


def test_files_in_any_order_are_read_as_one_stream(rules: RuleSet) -> None:
    decoder = Decoder(rules.fields)
    records = sorted(_long_stream(1), key=lambda record: record["at"])
    halves = [records[:700], records[700:]]

    def batches(part: list[Record]) -> Iterator[Batch]:
        for start in range(0, len(part), 50):
            lines = b"\n".join(map(_encoded, part[start : start + 50]))
            yield Batch(decoder.decode_lines(lines, first_line=1, now_ms=None)[0], str(start))

    def ids(order: list[list[Record]]) -> list[tuple[str, str]]:
        run = Replay(rules, MemoryWindows(), lateness=LATENESS)
        changes = [
            c for b, newest in in_step([batches(part) for part in order]) for c in run.feed(b.events, newest)
        ]
        assert run.late == 0
        return [(c.alert.id, c.kind) for c in [*changes, *run.finish()]]

    assert ids(halves) == ids(halves[::-1])


# The tests of the tests: each of these mistakes must be found.


def _skips_known(original: Callable[..., Any]) -> Callable[..., Any]:
    seen: set[tuple[str, str, int, str]] = set()

    def observe(self: MemoryWindows, tenant: str, observations: Any, *, committed_ms: int) -> Any:
        fresh = []
        for spec, groups, _ in observations:
            kept = {
                key: [m for m in members if (spec.state, key, *m) not in seen]
                for key, members in groups.items()
            }
            seen.update((spec.state, key, *m) for key, members in groups.items() for m in members)
            fresh.append(matching.Observations(spec, {key: some for key, some in kept.items() if some}))
        return original(self, tenant, fresh, committed_ms=committed_ms)

    return observe


def _shortens(original: Callable[..., Any]) -> Callable[..., Any]:
    def observe(self: MemoryWindows, tenant: str, observations: Any, *, committed_ms: int) -> Any:
        shorter = [o._replace(spec=o.spec._replace(span_ms=o.spec.span_ms - 1)) for o in observations]
        return original(self, tenant, shorter, committed_ms=committed_ms)

    return observe


def _forgets(original: Callable[..., Any]) -> Callable[..., Any]:
    def observe(self: MemoryWindows, tenant: str, observations: Any, *, committed_ms: int) -> Any:
        newest = max(at for o in observations for members in o.groups.values() for at, _ in members)
        return original(self, tenant, observations, committed_ms=newest)

    return observe


@pytest.mark.parametrize("mistake", [_shortens, _forgets], ids=["an edge of the window", "no lateness"])
def test_the_oracle_notices_a_mistake_in_the_windows(
    rules: RuleSet, monkeypatch: pytest.MonkeyPatch, mistake: Callable[..., Any]
) -> None:
    monkeypatch.setattr(windows_memory.MemoryWindows, "observe", mistake(MemoryWindows.observe))

    assert _disagrees(rules)


def test_the_oracle_notices_a_known_event_that_is_skipped_after_a_crash(
    rules: RuleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    skipping = _skips_known(MemoryWindows.observe)
    records = [{"at": 1, "type": "fp", "ip": "a", "user_name": "ann", "log_id": f"id{n}"} for n in range(3)]
    windows = MemoryWindows()
    decoder = Decoder(rules.fields)
    events = decoder.decode_lines(b"\n".join(map(_encoded, records)), first_line=1, now_ms=None)[0]
    monkeypatch.setattr(windows_memory.MemoryWindows, "observe", skipping)
    Replay(rules, windows, lateness=LATENESS).feed(events)  # and then it dies, before anything was folded

    again = Replay(rules, windows, lateness=LATENESS)
    found = [c.alert.rule for c in [*again.feed(events), *again.finish()]]

    assert "three_per_ip" not in found


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("_ids", lambda groups: {
            k: [(e.time_ms // 2000 * 2000, e.id) for e in g] for k, g in groups.items()
        }),
        ("_ids", lambda groups: {k: [(e.time_ms, str(id(e))) for e in g] for k, g in groups.items()}),
        ("_values", lambda groups, readers: {
            k: [(e.time_ms, repr([r(e) for r in readers])) for e in g]
            for k, g in groups.items()
        }),
        ("_count_missing", None),
    ],
    ids=["coarse time", "duplicates count", "case matters and so does nothing", "the control"],
)  # fmt: skip
def test_the_oracle_notices_a_mistake_in_the_engine(
    rules: RuleSet, monkeypatch: pytest.MonkeyPatch, name: str, mistake: Callable[..., Any] | None
) -> None:
    if mistake is not None:
        monkeypatch.setattr(matching, name, mistake)

    assert _disagrees(rules) == (mistake is not None)


def _disagrees(rules: RuleSet) -> bool:
    for seed in range(4):
        records = _long_stream(seed)
        batches = _late_by_less_than_allowed(records, seed)
        if episodes_of(rules, MemoryWindows(), batches) != oracle(records):
            return True
    return False
