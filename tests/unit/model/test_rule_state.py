from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.alert import NEVER_MS
from tocsin.model.rule_state import RuleState, carried_on

NOW = 1_000


@pytest.mark.parametrize(
    ("before", "states", "newest_ms", "expected"),
    [
        ({}, {"a": "1"}, NEVER_MS, {"a": RuleState("1", NEVER_MS)}),
        ({}, {"a": "1"}, NOW, {"a": RuleState("1", NOW)}),
        ({"a": RuleState("1", 5)}, {"a": "1"}, NOW, {"a": RuleState("1", 5)}),
        ({"a": RuleState("1", NEVER_MS)}, {"a": "1"}, NOW, {"a": RuleState("1", NEVER_MS)}),
        ({"a": RuleState("1", 5)}, {"a": "2"}, NOW, {"a": RuleState("2", NOW)}),
        ({"a": RuleState("1", 5)}, {"b": "1"}, NOW, {"b": RuleState("1", NOW)}),
        ({"a": RuleState("1", 5)}, {}, NOW, {}),
    ],
    ids=["new store", "new rule", "same", "always there", "other state", "other rule", "removed"],
)
def test_a_state_goes_on_only_under_its_rule_and_name(
    before: dict[str, RuleState], states: dict[str, str], newest_ms: int, expected: dict[str, RuleState]
) -> None:
    assert carried_on(before, states, newest_ms) == expected


names = st.sampled_from("abc")
edits = st.lists(st.tuples(st.dictionaries(names, st.sampled_from("12")), st.integers(0, 9)), max_size=8)


@given(edits)
def test_a_state_is_as_old_as_the_last_change_of_it(edits: list[tuple[dict[str, str], int]]) -> None:
    known: dict[str, RuleState] = {}
    begun: dict[str, tuple[str, int]] = {}
    now = 0
    for states, passed in edits:
        now += passed
        begun = {
            key: (state, begun[key][1] if begun.get(key, ("", 0))[0] == state else now)
            for key, state in states.items()
        }

        known = carried_on(known, states, now)

        assert known == {key: RuleState(*value) for key, value in begun.items()}
