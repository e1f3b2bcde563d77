"""When a failed delivery is tried again: exponential backoff with full jitter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random  # noqa: TID251 - for the type only; chance is an argument


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to go on.

    The defaults keep at it for about a day: with full jitter the mean wait is half of `longest`.
    """

    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(minutes=5)
    attempts: int = 600


def next_attempt(
    attempt: int,
    failed_at: datetime,
    policy: RetryPolicy,
    *,
    retry_after: timedelta | None = None,
    rng: Random,
) -> datetime | None:
    """When to try again; None once the policy is spent.

    `attempt` counts from 1. The wait doubles from `policy.first` to `policy.longest`,
    with full jitter. A server's `retry_after` wins when it is longer.
    """
    if attempt >= policy.attempts:
        return None
    wait = rng.random() * _ceiling(attempt, policy)
    return failed_at + max(wait, retry_after or timedelta())


def _ceiling(attempt: int, policy: RetryPolicy) -> timedelta:
    # Doubling stops where it passes the longest wait, so that a high attempt cannot overflow.
    wait = policy.first
    for _ in range(attempt - 1):
        if wait >= policy.longest:
            break
        wait *= 2
    return min(wait, policy.longest)
