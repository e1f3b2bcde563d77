"""What the rule compiler makes and the engine runs: predicates, readers, and how to count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from tocsin.errors import RuleError
from tocsin.model.alert import Reader
from tocsin.model.event import Event
from tocsin.model.ledger import LedgerKind, Scored, Seen
from tocsin.model.rule import Rule


class WindowSpec(NamedTuple):
    """What a rule counts, told to the window store.

    `state` names the rule's state: it changes with selection, group-by or timespan, never with a
    threshold. `counts` is `events` (each member counts), `values` (each distinct member counts) or
    `members` (a `ledger` says what counts). `keep`: how many of the older members must survive for
    the count to be exact up to it, of a ledger how many it may hold at all (None: all). Windows that
    count less than `floor` need not be reported; a ledger of fewer members has nothing to say, waits
    for nothing, and lasts a span from its newest member at most. `closes`: `due` decides; without a
    ledger, windows are tumbling, opened by the group's first member. `expected` are groups that a
    ledger is kept of even if nothing is ever seen of them; their first member, of the value `BEGINS`,
    is when the tenant was first heard of. `shows_one`: a group's only member may be half of an alert,
    or all of it, so it is worth keeping evidence of.
    """

    state: str
    span_ms: int
    counts: str
    keep: int | None = None
    floor: int = 1
    closes: bool = False
    max_groups: int = 1_000_000
    ledger: LedgerKind | None = None
    expected: tuple[str, ...] = ()
    shows_one: bool = False


class Correlation(Protocol):
    """A correlation type: what it counts, and when that is too much. Pure."""

    @property
    def spec(self) -> WindowSpec:
        """How its windows are kept."""

    def holds(self, score: float) -> bool:
        """Whether the rule is true at that score."""

    def true(self, windows: Sequence[Scored]) -> list[Scored]:
        """Of windows `(at_ms, score)` of at least the spec's floor, those where it holds."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One detection, compiled; or, in a chain, the instants at which another correlation was true.

    `product` is the provider whose events it reads (empty: any). `codes` are the event codes that
    can match (None: any). `matches` decides what the codes alone do not (None: they decide all).
    `group_by` and `value` read the group and the counted fields of an event that matched. `seen`
    makes the members that a ledger counts. `of` names the state of the correlation whose true
    instants it reads in place of events (`model.fed.Fed`; empty: it reads events). `shown`: what it
    matched is evidence, too.
    """

    name: str
    product: str
    codes: frozenset[str] | None
    matches: Callable[[Event], bool] | None
    group_by: tuple[Reader, ...] = ()
    value: tuple[Reader, ...] = ()
    seen: Callable[[Sequence[Event]], list[Seen]] | None = None
    of: str = ""
    shown: bool = True


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule ready to run. Without a correlation every match is a trigger.

    `alerts` is False of a correlation that only feeds others. `group` reads the group-by fields of
    an event, whichever matcher it came through; `context` the rule's context fields.
    """

    rule: Rule
    matchers: tuple[Matcher, ...]
    correlation: Correlation | None = None
    context: tuple[Reader, ...] = ()  # aligned with rule.context
    group: tuple[Reader, ...] = ()  # aligned with rule.group_by
    alerts: bool = True
    depth: int = 0  # of a chain: 0 reads events alone, else one more than the deepest that feeds it


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules of a load. `fields` are the top-level vendor fields an event must hold as attributes."""

    rules: tuple[CompiledRule, ...]
    fields: frozenset[str] = frozenset()
    warnings: tuple[RuleError, ...] = ()
    not_running: dict[str, str] = field(default_factory=dict)  # rule name -> why
