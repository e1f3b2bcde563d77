"""Taking the next item early changes when it is taken, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tocsin.tune.replay import Ahead


def test_items_come_all_and_in_order_whenever_one_is_taken_early() -> None:
    ahead: Ahead[int] = Ahead()
    got = []

    for number in ahead.over(iter(range(10))):
        got.append(number)
        for _ in range(number % 3):
            ahead.take()

    assert got == list(range(10))


def test_one_item_is_taken_early_and_no_more() -> None:
    ahead: Ahead[int] = Ahead()
    items = iter(range(10))
    handed_on = ahead.over(items)
    next(handed_on)

    ahead.take()
    ahead.take()

    assert next(items) == 2


def test_nothing_is_taken_before_there_is_anything() -> None:
    ahead: Ahead[int] = Ahead()

    ahead.take()

    assert list(ahead.over(iter([1, 2]))) == [1, 2]


def test_what_taking_early_raises_is_raised_there() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    ahead: Ahead[int] = Ahead()
    handed_on = ahead.over(failing())
    next(handed_on)

    with pytest.raises(LookupError):
        ahead.take()
