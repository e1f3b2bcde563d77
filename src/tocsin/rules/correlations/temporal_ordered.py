"""`temporal_ordered`: several rules within one window, in their order, at strictly increasing times.

A chain is the steps that must follow each other. What counts is how late a chain can have begun: of
all that reach a step, the one that began last is the best for whatever follows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, count, groupby
from math import comb
from operator import itemgetter
from typing import NamedTuple

from tocsin.model.compiled import Correlation, WindowSpec
from tocsin.model.ledger import Scored
from tocsin.rules.correlations.bounds import NOTHING, fields_ignored, read_bounds
from tocsin.rules.correlations.counting import Bounds
from tocsin.rules.correlations.expression import MOST_WAYS, denies, read_expression, ways
from tocsin.rules.correlations.judged import Judged
from tocsin.rules.correlations.keys import condition, number
from tocsin.rules.correlations.kind import CorrelationSpec, CorrelationType, Counting, Input, Reading, SeenBy
from tocsin.rules.correlations.members import Members
from tocsin.rules.correlations.sliding import KEPT, MAX_MEMBERS, Law, sliding
from tocsin.rules.correlations.steps import seen_steps, several_rules
from tocsin.rules.correlations.temporal import TEXT
from tocsin.rules.detection.condition import names_in
from tocsin.rules.document import Scalar
from tocsin.rules.section import Section

EXAMPLE = '{gte: 2}, or "a and b"'

Chain = tuple[int, ...]
Place = tuple[int, int]  # which chain, and which of its steps


def read(reading: Reading) -> Counting | None:
    """Which chains; without a condition the one of all rules."""
    section = reading.section
    written = section.node("condition")
    if not several_rules(reading, "temporal_ordered"):
        return None
    if isinstance(written, Scalar):
        chains = _said(written, reading)
        return None if chains is None else Counting(NOTHING, own=chains)
    within = section.section("condition")
    if within is None:
        whole = tuple(range(len(reading.rules)))
        return Counting(Bounds((("gte", len(whole)),)), own=(whole,)) if section.lacks("condition") else None
    return _counted(within, reading)


def _counted(within: Section, reading: Reading) -> Counting | None:
    """So many of the rules, in their order."""
    compared = read_bounds(reading, within, "{gte: 2}")
    fields_ignored(within, "temporal_ordered", "rules")
    within.done()
    if compared is None:
        return None
    rules, bounds = len(reading.rules), compared.bounds
    if not bounds.monotone:
        within.problems.error(
            within.mark, "temporal_ordered is true once steps are complete, so it takes gte or gt alone"
        )
    elif bounds.floor > rules:
        within.problems.error(
            within.mark, f"of {rules} rules no window can meet this condition; check its numbers"
        )
    elif comb(rules, bounds.floor) > MOST_WAYS:
        within.problems.error(
            within.mark, f"{bounds.floor} of {rules} rules are too many combinations; name fewer rules"
        )
    else:
        return Counting(*compared, own=tuple(combinations(range(rules), bounds.floor)))
    return None


def _said(written: Scalar, reading: Reading) -> tuple[Chain, ...] | None:
    """The chains that make the text true; the rules of each stand in the order of `rules`."""
    problems = reading.section.problems
    said = read_expression(written, reading.rules, problems)
    if said is None:
        return None
    if denies(said):
        problems.error(
            written.mark, 'temporal_ordered says what follows what, so it cannot say "not"; use temporal'
        )
        return None
    found = ways(said)
    if found is None:
        problems.error(written.mark, "the condition can be true in too many ways; split the rule")
        return None
    names = [rule.text for rule in reading.rules]
    places = [names.index(name) for name in dict.fromkeys(names)]
    shortest = [way for way in found if not any(other < way for other in found)]
    _warn_of_order(written, reading, [sorted(places[step] for step in way) for way in shortest])
    return tuple(sorted(tuple(sorted(places[step] for step in way)) for way in shortest))


def _warn_of_order(written: Scalar, reading: Reading, chains: Sequence[Sequence[int]]) -> None:
    """Note a text that names the rules of a chain in another order than `rules`, whose order counts."""
    said = {name.text: place for place, name in enumerate(names_in(written))}
    for chain in chains:
        names = [reading.rules[place].text for place in chain]
        if sorted(names, key=lambda name: said.get(name, 0)) != names:
            order = ", ".join(names)
            told = f"the steps follow each other as in rules ({order}), not as in the condition"
            reading.section.problems.warning(written.mark, f"{told}; write them in one order")
            return


class _Link(NamedTuple):
    """The last member of a chain so far: where the chain began, and what was before."""

    began_ms: int
    place: int
    before: _Link | None


class _Chains:
    """How far the best chains have come, as members go by in time order."""

    def __init__(self, chains: Sequence[Chain]) -> None:
        self._chains = chains
        self._of_step: Mapping[int, list[Place]] = defaultdict(list)
        for which, chain in enumerate(chains):
            for at, step in enumerate(chain):
                self._of_step[step].append((which, at))
        self.reached: dict[Place, _Link] = {}

    def take(self, now_ms: int, steps: Sequence[tuple[int, int]], span_ms: int) -> int:
        """The `(place, step)` of one instant; how long the longest chain is that they complete (0: none)."""
        longest = 0
        new: dict[Place, _Link] = {}
        for place, step in steps:
            for which, at in self._of_step.get(step, ()):
                before = self.reached.get((which, at - 1)) if at else None
                if at and (before is None or before.began_ms < now_ms - span_ms):
                    continue
                if at + 1 == len(self._chains[which]):
                    longest = max(longest, at + 1)
                else:
                    new[which, at] = _Link(before.began_ms if before else now_ms, place, before)
        for where, link in new.items():
            known = self.reached.get(where)
            if known is None or known.began_ms <= link.began_ms:
                self.reached[where] = link
        return longest


class _Followed:
    """How far the chains have come at the place `head`; it follows its members from call to call."""

    def __init__(self, chains: Sequence[Chain], head: int) -> None:
        self.chains, self.head = _Chains(chains), head

    def back_to(self, members: Members, place: int) -> None:
        """See `Follower`. What has gone by cannot be taken back, nor an instant be taken in two parts."""
        if place <= self.head:
            members.follower = None

    def let_go(self, members: Members, count: int) -> None:
        """See `Follower`. What began with these is too old for what is still to come."""
        self.head -= count
        if self.head < 0:
            members.follower = None


class _Judge:
    """Scores the instants that complete a chain; knows which members a chain still to come needs."""

    def __init__(self, chains: Sequence[Chain]) -> None:
        self._chains = chains

    def __call__(self, members: Members, span_ms: int, from_ms: int, until_ms: int) -> list[Scored]:
        """See `Judge`."""
        first, after = members.first_at(from_ms), members.first_at(until_ms)
        known = members.follower
        if not isinstance(known, _Followed) or known.head > first:
            known = _Followed(self._chains, members.first_at(members.time(first) - span_ms))
        scored = []
        for now_ms, steps in _instants(members, known.head, after):
            length = known.chains.take(now_ms, steps, span_ms)
            if length and now_ms >= from_ms:
                scored.append((now_ms, float(length)))
        known.head, members.follower = after, known if after >= KEPT else None
        return scored

    def stay(self, members: Members, count: int) -> Sequence[int]:
        """The places, among the `count` oldest, of the best chains so far."""
        following = _Chains(self._chains)
        forever = members.time(-1) - members.time(0)
        for now_ms, steps in _instants(members, 0, count):
            following.take(now_ms, steps, forever)
        places: set[int] = set()
        for reached in following.reached.values():
            link: _Link | None = reached
            while link is not None:
                places.add(link.place)
                link = link.before
        return sorted(places)


def _instants(members: Members, first: int, after: int) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Each instant, with the `(place, step)` of its members."""
    rows = zip(members.times(first, after), count(first), members.values(first, after), strict=False)
    for now_ms, some in groupby(rows, key=itemgetter(0)):
        yield now_ms, [(place, step) for _, place, step in some]


