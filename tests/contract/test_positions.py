from __future__ import annotations

import pytest

from tocsin.protocols import Positions
from tocsin.state.positions import MemoryPositions, RedisPositions


@pytest.fixture(params=["memory", "redis"])
def positions(request: pytest.FixtureRequest) -> Positions:
    if request.param == "memory":
        return MemoryPositions()
    return RedisPositions(request.getfixturevalue("store"))


def test_a_new_source_begins_at_the_beginning(positions: Positions) -> None:
    assert positions.load("tenant") == (None, {})


@pytest.mark.parametrize("position", ["1-0", "", "90020210408…", "a\nb"])
def test_what_was_committed_is_loaded(positions: Positions, position: str) -> None:
    positions.commit("tenant", position, {"a": 1_700_000_000_000, "b": -1})

    assert positions.load("tenant") == (position, {"a": 1_700_000_000_000, "b": -1})


def test_the_last_commit_counts(positions: Positions) -> None:
    positions.commit("tenant", "1-0", {"a": 1, "b": 2})
    positions.commit("tenant", "2-0", {"a": 3})

    assert positions.load("tenant") == ("2-0", {"a": 3})


def test_sources_do_not_meet(positions: Positions) -> None:
    positions.commit("one", "1-0", {"a": 1})

    assert positions.load("two") == (None, {})


def test_what_was_committed_does_not_change_with_the_callers_mapping(positions: Positions) -> None:
    newest = {"a": 1}
    positions.commit("tenant", "1-0", newest)
    newest["a"] = 2

    assert positions.load("tenant") == ("1-0", {"a": 1})
