"""Time: the clock that everything else is given, and durations as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS

_DURATION = re.compile(r"(\d+)\s*(ms|s|m|h|d|w)")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY_MS, "w": WEEK_MS}


class SystemClock:
    """The real time."""

    def now(self) -> datetime:
        """The time now, aware, UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one place


class ManualClock:
    """A clock that stands until it is moved: for tests and for replay."""

    def __init__(self, start: datetime = EPOCH) -> None:
        self._now = start

    def now(self) -> datetime:
        """The time it was last set to."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Move on by `by`."""
        self._now += by

    def set(self, to: datetime) -> None:
        """Jump to `to`, backwards too."""
        self._now = to


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch, exactly (no float on the way)."""
    return (moment - EPOCH) // MS


def from_ms(ms: int) -> datetime:
    """The aware UTC moment `ms` after the epoch."""
    return EPOCH + ms * MS


def iso(ms: int) -> str:
    """`2015-03-27T13:08:09.000Z`: ISO 8601, UTC, always with milliseconds."""
    return f"{from_ms(ms).isoformat(timespec='milliseconds')[:-6]}Z"  # without its +00:00


def parse_duration(text: str) -> timedelta:
    """`30s`, `10m`, `1h30m`, `7d`, `2w`, `500ms` as a timedelta.

    Raises:
        ValueError: with a message that names the units.
    """
    compact = text.strip().replace(" ", "")
    parts = _DURATION.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise ValueError(f"{text!r} is not a duration; write a number and a unit, like 30s, 10m, 4h or 7d")
    total = sum(int(number) * _UNIT_MS[unit] for number, unit in parts)
    try:
        return timedelta(milliseconds=total)
    except OverflowError as exc:
        raise ValueError(f"{text!r} is too long a duration") from exc


def format_duration(duration: timedelta) -> str:
    """The shortest way to write it: `10m`, `1h30m`, `0s`."""
    ms = duration // MS
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, ms = divmod(ms, _UNIT_MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
