"""The worker, on a scripted channel and a clock that stands."""

from collections import deque
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random  # noqa: TID251 - seeded
from threading import Event

import pytest

from tocsin.clock import ManualClock
from tocsin.delivery.retry import RetryPolicy
from tocsin.delivery.worker import CHANNEL_PAUSE, LEASE, MOST_AMBIGUOUS, Worker
from tocsin.errors import PermanentFailure, StoreUnavailable, TemporaryFailure
from tocsin.model.notification import LastNotified, Notification
from tocsin.state.outbox_memory import MemoryOutbox

T = datetime(2026, 3, 1, 12, tzinfo=UTC)
S = timedelta(seconds=1)


class Scripted:
    """A channel that does what it is told; a send takes `takes`."""

    name, type = "oncall", "slack"

    def __init__(
        self, clock: ManualClock, *, interval: timedelta = timedelta(), takes: timedelta = timedelta()
    ) -> None:
        self.min_interval = interval
        self.clock, self.takes = clock, takes
        self.script: deque[Exception | None] = deque()
        self.down: Exception | None = None
        self.sent: list[tuple[datetime, str]] = []
        self.tried: list[datetime] = []

    def send(self, notification: Notification) -> str:
        self.tried.append(self.clock.now())
        self.clock.advance(self.takes)
        trouble = self.script.popleft() if self.script else self.down
        if trouble is not None:
            raise trouble
        self.sent.append((self.clock.now(), notification.id))
        return "ok"


class Rig:
    def __init__(self, *, interval=timedelta(), takes=timedelta(), policy=None) -> None:
        self.clock = ManualClock(T)
        self.outbox = MemoryOutbox()
        self.channel = Scripted(self.clock, interval=interval, takes=takes)
        self.dead: list[tuple[str, str]] = []
        self.stop = Event()
        self.policy = policy
        self.worker = self.start()

    def start(self) -> Worker:
        return Worker(
            self.outbox, self.channel, self.clock, Random(1), policy=self.policy, stop=self.stop,
            on_dead=lambda delivery, reason: self.dead.append((delivery.notification.id, reason)),
        )  # fmt: skip

    def put(self, *ids: str, severity="high", group=None) -> None:
        for id_ in ids:
            note = Notification(
                id=id_, channel="oncall", group_key=group or id_, status="firing", severity=severity,
                summary="s", alert_ids=(), body={}, created_at=self.clock.now(),
            )  # fmt: skip
            self.outbox.put(note, LastNotified(at=self.clock.now(), sequence=1))

    def once(self) -> datetime | None:
        return self.worker.run_once(self.clock.now())

    def run(self, until: datetime) -> None:
        """As the loop does: look again when told."""
        while (at := self.once()) is not None and at <= until:
            self.clock.set(max(self.clock.now(), at))
        self.clock.set(max(until, self.clock.now()))

    def statuses(self) -> dict[str, str]:
        return {d.notification.id: d.status for d in self.outbox.find()}

    def ids(self) -> list[str]:
        return [id_ for _, id_ in self.channel.sent]


def test_nothing_to_do_says_look_when_something_is_put():
    assert Rig().once() is None


def test_a_due_message_is_sent_and_settled():
    rig = Rig()
    rig.put("n1")

    assert rig.once() is None

    assert rig.ids() == ["n1"]
    (delivery,) = rig.outbox.find(status="sent")
    assert (delivery.last_error, delivery.attempt) == ("ok", 1)


def test_the_most_severe_goes_first():
    rig = Rig()
    rig.put("low", severity="low")
    rig.put("critical", severity="critical")

    rig.run(T)

    assert rig.ids() == ["critical", "low"]


def test_a_temporary_failure_is_tried_again_later():
    rig = Rig()
    rig.put("n1")
    rig.channel.script.append(TemporaryFailure("503"))

    at = rig.once()

    assert at is not None
    assert T <= at <= T + S
    assert rig.statuses() == {"n1": "queued"}
    rig.run(T + 5 * S)
    assert rig.statuses() == {"n1": "sent"}


