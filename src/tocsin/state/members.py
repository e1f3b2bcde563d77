"""The members of one group in memory: an array `[time, hash, time, hash, …]`, sorted by both.

Twenty members cost some 450 bytes, and one that comes in order costs two appends. A group of one
member is a single integer, because most groups never see a second.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import zip_longest

from tocsin.model.alert import ascending

SATURATED = 4_096  # members of a group above which only the newest `keep` stay
_BITS = 64
_MASK = (1 << _BITS) - 1
_SIGN = 1 << (_BITS - 1)

Members = array  # of "q": times at even places, hashes at odd ones


def pack_one(time_ms: int, digest: int) -> int:
    """A group of one member."""
    return time_ms << _BITS | digest & _MASK


def unpack_one(packed: int) -> tuple[int, int]:
    """The time and hash of a group of one member."""
    digest = packed & _MASK
    return packed >> _BITS, digest - (1 << _BITS) if digest & _SIGN else digest


def append(members: Members[int], at_ms: int, digest: int, span_ms: int, floor: int) -> list[tuple[int, int]]:
    """Add one member newer than all; the window it ends, if that is one of at least `floor`."""
    members.append(at_ms)
    members.append(digest)
    size = len(members)
    # The window holds `floor` members exactly if the one that many places back is inside it.
    if size < 2 * floor or members[size - 2 * floor] < at_ms - span_ms:
        return []
    return [(at_ms, size // 2 - first_at(members, at_ms - span_ms))]


def insert(members: Members[int], batch: Sequence[tuple[int, str]]) -> None:
    """Add a batch, sorted by time; a member that is known already is not added again."""
    last = members[-2] if members else None
    times_ms = [time_ms for time_ms, _ in batch]
    if (last is None or last < times_ms[0]) and ascending(times_ms):
        both = [0, 0] * len(batch)
        both[::2], both[1::2] = times_ms, [hash(member) for _, member in batch]
        members.fromlist(both)
        return
    append = members.append
    for time_ms, member in batch:
        digest = hash(member)
        if last is None or time_ms > last:
            append(time_ms)
            append(digest)
            last = time_ms
        else:
            _insert_late(members, time_ms, digest)


def _insert_late(members: Members[int], time_ms: int, digest: int) -> None:
    low, high = first_at(members, time_ms), len(members) // 2
    if members[-2] == time_ms and members[-1] < digest:
        low = high  # of the newest instant, and its highest hash: many ties cost an append each
    while low < high:
        middle = (low + high) // 2
        if (members[2 * middle], members[2 * middle + 1]) < (time_ms, digest):
            low = middle + 1
        else:
            high = middle
    at = 2 * low
    if at == len(members) or members[at] != time_ms or members[at + 1] != digest:
        members.insert(at, digest)
        members.insert(at, time_ms)


def first_at(members: Members[int], time_ms: int, low: int = 0) -> int:
    """The place (counted in members) of the first one at `time_ms` or later."""
    high = len(members) // 2
    while low < high:
        middle = (low + high) // 2
        if members[2 * middle] < time_ms:
            low = middle + 1
        else:
            high = middle
    return low


def changed(
    members: Members[int], span_ms: int, batch: Sequence[tuple[int, str]], floor: int
) -> list[tuple[int, int]]:
    """The windows of at least `floor` that end at a member's time within `span` after one of `batch`.

    Costs a binary search and then two pointers that only go forward.
    """
    first = batch[0][0]
    left = first_at(members, first - span_ms)
    here = first_at(members, first, left)
    if members[-2] <= first + span_ms:
        return _ending_from(members, here, left, span_ms, floor)
    size = len(members) // 2
    windows: list[tuple[int, int]] = []
    seen, reach = 0, first + span_ms
    while here < size:
        at_ms = members[2 * here]
        after = here + 1
        while after < size and members[2 * after] == at_ms:
            after += 1
        while seen < len(batch) and batch[seen][0] <= at_ms:
            reach = batch[seen][0] + span_ms
            seen += 1
        if at_ms <= reach:
            while members[2 * left] < at_ms - span_ms:
                left += 1
            if after - left >= floor:
                windows.append((at_ms, after - left))
            here = after
        elif seen == len(batch):
            break
        else:
            here = first_at(members, batch[seen][0], after)
    return windows


def _ending_from(
    members: Members[int], here: int, left: int, span_ms: int, floor: int
) -> list[tuple[int, int]]:
    """The windows of at least `floor` that end at a member's time, from the member at `here` on.

    What `changed` does where all of them are reached, which is nearly always, at a third of its cost.
    `left` is the place of a member that no window begins before.
    """
    times = members[2 * left :: 2].tolist()  # A list's items are there already; an array makes them anew.
    windows: list[tuple[int, int]] = []
    offset, start = here - left, 0
    ends = times[offset:]
    for after, (at_ms, next_ms) in enumerate(zip_longest(ends, ends[1:]), offset + 1):
        if at_ms == next_ms:
            continue
        oldest = at_ms - span_ms
        while times[start] < oldest:
            start += 1
        if after - start >= floor:
            windows.append((at_ms, after - start))
    return windows


def droppable(members: Members[int], span_ms: int, keep: int | None, committed_ms: int) -> int:
    """How many of the oldest to let go: none until it is half of them, so that it costs little each.

    Of members behind `committed_ms`, those outside the span go, and those beyond the newest `keep`.
    """
    size = len(members) // 2
    if keep is not None and size > SATURATED:
        return size - keep
    half = (size + 1) // 2
    expired = members[2 * half - 2] < committed_ms - span_ms
    beyond = keep is not None and half + keep <= size and members[2 * (half + keep) - 2] < committed_ms
    if not expired and not beyond:
        return 0
    over = first_at(members, committed_ms) - keep if keep is not None else 0
    return max(over, first_at(members, committed_ms - span_ms))
