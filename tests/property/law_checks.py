"""How the laws of single correlation types are checked: short random streams, and long ones that expire."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, settings

from tocsin.model.compiled import RuleSet
from tocsin.protocols import Windows
from tocsin.state.connection import Store
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows

from .law_streams import Law, Record, as_it_arrives, disordered, long_stream, model, rules_of, told

IN_MEMORY = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ON_REDIS = settings(IN_MEMORY, max_examples=40)
_FRESH = itertools.count()


class Laws(NamedTuple):
    """The laws of one type, and the selections that their rules are made of."""

    kind: str
    selections: str
    laws: Sequence[Law]

    def rules(self, folder: Path) -> RuleSet:
        """Their rules."""
        return rules_of(self.kind, self.laws, self.selections, folder)

    def hold(self, rules: RuleSet, windows: Windows, records: Sequence[Record], seed: int) -> None:
        """In any order, twice, cut and crashed anyhow, the rules tell what the laws say."""
        assert told(rules, windows, disordered(records, seed), seed) == model(self.laws, records)

    def hold_as_state_expires(self, rules: RuleSet, store: Store, seed: int) -> None:
        """Of a long stream, too, and each rule is true of some of it."""
        records = long_stream(seed)
        batches, expected = as_it_arrives(records, seed), model(self.laws, records)

        assert {name for name, *_ in expected} == {law.name for law in self.laws}
        assert told(rules, MemoryWindows(), batches, seed) == expected
        assert told(rules, RedisWindows(store), batches, seed) == expected

    def find_a_mistake(self, rules: RuleSet) -> bool:
        """Whether a long stream shows that the rules tell something else."""
        records = long_stream(1)
        return told(rules, MemoryWindows(), as_it_arrives(records, 1), 1) != model(self.laws, records)


def fresh(store: Store) -> RedisWindows:
    """Windows on the same server that nobody has seen: hypothesis runs many examples in one test."""
    return RedisWindows(Store(store.client, "unix://test", prefix=f"{store.prefix}-{next(_FRESH)}"))