def test_nothing_is_sent_inside_a_retry_after_not_even_another_message():
    rig = Rig()
    rig.put("n1")
    rig.channel.script.append(TemporaryFailure("429", retry_after=30 * S))
    assert rig.once() == T + 30 * S
    rig.put("n2", severity="critical")

    rig.run(T + 29 * S)
    assert rig.channel.tried == [T]

    rig.run(T + 31 * S)
    assert rig.ids() == ["n2", "n1"]


def test_a_permanent_failure_is_a_dead_letter_that_is_told():
    rig = Rig()
    rig.put("n1", "n2")
    rig.channel.script.append(PermanentFailure("403 invalid_token"))

    rig.run(T)

    assert rig.statuses() == {"n1": "dead", "n2": "sent"}
    assert rig.dead == [("n1", "403 invalid_token")]


def test_a_spent_policy_is_a_dead_letter_that_is_told():
    rig = Rig(policy=RetryPolicy(attempts=3))
    rig.put("n1")
    rig.channel.down = TemporaryFailure("503")

    rig.run(T + timedelta(hours=1))

    assert rig.statuses() == {"n1": "dead"}
    assert rig.dead == [("n1", "gave up after 3 attempts: 503")]
    assert len(rig.channel.tried) == 3


def test_sends_keep_their_distance():
    rig = Rig(interval=S, takes=timedelta(milliseconds=200))
    rig.put(*(f"n{n}" for n in range(10)))

    rig.run(T + 60 * S)

    times = [at for at, _ in rig.channel.sent]
    assert len(times) == 10
    assert all(later - earlier >= S for earlier, later in pairwise(times))


def test_a_stop_gives_back_what_is_untried():
    rig = Rig()
    rig.put("n1")
    rig.stop.set()

    rig.once()

    assert rig.channel.tried == []
    rig.stop.clear()
    (delivery,) = rig.outbox.lease("oncall", T, limit=1, ttl=LEASE)
    assert (delivery.attempt, delivery.ambiguous) == (1, 0)


class Flaky(MemoryOutbox):
    """A store that is away for some calls."""

    def __init__(self, *fails: str) -> None:
        super().__init__()
        self.fails = list(fails)

    def _maybe(self, name: str) -> None:
        if name in self.fails:
            self.fails.remove(name)
            raise StoreUnavailable("away")

    def settle(self, delivery, outcome, now):
        self._maybe("settle")
        return super().settle(delivery, outcome, now)

    def hasten(self, channel, now):
        self._maybe("hasten")
        return super().hasten(channel, now)

    def next_due(self, channel):
        self._maybe("next_due")
        return super().next_due(channel)


@pytest.mark.parametrize("fails", [["settle"], ["settle", "settle"], ["next_due"], ["settle", "next_due"]])
def test_what_was_sent_is_not_sent_again_when_the_store_was_away(fails):
    rig = Rig()
    rig.outbox = Flaky(*fails)
    rig.worker = rig.start()
    rig.put("n1")

    for _ in fails:
        with pytest.raises(StoreUnavailable):
            rig.once()
        rig.clock.advance(LEASE * 2)
    rig.once()

    assert rig.ids() == ["n1"]
    assert rig.statuses() == {"n1": "sent"}


def test_a_dead_letter_that_could_not_be_told_is_told_before_it_is_written_down():
    rig = Rig()
    rig.put("n1")
    rig.channel.script.append(PermanentFailure("410"))
    told = []

    def on_dead(delivery, reason):
        told.append(rig.statuses())
        if len(told) == 1:
            raise StoreUnavailable("away")

    rig.worker = Worker(rig.outbox, rig.channel, rig.clock, Random(1), on_dead=on_dead)

    with pytest.raises(StoreUnavailable):
        rig.once()
    rig.once()

    assert told == [{"n1": "queued"}, {"n1": "queued"}]
    assert rig.statuses() == {"n1": "dead"}
    assert len(rig.channel.tried) == 1


