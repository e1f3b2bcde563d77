from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tocsin.protocols import Quarantined
from tocsin.state.quarantine import KEPT, MAX_RAW, MemoryQuarantine, RedisQuarantine

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["memory", "redis"])
def quarantine(request: pytest.FixtureRequest) -> MemoryQuarantine | RedisQuarantine:
    if request.param == "memory":
        return MemoryQuarantine()
    return RedisQuarantine(request.getfixturevalue("store"))


def test_records_come_back_newest_first(quarantine: MemoryQuarantine) -> None:
    first, second = Quarantined("not JSON", b"{\xff", 1), Quarantined("no date", b"{}", 2)
    third = Quarantined("too deep", b"[[", 7)
    quarantine.put("a", [first, second], NOON)
    quarantine.put("b", [third], NOON + timedelta(seconds=1))

    assert quarantine.find() == [
        ("b", NOON + timedelta(seconds=1), third),
        ("a", NOON, second),
        ("a", NOON, first),
    ]
    assert quarantine.find(limit=1) == quarantine.find()[:1]
    assert quarantine.find(limit=0) == []


def test_the_oldest_go_and_all_are_counted(quarantine: MemoryQuarantine) -> None:
    for start in range(0, 2 * KEPT, 300):
        quarantine.put("a", [Quarantined("bad", b"", start + n) for n in range(300)], NOON)

    found = [record.line for _, _, record in quarantine.find(limit=5_000)]

    assert found == list(range(2_099, 2_099 - KEPT, -1))
    assert quarantine.total() == 2_100


def test_a_batch_larger_than_the_quarantine_is_counted_whole(quarantine: MemoryQuarantine) -> None:
    quarantine.put("a", [Quarantined("bad", b"", n) for n in range(KEPT + 5)], NOON)

    assert quarantine.find(limit=1)[0][2].line == KEPT + 4
    assert len(quarantine.find(limit=5_000)) == KEPT
    assert quarantine.total() == KEPT + 5


def test_a_huge_record_is_cut(quarantine: MemoryQuarantine) -> None:
    quarantine.put("a", [Quarantined("too long", b"x" * 5_000_000, 1)], NOON)

    assert quarantine.find()[0][2].raw == b"x" * MAX_RAW


def test_a_reason_with_half_a_character_is_kept(quarantine: MemoryQuarantine) -> None:
    quarantine.put("a", [Quarantined("bad value '\ud800'", b"", 1)], NOON)

    assert quarantine.find()[0][2].reason == "bad value '?'"


def test_nothing_is_nothing(quarantine: MemoryQuarantine) -> None:
    quarantine.put("a", [], NOON)

    assert quarantine.find() == []
    assert quarantine.total() == 0
