"""What a ledger in memory knows from the last call is what it would find out anew.

A store on Redis opens a ledger at each call; one in memory lives on, and its windows move on from
where they stood. Whatever comes, in whatever order, both must say the same and hold the same.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tocsin.model.ledger import Ledger, LedgerKind, Scored, Seen
from tocsin.rules.correlations import sequence_ledger, sliding, temporal_ordered
from tocsin.rules.correlations.counting import Bounds
from tocsin.rules.correlations.members import Members
from tocsin.rules.correlations.numbers import Total, packed, rounded
from tocsin.rules.correlations.ratio import _Part
from tocsin.rules.correlations.sequence_ledger import Step, chained
from tocsin.rules.correlations.shape import _Spread
from tocsin.rules.correlations.shape_condition import Form, Share
from tocsin.rules.correlations.sliding import Law, Slide, Window
from tocsin.rules.correlations.steps import Present, newest_of_each
from tocsin.rules.correlations.temporal_ordered import _Followed, _Judge
from tocsin.rules.correlations.unanswered import Unanswered, unanswered
from tocsin.rules.correlations.value_percentile import Ranked
from tocsin.rules.correlations.value_ratio_ledger import ratios_of_values

SPAN = 30
BASE = 1_000
STEP = 5
SHARE = Share(Bounds((("lte", 2),)), Bounds((("gte", 0.3),)))
FORM = Form(True, Bounds((("gte", 2),)), Bounds((("lte", 4),)), SHARE)
CHAINS = _Judge([(0, 2, 3), (0, 1)])


class Type(NamedTuple):
    """A ledger, and the member that a number from 0 to 31 makes at an instant."""

    ledger: LedgerKind
    seen: Callable[[int, int], Seen]


def _slides(slide: Slide, *, at_once: bool = False) -> LedgerKind:
    return sliding.sliding(Law(SPAN, slide, at_once=at_once, merge=max, least=slide.least))


def _number(at: int, n: int) -> Seen:
    return Seen(at, n, packed(n / 3 - 4) or 0)


def _step(at: int, n: int) -> Seen:
    return Seen(at, n % 4, n % 4)


TYPES = {
    "value_avg": Type(_slides(Slide(lambda values: Total(rounded, values))), _number),
    "value_percentile": Type(_slides(Slide(lambda values: Ranked(Fraction(9, 10), values))), _number),
    "ratio": Type(
        _slides(Slide(lambda values: _Part(2, values), 2)), lambda at, n: Seen(at, n // 2, 2 | n % 2)
    ),
    "shape": Type(
        _slides(Slide(lambda values: _Spread(FORM, values), 2)), lambda at, n: Seen(at, n // 4, n % 8)
    ),
    "value_ratio": Type(ratios_of_values(SPAN, 2), lambda at, n: Seen(at, n % 16, n % 16)),
    "temporal": Type(
        sliding.sliding(
            Law(SPAN, Slide(lambda values: Present(4, any, values)), at_once=True, stay=newest_of_each)
        ),
        _step,
    ),
    "temporal_ordered": Type(
        sliding.sliding(Law(SPAN, CHAINS, at_once=True, ends={1, 3}.__contains__, stay=CHAINS.stay)), _step
    ),
    "sequence": Type(
        chained(SPAN, [Step(1, ("user",)), Step(2, ("user",)), Step(1)]),
        lambda at, n: Seen(at, n // 3 * 16 | n % 3, n // 6 * 16 | n % 3),
    ),
    "sequence of events": Type(
        chained(SPAN, [Step(1), Step(2)]), lambda at, n: Seen(at, n // 2 * 16 | n % 2, n // 2 * 16 | n % 2)
    ),
    "absence": Type(unanswered(SPAN), lambda at, n: Seen(at, 0, 1 + n % 3)),
}  # fmt: skip


class Turn(NamedTuple):
    """What comes, how many steps the watermark then goes, and whether its instants are asked for twice."""

    batch: list[tuple[int, int]]
    ahead: int
    again: bool


TURNS = st.lists(
    st.builds(
        Turn,
        # Most come after the watermark; some late, some too late for any window.
        st.lists(st.tuples(st.integers(-2, 8) | st.integers(-14, 8), st.integers(0, 31)), max_size=8),
        st.integers(0, 8),
        st.booleans(),
    ),
    max_size=9,
)
LAW = settings(
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=100,
)


@pytest.fixture(autouse=True)
def every_window_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sliding, temporal_ordered, sequence_ledger):
        monkeypatch.setattr(module, "KEPT", 0)


def check(kind: Type, turns: list[Turn], keep: int | None) -> None:
    kept, watermark = kind.ledger(None, keep), BASE
    for turn in turns:
        batch = [kind.seen(watermark + ahead * STEP, n) for ahead, n in turn.batch]
        committed = watermark
        if batch:
            kept = _both(kind, kept, keep, lambda held: held.observe(batch, committed))  # noqa: B023
        watermark += turn.ahead * STEP
        for _ in range(1 + turn.again):
            kept = _both(kind, kept, keep, lambda held: held.due(watermark, committed))  # noqa: B023


def _both(kind: Type, kept: Ledger, keep: int | None, call: Callable[[Ledger], list[Scored]]) -> Ledger:
    """The kept one goes on, and says and holds what one says and holds that was opened for this call."""
    anew = kind.ledger(kept.dump(), keep)
    assert call(kept) == call(anew)
    assert kept.dump() == anew.dump()
    assert (kept.lasts_until, kept.size) == (anew.lasts_until, anew.size)
    return kept


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("keep", [None, 10])
@settings(LAW)
@given(turns=TURNS)
def test_what_is_known_from_before_is_what_is_found_anew(
    kind: str, keep: int | None, turns: list[Turn]
) -> None:
    check(TYPES[kind], turns, keep)


def test_a_window_of_few_members_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sliding, "KEPT", 3)
    members = Members()
    slide = Slide(lambda values: _Part(1, values))

    kept = []
    for at in range(4):
        members.add([Seen(at, at, 2)])
        slide(members, SPAN, at, at + 1)
        kept.append(members.follower is not None)

    assert kept == [False, False, True, True]


# The tests of the tests: each of these mistakes must be found.


def _stays(_self: Window, _members: Members, _place: int) -> None:
    pass


def _one_off(self: Window, members: Members, count: int) -> None:
    _LET_GO(self, members, count)
    self.tail = max(self.tail - 1, 0)


def _forgets_to_move(self: Window, _members: Members, count: int) -> None:
    self.tail, self.head = max(self.tail - count, 0), max(self.head - count, 0)


def _keeps_the_window(self: Members, places: list[int]) -> None:
    follower = self.follower
    _KEEP_ONLY(self, places)
    self.follower = follower


def _nobody_leaves(self: Window, members: Members, from_ms: int, head: int) -> None:
    while self.tail < head and members.time(self.tail) < from_ms:
        self.tail += 1


def _in_two_parts(self: _Followed, members: Members, place: int) -> None:
    if place < self.head:
        members.follower = None


def _is_never_answered(_self: Unanswered, _time_ms: int) -> bool:
    return False


_LET_GO, _KEEP_ONLY = Window.let_go, Members.keep_only


@pytest.mark.parametrize(
    ("kind", "where", "name", "mistake"),
    [
        ("value_avg", Window, "back_to", _stays),
        ("value_ratio", Window, "let_go", _one_off),
        ("ratio", Window, "let_go", _forgets_to_move),
        ("temporal", Members, "keep_only", _keeps_the_window),
        ("shape", Window, "_leave", _nobody_leaves),
        ("absence", Unanswered, "_is_answered", _is_never_answered),
    ],
    ids=[
        *("a late member changes nothing", "the tail is off by one", "what is let go stays counted"),
        *("what is thinned stays counted", "what leaves stays counted"),
        "an answer that came first",
    ],
)
def test_a_planted_mistake_is_found(
    monkeypatch: pytest.MonkeyPatch, kind: str, where: type, name: str, mistake: object
) -> None:
    monkeypatch.setattr(where, name, mistake)

    @settings(LAW, max_examples=1_000, phases=[Phase.generate])
    @given(turns=TURNS)
    def law(turns: list[Turn]) -> None:
        check(TYPES[kind], turns, None)

    with pytest.raises((AssertionError, IndexError, KeyError)):
        law()


def test_a_chain_that_takes_an_instant_in_two_parts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [Turn([(0, 1), (1, 0)], 0, False), Turn([(1, 2)], 0, False), Turn([(2, 3)], 0, False)]
    check(TYPES["temporal_ordered"], turns, None)

    monkeypatch.setattr(_Followed, "back_to", _in_two_parts)

    with pytest.raises(AssertionError):
        check(TYPES["temporal_ordered"], turns, None)
