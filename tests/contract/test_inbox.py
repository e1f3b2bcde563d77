"""The inbox from both sides, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tocsin.clock import to_ms
from tocsin.errors import StoreUnavailable
from tocsin.state.connection import Store, open_store
from tocsin.state.embedded import EmbeddedServer
from tocsin.state.inbox import RedisInbox

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def inbox(store: Store) -> RedisInbox:
    return RedisInbox(store)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "v", maxmemory="8mb") as server:
        yield server


def fill(inbox: RedisInbox, *, every: timedelta) -> tuple[list[str], datetime]:
    """Append until it refuses: the positions taken, and the time then."""
    positions: list[str] = []
    now = NOON
    while len(positions) < 200:
        try:
            positions.append(inbox.append("s", b"x" * 100_000, now))
        except StoreUnavailable:
            break
        now += every
    return positions, now


def bodies(inbox: RedisInbox, source: str = "s", after: str | None = None, count: int = 100) -> list[bytes]:
    return [body for _, body, _ in inbox.read(source, after, block_ms=1, count=count)]


def test_bodies_come_out_as_they_went_in(inbox: RedisInbox) -> None:
    first = inbox.append("s", b'[{"type":"f"}]\n\xff', NOON)
    second = inbox.append("s", b"", NOON + SECOND)

    assert inbox.read("s", None, block_ms=1, count=10) == [
        (first, b'[{"type":"f"}]\n\xff', to_ms(NOON)),
        (second, b"", to_ms(NOON + SECOND)),
    ]


def test_reading_goes_on_after_a_position_and_stops_at_the_count(inbox: RedisInbox) -> None:
    positions = [inbox.append("s", str(n).encode(), NOON) for n in range(5)]

    assert bodies(inbox, after=positions[1], count=2) == [b"2", b"3"]
    assert bodies(inbox, after=positions[4]) == []


def test_sources_do_not_meet(inbox: RedisInbox) -> None:
    inbox.append("one", b"1", NOON)

    assert bodies(inbox, "two") == []


def test_trimming_deletes_what_is_committed_and_nothing_more(inbox: RedisInbox) -> None:
    positions = [inbox.append("s", str(n).encode(), NOON) for n in range(300)]

    inbox.trim("s", positions[200])

    assert bodies(inbox, count=1_000) == [str(n).encode() for n in range(201, 300)]
    assert bodies(inbox, after=positions[200], count=1_000) == [str(n).encode() for n in range(201, 300)]


def test_trimming_an_empty_inbox_is_fine(inbox: RedisInbox) -> None:
    inbox.trim("s", "0-0")

    assert bodies(inbox) == []


def test_a_server_that_is_gone_takes_nothing(small: EmbeddedServer) -> None:
    store = open_store(small.url)
    inbox = RedisInbox(store)
    inbox.append("s", b"1", NOON)
    small.stop()

    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        inbox.append("s", b"2", NOON)
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        inbox.read("s", None, block_ms=1, count=1)
    store.close()


def test_what_was_taken_is_there_when_the_server_comes_back(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "v").start()
    store = open_store(server.url)
    inbox = RedisInbox(store)
    inbox.append("s", b"1", NOON)
    server.stop()
    server.start()

    inbox.append("s", b"2", NOON)

    assert bodies(inbox) == [b"1", b"2"]
    store.close()
    server.stop()


def test_a_nearly_full_server_takes_nothing_until_there_is_room(small: EmbeddedServer) -> None:
    store = open_store(small.url)
    inbox = RedisInbox(store)
    taken, now = fill(inbox, every=SECOND)
    assert 10 < len(taken) < 80
    with pytest.raises(StoreUnavailable, match=r"nearly full .* of 8,388,608 bytes"):
        inbox.append("s", b"at once", now)

    inbox.trim("s", taken[-1])

    with pytest.raises(StoreUnavailable, match="nearly full"):
        inbox.append("s", b"within the second", now)
    inbox.append("s", b"a second later", now + SECOND)
    assert bodies(inbox) == [b"a second later"]
    store.close()


def test_a_full_server_takes_nothing(small: EmbeddedServer) -> None:
    store = open_store(small.url)
    inbox = RedisInbox(store)

    taken, _ = fill(inbox, every=timedelta(0))  # all at one time: nobody looks how full it is

    assert 10 < len(taken) < 80
    assert len(bodies(inbox, count=1_000)) == len(taken)
    store.close()
