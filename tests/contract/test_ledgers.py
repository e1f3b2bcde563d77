"""What every window store does with ledgers, on memory and on a real server."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tocsin.model.compiled import WindowSpec
from tocsin.model.ledger import Scored, Seen
from tocsin.model.observed import Counted, Observations
from tocsin.protocols import Windows
from tocsin.rules.correlations.closing import ClosingLaw, closing
from tocsin.rules.correlations.quiet import QuietLaw, quiet
from tocsin.rules.correlations.sliding import Law, Slide, sliding
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows

MINUTE = 60_000
NOON = 1_700_000_000_000
LONG_AGO = -(10**12)


class Size:
    """How many members are in the window."""

    def __init__(self, values: Sequence[int]) -> None:
        self._size = len(values)

    def add(self, _value: int) -> None:
        self._size += 1

    def remove(self, _value: int) -> None:
        self._size -= 1

    def score(self) -> float:
        return float(self._size)


def _size(values: Sequence[int]) -> float:
    return float(len(values))


AT_ONCE = WindowSpec(
    "at once", MINUTE, "members", keep=80, ledger=sliding(Law(MINUTE, Slide(Size), at_once=True))
)
DECIDED = WindowSpec(
    "decided",
    MINUTE,
    "members",
    keep=80,
    closes=True,
    ledger=sliding(Law(MINUTE, Slide(Size), at_once=False)),
)
CLOSING = WindowSpec(
    "closing", MINUTE, "members", keep=80, closes=True, ledger=closing(ClosingLaw(MINUTE, _size))
)
EXPECTED = WindowSpec(
    "quiet",
    MINUTE,
    "members",
    closes=True,
    ledger=quiet(QuietLaw(MINUTE, MINUTE, 3 * MINUTE, begins=True)),
    expected=("acme", "\ud800"),
)
EVERY = [AT_ONCE, DECIDED, CLOSING]


@pytest.fixture(params=["memory", "redis"])
def windows(request: pytest.FixtureRequest) -> Windows:
    if request.param == "memory":
        return MemoryWindows()
    return RedisWindows(request.getfixturevalue("store"))


def told(
    windows: Windows, spec: WindowSpec, *times: int, group: str = "g", tenant: str = "t"
) -> list[Scored]:
    """What is said of the group when it has these members, at once or when all is past."""
    batch = {group: [Seen(time_ms, time_ms) for time_ms in times]}
    at_once = windows.observe(tenant, [Observations(spec, {}, batch)], committed_ms=LONG_AGO)
    if not spec.closes:
        return of(at_once, group)
    after = max(times) + spec.span_ms + 1
    return of(windows.due(tenant, [spec], watermark_ms=after, committed_ms=LONG_AGO), group)


def of(counted: Sequence[Counted], group: str) -> list[Scored]:
    return [window for one in counted if one.group == group for window in one.windows]


@pytest.mark.parametrize("spec", EVERY, ids=lambda spec: spec.state)
def test_groups_tenants_and_states_of_ledgers_never_meet(windows: Windows, spec: WindowSpec) -> None:
    told(windows, spec, NOON)
    told(windows, spec._replace(state="another"), NOON)
    told(windows, spec, NOON, group="other")

    assert [score for _, score in told(windows, spec, NOON + 1, tenant="u")] == [1.0]
    assert [score for _, score in told(windows, spec, NOON + 1)][-1] == 2.0


@pytest.mark.parametrize("hostile", ["", "*", "{p0}", "a\nb", "\x00\r\n", "x" * 70_000, "\ud800", "🙂"])
@pytest.mark.parametrize("spec", EVERY, ids=lambda spec: spec.state)
def test_hostile_text_names_a_ledger_like_any_other(windows: Windows, spec: WindowSpec, hostile: str) -> None:
    told(windows, spec, NOON, group="other")

    first = told(windows, spec, NOON, NOON + 1, group=hostile)

    assert first[-1][1] == 2.0
    assert told(windows, spec, NOON, NOON + 1, group=hostile) == first


@pytest.mark.parametrize("spec", EVERY, ids=lambda spec: spec.state)
def test_beyond_max_groups_the_ledgers_that_are_over_first_go(windows: Windows, spec: WindowSpec) -> None:
    few = spec._replace(max_groups=10)
    for n in range(15):
        told(windows, few, NOON + n, group=f"g{n}")

    assert windows.sweep("t", [few], committed_ms=NOON) == 5
    assert windows.sweep("t", [few], committed_ms=NOON) == 0

    kept = [n for n in range(15) if told(windows, few, NOON + 20, group=f"g{n}")[-1][1] == 2.0]
    assert kept == list(range(5, 15))


@pytest.mark.parametrize("spec", EVERY, ids=lambda spec: spec.state)
def test_a_flood_of_ledgers_is_swept_though_event_time_stands_still(
    windows: Windows, spec: WindowSpec
) -> None:
    few = spec._replace(max_groups=10)
    told(windows, few, NOON, group="first")
    assert windows.sweep("t", [few], committed_ms=NOON) == 0

    flood = {f"g{n}": [Seen(NOON + 1, n)] for n in range(15)}
    windows.observe("t", [Observations(few, {}, flood)], committed_ms=NOON)

    assert windows.sweep("t", [few], committed_ms=NOON) == 6


@pytest.mark.parametrize("spec", EVERY, ids=lambda spec: spec.state)
def test_a_sweep_leaves_ledgers_alone_as_long_as_they_last(windows: Windows, spec: WindowSpec) -> None:
    told(windows, spec, NOON)

    windows.sweep("t", [spec], committed_ms=NOON + MINUTE)

    assert told(windows, spec, NOON + 1)[-1][1] == 2.0


@pytest.mark.parametrize("spec", EVERY, ids=lambda spec: spec.state)
def test_ledgers_that_are_forgotten_begin_anew_and_others_go_on(windows: Windows, spec: WindowSpec) -> None:
    other = spec._replace(state="another")
    for each, tenant in ((spec, "t"), (spec, "u"), (other, "t")):
        told(windows, each, *range(NOON, NOON + 60), group="large", tenant=tenant)

    windows.forget("t", [spec])
    if spec.closes:
        assert windows.due("t", [spec], watermark_ms=NOON + 9 * MINUTE, committed_ms=LONG_AGO) == []

    assert told(windows, spec, NOON + 60, group="large")[-1][1] == 1.0
    assert told(windows, spec, NOON + 60, group="large", tenant="u")[-1][1] == 61.0
    assert told(windows, other, NOON + 60, group="large")[-1][1] == 61.0


def test_a_ledger_with_too_many_members_says_that_its_score_is_a_floor(windows: Windows) -> None:
    batch = [Seen(NOON + n, n) for n in range(81)]

    windows.observe("t", [Observations(AT_ONCE, {}, {"g": batch})], committed_ms=LONG_AGO)
    [answer] = windows.observe(
        "t", [Observations(AT_ONCE, {}, {"g": [Seen(NOON + 100, 100)]})], committed_ms=LONG_AGO
    )

    assert answer.floored
    assert answer.windows[-1] == (NOON + 100, 71.0)  # 80, less one in eight, and the new one


def test_expected_groups_are_told_of_though_nothing_ever_came(windows: Windows) -> None:
    begun = windows.due("t", [EXPECTED], watermark_ms=NOON, committed_ms=LONG_AGO)
    ended = windows.due("t", [EXPECTED], watermark_ms=NOON + MINUTE + 1, committed_ms=NOON)

    assert begun == []
    assert {(one.group, *one.windows) for one in ended} == {
        ("acme", (NOON + MINUTE, 1.0)),
        ("\ud800", (NOON + MINUTE, 1.0)),
    }


def test_expected_groups_that_were_forgotten_are_told_of_again(windows: Windows) -> None:
    windows.due("t", [EXPECTED], watermark_ms=NOON, committed_ms=LONG_AGO)
    windows.forget("t", [EXPECTED])

    windows.due("t", [EXPECTED], watermark_ms=NOON + 7, committed_ms=LONG_AGO)
    ended = windows.due("t", [EXPECTED], watermark_ms=NOON + 2 * MINUTE, committed_ms=NOON)

    assert of(ended, "acme") == [(NOON + 7 + MINUTE, 1.0)]


def test_each_tenant_has_expected_groups_of_its_own(windows: Windows) -> None:
    for tenant in ("t", "u"):
        windows.due(tenant, [EXPECTED], watermark_ms=NOON, committed_ms=LONG_AGO)
    came = {"acme": [Seen(NOON + MINUTE, 0)]}
    windows.observe("t", [Observations(EXPECTED, {}, came)], committed_ms=NOON)

    late = NOON + MINUTE + 1
    quiet_of = {
        tenant: of(windows.due(tenant, [EXPECTED], watermark_ms=late, committed_ms=NOON), "acme")
        for tenant in ("t", "u")
    }

    assert quiet_of == {"t": [], "u": [(NOON + MINUTE, 1.0)]}
