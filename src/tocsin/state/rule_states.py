"""Rule states: since when each rule's windows have been filled. One value, replaced whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tocsin.model.rule_state import RuleState
from tocsin.state.connection import Store

_decode = msgspec.json.Decoder(dict[str, RuleState]).decode
_encode = msgspec.json.Encoder().encode


class MemoryRuleStates:
    """Rule states of one process, gone with it."""

    def __init__(self) -> None:
        self._saved: dict[str, RuleState] = {}

    def load(self) -> dict[str, RuleState]:
        return dict(self._saved)

    def save(self, states: Mapping[str, RuleState]) -> None:
        self._saved = dict(states)


class RedisRuleStates:
    """Rule states on a server: one string, so that a crash leaves the old ones or the new ones."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = store.key("rule-states")

    def load(self) -> dict[str, RuleState]:
        with self._store.reaching():
            found: Any = self._store.client.get(self._key)
        return {} if found is None else _decode(found)

    def save(self, states: Mapping[str, RuleState]) -> None:
        with self._store.reaching():
            self._store.client.set(self._key, _encode(dict(states)))
