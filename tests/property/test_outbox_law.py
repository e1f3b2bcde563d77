"""The law of the outbox, over random interleavings of putting, leasing, settling, expiring and crashing.

The model is the plainest list of what each delivery is; after every step the outbox must lease
exactly what the model says, and nothing may be lost, leased twice at once, or leased after it was
sent. Planted mistakes show that the law would notice.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tocsin.model.notification import Dead, Delivery, LastNotified, Notification, Retry, Sent
from tocsin.protocols import Outbox
from tocsin.state.connection import open_store
from tocsin.state.outbox_memory import MemoryOutbox
from tocsin.state.outbox_redis import RedisOutbox

T = datetime(2026, 3, 1, 12, tzinfo=UTC)
S = timedelta(seconds=1)
TTL = 10 * S
CHANNELS = ("oncall", "mail")
RANK = {"low": 1, "high": 3, "critical": 4}

puts = st.tuples(
    st.just("put"),
    st.integers(0, 11),  # the id: some are put again
    st.sampled_from(CHANNELS),
    st.sampled_from(["g1", "g2", "g3"]),
    st.sampled_from(sorted(RANK)),
)
leases = st.tuples(st.just("lease"), st.sampled_from(CHANNELS), st.integers(1, 3))
settles = st.tuples(
    st.just("settle"), st.integers(0, 9), st.sampled_from(["sent", "dead", "retry", "release"])
)
single = st.one_of(
    puts,
    leases,
    settles,
    st.tuples(st.just("wait"), st.integers(1, 12)),
    st.tuples(st.just("crash")),
    st.tuples(st.just("requeue"), st.integers(0, 11)),
    st.tuples(st.just("hasten"), st.sampled_from(CHANNELS)),
    st.tuples(st.just("forget"), st.integers(0, 15)),
)
# Whole rounds among the single steps, so that many scripts get past the first lease.
rounds = st.tuples(puts, leases, settles).map(list)
steps = st.lists(single.map(lambda step: [step]) | rounds, max_size=30).map(
    lambda parts: [s for p in parts for s in p]
)


@dataclass
class Known:
    """What the model knows of one delivery."""

    id: str
    channel: str
    group: str
    severity: str
    order: int
    due: datetime
    status: str = "queued"
    until: datetime | None = None
    attempts: int = 0
    ambiguous: int = 0
    token: str = ""
    was_dead: bool = False
    settled: datetime | None = None


@dataclass
class Model:
    outbox: Outbox
    now: datetime = T
    known: dict[str, Known] = field(default_factory=dict)
    held: list[Delivery] = field(default_factory=list)
    told: dict[tuple[str, str], LastNotified] = field(default_factory=dict)
    count: int = 0

    def next(self) -> int:
        self.count += 1
        return self.count

    def line(self, of: Known) -> list[Known]:
        mates = [
            k
            for k in self.known.values()
            if (k.channel, k.group, k.status) == (of.channel, of.group, "queued")
        ]
        return sorted(mates, key=lambda k: k.order)

    def expected(self, channel: str) -> list[str]:
        heads = [
            k
            for k in self.known.values()
            if k.channel == channel
            and k.status == "queued"
            and self.line(k)[0] is k
            and (k.until or k.due) <= self.now
        ]
        heads.sort(key=lambda k: (-max(RANK[m.severity] for m in self.line(k)), k.order))
        return [k.id for k in heads]

    def put(self, number: int, channel: str, group: str, severity: str) -> None:
        id_ = f"n{number}"
        last = LastNotified(at=self.now, sequence=self.next())
        note = Notification(
            id=id_, channel=channel, group_key=group, status="firing", severity=severity,
            summary="s", alert_ids=(), body={}, created_at=self.now,
        )  # fmt: skip
        assert self.outbox.put(note, last) is (id_ not in self.known)
        if id_ not in self.known:
            self.known[id_] = Known(id_, channel, group, severity, self.next(), self.now)
            self.told[channel, group] = last

    def lease(self, channel: str, limit: int) -> None:
        expected = self.expected(channel)[:limit]
        taken = self.outbox.lease(channel, self.now, limit=limit, ttl=TTL)
        assert [d.notification.id for d in taken] == expected
        for delivery in taken:
            known = self.known[delivery.notification.id]
            known.ambiguous += bool(known.until)
            known.attempts += 1
            known.until, known.token = self.now + TTL, delivery.token
            assert (delivery.attempt, delivery.ambiguous) == (known.attempts, known.ambiguous)
        self.held += taken

    def settle(self, which: int, outcome: str) -> None:
        if not self.held:
            return
        delivery = self.held.pop(which % len(self.held))
        known = self.known.get(delivery.notification.id)
        ours = known is not None and known.token == delivery.token
        if outcome == "release":
            self.outbox.release(delivery, self.now)
        else:
            value = {"sent": Sent(), "dead": Dead("x"), "retry": Retry(self.now + 5 * S, "x")}[outcome]
            assert self.outbox.settle(delivery, value, self.now) is ours
        if known is None or not ours:
            return
        known.until, known.token = None, ""
        match outcome:
            case "release":
                known.attempts -= 1
            case "retry":
                known.due = self.now + 5 * S
            case _:
                known.status = "resent" if outcome == "sent" and known.was_dead else outcome
                known.settled = self.now

    def wait(self, seconds: int) -> None:
        self.now += seconds * S

    def crash(self) -> None:
        """Every process died; the first to start knows it."""
        out = [k for k in self.known.values() if k.until]
        assert self.outbox.take_back() == len(out)
        for known in out:
            known.until, known.token, known.ambiguous = None, "", known.ambiguous + 1

    def requeue(self, number: int) -> None:
        known = self.known.get(f"n{number}")
        dead = known is not None and known.status == "dead"
        assert self.outbox.requeue(f"n{number}", self.now) is dead
        if known is not None and dead:
            known.status, known.was_dead, known.attempts, known.settled = "queued", True, 0, None
            known.due, known.order = self.now, self.next()

    def hasten(self, channel: str) -> None:
        late = [
            k
            for k in self.known.values()
            if k.channel == channel
            and k.status == "queued"
            and self.line(k)[0] is k
            and not k.until
            and k.due > self.now
        ]
        assert self.outbox.hasten(channel, self.now) == len(late)
        for known in late:
            known.due = self.now

    def forget(self, seconds_ago: int) -> None:
        before = self.now - seconds_ago * S
        old = [k.id for k in self.known.values() if k.settled and k.settled < before]
        assert self.outbox.forget(before) == len(old)
        for id_ in old:
            del self.known[id_]
        kept = {(k.channel, k.group) for k in self.known.values()}
        self.told = {pair: last for pair, last in self.told.items() if last.at >= before or pair in kept}

    def check(self) -> None:
        found = {d.notification.id: d.status for d in self.outbox.find(limit=99)}
        assert found == {k.id: k.status for k in self.known.values()}  # nothing lost, nothing made up
        for channel in CHANNELS:
            waiting = [
                k.until or k.due
                for k in self.known.values()
                if k.channel == channel and k.status == "queued" and self.line(k)[0] is k
            ]
            queued = [k for k in self.known.values() if (k.channel, k.status) == (channel, "queued")]
            assert self.outbox.waiting(channel) == len(queued)
            due = self.outbox.next_due(channel)
            assert (due is None) is (not waiting)
            assert due is None or max(due, self.now) == max(min(waiting), self.now)
        for (channel, group), last in self.told.items():
            assert self.outbox.last(group, channel) == last


def run(outbox: Outbox, script) -> None:
    model = Model(outbox)
    for name, *arguments in [*script, ("wait", 60)]:
        getattr(model, name)(*arguments)
        model.check()
    # In the end everything can be brought out: nothing is stuck.
    while any(k.status == "queued" for k in model.known.values()):
        before = sum(k.status == "queued" for k in model.known.values())
        for channel in CHANNELS:
            model.lease(channel, 99)
        while model.held:
            model.settle(0, "sent")
        assert sum(k.status == "queued" for k in model.known.values()) < before
    model.check()


@given(steps)
def test_memory_keeps_the_law(script):
    run(MemoryOutbox(), script)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(script=steps)
def test_redis_keeps_the_law(valkey, script):
    store = open_store(valkey.url, prefix=f"test-{uuid.uuid4().hex[:8]}")
    try:
        run(RedisOutbox(store), script)
    finally:
        store.erase()
        store.close()


class LeasesTwice(MemoryOutbox):
    def lease(self, channel, now, *, limit, ttl):
        return super().lease(channel, now, limit=limit, ttl=timedelta())


class LosesWhatRanOut(MemoryOutbox):
    def _take(self, entry, until):
        return super()._take(entry, until + timedelta(days=1))


class ForgetsTheToken(MemoryOutbox):
    def _held(self, delivery):
        entry = self._entries.get(delivery.notification.id)
        return entry if entry and entry.leased_until else None


class SendsTwice(MemoryOutbox):
    def settle(self, delivery, outcome, now):
        return super().settle(delivery, Retry(now, "") if isinstance(outcome, Sent) else outcome, now)


class OldestFirst(MemoryOutbox):
    def _heads(self, channel):
        return ((0, entry) for _, entry in super()._heads(channel))


class Overtakes(MemoryOutbox):
    def _heads(self, channel):
        return (
            (entry.order % 2, entry) for entry in self._entries.values() if entry.delivery.status == "queued"
        )


class PutsTwice(MemoryOutbox):
    def put(self, notification, last):
        self._entries.pop(notification.id, None)
        return super().put(notification, last)


class KeepsNothingAfterDeath(MemoryOutbox):
    def take_back(self):
        return sum(e.leased_until is not None for e in self._entries.values())


class ForgetsTooMuch(MemoryOutbox):
    def forget(self, before):
        return super().forget(before + timedelta(days=1))


MISTAKES: list[Callable[[], Outbox]] = [
    LeasesTwice, LosesWhatRanOut, ForgetsTheToken, SendsTwice, OldestFirst, Overtakes, PutsTwice,
    KeepsNothingAfterDeath, ForgetsTooMuch,
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_law_catches_a_planted_mistake(mistake):
    @settings(database=None, max_examples=500, report_multiple_bugs=False, deadline=None)
    @given(steps)
    def law(script):
        run(mistake(), script)

    with pytest.raises((AssertionError, ValueError, KeyError)):
        law()
