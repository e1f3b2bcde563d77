"""The service is killed a hundred times under load, and nobody who reads its alerts can tell.

`kill -9` at seeded random moments, of the service alone or together with its server, while it
starts, works or delivers. Then it drains, and its alerts are compared with an oracle's.
"""

from __future__ import annotations

import json
import random  # noqa: TID251 - seeded, and the seed is in the test's name
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .running import TOCSIN, Receiver, Sender, Tocsin, installation, until
from .siege import ROUTING, attack, bodies, body, complaints, last_event, rules

KILLS = 25  # of each of the four sieges
BODIES_A_LIFE = 10
EVENTS_A_BODY = 6
MORTAL = Path(__file__).parent / "mortal.py"
Check = Callable[[], list[str]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def survive(tocsin: Tocsin, sender: Sender, rng: random.Random) -> None:
    """Kill it `KILLS` times, at any moment of its life."""
    for _ in range(KILLS):
        process = tocsin.start()
        sender.allowed += BODIES_A_LIFE
        if rng.random() < 0.15:  # while it starts
            threading.Event().wait(rng.uniform(0.0, 0.9))
        else:
            tocsin.ready()
            threading.Event().wait(rng.uniform(0.0, 0.35))
        assert process.poll() is None, tocsin.said()[-3000:]
        tocsin.kill(children=rng.random() < 0.3)


def drain(tocsin: Tocsin, sender: Sender) -> None:
    """Live on undisturbed until everything is accepted, evaluated and told."""
    tocsin.start()
    tocsin.ready()
    sender.finish()
    with tocsin.state() as state:
        until(state.idle, "the end of the work")


def verdict(tocsin: Tocsin, records: list[dict[str, object]], receiver: Receiver) -> list[str]:
    with tocsin.state() as state:
        alerts = state.alerts.find(limit=100_000)
        deliveries = state.outbox.find(limit=100_000)
    ambiguous = sum(delivery.ambiguous for delivery in deliveries)
    again = len(receiver.got) - len({id_ for id_, _ in receiver.got})
    print(  # noqa: T201 - the figures, and what to look at when it fails
        f"{len(alerts)} alerts, {len(deliveries)} notifications, {ambiguous} ambiguous, {again} came again, "
        f"{tocsin.starts} starts"
    )
    wrong = complaints(records, alerts, deliveries, receiver.got)
    return wrong if ambiguous <= tocsin.starts else [*wrong, f"{ambiguous} ambiguous attempts"]


@contextmanager
def siege(seed: int, receiver: Receiver, lives: int) -> Iterator[tuple[Tocsin, Sender, random.Random, Check]]:
    """An installation under an attack that lasts `lives` lives, its sender at work, and the final check."""
    rng = random.Random(seed)
    start_ms = int(time.time() * 1000) - 700_000  # noqa: TID251 - near now: nothing is history
    records = attack(rng, start_ms, lives * BODIES_A_LIFE * EVENTS_A_BODY)
    sent = bodies(rng, records, lives * BODIES_A_LIFE)
    with installation(rules(), ROUTING, receiver.url) as tocsin:
        sender = Sender(tocsin, [*sent, body([last_event(start_ms)])])
        sender.start()
        try:
            yield tocsin, sender, rng, lambda: verdict(tocsin, records, receiver)
        finally:
            sender.stop()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_service_killed_25_times_loses_nothing_and_tells_nothing_twice(
    seed: int, receiver: Receiver
) -> None:
    with siege(seed, receiver, KILLS) as (tocsin, sender, rng, wrong):
        survive(tocsin, sender, rng)
        drain(tocsin, sender)

        assert wrong() == []


def die_by_itself(tocsin: Tocsin, sender: Sender, plan: dict[str, object]) -> None:
    """One life that ends itself where the plan says."""
    tocsin.command = (sys.executable, str(MORTAL), json.dumps(plan))
    process = tocsin.start()
    sender.allowed += BODIES_A_LIFE
    tocsin.ready_or_dead()
    until(lambda: process.poll() is not None, lambda: f"its end; it said {tocsin.said()[-3000:]}", 30)
    assert process.returncode == -signal.SIGKILL, tocsin.said()[-3000:]
    tocsin.command = TOCSIN


@pytest.mark.slow
def test_a_service_that_dies_between_any_two_steps_does_neither(receiver: Receiver) -> None:
    with siege(7, receiver, 20) as (tocsin, sender, rng, wrong):
        for _ in range(20):
            die_by_itself(tocsin, sender, {"die_at": rng.randint(1, 40)})
        drain(tocsin, sender)

        assert wrong() == []


def test_a_service_that_dies_after_each_commit_loses_nothing(receiver: Receiver) -> None:
    with siege(8, receiver, 3) as (tocsin, sender, _, wrong):
        for _ in range(3):
            die_by_itself(tocsin, sender, {"die_after_commit": True})
        drain(tocsin, sender)

        assert wrong() == []


# The tests of the test: each of these mistakes must be found.


def test_a_service_that_commits_before_it_evaluates_is_found_out(receiver: Receiver) -> None:
    with siege(8, receiver, 3) as (tocsin, sender, _, wrong):
        for _ in range(3):
            die_by_itself(tocsin, sender, {"die_after_commit": True, "mistake": "commits_first"})
        drain(tocsin, sender)

        assert any(complaint.startswith("lost alerts") for complaint in wrong())


def test_a_service_whose_outbox_is_not_idempotent_is_found_out(receiver: Receiver) -> None:
    with siege(9, receiver, 3) as (tocsin, sender, _, wrong):
        for _ in range(3):
            die_by_itself(tocsin, sender, {"mistake": "puts_twice", "die_in_put": 2})
        drain(tocsin, sender)

        assert any(complaint.endswith("says nothing new") for complaint in wrong())
