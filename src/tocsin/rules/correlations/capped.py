"""What ratios, `shape` and `sequence` have in common: a capped ledger, counted values, numbers to reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from tocsin.model.alert import Reader
from tocsin.model.compiled import WindowSpec
from tocsin.model.event import Event, as_text
from tocsin.model.ledger import LedgerKind, digest
from tocsin.rules.correlations.counting import Bounds
from tocsin.rules.correlations.judged import Judged
from tocsin.rules.correlations.sliding import MAX_MEMBERS
from tocsin.rules.section import Section, number_of

MOST_COUNTED = (
    8_000  # a window of more than MAX_MEMBERS is cut to seven eighths, and must still reach a bound
)
_PERCENT = 100


def capped(
    ledger: LedgerKind, state: str, span_ms: int, bounds: Bounds, *, closes: bool, least: int = 1
) -> Judged:
    """The correlation of this ledger, whose groups have a cap; `closes`: the watermark decides.

    `least`: a group of fewer members cannot be within the bounds, however they lie.
    """
    spec = WindowSpec(state, span_ms, "members", MAX_MEMBERS, least, closes, ledger=ledger)
    return Judged(spec, bounds)


# The 64 bits that stand for an event, by its id: rules that count the same event ask one after the other.
event_name = lru_cache(maxsize=4096)(digest)


def counted_value(readers: Sequence[Reader]) -> Callable[[Event], str | None]:
    """Reads the case-folded value of a field, of several a tuple's; None where the event misses one."""
    if len(readers) == 1:
        (read,) = readers

        def one(event: Event) -> str | None:
            text = as_text(read(event))
            return None if text is None else text.casefold()

        return one

    def several(event: Event) -> str | None:
        parts = [as_text(reader(event)) for reader in readers]
        return None if None in parts else repr([part.casefold() for part in parts if part is not None])

    return several


def whole_number(section: Section, key: str, default: int) -> int | None:
    """A count that a capped window can still reach; None after a mistake."""
    node = section.scalar(key, "a number")
    if node is None:
        return default if section.lacks(key) else None
    number = number_of(node, key, section.problems)
    if number is None:
        return None
    if number != int(number) or not 1 <= number <= MOST_COUNTED:
        section.wrong(key, f"{key} must be a whole number from 1 to {MOST_COUNTED}, not {node.text}")
        return None
    return int(number)


def min_count(within: Section, default: int, counted: str) -> int | None:
    """Of how many `counted` a ratio must be; who leaves it out is reminded. None after a mistake."""
    if within.lacks("min_count"):
        within.problems.warning(
            within.mark,
            f"without min_count a ratio is of {default} {counted} at least; write min_count: {default}",
        )
    return whole_number(within, "min_count", default)


def is_part(within: Section, name: str, bound: float, called: str) -> bool:
    """Whether a bound is from 0 to 1; that it is none is noted, with what a percentage would be."""
    if 0 <= bound <= 1:
        return True
    hint = f"; write {bound / _PERCENT:g}" if 1 < bound <= _PERCENT else ""
    within.wrong(name, f"a {called} is from 0 to 1, not {bound:g}{hint}")
    return False