def test_a_message_that_kills_us_each_time_is_given_up():
    rig = Rig()
    rig.put("n1")
    for _ in range(MOST_AMBIGUOUS + 1):
        rig.outbox.lease("oncall", rig.clock.now(), limit=1, ttl=S)
        rig.clock.advance(2 * S)

    rig.once()

    assert rig.channel.tried == []
    assert rig.dead == [("n1", "gave up: 21 of 21 attempts ended unknown")]


def test_a_dead_channel_costs_attempts_of_few_messages():
    rig = Rig()
    rig.put(*(f"n{n}" for n in range(200)))
    rig.channel.down = TemporaryFailure("cannot connect")

    rig.run(T + timedelta(hours=1))

    assert len(rig.channel.tried) < 400  # one each pause, not 200 each
    assert set(rig.statuses().values()) == {"queued"}


def test_after_an_outage_the_most_severe_goes_at_once_and_all_at_the_channels_pace():
    rig = Rig(interval=S)
    rig.channel.down = TemporaryFailure("timeout")
    rig.put(*(f"low{n}" for n in range(50)), severity="low")
    rig.put("page", severity="critical")
    rig.run(T + timedelta(hours=6))
    assert rig.channel.sent == []

    rig.channel.down = None
    back = rig.clock.now()
    rig.run(back + timedelta(minutes=3))

    assert len(rig.ids()) == 51
    first = rig.channel.sent[0][0]
    assert first <= back + CHANNEL_PAUSE.longest
    assert {id_: at for at, id_ in rig.channel.sent}["page"] <= first + 5 * S
    times = [at for at, _ in rig.channel.sent]
    assert all(later - earlier >= S for earlier, later in pairwise(times))
    assert times[-1] - first <= 51 * S


def test_a_clock_that_is_set_back_does_not_hold_messages_up():
    rig = Rig(policy=RetryPolicy(first=timedelta(minutes=5)))
    rig.channel.script.append(TemporaryFailure("503", retry_after=20 * S))
    rig.put("n1")
    rig.once()
    rig.clock.advance(-timedelta(hours=1))
    back = rig.clock.now()

    rig.run(back + timedelta(minutes=10))

    assert [id_ for at, id_ in rig.channel.sent if at == back + 20 * S] == ["n1"]


def test_a_recovery_that_the_store_missed_is_told_again():
    rig = Rig()
    rig.outbox = Flaky("hasten")
    rig.worker = rig.start()
    rig.channel.script.extend([TemporaryFailure("x")] * 3)
    rig.put("n1", "n2", "n3", "n4")
    with pytest.raises(StoreUnavailable):
        rig.run(T + timedelta(minutes=5))

    rig.run(rig.clock.now())

    assert sorted(rig.ids()) == ["n1", "n2", "n3", "n4"]


def test_one_bad_message_does_not_hold_up_the_others():
    rig = Rig()
    rig.put("bad", severity="critical")
    rig.put(*(f"n{n}" for n in range(20)))
    send = rig.channel.send

    def picky(notification):
        rig.channel.down = TemporaryFailure("500") if notification.id == "bad" else None
        return send(notification)

    rig.channel.send = picky

    rig.run(T + timedelta(minutes=2))

    assert len(rig.ids()) == 20
    assert rig.statuses()["bad"] == "queued"


def test_a_group_is_told_in_order_through_an_outage():
    rig = Rig()
    rig.channel.down = TemporaryFailure("x")
    rig.put("fires", group="g")
    rig.run(T + timedelta(minutes=30))
    rig.put("resolves", group="g", severity="critical")
    rig.channel.down = None

    rig.run(rig.clock.now() + timedelta(minutes=10))

    assert rig.ids() == ["fires", "resolves"]
