"""What the rule compiler makes and the engine runs: predicates, readers, and how to count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from tocsin.errors import RuleError
from tocsin.model.alert import Reader
from tocsin.model.event import Event
from tocsin.model.rule import Rule


class WindowSpec(NamedTuple):
    """What a rule counts, told to the window store.

    `state` names the rule's state: it changes with selection, group-by or timespan, never with a
    threshold. `counts` is `events` (each member counts) or `values` (each distinct member counts).
    `keep`: how many of the older members must survive for the count to be exact up to it (None:
    all). Windows that count less than `floor` need not be reported. `closes`: windows are tumbling,
    opened by the group's first member, and decided by `due`, never by `observe`.
    """

    state: str
    span_ms: int
    counts: str
    keep: int | None = None
    floor: int = 1
    closes: bool = False
    max_groups: int = 1_000_000


class Correlation(Protocol):
    """A correlation type: what it counts, and when that is too much. Pure."""

    @property
    def spec(self) -> WindowSpec:
        """How its windows are kept."""

    def score(self, count: int) -> float:
        """The number the threshold is compared with, of a window that counted `count`."""

    def holds(self, score: float) -> bool:
        """Whether the rule is true at that score."""

    def true(self, windows: list[tuple[int, int]]) -> list[tuple[int, float]]:
        """Of windows `(at_ms, count)` of at least the spec's floor, `(at_ms, score)` where it holds."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One detection, compiled.

    `product` is the provider whose events it reads (empty: any). `codes` are the event codes that
    can match (None: any). `matches` decides what the codes alone do not (None: they decide all).
    `group_by` and `value` read the group and the counted fields of an event that matched.
    """

    name: str
    product: str
    codes: frozenset[str] | None
    matches: Callable[[Event], bool] | None
    group_by: tuple[Reader, ...] = ()
    value: tuple[Reader, ...] = ()


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule that can alert, ready to run. Without a correlation every match is a trigger."""

    rule: Rule
    matchers: tuple[Matcher, ...]
    correlation: Correlation | None = None
    context: tuple[Reader, ...] = ()  # aligned with rule.context


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules of a load. `fields` are the top-level vendor fields an event must hold as attributes."""

    rules: tuple[CompiledRule, ...]
    fields: frozenset[str] = frozenset()
    warnings: tuple[RuleError, ...] = ()
    not_running: dict[str, str] = field(default_factory=dict)  # rule name -> why
