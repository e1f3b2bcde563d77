"""What an evidence store remembers of a group, on memory and on a real server."""

from __future__ import annotations

import pytest

from tocsin.model.alert import Sightings, Triggers
from tocsin.model.event import Event
from tocsin.model.observed import Sighted
from tocsin.model.rule import Rule
from tocsin.protocols import EvidenceStore
from tocsin.state.connection import Store
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.evidence_redis import RedisEvidence

MINUTE = 60_000
SPAN = 10 * MINUTE
NOON = 1_700_000_000_000
RULE = Rule(name="brute", id="1", title="t", severity="high", timespan_ms=SPAN)
READERS = (lambda event: event.fields.get("user"), lambda event: event.fields.get("ip"))


@pytest.fixture(params=["memory", "redis"])
def evidence(request: pytest.FixtureRequest) -> EvidenceStore:
    if request.param == "memory":
        return MemoryEvidence()
    return RedisEvidence(request.getfixturevalue("store"))


def event(n: int, user: object = "u") -> Event:
    return Event(id=f"log{n}", time_ms=NOON + n, parsed={"user": user, "ip": "192.0.2.1"})


def remember(
    evidence: EvidenceStore, *events: Event, group: str = "g", tenant: str = "t", committed: int = NOON
) -> None:
    seen = [Sighted("state", SPAN, READERS, {group: list(events)})]
    newest = max(event.time_ms for event in events)
    evidence.remember(tenant, seen, newest_ms=newest, committed_ms=committed)


def recall(
    evidence: EvidenceStore, since: int, until: int, *, group: str = "g", tenant: str = "t"
) -> Sightings:
    trigger = Triggers(RULE, tenant, group, [], [], READERS, "state")
    return evidence.recall(trigger, NOON + since, NOON + until)


def test_sightings_come_back_by_time_each_once(evidence: EvidenceStore) -> None:
    remember(evidence, event(3), event(1))
    remember(evidence, event(2, None), event(1))

    found = recall(evidence, 0, SPAN)

    assert found.ids == ["log1", "log2", "log3"]
    assert found.times_ms == [NOON + 1, NOON + 2, NOON + 3]
    assert found.columns == [["u", None, "u"], ["192.0.2.1"] * 3]


def test_a_batch_older_than_any_window_is_taken(evidence: EvidenceStore) -> None:
    remember(evidence, event(1), event(2), committed=NOON + 10 * SPAN)
    remember(evidence, event(11 * SPAN), event(11 * SPAN + 1), committed=NOON + 10 * SPAN)

    assert recall(evidence, 11 * SPAN, 12 * SPAN).ids == [f"log{11 * SPAN}", f"log{11 * SPAN + 1}"]


def test_only_what_is_inside_comes_back_both_ends_included(evidence: EvidenceStore) -> None:
    remember(evidence, *[event(n * MINUTE) for n in range(20)])

    assert recall(evidence, 5 * MINUTE, 15 * MINUTE).ids == [f"log{n * MINUTE}" for n in range(5, 16)]


def test_a_part_of_a_window_comes_back_to_a_trigger_that_came_without_events(
    evidence: EvidenceStore,
) -> None:
    remember(evidence, *[event(n * MINUTE) for n in range(20)])

    assert recall(evidence, 5 * MINUTE, 7 * MINUTE).ids == [f"log{n * MINUTE}" for n in range(5, 8)]


@pytest.mark.parametrize("other", [{"group": "h"}, {"tenant": "other"}])
def test_groups_and_tenants_do_not_meet(evidence: EvidenceStore, other: dict[str, str]) -> None:
    remember(evidence, event(1))

    assert recall(evidence, 0, SPAN, **other).ids == []


def test_where_a_flood_pushed_out_what_is_asked_for_what_came_after_stands_for_it(store: Store) -> None:
    evidence = RedisEvidence(store)
    for second in range(60):
        remember(evidence, *[event(second * 1000 + n, f"u{n}") for n in range(10)])

    found = recall(evidence, -SPAN, 1000)

    assert len(found.ids) > 20
    assert min(found.times_ms) > NOON + 1000
    assert recall(evidence, -SPAN, 59_005).times_ms[-1] == NOON + 59_005


def test_where_nothing_was_pushed_out_what_came_after_is_none_of_it(evidence: EvidenceStore) -> None:
    remember(evidence, event(2 * SPAN), event(2 * SPAN + 1))

    assert recall(evidence, 0, SPAN).ids == []


def test_what_nothing_needs_any_more_goes(evidence: EvidenceStore) -> None:
    for n in range(200):
        at = n * MINUTE
        remember(evidence, event(at, "x" * 100), committed=NOON + at)

    found = recall(evidence, 0, 200 * MINUTE)

    assert found.ids[-1] == f"log{199 * MINUTE}"
    assert len(found.ids) < 60


def test_four_kilobytes_hold_fifty_events_of_a_usual_group(store: Store) -> None:
    evidence = RedisEvidence(store)
    ids = [f"900202611211259140000000000000000000000000{n:014d}" for n in range(60)]
    for n, name in enumerate(ids):
        found = Event(id=name, time_ms=NOON + n, parsed={"user": f"user{n}@example.com", "ip": "192.0.2.1"})
        remember(evidence, found)

    assert recall(evidence, 0, SPAN).ids == ids[-50:]


@pytest.mark.parametrize("name", ["7", "0123", "~~", "~abcde", "=", "log-1", "²", "é" * 60, "9" * 400])
def test_an_id_of_any_form_comes_back_as_it_was(evidence: EvidenceStore, name: str) -> None:
    remember(evidence, Event(id=name, time_ms=NOON, parsed={"user": "u", "ip": "192.0.2.1"}))

    assert recall(evidence, 0, SPAN).ids == [name]


def test_a_logs_length_is_bounded_on_a_server(store: Store) -> None:
    evidence = RedisEvidence(store)
    for n in range(50):
        remember(evidence, *[event(100 * n + m, "x" * 5_000) for m in range(100)])

    [key] = [key for key in store.client.scan_iter(match=store.pattern("*")) if not key.endswith(b":schema")]

    assert store.client.strlen(key) <= 4_096
    assert store.client.pttl(key) > 0
    found = recall(evidence, 0, SPAN)
    assert found.ids[-1] == "log4999"
    assert found.columns[0][-1] == "x" * 128
