"""`geo_velocity` against its definition: whole replays of random journeys, on memory and on a server."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a failure names its seed
from typing import Any

import msgspec
import pytest

from tocsin.engine import Engine
from tocsin.model.compiled import RuleSet
from tocsin.model.event import Event
from tocsin.protocols import Windows
from tocsin.rules.correlations import geo_velocity
from tocsin.rules.load import load_rules
from tocsin.sources.decode import Decoder
from tocsin.state.connection import Store
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows

HOUR_MS = 3_600_000
LATENESS_MS = 60_000
START_MS = 1_767_225_600_000
SPAN_MS = 6 * HOUR_MS
CITIES = {
    "berlin": (52.52, 13.40),
    "potsdam": (52.40, 13.06),
    "madrid": (40.42, -3.70),
    "sydney": (-33.87, 151.21),
}
RULE = """
title: Impossible travel
name: travel
logsource: {product: auth0}
detection: {login: {data.type: s}, condition: login}
tocsin:
    correlate:
        type: geo_velocity
        group-by: [data.user_name]
        timespan: 6h
        lat: data.location_info.latitude
        lon: data.location_info.longitude
        ip: data.ip
        ignore: {cidrs: [192.0.2.0/24]}
        condition: {kmh: 900, min_km: 100}
"""


@pytest.fixture
def rules(tmp_path: Path) -> RuleSet:
    path = tmp_path / "travel.yml"
    path.write_text(RULE)
    return load_rules([path])


def _journey(rng: Random) -> list[dict[str, Any]]:
    records = []
    for number in range(rng.randint(1, 25)):
        at_ms = START_MS + rng.randrange(0, 12 * HOUR_MS, 10 * 60_000) + rng.choice([0, 0, 1, 500])
        city = rng.choice([*CITIES, "nowhere"])
        place: dict[str, object] = {}
        if city != "nowhere":
            place = {"latitude": CITIES[city][0], "longitude": CITIES[city][1]}
            if rng.random() < 0.3:
                place = {key: str(value) for key, value in place.items()}
        records.append({
            "log_id": f"e{number}", "type": rng.choice(["s", "s", "s", "fp"]), "tenant_name": "acme",
            "date": at_ms, "user_name": rng.choice(["Ann@x", "ann@X", "bob@x", ""]),
            "ip": rng.choice(["203.0.113.9", "192.0.2.1"]), "location_info": place,
        })  # fmt: skip
    return records


def _events(rules: RuleSet, records: list[dict[str, Any]]) -> list[Event]:
    lines = b"\n".join(msgspec.json.encode({**record, "date": _iso(record["date"])}) for record in records)
    events, bad = Decoder(rules.fields).decode_lines(lines, first_line=1, now_ms=None)
    assert not bad
    return events


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _expected(records: list[dict[str, Any]]) -> dict[tuple[str, int], float]:
    """By definition: each instant against the one before it."""
    seen: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for record in records:
        if record["type"] != "s" or not record["user_name"] or record["ip"].startswith("192.0.2."):
            continue
        if record["location_info"]:
            where = (float(record["location_info"]["latitude"]), float(record["location_info"]["longitude"]))
            seen.setdefault(record["user_name"].casefold(), {}).setdefault(record["date"], []).append(where)
    found = {}
    for user, instants in seen.items():
        times = sorted(instants)
        for place, at in enumerate(times):
            pairs = [(a, b, 1_000) for a in instants[at] for b in instants[at]]
            if place and at - times[place - 1] <= SPAN_MS:
                between = max(1_000, at - times[place - 1])
                pairs += [(a, b, between) for a in instants[times[place - 1]] for b in instants[at]]
            speed = max(_km(a, b) / ms * HOUR_MS if _km(a, b) >= 100 else 0.0 for a, b, ms in pairs)
            if speed >= 900:
                found[user, at] = speed
    return found


def _km(one: tuple[float, float], other: tuple[float, float]) -> float:
    """The chord through the earth, as an angle: another formula than the one under test."""
    (lat_1, lon_1), (lat_2, lon_2) = ((math.radians(a), math.radians(b)) for a, b in (one, other))
    first = (math.cos(lat_1) * math.cos(lon_1), math.cos(lat_1) * math.sin(lon_1), math.sin(lat_1))
    second = (math.cos(lat_2) * math.cos(lon_2), math.cos(lat_2) * math.sin(lon_2), math.sin(lat_2))
    return 6_371.0088 * 2 * math.asin(min(1.0, math.dist(first, second) / 2))


def _told(
    rules: RuleSet, windows: Windows, records: list[dict[str, Any]], rng: Random
) -> dict[tuple[str, int], float]:
    """What a detect loop finds: late up to the lateness, some twice, in batches, some batches read again."""
    engine = Engine(rules, windows, MemoryEvidence())
    arriving = sorted(records, key=lambda record: record["date"] + rng.randrange(0, LATENESS_MS))
    arriving += [record for record in arriving[-3:] if rng.random() < 0.3]
    events = _events(rules, arriving)
    found: dict[tuple[str, int], float] = {}
    committed = newest = START_MS - 10 * HOUR_MS
    while events:
        size = rng.randint(1, 8)
        batch, events = events[:size], events[size:]
        newest = max(newest, *(event.time_ms for event in batch))
        for _ in range(rng.choice([1, 1, 2])):
            triggers = engine.process("acme", batch, committed_ms=committed)
            triggers += engine.due("acme", watermark_ms=newest - LATENESS_MS, committed_ms=committed)
        for trigger in triggers:
            found.update({(trigger.group, at): score for at, score in trigger.instants})
        committed = newest - LATENESS_MS
    for trigger in engine.due("acme", watermark_ms=newest + 1, committed_ms=committed):
        found.update({(trigger.group, at): score for at, score in trigger.instants})
    return found


def _check(rules: RuleSet, windows: Callable[[], Windows], seeds: range) -> None:
    for seed in seeds:
        rng = Random(seed)
        records = _journey(rng)
        expected, told = _expected(records), _told(rules, windows(), records, rng)
        assert told.keys() == expected.keys(), f"seed {seed}"
        for key, speed in expected.items():
            assert told[key] == pytest.approx(speed, rel=0.05), f"seed {seed}"


def test_what_is_told_is_what_the_definition_says(rules: RuleSet) -> None:
    _check(rules, MemoryWindows, range(300))


def test_a_server_tells_the_same(rules: RuleSet, store: Store) -> None:
    def erased() -> Windows:
        store.erase()
        return RedisWindows(store)

    _check(rules, erased, range(40))


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("distance_km", lambda one, other: 60 * math.hypot(one[0] - other[0], one[1] - other[1])),
        ("packed", lambda _place: 0),
        ("_is_ignored", lambda _text, _networks: False),
    ],
    ids=["flat earth", "one place", "ignores nothing"],
)
def test_the_law_notices_a_mistake(
    rules: RuleSet, monkeypatch: pytest.MonkeyPatch, name: str, mistake: Callable[..., Any]
) -> None:
    monkeypatch.setattr(geo_velocity, name, mistake)

    with pytest.raises(AssertionError):
        _check(rules, MemoryWindows, range(300))


def test_the_law_notices_that_places_are_forgotten(rules: RuleSet, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgets(self: Any, committed_ms: int) -> None:
        self._members.drop(self._members.first_at(committed_ms))

    monkeypatch.setattr(geo_velocity._Places, "_let_go", forgets)

    with pytest.raises(AssertionError):
        _check(rules, MemoryWindows, range(300))