def build(state: str, spec: CorrelationSpec, _highest: float) -> Correlation:
    """Chains of rules, ready to run."""
    chains = _chains(spec)
    judge = _Judge(chains)
    lasts = frozenset(chain[-1] for chain in chains)
    law = Law(spec.timespan_ms, judge, at_once=True, ends=lasts.__contains__, stay=judge.stay)
    windows = WindowSpec(
        state, spec.timespan_ms, "members", keep=MAX_MEMBERS, ledger=sliding(law), shows_one=True
    )
    return Judged(windows, spec.bounds)


def _chains(spec: CorrelationSpec) -> tuple[Chain, ...]:
    chains: tuple[Chain, ...] = spec.own if isinstance(spec.own, tuple) else ()
    return chains


def seen(given: Input) -> SeenBy:
    """Each rule is a step by its place in `rules`; one that is named twice is both."""
    return seen_steps(given.step)


TEMPORAL_ORDERED = CorrelationType(
    summary="several rules in the window, in their order",
    read=read,
    build=build,
    example=EXAMPLE,
    keys={
        "condition": {
            "anyOf": [
                condition(
                    {"gte": number("At least so many of the rules."), "gt": number("More than so many.")}
                ),
                TEXT,
            ]
        }
    },
    required=(),
    seen=seen,
    identity=_chains,
)
