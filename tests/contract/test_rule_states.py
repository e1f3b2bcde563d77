from __future__ import annotations

import pytest

from tocsin.model.alert import NEVER_MS
from tocsin.model.rule_state import RuleState
from tocsin.reload import RuleStates
from tocsin.state.connection import Store
from tocsin.state.rule_states import MemoryRuleStates, RedisRuleStates


@pytest.fixture(params=["memory", "redis"])
def states(request: pytest.FixtureRequest) -> RuleStates:
    if request.param == "memory":
        return MemoryRuleStates()
    return RedisRuleStates(request.getfixturevalue("store"))


def test_a_new_store_knows_of_no_state(states: RuleStates) -> None:
    assert states.load() == {}


@pytest.mark.parametrize("rule_id", ["guessing", "a:b\n{c}", "ünï", "", "x" * 1_000])
@pytest.mark.parametrize("since_ms", [NEVER_MS, -1, 0, 1_700_000_000_000])
def test_what_was_saved_is_loaded(states: RuleStates, rule_id: str, since_ms: int) -> None:
    saved = {rule_id: RuleState("0011223344556677", since_ms), "other": RuleState("8899")}

    states.save(saved)

    assert states.load() == saved


def test_what_was_saved_last_is_all_there_is(states: RuleStates) -> None:
    states.save({"a": RuleState("1"), "b": RuleState("2")})
    states.save({"b": RuleState("3", 5)})

    assert states.load() == {"b": RuleState("3", 5)}


def test_nothing_can_be_saved_too(states: RuleStates) -> None:
    states.save({"a": RuleState("1")})
    states.save({})

    assert states.load() == {}


def test_what_was_saved_does_not_change_with_the_callers_mapping(states: RuleStates) -> None:
    mine = {"a": RuleState("1")}
    states.save(mine)
    mine["b"] = RuleState("2")

    assert states.load() == {"a": RuleState("1")}


def test_what_was_saved_on_a_server_outlives_the_process(store: Store) -> None:
    RedisRuleStates(store).save({"a": RuleState("1", 7)})

    assert RedisRuleStates(store).load() == {"a": RuleState("1", 7)}
