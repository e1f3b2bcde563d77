from __future__ import annotations

from datetime import timedelta
from itertools import islice, takewhile

import pytest

from tocsin.errors import SourceUnavailable, StoreUnavailable
from tocsin.model.event import Event
from tocsin.protocols import Quarantined
from tocsin.sources.stream import ENOUGH, MOST_BODIES, StreamSource

MINUTE = timedelta(minutes=1)


class FakeInbox:
    """An inbox in memory; a body `3` is three events."""

    def __init__(self, sizes: list[int]) -> None:
        self.entries = [(f"{n}-0", str(size).encode(), n) for n, size in enumerate(sizes, 1)]
        self.asked: list[tuple[str | None, int, int]] = []
        self.trimmed: list[tuple[str, str]] = []
        self.gone = False

    def read(
        self, source: str, after: str | None, *, block_ms: int, count: int
    ) -> list[tuple[str, bytes, int]]:
        if self.gone:
            raise StoreUnavailable("gone")
        self.asked.append((after, block_ms, count))
        start = int((after or "0-0").partition("-")[0])
        return self.entries[start : start + count]

    def trim(self, source: str, upto: str) -> None:
        if self.gone:
            raise StoreUnavailable("gone")
        self.trimmed.append((source, upto))


class Decoder:
    """Makes as many events as the body says; a body `bad` is one bad record."""

    def decode_body(self, body: bytes, *, now_ms: int | None) -> tuple[list[Event], list[Quarantined]]:
        if body == b"bad":
            return [], [Quarantined("bad", body, 1)]
        return [Event(id=f"{now_ms}.{n}", time_ms=now_ms or 0) for n in range(int(body))], []


def stream(inbox: FakeInbox) -> StreamSource:
    return StreamSource(inbox, "tenant", Decoder(), MINUTE)


def test_a_batch_ends_at_a_body_and_is_about_the_size_wanted() -> None:
    inbox = FakeInbox([120] * 40)

    batches = list(takewhile(lambda batch: batch.events, stream(inbox).read(None)))

    assert [len(batch.events) % 120 for batch in batches] == [0] * len(batches)
    assert sum(len(batch.events) for batch in batches) == 40 * 120
    assert all(len(batch.events) < ENOUGH + 120 for batch in batches)
    assert len(batches) <= 8


def test_the_position_of_a_batch_is_its_last_body() -> None:
    first, second = islice(stream(FakeInbox([ENOUGH, 1, 1])).read(None), 2)

    assert (len(first.events), first.position) == (ENOUGH, "1-0")
    assert (len(second.events), second.position) == (2, "3-0")


def test_reading_resumes_after_a_position() -> None:
    [batch] = islice(stream(FakeInbox([1, 2, 3])).read("2-0"), 1)

    assert len(batch.events) == 3


def test_a_body_larger_than_a_batch_is_not_split() -> None:
    [batch] = islice(stream(FakeInbox([10_000])).read(None), 1)

    assert len(batch.events) == 10_000


@pytest.mark.parametrize("after", [None, "3-0"])
def test_an_idle_inbox_yields_empty_batches_at_the_same_position(after: str | None) -> None:
    inbox = FakeInbox([])

    batches = list(islice(stream(inbox).read(after), 3))

    assert [(batch.events, batch.position) for batch in batches] == [([], after or "0-0")] * 3
    assert [block_ms for _, block_ms, _ in inbox.asked] == [1_000] * 3


@pytest.mark.parametrize(("size", "then"), [(1, MOST_BODIES), (10, 75), (1_000, 1)])
def test_how_many_bodies_are_asked_for_follows_their_size(size: int, then: int) -> None:
    inbox = FakeInbox([size] * 100)
    source = stream(inbox).read(None)
    while len(inbox.asked) < 2:
        next(source)

    assert inbox.asked[1][2] == then


def test_bad_records_come_with_their_batch() -> None:
    inbox = FakeInbox([2])
    inbox.entries.append(("2-0", b"bad", 2))

    [batch] = islice(stream(inbox).read(None), 1)

    assert len(batch.events) == 2
    assert list(batch.quarantined) == [Quarantined("bad", b"bad", 1)]
    assert batch.position == "2-0"


def test_a_body_is_as_old_as_it_was_received() -> None:
    inbox = FakeInbox([])
    inbox.entries = [("1-0", b"1", 1_700_000_000_000)]

    [batch] = islice(stream(inbox).read(None), 1)

    assert batch.events[0].time_ms == 1_700_000_000_000


def test_a_store_that_is_gone_is_a_source_that_is() -> None:
    inbox = FakeInbox([1])
    inbox.gone = True
    source = stream(inbox)

    with pytest.raises(SourceUnavailable, match="gone"):
        next(source.read(None))
    with pytest.raises(SourceUnavailable, match="gone"):
        source.trim("1-0")


def test_trimming_is_for_its_own_inbox() -> None:
    inbox = FakeInbox([1])

    stream(inbox).trim("1-0")

    assert inbox.trimmed == [("tenant", "1-0")]
