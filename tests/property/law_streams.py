"""What the laws of single correlation types share: random streams, and whole replays of them.

A law gives its rules with a brute force each, which is told all events of a group, each once, and
says at which second the rule is true, and how true. Replays crash and read batches again.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st

from tocsin.clock import iso
from tocsin.grouping import by_tenant
from tocsin.model.compiled import RuleSet
from tocsin.model.event import Event
from tocsin.protocols import Windows
from tocsin.rules.load import load_rules
from tocsin.sources.decode import Decoder
from tocsin.tune.replay import Replay

BASE_MS = 1_700_000_000_000
LATENESS = timedelta(seconds=60)
Record = dict[str, Any]
Truth = tuple[str, tuple[str, ...], int, float]  # rule, group, at (seconds), score
# Of a group's events, and the last second the watermark gets to: at -> score, where it is true.
BruteForce = Callable[[Sequence[Record], int], dict[int, float]]


class Law(NamedTuple):
    """A rule: `correlate` is the flow text of its keys but `type` and `group-by`."""

    name: str
    correlate: str
    truth: BruteForce
    by: tuple[str, ...] = ("ip",)


def text(value: object) -> str:
    """A field's value, as it is compared."""
    return "" if value is None else str(value).casefold()


def rules_of(kind: str, laws: Iterable[Law], selections: str, folder: Path) -> RuleSet:
    """The rules; every trigger instant is an alert of its own."""
    file = folder / f"{kind}.yml"
    file.write_text("---\n".join(_yaml(kind, law, selections) for law in laws))
    return load_rules([file])


def _yaml(kind: str, law: Law, selections: str) -> str:
    by = ", ".join(f"data.{name}" for name in law.by)
    return (
        f"title: {law.name}\nname: {law.name}\nlogsource: {{product: auth0}}\ndetection:\n{selections}"
        f"tocsin:\n    correlate: {{type: {kind}, group-by: [{by}], {law.correlate}}}\n"
        "    alert: {resolve_after: 0s}\n"
    )


def model(laws: Iterable[Law], records: Iterable[Record]) -> set[Truth]:
    """All that is true of these events, by the definitions."""
    unique = list({record["log_id"]: record for record in records}.values())
    end = max((record["at"] for record in unique), default=0) + LATENESS.seconds
    found: set[Truth] = set()
    for law in laws:
        groups: dict[tuple[str, ...], list[Record]] = defaultdict(list)
        for record in unique:
            key = tuple(text(record[name]) for name in law.by)
            if all(key):
                groups[key].append(record)
        for key, members in groups.items():
            found |= {(law.name, key, at, score) for at, score in law.truth(members, end).items()}
    return found


def inside(records: Iterable[Record], from_s: int, to_s: int) -> list[Record]:
    """Those of a window, closed at both ends."""
    return [record for record in records if from_s <= record["at"] <= to_s]


def told(
    rules: RuleSet, windows: Windows, batches: Sequence[Sequence[Record]], crashes: int = 0
) -> set[Truth]:
    """What a replay tells of these batches, some of which it reads again after a crash."""
    decoder, rng = Decoder(rules.fields), random.Random(crashes)
    run = Replay(rules, windows, lateness=LATENESS)
    for batch in batches:
        lines = b"\n".join(map(_encoded, batch))
        events, bad = decoder.decode_lines(lines, first_line=1, now_ms=None)
        assert not bad
        if rng.random() < 0.3:
            _crash(run, events)
        run.feed(events)
    run.finish()
    return {
        (
            alert.rule,
            tuple(value.casefold() for value in alert.group.values()),
            (alert.started_ms - BASE_MS) // 1000,
            alert.score,
        )
        for alert in run.alerts.find(limit=1_000_000)
    }


def _crash(run: Replay, events: Sequence[Event]) -> None:
    """The windows see the batch and the watermark after it; then the process dies, before it commits."""
    committed_ms = run._watermark_ms
    newest_ms = max([run._newest_ms, *[event.time_ms for event in events]])
    for tenant, some in by_tenant(events).items():
        run._engine.process(tenant, some, committed_ms=committed_ms)
        watermark_ms = newest_ms - LATENESS // timedelta(milliseconds=1)
        run._engine.due(tenant, watermark_ms=watermark_ms, committed_ms=committed_ms)


def _encoded(record: Record) -> bytes:
    at_ms = BASE_MS + record["at"] * 1000
    return msgspec.json.encode({**record, "date": iso(at_ms), "tenant_name": "acme"})


RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "at": st.integers(0, 50),
            "type": st.sampled_from(["fp", "fp", "fu", "s", "s", "limit_wc", "ss"]),
            "ip": st.sampled_from(["A", "a", "a", "b", "", None, 7]),
            "user_name": st.sampled_from(["Ann", "ann", "bob", "cy", "", None, 7, "7"]),
            "client_name": st.sampled_from(["web", "WEB", "app", None]),
            "log_id": st.integers(0, 60).map(lambda n: f"id{n}"),
        }
    ),
    max_size=50,
    unique_by=lambda record: record["log_id"],
)
SEEDS = st.integers(0, 1 << 30)


def disordered(records: Sequence[Record], seed: int) -> list[list[Record]]:
    """In any order, a third of them twice, cut into batches anywhere."""
    rng = random.Random(seed)
    stream = [*records, *rng.sample(records, len(records) // 3)]
    rng.shuffle(stream)
    batches: list[list[Record]] = []
    while stream:
        size = rng.randint(1, 9)
        batches.append(stream[:size])
        stream = stream[size:]
    return batches


def long_stream(seed: int, size: int = 1200) -> list[Record]:
    """Many records over an hour, with bursts."""
    rng = random.Random(seed)
    bursts = [rng.randrange(3600) for _ in range(40)]
    return [
        {
            "at": rng.randrange(3600) if number % 3 else rng.choice(bursts) + rng.randrange(12),
            "type": rng.choice(["fp", "fp", "fu", "s", "limit_wc", "ss"]),
            "ip": rng.choice(["A", "a", "B", "c", 7]),
            "user_name": rng.choice(["Ann", "ann", "bob", "cy", "dee", "7", 7, None]),
            "client_name": rng.choice(["web", "WEB", "app"]),
            "log_id": f"id{number}",
        }
        for number in range(size)
    ]


def as_it_arrives(records: Sequence[Record], seed: int) -> list[list[Record]]:
    """As a log arrives: each record up to 59 s late, some twice."""
    rng = random.Random(seed)
    arriving = [(record["at"] + rng.randrange(60), n, record) for n, record in enumerate(records)]
    arriving += [(at, -n, record) for at, n, record in rng.sample(arriving, len(records) // 4)]
    stream = [record for *_, record in sorted(arriving, key=lambda row: row[:2])]
    return [stream[at : at + 37] for at in range(0, len(stream), 37)]
