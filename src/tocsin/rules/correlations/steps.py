"""Which of a correlation's rules were seen: a member is a step at an instant, however many events.

So a flood of one rule costs a member a millisecond at most, and an event that several rules match
is a step of each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from tocsin.model.event import Event
from tocsin.model.ledger import Seen
from tocsin.rules.correlations.kind import Input, Reading, SeenBy
from tocsin.rules.correlations.members import Members


def several_rules(reading: Reading, kind: str) -> bool:
    """Whether there are rules to tell apart; in the shorthand there is but the document itself."""
    if reading.section.name.startswith("tocsin."):
        reading.section.problems.error(
            reading.section.mark,
            f"{kind} tells several rules apart; write it as a correlation document that names them",
        )
        return False
    return bool(reading.rules)


def seen_steps(step: int) -> SeenBy:
    """The members of a step."""

    def seen(events: Sequence[Event]) -> list[Seen]:
        return [Seen(event.time_ms, step, step) for event in events]

    return seen


def seen_rules(given: Input) -> SeenBy:
    """The members of a rule that is a step of its own; a rule that is named twice is one."""
    names = [rule.text for rule in given.spec.rules]
    return seen_steps(list(dict.fromkeys(names)).index(names[given.step]))


class Present:
    """An aggregate: how many different steps are in the window, where `holds` of how often each is."""

    __slots__ = ("_counts", "_different", "_holds")

    def __init__(
        self, steps: int, holds: Callable[[Sequence[int]], bool], values: Iterable[int] = ()
    ) -> None:
        counts = Counter(values)
        self._counts = [counts[step] for step in range(steps)]
        self._different = len(counts)
        self._holds = holds

    def add(self, value: int) -> None:
        """A step enters."""
        self._counts[value] += 1
        self._different += self._counts[value] == 1

    def remove(self, value: int) -> None:
        """A step leaves."""
        self._counts[value] -= 1
        self._different -= self._counts[value] == 0

    def score(self) -> float | None:
        """How many different ones."""
        return float(self._different) if self._holds(self._counts) else None


def newest_of_each(members: Members, count: int) -> list[int]:
    """The places of each step's newest, among the `count` oldest members."""
    newest = {step: place for place, step in enumerate(members.values(0, count))}
    return sorted(newest.values())
