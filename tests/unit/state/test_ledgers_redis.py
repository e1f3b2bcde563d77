"""Ledgers on a server: where they are kept, what is left of them, and a write that is cut off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from redis.connection import AbstractConnection

from tocsin.errors import StoreUnavailable
from tocsin.model.compiled import WindowSpec
from tocsin.model.ledger import Scored, Seen
from tocsin.model.observed import Observations
from tocsin.rules.correlations.closing import ClosingLaw, closing
from tocsin.rules.correlations.quiet import QuietLaw, quiet
from tocsin.state import ledgers_redis
from tocsin.state.connection import Store
from tocsin.state.window_keys import BACKSTOP_MS
from tocsin.state.windows_redis import RedisWindows

SPAN = 60_000
NOON = 1_700_000_000_000
LONG_AGO = -(10**12)
LARGE = 60  # members of 24 bytes: more than a field takes


def _size(values: Sequence[int]) -> float:
    return float(len(values))


SPEC = WindowSpec("s", SPAN, "members", closes=True, ledger=closing(ClosingLaw(SPAN, _size)))


def see(
    windows: RedisWindows, first: int, after: int, *, group: str = "g", committed: int = LONG_AGO
) -> None:
    batch = [Seen(NOON + n, n) for n in range(first, after)]
    windows.observe("t", [Observations(SPEC, {}, {group: batch})], committed_ms=committed)


def closed(windows: RedisWindows, *, committed: int = LONG_AGO) -> dict[str, list[Scored]]:
    counted = windows.due("t", [SPEC], watermark_ms=NOON + 10 * SPAN, committed_ms=committed)
    return {one.group: one.windows for one in counted}


def keys(store: Store) -> dict[bytes, int]:
    """The keys of windows, by their kind: how many."""
    found: dict[bytes, int] = {}
    for key in store.client.scan_iter(match=store.pattern("*")):
        kind = key.removeprefix(store.key("")).split(b":")[0]
        found[kind] = found.get(kind, 0) + 1
    found.pop(b"schema")
    return found


def test_a_ledger_moves_out_when_it_is_large_and_back_when_it_is_small(store: Store) -> None:
    windows = RedisWindows(store)
    see(windows, 0, 2)
    assert keys(store) == {b"g": 1, b"due": 1}

    see(windows, 2, LARGE)
    assert keys(store) == {b"g": 1, b"due": 1, b"w": 1}
    see(windows, LARGE, LARGE + 3)  # grows at its end
    see(windows, 1, 4)  # changes nothing
    assert closed(RedisWindows(store)) == {"g": [(NOON + SPAN, LARGE + 3.0)]}

    see(windows, 2 * SPAN, 2 * SPAN + 1)
    assert closed(windows, committed=NOON + SPAN + 1) == {"g": [(NOON + 3 * SPAN, 1.0)]}
    assert keys(store) == {b"g": 1, b"due": 1}
    assert closed(RedisWindows(store)) == {"g": [(NOON + 3 * SPAN, 1.0)]}


def test_a_large_ledger_whose_key_is_gone_begins_anew(store: Store) -> None:
    windows = RedisWindows(store)
    see(windows, 0, LARGE)
    for key in store.client.scan_iter(match=store.pattern("w", "*")):
        store.client.delete(key)

    see(windows, 0, 2)

    assert closed(windows) == {"g": [(NOON + SPAN, 2.0)]}


def test_nothing_is_left_of_ledgers_that_are_over(store: Store) -> None:
    windows = RedisWindows(store)
    see(windows, 0, 2, group="small")
    see(windows, 0, LARGE, group="large")

    over = NOON + 3 * SPAN
    assert closed(windows, committed=over) == {}
    assert windows.sweep("t", [SPEC], committed_ms=over) == 0

    assert keys(store) == {}


def test_nothing_is_left_of_ledgers_that_were_too_many(store: Store) -> None:
    windows, none = RedisWindows(store), SPEC._replace(max_groups=0)
    for n in range(3):
        see(windows, n, n + LARGE, group=f"g{n}")

    assert windows.sweep("t", [none], committed_ms=NOON) == 3
    assert closed(windows) == {}  # what was to come of them is looked for, and not there

    assert keys(store) == {}


def test_every_key_of_ledgers_expires_by_itself_if_nobody_sweeps(store: Store) -> None:
    windows = RedisWindows(store)
    see(windows, 0, 2, group="small")
    see(windows, 0, LARGE, group="large")
    see(windows, LARGE, 2 * LARGE, group="large")

    found = [key for key in store.client.scan_iter(match=store.pattern("*")) if key != store.key("schema")]

    assert len(found) == 3
    assert all(BACKSTOP_MS < store.client.pttl(key) <= BACKSTOP_MS + SPAN for key in found)


def test_many_groups_are_shown_a_portion_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers_redis, "_PORTION", 3)
    windows = RedisWindows(store)
    batch = {f"g{n}": [Seen(NOON, n), Seen(NOON + 1, n)] for n in range(10)}

    windows.observe("t", [Observations(SPEC, {}, batch)], committed_ms=LONG_AGO)

    assert closed(windows) == {group: [(NOON + SPAN, 2.0)] for group in batch}


def test_groups_that_are_expected_cost_nothing_while_nothing_is_due(store: Store) -> None:
    windows, law = RedisWindows(store), QuietLaw(SPAN, SPAN, 3 * SPAN, begins=True)
    spec = SPEC._replace(ledger=quiet(law), expected=("a", "b"))

    assert windows.due("t", [spec], watermark_ms=NOON, committed_ms=LONG_AGO) == []
    store.client.config_resetstat()
    for n in range(9):
        assert windows.due("t", [spec], watermark_ms=NOON + n, committed_ms=NOON) == []
    commands: Any = store.client.info("commandstats")

    assert "cmdstat_hmget" not in commands
    assert len(windows.due("t", [spec], watermark_ms=NOON + SPAN + 1, committed_ms=NOON)) == 2
    assert len(RedisWindows(store).due("t", [spec], watermark_ms=NOON + SPAN + 1, committed_ms=NOON)) == 2


def test_a_server_that_takes_no_writes_now_is_away_and_no_event_is_to_blame(store: Store) -> None:
    store.client.config_set("min-replicas-to-write", 1)
    try:
        with pytest.raises(StoreUnavailable, match="NOREPLICAS"):
            see(RedisWindows(store), 0, 2)
    finally:
        store.client.config_set("min-replicas-to-write", 0)


@contextmanager
def cut_off(parts: int, of: int) -> Iterator[None]:
    """The connection breaks when so many parts of what is written to ledgers have been sent."""
    send = AbstractConnection.send_packed_command

    def broken(self: Any, command: Any, check_health: bool = True) -> None:
        sent = b"".join([command] if isinstance(command, bytes) else command)
        if b"HSET" not in sent and b"UNLINK" not in sent:
            send(self, command, check_health)
            return
        send(self, [sent[: len(sent) * parts // of]], check_health)
        self.disconnect()
        raise redis.ConnectionError("cut off")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AbstractConnection, "send_packed_command", broken)
        yield


@pytest.mark.parametrize("parts", range(17))
@pytest.mark.parametrize("members", [2, LARGE])
def test_a_write_that_was_cut_off_is_done_when_the_batch_is_read_again(
    store: Store, members: int, parts: int
) -> None:
    with cut_off(parts, 16), pytest.raises(StoreUnavailable):
        see(RedisWindows(store), 0, members)

    again = RedisWindows(store)
    see(again, 0, members)

    assert closed(again) == {"g": [(NOON + SPAN, float(members))]}


@pytest.mark.parametrize("parts", range(17))
def test_a_ledger_that_was_moving_back_when_a_write_was_cut_off_is_not_lost(store: Store, parts: int) -> None:
    see(RedisWindows(store), 0, LARGE)
    see(RedisWindows(store), 2 * SPAN, 2 * SPAN + 1)

    with cut_off(parts, 16), pytest.raises(StoreUnavailable):
        closed(RedisWindows(store), committed=NOON + SPAN + 1)

    assert closed(RedisWindows(store), committed=NOON + SPAN + 1) == {"g": [(NOON + 3 * SPAN, 1.0)]}
