"""Since when each rule's windows have been filled: what a change of the rules keeps, and what begins anew."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tocsin.model.alert import NEVER_MS


class RuleState(msgspec.Struct, frozen=True):
    """The state that a rule has now.

    `state` names its windows. What happened after `since_ms` (event time) is all in them; what
    happened before may be missing (`NEVER_MS`: nothing is).
    """

    state: str
    since_ms: int = NEVER_MS


def carried_on(
    before: Mapping[str, RuleState], states: Mapping[str, str], newest_ms: int
) -> dict[str, RuleState]:
    """The states of the rules from now on; both mappings are by rule id.

    A rule whose state has the name it had goes on. Another one's begins now: `newest_ms` is the
    newest event time that anything was evaluated of (`NEVER_MS`: nothing ever was, and so nothing
    is missing). A rule that was away begins anew, too: it saw nothing meanwhile.
    """
    begun = {rule_id: RuleState(state, newest_ms) for rule_id, state in states.items()}
    return {
        rule_id: known if (known := before.get(rule_id)) and known.state == new.state else new
        for rule_id, new in begun.items()
    }
