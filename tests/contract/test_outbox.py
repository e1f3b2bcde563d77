"""One suite for every outbox."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tocsin.model.notification import Dead, Delivery, LastNotified, Notification, Retry, Sent
from tocsin.protocols import Outbox
from tocsin.state.outbox_memory import MemoryOutbox
from tocsin.state.outbox_redis import RedisOutbox

T = datetime(2026, 3, 1, 12, tzinfo=UTC)
S = timedelta(seconds=1)
TTL = timedelta(minutes=5)


@pytest.fixture(params=["memory", "redis"])
def outbox(request) -> Iterator[Outbox]:
    if request.param == "memory":
        yield MemoryOutbox()
    else:
        yield RedisOutbox(request.getfixturevalue("store"))


def note(id_: str, *, channel="oncall", group=None, severity="high", at=T, body=None) -> Notification:
    return Notification(
        id=id_,
        channel=channel,
        group_key=id_ if group is None else group,
        status="firing",
        severity=severity,
        summary="12 failed logins",
        alert_ids=("a1",),
        body={"text": "x"} if body is None else body,
        created_at=at,
    )


def told(sequence: int = 1, at: datetime = T) -> LastNotified:
    return LastNotified(at=at, sequence=sequence, firing={"a1": "high"}, resolved={"a0"})


def put(outbox: Outbox, *ids: str, **fields) -> None:
    for id_ in ids:
        assert outbox.put(note(id_, **fields), told())


def take(outbox: Outbox, now: datetime = T, *, limit=10, channel="oncall") -> list[Delivery]:
    return outbox.lease(channel, now, limit=limit, ttl=TTL)


def ids(deliveries) -> list[str]:
    return [d.notification.id for d in deliveries]


def test_what_is_put_is_leased_as_it_was(outbox):
    body = {"text": "naïve \u202e 12\n", "blocks": [{"n": 1, "f": 1.5, "x": None, "ok": True}]}
    outbox.put(note("n1", body=body), told())

    (delivery,) = take(outbox)

    assert delivery.notification == note("n1", body=body)
    assert (delivery.status, delivery.attempt, delivery.ambiguous) == ("queued", 1, 0)
    assert delivery.token


def test_half_a_surrogate_pair_does_not_stop_a_message(outbox):
    put(outbox, "a", body={"text": "x\ud800", "lines": [["title", "\udfff"]]})

    (delivery,) = take(outbox)

    assert delivery.notification.body["text"].startswith("x")
    assert outbox.settle(delivery, Retry(T, "they said \ud800"), T)


def test_put_twice_is_put_once(outbox):
    assert outbox.put(note("n1"), told(1)) is True
    assert outbox.put(note("n1", body={"text": "other"}), told(9)) is False

    assert [d.notification.body for d in take(outbox)] == [{"text": "x"}]
    assert outbox.last("n1", "oncall") == told(1)


def test_a_sent_one_put_again_stays_sent(outbox):
    put(outbox, "n1")
    outbox.settle(take(outbox)[0], Sent(), T)

    assert outbox.put(note("n1"), told()) is False
    assert take(outbox, T + TTL * 2) == []


def test_put_remembers_what_the_pair_was_told(outbox):
    outbox.put(note("n1", group="g"), told(1))
    outbox.put(note("n2", group="g"), told(2, T + S))
    outbox.put(note("m1", group="g", channel="mail"), told(7))

    assert outbox.last("g", "oncall") == told(2, T + S)
    assert outbox.last("g", "mail") == told(7)
    assert outbox.last("other", "oncall") is None


def test_the_most_severe_goes_first_then_the_oldest(outbox):
    for id_, severity in [
        ("a", "low"),
        ("b", "high"),
        ("c", "critical"),
        ("d", "high"),
        ("e", "odd"),
        ("f", "low"),
    ]:
        put(outbox, id_, severity=severity)

    assert ids(take(outbox, limit=4)) == ["c", "b", "d", "a"]
    assert ids(take(outbox)) == ["f", "e"]


def test_a_channel_sees_only_its_own(outbox):
    put(outbox, "a")
    put(outbox, "b", channel="mail")

    assert ids(take(outbox, channel="mail")) == ["b"]
    assert take(outbox, channel="mail") == []
    assert ids(take(outbox)) == ["a"]


def test_nobody_else_gets_what_is_leased(outbox):
    put(outbox, "a")

    assert ids(take(outbox)) == ["a"]
    assert take(outbox, T + TTL - S) == []


def test_a_lease_that_ran_out_comes_again_as_ambiguous(outbox):
    put(outbox, "a")
    (first,) = take(outbox)

    (second,) = take(outbox, T + TTL)

    assert (second.attempt, second.ambiguous) == (2, 1)
    assert second.token != first.token


def test_only_the_holder_of_the_lease_settles(outbox):
    put(outbox, "a")
    (first,) = take(outbox)
    (second,) = take(outbox, T + TTL)

    assert outbox.settle(first, Sent(), T + TTL) is False
    assert outbox.settle(second, Sent(), T + TTL) is True
    assert outbox.settle(second, Sent(), T + TTL) is False


def test_a_late_holder_still_settles_while_nobody_took_over(outbox):
    put(outbox, "a")
    put(outbox, "b", severity="critical")
    (_, late) = take(outbox)
    take(outbox, T + TTL, limit=1)  # takes b; a has run out, and waits

    assert outbox.settle(late, Sent(), T + TTL) is True
    assert ids(take(outbox, T + TTL * 3)) == ["b"]
    assert ids(outbox.find(status="sent")) == ["a"]


def test_a_delivery_without_a_lease_cannot_be_settled(outbox):
    put(outbox, "a")
    (seen,) = outbox.find()

    assert outbox.settle(seen, Sent(), T) is False
    assert outbox.settle(Delivery(notification=note("nobody"), token="1"), Sent(), T) is False


def test_a_retry_comes_at_its_time_and_not_before(outbox):
    put(outbox, "a")
    (delivery,) = take(outbox)

    assert outbox.settle(delivery, Retry(T + 30 * S, "503"), T)

    assert outbox.next_due("oncall") == T + 30 * S
    assert take(outbox, T + 29 * S) == []
    (again,) = take(outbox, T + 30 * S)
    assert (again.attempt, again.ambiguous, again.last_error) == (2, 0, "503")


def test_a_retry_between_two_milliseconds_is_not_early(outbox):
    put(outbox, "a")
    at = T + timedelta(microseconds=1500)
    outbox.settle(take(outbox)[0], Retry(at, "503"), T)

    assert take(outbox, T + timedelta(milliseconds=1)) == []
    assert ids(take(outbox, T + timedelta(milliseconds=2))) == ["a"]


@pytest.mark.parametrize(
    ("outcome", "status", "said"), [(Sent("250 ok"), "sent", "250 ok"), (Dead("410"), "dead", "410")]
)
def test_a_settled_one_is_listed_and_never_comes_again(outbox, outcome, status, said):
    put(outbox, "a")

    outbox.settle(take(outbox)[0], outcome, T + S)

    (found,) = outbox.find(status=status)
    assert (found.status, found.last_error, found.settled_at) == (status, said, T + S)
    assert take(outbox, T + TTL * 9) == []
    assert outbox.next_due("oncall") is None
    assert outbox.find(status="queued") == []


def test_what_is_given_back_is_due_at_once_and_was_not_tried(outbox):
    put(outbox, "a")
    (delivery,) = take(outbox)

    outbox.release(delivery, T + S)

    (again,) = take(outbox, T + S)
    assert (again.attempt, again.ambiguous) == (1, 0)
    outbox.release(delivery, T + S)  # the old lease: nothing happens
    assert take(outbox, T + S) == []


@pytest.mark.parametrize("at", [T, T + S])
def test_next_due_of_what_was_put_is_when_it_was_made(outbox, at):
    assert outbox.next_due("oncall") is None
    put(outbox, "a", at=at)

    assert outbox.next_due("oncall") == at


def test_next_due_counts_leases_that_will_run_out(outbox):
    put(outbox, "a")
    take(outbox)

    assert outbox.next_due("oncall") == T + TTL


def test_next_due_is_past_when_more_is_due_than_was_taken(outbox):
    put(outbox, "a", "b")
    take(outbox, limit=1)

    assert outbox.next_due("oncall") <= T


def test_waiting_counts_what_is_neither_sent_nor_dead(outbox):
    put(outbox, "sent", "dead", "retried", "leased", "queued")
    put(outbox, "behind", group="queued")
    put(outbox, "m", channel="mail")
    sent, dead, retried, _ = take(outbox, limit=4)
    for delivery, outcome in [(sent, Sent()), (dead, Dead("x")), (retried, Retry(T + S, "x"))]:
        outbox.settle(delivery, outcome, T)

    assert (outbox.waiting("oncall"), outbox.waiting("mail"), outbox.waiting("none")) == (4, 1, 0)

    outbox.requeue("dead", T)
    assert outbox.waiting("oncall") == 5


def test_messages_of_one_group_go_in_order(outbox):
    put(outbox, "fires", group="g")
    put(outbox, "resolves", group="g")

    (first,) = take(outbox)
    assert ids([first]) == ["fires"]
    outbox.settle(first, Retry(T + 9 * S, "503"), T)
    assert take(outbox, T + S) == []
    (again,) = take(outbox, T + 9 * S)
    outbox.settle(again, Sent(), T + 9 * S)
    assert ids(take(outbox, T + 9 * S)) == ["resolves"]


def test_a_dead_letter_does_not_block_its_group(outbox):
    put(outbox, "one", group="g")
    put(outbox, "two", group="g")

    outbox.settle(take(outbox)[0], Dead("410"), T)

    assert ids(take(outbox)) == ["two"]


@pytest.mark.parametrize("looked_before", [False, True])
def test_a_head_is_as_urgent_as_the_worst_behind_it(outbox, looked_before):
    put(outbox, "first", severity="medium")
    put(outbox, "low", "g1", severity="low")
    if looked_before:
        assert ids(take(outbox, limit=1)) == ["first"]
    put(outbox, "g2", group="g1", severity="critical")

    assert ids(take(outbox, limit=1)) == ["g1"]


def test_find_lists_the_newest_first_within_the_limit(outbox):
    put(outbox, "a", "b", "c")
    outbox.settle(take(outbox, limit=1)[0], Sent(), T)

    assert ids(outbox.find()) == ["c", "b", "a"]
    assert ids(outbox.find(limit=2)) == ["c", "b"]
    assert ids(outbox.find(status="queued")) == ["c", "b"]
    assert outbox.find(status="no such status") == []


def test_a_dead_letter_can_be_sent_again(outbox):
    put(outbox, "a")
    outbox.settle(take(outbox)[0], Dead("410"), T)

    assert outbox.requeue("a", T + S) is True

    (again,) = take(outbox, T + S)
    assert (again.status, again.attempt, again.settled_at) == ("queued", 1, None)
    outbox.settle(again, Sent("ok"), T + S)
    assert ids(outbox.find(status="resent")) == ["a"]
    assert outbox.find(status="dead") == []


@pytest.mark.parametrize("state", ["unknown", "queued", "leased", "sent"])
def test_only_a_dead_letter_is_sent_again(outbox, state):
    if state != "unknown":
        put(outbox, "a")
    if state in ("leased", "sent"):
        (delivery,) = take(outbox)
        if state == "sent":
            outbox.settle(delivery, Sent(), T)

    assert outbox.requeue("a", T) is False


def test_hasten_makes_due_what_waits_and_leaves_what_is_out(outbox):
    put(outbox, "a", "b")
    put(outbox, "m", channel="mail")
    for delivery in [*take(outbox), *take(outbox, channel="mail")]:
        outbox.settle(delivery, Retry(T + 99 * S, "503"), T)
    put(outbox, "out")
    take(outbox)

    assert outbox.hasten("oncall", T + S) == 2

    assert ids(take(outbox, T + S)) == ["a", "b"]
    assert take(outbox, T + S, channel="mail") == []


def test_one_channels_leases_can_be_taken_back(outbox):
    put(outbox, "a")
    put(outbox, "m", channel="mail")
    take(outbox)
    take(outbox, channel="mail")

    assert outbox.take_back("mail") == 1
    assert ids(take(outbox, T + S, channel="mail")) == ["m"]
    assert take(outbox, T + S) == []


def test_a_start_takes_back_every_lease_at_once(outbox):
    put(outbox, "a")
    put(outbox, "m", channel="mail")
    (held,) = take(outbox)
    take(outbox, channel="mail")

    assert outbox.take_back() == 2
    assert outbox.take_back() == 0

    (again,) = take(outbox, T + S)
    assert (again.attempt, again.ambiguous) == (2, 1)
    assert outbox.settle(held, Sent(), T) is False
    assert ids(take(outbox, T + S, channel="mail")) == ["m"]


def test_forget_deletes_what_was_settled_before(outbox):
    put(outbox, "old", "queued")
    outbox.settle(take(outbox, limit=1)[0], Sent(), T)
    put(outbox, "new")
    outbox.settle(take(outbox)[-1], Dead("x"), T + 9 * S)

    assert outbox.forget(T + 9 * S) == 1

    assert ids(outbox.find()) == ["new", "queued"]
    assert outbox.find(status="sent") == []
    assert outbox.forget(T + 9 * S) == 0


def test_a_pair_is_forgotten_only_with_its_last_delivery(outbox):
    put(outbox, "a", group="g")
    (delivery,) = take(outbox)
    assert outbox.forget(T + 9 * S) == 0
    assert outbox.last("g", "oncall") == told()

    outbox.settle(delivery, Sent(), T + S)
    outbox.forget(T + 9 * S)

    assert outbox.last("g", "oncall") is None
    assert outbox.put(note("a", group="g"), told()) is True
