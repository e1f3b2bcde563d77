"""The law of backoff, against its formula in whole microseconds; and planted mistakes it must catch."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random  # noqa: TID251 - seeded, or fixed

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.delivery import retry
from tocsin.delivery.retry import RetryPolicy, next_attempt

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
US = timedelta(microseconds=1)
waits = st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(hours=1))


class Fixed(Random):
    """Chance that always falls the same way."""

    def __init__(self, value: float) -> None:
        super().__init__(0)
        self.value = value

    def random(self) -> float:
        return self.value


@st.composite
def cases(draw):
    first = draw(waits)
    policy = RetryPolicy(
        first=first,
        longest=first + draw(waits) - timedelta(milliseconds=1),
        attempts=draw(st.integers(1, 2_000)),
    )
    attempt = draw(st.one_of(st.integers(1, 40), st.integers(1, 2_000)))
    retry_after = draw(st.none() | st.timedeltas(min_value=timedelta(), max_value=timedelta(days=2)))
    chance = draw(st.floats(0, 1, exclude_max=True))
    return attempt, policy, retry_after, chance


def check_law(function: Callable[..., datetime | None], case) -> None:
    attempt, policy, retry_after, chance = case
    at = function(attempt, AT, policy, retry_after=retry_after, rng=Fixed(chance))
    if attempt >= policy.attempts:
        assert at is None
        return
    ceiling = min((policy.first // US) * 2 ** (attempt - 1), policy.longest // US)
    expected = max(chance * ceiling, (retry_after or timedelta()) // US)
    assert at is not None
    assert abs((at - AT) // US - expected) <= 1


@given(cases())
def test_the_wait_is_the_formula(case):
    check_law(next_attempt, case)


@given(st.integers(1, 30), st.integers())
def test_no_wait_is_longer_than_the_longest_or_shorter_than_nothing(attempt, seed):
    policy = RetryPolicy()

    at = next_attempt(attempt, AT, policy, rng=Random(seed))

    assert at is not None
    assert AT <= at <= AT + policy.longest


def test_the_default_policy_keeps_at_it_for_about_a_day():
    policy, rng, at, attempt = RetryPolicy(), Random(7), AT, 1

    while (following := next_attempt(attempt, at, policy, rng=rng)) is not None:
        at, attempt = following, attempt + 1

    assert timedelta(hours=20) < at - AT < timedelta(hours=30)


def no_jitter(attempt, failed_at, policy, *, retry_after, rng):
    return next_attempt(attempt, failed_at, policy, retry_after=retry_after, rng=Fixed(0.999_999))


def deaf_to_the_server(attempt, failed_at, policy, *, retry_after, rng):
    return next_attempt(attempt, failed_at, policy, retry_after=None, rng=rng)


def server_always_wins(attempt, failed_at, policy, *, retry_after, rng):
    at = next_attempt(attempt, failed_at, policy, rng=rng)
    return at if at is None or retry_after is None else failed_at + retry_after


def counts_from_zero(attempt, failed_at, policy, *, retry_after, rng):
    return next_attempt(attempt + 1, failed_at, policy, retry_after=retry_after, rng=rng)


def never_spent(attempt, failed_at, policy, *, retry_after, rng):
    return next_attempt(
        min(attempt, policy.attempts - 1), failed_at, policy, retry_after=retry_after, rng=rng
    )


def uncapped(attempt, failed_at, policy, *, retry_after, rng):
    if attempt >= policy.attempts:
        return None
    wait = policy.first * 2 ** min(attempt - 1, 20) * rng.random()
    return failed_at + max(wait, retry_after or timedelta())


@pytest.mark.parametrize(
    "mistake", [no_jitter, deaf_to_the_server, server_always_wins, counts_from_zero, never_spent, uncapped]
)
def test_the_law_catches_a_planted_mistake(mistake):
    @settings(database=None, max_examples=300, report_multiple_bugs=False)
    @given(cases())
    def law(case):
        check_law(mistake, case)

    with pytest.raises(AssertionError):
        law()


def test_a_huge_attempt_does_not_overflow():
    assert retry._ceiling(10**6, RetryPolicy()) == RetryPolicy().longest
