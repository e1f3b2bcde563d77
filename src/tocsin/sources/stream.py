"""The source behind the receiver: the bodies in the inbox, decoded, in the order they came."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Protocol

from tocsin.clock import MS
from tocsin.errors import SourceUnavailable, StoreUnavailable
from tocsin.model.event import Event
from tocsin.protocols import Batch, InboxReader, Position, Quarantined

ENOUGH = 1_000  # events of a batch: what comes after is the next one's
AIM = 750  # events of one read
MOST_BODIES = 256
FIRST_BODIES = 16


class BodyDecoder(Protocol):
    """What turns a request's body into events."""

    def decode_body(self, body: bytes, *, now_ms: int | None) -> tuple[list[Event], list[Quarantined]]:
        """The body's events and the records that are none; `now_ms` is when it came."""

    def holding(self, fields: frozenset[str]) -> BodyDecoder:
        """The same, but its events hold these top-level vendor fields as attributes."""


class StreamSource:
    """The inbox of one source.

    A position is the last body that is wholly in the batch, so a body is never split. How many
    bodies are asked for follows how many events a body had lately.
    """

    def __init__(
        self,
        inbox: InboxReader,
        name: str,
        decoder: BodyDecoder,
        allowed_lateness: timedelta,
        *,
        idle: timedelta = timedelta(seconds=1),
    ) -> None:
        self.name = name
        self.allowed_lateness = allowed_lateness
        self._inbox = inbox
        self._decoder = decoder
        self._idle_ms = max(1, idle // MS)

    def read(self, after: Position | None) -> Iterator[Batch]:
        position, count = after, FIRST_BODIES
        while True:
            entries = self._ask(position, count)
            if not entries:
                yield Batch([], position or "0-0")
                continue
            total = 0
            for batch in self._batches(entries):
                total += len(batch.events) + len(batch.quarantined)
                position = batch.position
                yield batch
            count = max(1, min(MOST_BODIES, AIM * len(entries) // max(total, 1)))

    def hold(self, fields: frozenset[str]) -> None:
        """Events hold these top-level fields as attributes, from the next read on. From any thread."""
        self._decoder = self._decoder.holding(fields)

    def trim(self, position: Position) -> None:
        """Let go of what is committed: the bodies up to and including `position`.

        Raises:
            SourceUnavailable: the store is gone.
        """
        try:
            self._inbox.trim(self.name, position)
        except StoreUnavailable as exc:
            raise SourceUnavailable(str(exc)) from exc

    def _ask(self, after: Position | None, count: int) -> list[tuple[Position, bytes, int]]:
        try:
            return self._inbox.read(self.name, after, block_ms=self._idle_ms, count=count)
        except StoreUnavailable as exc:
            raise SourceUnavailable(str(exc)) from exc

    def _batches(self, entries: list[tuple[Position, bytes, int]]) -> Iterator[Batch]:
        decoder = self._decoder  # the same for all of them, whoever sets another meanwhile
        events: list[Event] = []
        bad: list[Quarantined] = []
        for place, (position, body, received_ms) in enumerate(entries):
            some_events, some_bad = decoder.decode_body(body, now_ms=received_ms)
            events += some_events
            bad += some_bad
            if len(events) + len(bad) >= ENOUGH or place == len(entries) - 1:
                yield Batch(events, position, bad)
                events, bad = [], []
