"""Silences, asked of one alert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from tocsin.model.silence import Silence


def silenced_until(labels: Mapping[str, str], silences: Sequence[Silence], now: datetime) -> datetime | None:
    """When the silences that hold these labels back now will all have ended; None if none does."""
    return max((silence.ends_at for silence in silences if silence.mutes(labels, now)), default=None)
