"""The promise of delivery, over random failures, crashes and store outages.

Every message reaches the other side or is a dead letter that was told; one reaches it twice only
after a crash whose outcome was not known, once more for each such crash, recorded as ambiguous;
messages of one group arrive in order. Planted mistakes show that the law would notice.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random  # noqa: TID251 - seeded

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.clock import ManualClock
from tocsin.delivery.retry import RetryPolicy
from tocsin.delivery.worker import LEASE, Worker
from tocsin.errors import PermanentFailure, StoreUnavailable, TemporaryFailure
from tocsin.model.notification import LastNotified, Notification
from tocsin.state.outbox_memory import MemoryOutbox

T = datetime(2026, 3, 1, 12, tzinfo=UTC)

fates = st.sampled_from(
    ["taken", "taken", "taken", "temporary", "later", "permanent", "dies before", "dies after", "store away"]
)
messages = st.lists(
    st.tuples(st.sampled_from(["g1", "g2", "g3"]), st.sampled_from(["low", "high", "critical"])),
    min_size=1,
    max_size=8,
)


class Killed(BaseException):
    """The process ends here."""


class World:
    """The other side, and what the script does to us."""

    name, type, min_interval = "oncall", "slack", timedelta(seconds=1)

    def __init__(self, script: list[str], clock: ManualClock) -> None:
        self.script, self.clock = list(reversed(script)), clock
        self.got: list[tuple[str, str]] = []  # group, id
        self.crashes_after: Counter[str] = Counter()
        self.not_before = T
        self.away = False

    def send(self, notification: Notification) -> str:
        assert self.clock.now() >= self.not_before, "sent inside a Retry-After, or too fast"
        fate = self.script.pop() if self.script else "taken"
        if fate == "dies before":
            raise Killed
        self.not_before = self.clock.now() + self.min_interval
        if fate == "later":
            self.not_before = self.clock.now() + timedelta(seconds=40)
            raise TemporaryFailure("429", retry_after=timedelta(seconds=40))
        if fate == "temporary":
            raise TemporaryFailure("503")
        if fate == "permanent":
            raise PermanentFailure("410")
        self.got.append((notification.group_key, notification.id))
        if fate == "dies after":
            self.crashes_after[notification.id] += 1
            self.not_before = self.clock.now()  # who has died cannot keep its pace
            raise Killed
        self.away = fate == "store away"
        return "ok"


class Outbox(MemoryOutbox):
    """Durable through crashes; away when the world says so."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None

    def settle(self, delivery, outcome, now):
        if self.world is not None and self.world.away:
            self.world.away = False
            raise StoreUnavailable("away")
        return super().settle(delivery, outcome, now)


def run(script, wanted, make_worker=Worker) -> None:
    clock, outbox = ManualClock(T), Outbox()
    world = World(script, clock)
    outbox.world = world
    told: set[str] = set()
    put = [f"n{number}" for number in range(len(wanted))]
    for id_, (group, severity) in zip(put, wanted, strict=True):
        note = Notification(
            id=id_, channel="oncall", group_key=group, status="firing", severity=severity, summary="s",
            alert_ids=(), body={}, created_at=T,
        )  # fmt: skip
        outbox.put(note, LastNotified(at=T, sequence=1))

    def start() -> Worker:
        policy = RetryPolicy(longest=timedelta(seconds=8), attempts=6)
        return make_worker(
            outbox,
            world,
            clock,
            Random(3),
            policy=policy,
            on_dead=lambda dead, _: told.add(dead.notification.id),
        )

    worker, at = start(), T
    for _ in range(2_000):
        clock.set(max(clock.now(), at))
        try:
            found = worker.run_once(clock.now())
        except Killed:
            outbox.take_back()
            worker, found = start(), clock.now()
        except StoreUnavailable:
            found = clock.now() + timedelta(seconds=1)
        if found is None:
            break
        at = found
    check(outbox, world, told, put)


def check(outbox: Outbox, world: World, told: set[str], put: list[str]) -> None:
    ends = {d.notification.id: d for d in outbox.find()}
    assert sorted(ends) == sorted(put)
    times = Counter(id_ for _, id_ in world.got)
    for id_, delivery in ends.items():
        crashes = world.crashes_after[id_]
        match delivery.status:
            case "sent":
                assert times[id_] == 1 + crashes
            case "dead":
                assert id_ in told
                assert times[id_] == crashes
            case _:
                raise AssertionError(f"{id_} is still {delivery.status}")
        assert delivery.ambiguous >= crashes
    for group in {group for group, _ in world.got}:
        first = list(dict.fromkeys(id_ for name, id_ in world.got if name == group))
        assert first == sorted(first, key=put.index)


@given(st.lists(fates, max_size=25), messages)
def test_nothing_is_lost_and_only_unknown_outcomes_repeat(script, wanted):
    run(script, wanted)


class ForgetsWhatItSent(Worker):
    def _settle_up(self, now):
        try:
            super()._settle_up(now)
        except StoreUnavailable:
            self._unwritten = None
            self._clock.advance(LEASE)
            raise


class BuriesInSilence(Worker):
    def __init__(self, *args, on_dead, **kwargs):
        super().__init__(*args, **kwargs)


class DeafToRetryAfter(Worker):
    def _pause_until(self, now, retry_after):
        return now


class Hasty(Worker):
    def _pace(self, now):
        self._failures = 0


class GivesUpAtOnce(Worker):
    def _again(self, delivery, exc):
        self._outbox._entries.pop(delivery.notification.id)
        raise StoreUnavailable("lost")


@pytest.mark.parametrize(
    "mistake", [ForgetsWhatItSent, BuriesInSilence, DeafToRetryAfter, Hasty, GivesUpAtOnce]
)
def test_the_law_catches_a_planted_mistake(mistake):
    @settings(database=None, max_examples=300, report_multiple_bugs=False, deadline=None)
    @given(st.lists(fates, max_size=25), messages)
    def law(script, wanted):
        run(script, wanted, mistake)

    with pytest.raises((AssertionError, KeyError, IndexError)):
        law()
