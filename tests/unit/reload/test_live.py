"""Batches begin and end with the same rules; a swap finds no loop inside a batch."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tocsin.engine import Engine
from tocsin.model.alert import NEVER_MS, Triggers
from tocsin.model.compiled import RuleSet
from tocsin.model.rule import Rule
from tocsin.reload import AtWork, LiveRules
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.windows_memory import MemoryWindows

SOON, NOT_YET = 10.0, 0.05


def at_work(**warming: int) -> AtWork:
    ruleset = RuleSet(())
    return AtWork(ruleset, Engine(ruleset, MemoryWindows(), MemoryEvidence()), warming)


@contextmanager
def swapping(live: LiveRules, make: Callable[[], AtWork]) -> Iterator[threading.Event]:
    """A swap in another thread; the event is set once it is done, which it is at the end."""
    done = threading.Event()

    def swap() -> None:
        live.swap(make)
        done.set()

    thread = threading.Thread(target=swap)
    thread.start()
    yield done
    assert done.wait(SOON)
    thread.join()


def test_a_swap_waits_for_the_batches_under_way() -> None:
    old, new = at_work(), at_work()
    live = LiveRules(old)
    inside, leave = threading.Event(), threading.Event()
    seen: list[AtWork] = []

    def batch() -> None:
        with live.batch() as rules:
            inside.set()
            leave.wait(SOON)
            seen.append(rules)

    with ThreadPoolExecutor() as pool:
        pool.submit(batch)
        assert inside.wait(SOON)
        with swapping(live, lambda: new) as done:
            assert not done.wait(NOT_YET)
            leave.set()

    assert seen == [old]
    assert live.now is new


def test_a_batch_that_comes_during_a_swap_waits_for_the_new_rules() -> None:
    old, new = at_work(), at_work()
    live = LiveRules(old)
    making, made = threading.Event(), threading.Event()
    got: list[AtWork] = []

    def make() -> AtWork:
        making.set()
        made.wait(SOON)
        return new

    def batch() -> None:
        with live.batch() as rules:
            got.append(rules)

    with ThreadPoolExecutor() as pool, swapping(live, make):
        assert making.wait(SOON)
        waiting = pool.submit(batch)
        assert live.now is old
        assert got == []
        made.set()
        waiting.result(SOON)

    assert got == [new]


def test_a_swap_that_fails_changes_nothing_and_blocks_nobody() -> None:
    old = at_work()
    live = LiveRules(old)

    def make() -> AtWork:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        live.swap(make)
    with live.batch() as rules:
        assert rules is old
    live.swap(at_work)


def test_a_batch_that_fails_holds_up_no_swap() -> None:
    live, new = LiveRules(at_work()), at_work()

    with pytest.raises(ValueError, match="no"), live.batch():
        raise ValueError("no")

    live.swap(lambda: new)
    assert live.now is new


def overlaps(live: LiveRules) -> int:
    """How often rules were made while somebody was inside a batch, of many swaps and batches at once."""
    inside, wrong, count = [0], [0], threading.Lock()
    over = threading.Event()

    def batches() -> None:
        while not over.is_set():
            with live.batch():
                with count:
                    inside[0] += 1
                for _ in range(200):  # most of its time a batch is inside
                    pass
                with count:
                    inside[0] -= 1

    def make() -> AtWork:
        for _ in range(50):
            with count:
                wrong[0] += inside[0]
        return at_work()

    with ThreadPoolExecutor() as pool:
        for _ in range(3):
            pool.submit(batches)
        for swaps in [pool.submit(lambda: [live.swap(make) for _ in range(100)]) for _ in range(2)]:
            swaps.result(60)
        over.set()
    return wrong[0]


@pytest.fixture
def turns() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("turns")
def test_no_swap_meets_a_batch() -> None:
    assert overlaps(LiveRules(at_work())) == 0


@pytest.mark.usefixtures("turns")
def test_a_swap_that_does_not_wait_would_be_found() -> None:
    class Hasty(LiveRules):
        def swap(self, make: Callable[[], AtWork]) -> None:
            self._now = make()

    assert any(overlaps(Hasty(at_work())) for _ in range(20))


def test_triggers_of_a_warming_state_know_until_when() -> None:
    rule = Rule(name="r", id="r", title="R", severity="low")
    triggers = [Triggers(rule, "acme", "g", [(1, 1.0)], [], state=state) for state in ("cold", "warm", "")]

    marked = at_work(warm=5, other=9).marked(triggers)

    assert [trigger.warming_until_ms for trigger in marked] == [NEVER_MS, 5, NEVER_MS]
