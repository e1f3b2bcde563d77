"""Texts joined to one key, whatever strangers write into them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.fed import joined, split

PARTS = st.lists(st.text(alphabet="ab\x1e\x1fes", max_size=4), max_size=4)


@given(PARTS)
def test_parts_come_back_as_they_were_joined(parts: list[str]) -> None:
    assert split(joined(parts), len(parts)) == tuple(parts)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_two_tuples_are_joined_to_one_text(count: int) -> None:
    texts = [
        text for size in range(3) for text in map("".join, itertools.product("ae s\x1e\x1f", repeat=size))
    ]
    some = [*itertools.product(texts[:: 1 if count < 3 else 5], repeat=count)]

    assert len({joined(parts) for parts in some}) == len(some)


def test_what_no_stranger_meddled_with_is_joined_plainly() -> None:
    assert joined(["a", "b"]) == "a\x1fb"
    assert joined(["a\x1fb"]) == "a\x1fb"
