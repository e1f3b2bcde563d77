"""What a correlation type keeps of one group, where more than a count is needed. Pure, no I/O.

A store loads a group's ledger, shows it the batch, and keeps it again; what is in it only the type
knows. So every such type behaves the same on every store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple, Protocol


class Seen(NamedTuple):
    """One member: at `time_ms`, `member` (64 bits that name what counts once) was seen.

    `value` are 64 bits (signed) that the type reads something from: a step, a number, a place.
    """

    time_ms: int
    member: int
    value: int = 0


BEGINS = 1  # the value of the member that says when the watch over an expected group begins
Scored = tuple[int, float]  # an instant (ms) and the score of the window that ends there


class Ledger(Protocol):
    """One group's memory. A pure function of the set of members, as long as none is older than its spans."""

    @property
    def deadline(self) -> int | None:
        """`due` has something to say once the watermark is past this (ms); None: nothing waits."""

    @property
    def lasts_until(self) -> int:
        """Once the committed watermark is past this (ms), the ledger may be forgotten."""

    @property
    def size(self) -> int:
        """How many members it holds."""

    @property
    def floor_until(self) -> int:
        """Scores before this (ms) may be too low, because a cap let members go (`NEVER_MS`: none)."""

    def observe(self, batch: Sequence[Seen], committed_ms: int) -> list[Scored]:
        """Add members, in any order, known ones too; the instants that are decided at once.

        Of a type that the watermark decides these are only those before `committed_ms`: they are
        late. What is older than `committed_ms` by more than the span may be let go.
        """

    def due(self, watermark_ms: int, committed_ms: int) -> list[Scored]:
        """The instants from `committed_ms` on and before `watermark_ms`, of what the watermark decides.

        Said again when asked again, until `committed_ms` is past them. Also for a ledger of which
        nothing was ever observed.
        """

    def dump(self) -> bytes:
        """All of it. Members that came in order only make it longer."""


# Opens a group's ledger: from what `dump` said (None: a new group), holding at most so many members
# (None: all).
LedgerKind = Callable[[bytes | None, int | None], Ledger]


def digest(text: str) -> int:
    """The 64 bits (signed) that stand for a text, the same everywhere and for ever."""
    return int.from_bytes(
        blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True
    )
