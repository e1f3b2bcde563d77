from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tocsin.alerts.decision import Hold, Plan, Reason
from tocsin.alerts.plan import notification_id, plan
from tocsin.alerts.route import Route
from tocsin.alerts.routing_file import load_routing
from tocsin.clock import from_ms, to_ms
from tocsin.model.notification import LastNotified
from tocsin.model.silence import Silence, parse_matcher

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "alerts" / "routing.yml"
STARTER = ROOT / "src" / "tocsin" / "cli" / "starter" / "alerts" / "routing.yml"
BOTH = pytest.mark.parametrize("routing", [SHIPPED, STARTER], ids=["shipped", "starter"])
T0 = from_ms(1_700_000_000_000)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def route(
    path: str,
    *channels: str,
    wait: int = 30,
    matchers: tuple[str, ...] = (),
    routes: tuple[Route, ...] = (),
    group: str = "",
    interval: int = 300,
) -> Route:
    return Route(
        path=path,
        group=group or path,
        channels=channels,
        group_by=("entity",),
        group_wait=wait * SECOND,
        group_interval=interval * SECOND,
        repeat_interval=3600 * SECOND,
        matchers=tuple(parse_matcher(text) for text in matchers),
        routes=routes,
    )


class Desk:
    """Plans at a time and remembers what was sent."""

    def __init__(self, root: Route) -> None:
        self.root = root
        self.memory: dict[tuple[str, str], LastNotified] = {}
        self.silences: list[Silence] = []

    def at(self, seconds: float, *alerts, max_age: timedelta | None = DAY) -> Plan:
        now = T0 + seconds * SECOND
        decided = plan(
            alerts,
            self.root,
            self.silences,
            lambda g, c: self.memory.get((g, c)),
            now,
            notify_max_age=max_age,
        )
        for send in decided.sends:
            self.memory[send.group_key, send.channel] = send.last
        return decided

    def silence(self, start: float, end: float, matcher: str = "tenant=acme") -> None:
        self.silences.append(
            Silence(
                id="s",
                matchers=(parse_matcher(matcher),),
                starts_at=T0 + start * SECOND,
                ends_at=T0 + end * SECOND,
            )
        )


@pytest.fixture
def desk():
    return Desk(route("{}", "mail"))


@pytest.fixture
def opened(alert_of):
    def make(number: int = 1, at: float = 0, **more):
        ms = to_ms(T0 + at * SECOND)
        return alert_of(number, **({"started_ms": ms, "last_ms": ms, "found_ms": ms, "fired_ms": ms} | more))

    return make


def ended(alert, at: float):
    alert.status, alert.resolved_ms = "resolved", to_ms(T0 + at * SECOND)
    return alert


def told(decided: Plan) -> list[tuple[Reason, list[str], list[str]]]:
    return [(s.reason, [a.id[-1] for a in s.firing], [a.id[-1] for a in s.resolved]) for s in decided.sends]


def why(decided: Plan) -> list[tuple[Hold, datetime | None]]:
    return [(held.reason, held.until) for held in decided.held]


def test_a_new_group_gathers_for_group_wait_then_tells_all_in_one_message(desk, opened):
    first, second = opened(1), opened(2, at=20)

    assert why(desk.at(0, first)) == [(Hold.WAITING, T0 + 30 * SECOND)]
    assert desk.at(29, first, second).next_at == T0 + 30 * SECOND
    assert told(desk.at(30, first, second)) == [(Reason.FIRST, ["1", "2"], [])]


def test_nothing_waits_where_group_wait_is_zero(opened):
    desk = Desk(route("{}", "mail", wait=0))

    assert told(desk.at(0, opened())) == [(Reason.FIRST, ["1"], [])]


def test_later_news_waits_for_group_interval(desk, opened):
    first = opened(1)
    desk.at(30, first)
    second = opened(2, at=40)

    assert why(desk.at(40, first, second)) == [(Hold.INTERVAL, T0 + 330 * SECOND)]
    assert told(desk.at(330, first, second)) == [(Reason.NEW, ["1", "2"], [])]


def test_a_raised_severity_is_news(desk, opened):
    alert = opened(severity="medium")
    desk.at(30, alert)
    alert.severity = "critical"

    assert told(desk.at(330, alert)) == [(Reason.RAISED, ["1"], [])]
    assert desk.at(331, alert).sends == []


def test_what_fires_unchanged_is_repeated_after_repeat_interval(desk, opened):
    alert = opened()
    assert desk.at(30, alert).next_at == T0 + 3630 * SECOND

    assert desk.at(3629, alert).sends == []
    (send,) = desk.at(3630, alert).sends
    assert (send.reason, send.news) == (Reason.REPEAT, frozenset())


def test_an_end_is_told_to_who_was_told_of_the_beginning_and_the_alert_is_done(desk, opened):
    alert = opened()
    desk.at(30, alert)

    decided = desk.at(400, ended(alert, 390))

    assert told(decided) == [(Reason.RESOLVED, [], ["1"])]
    assert decided.done == {alert.id}
    assert decided.next_at is None


def test_an_end_that_waits_for_its_interval_is_not_done(desk, opened):
    alert = opened()
    desk.at(30, alert)

    decided = desk.at(60, ended(alert, 50))

    assert why(decided) == [(Hold.INTERVAL, T0 + 330 * SECOND)]
    assert decided.done == set()


def test_an_episode_that_was_over_when_found_is_one_message(desk, opened):
    alert = ended(opened(), -3600)

    decided = desk.at(30, alert)

    assert told(decided) == [(Reason.FIRST, [], ["1"])]
    assert decided.done == {alert.id}


@pytest.mark.parametrize(("max_age", "is_told"), [(DAY, False), (None, True), (3 * DAY, True)])
def test_an_old_episode_is_history_unless_there_is_no_limit(max_age, is_told, desk, opened):
    alert = ended(opened(), -2 * 86_400)

    decided = desk.at(30, alert, max_age=max_age)

    assert bool(decided.sends) is is_told
    assert why(decided) == ([] if is_told else [(Hold.HISTORY, None)])
    assert decided.done == {alert.id}


def test_a_silenced_alert_is_told_when_the_silence_ends_if_it_still_fires(desk, opened):
    alert = opened()
    desk.silence(0, 100)
    desk.silence(0, 200)

    assert why(desk.at(50, alert)) == [(Hold.SILENCED, T0 + 200 * SECOND)]
    assert told(desk.at(200, alert)) == [(Reason.FIRST, ["1"], [])]


@pytest.mark.parametrize("planned_at", [60, 500])
def test_an_alert_that_began_and_ended_in_silence_is_done_whenever_the_plan_comes(planned_at, desk, opened):
    desk.silence(0, 100)

    decided = desk.at(planned_at, ended(opened(), 50))

    assert decided.sends == []
    assert why(decided) == [(Hold.SILENCED, None)]
    assert len(decided.done) == 1


def test_an_alert_told_and_then_silenced_is_told_off_when_the_silence_ends(desk, opened):
    alert = opened()
    desk.at(30, alert)
    desk.silence(100, 1000)

    decided = desk.at(500, ended(alert, 400))

    assert why(decided) == [(Hold.SILENCED, T0 + 1000 * SECOND)]
    assert decided.done == set()
    assert told(desk.at(1000, alert)) == [(Reason.RESOLVED, [], ["1"])]


def test_a_silenced_alert_is_not_repeated(desk, opened):
    first, second = (
        opened(1),
        opened(2, tenant="other", labels={"entity": "ip:24.151.103.17", "tenant": "other"}),
    )
    desk.at(30, first, second)
    desk.silence(100, 99_999, "tenant=acme")

    assert told(desk.at(3630, first, second)) == [(Reason.REPEAT, ["2"], [])]


def test_a_merged_alert_is_told_once_to_whoever_knew_it(desk, opened):
    known, unknown = opened(1), opened(2, at=40)
    desk.at(30, known)
    for alert in (known, unknown):
        ended(alert, 50).merged_into = "another"

    decided = desk.at(400, known, unknown)

    assert told(decided) == [(Reason.RESOLVED, [], ["1"])]
    assert why(decided) == [(Hold.MERGED, None)]
    assert decided.done == {known.id, unknown.id}


def test_an_alert_without_a_channel_is_unrouted_and_done_when_over(opened):
    desk = Desk(route("{}"))
    alert = opened()

    assert why(desk.at(30, alert)) == [(Hold.UNROUTED, None)]
    assert desk.at(40, ended(alert, 39)).done == {alert.id}


def test_an_alert_that_has_not_fired_is_not_looked_at(desk, opened):
    decided = desk.at(30, opened(fired_ms=None))

    assert decided == Plan([], frozenset(), None)


def test_a_raised_alert_moves_to_louder_channels_and_the_old_ones_still_hear_its_end(opened):
    desk = Desk(
        route("{}", "mail", routes=(route("{}/high", "oncall", wait=0, matchers=("severity=high",)),))
    )
    alert = opened(severity="low")
    desk.at(30, alert)
    alert.severity = "high"

    (send,) = desk.at(60, alert).sends
    assert (send.channel, send.reason) == ("oncall", Reason.FIRST)
    both = desk.at(400, ended(alert, 390)).sends
    assert {(s.channel, s.reason) for s in both} == {("mail", Reason.RESOLVED), ("oncall", Reason.RESOLVED)}


def test_a_raised_alert_on_the_same_channel_is_told_at_once_by_the_impatient_route_and_ends_once(opened):
    desk = Desk(route("{}", "mail", routes=(route("{}/high", "mail", wait=0, matchers=("severity=high",)),)))
    alert = opened(severity="low")
    desk.at(30, alert)
    alert.severity = "high"

    assert told(desk.at(31, alert)) == [(Reason.RAISED, ["1"], [])]
    assert told(desk.at(400, ended(alert, 390))) == [(Reason.RESOLVED, [], ["1"])]


def test_an_urgent_alert_makes_the_message_of_its_group_come_sooner(opened):
    urgent = route("{}/high", "mail", wait=0, matchers=("severity=high",), group="{}", interval=20)
    desk = Desk(route("{}", "mail", routes=(urgent,)))
    low, high = opened(1, severity="low"), opened(2, at=5, severity="high")

    assert why(desk.at(4, low)) == [(Hold.WAITING, T0 + 30 * SECOND)]
    assert told(desk.at(5, low, high)) == [(Reason.FIRST, ["2", "1"], [])]
    low.severity = "high"
    assert told(desk.at(25, low, high)) == [(Reason.RAISED, ["1", "2"], [])]
    third = opened(3, at=26, severity="low")
    assert why(desk.at(26, low, high, third)) == [(Hold.INTERVAL, T0 + 325 * SECOND)]


def test_each_group_and_each_channel_has_a_message_of_its_own_worst_first(opened):
    desk = Desk(route("{}", "mail", "soc", wait=0))
    low = opened(1, severity="low", labels={"entity": "user:a"})
    high = opened(2, severity="high", labels={"entity": "user:b"})

    sends = desk.at(0, low, high).sends

    assert [(s.labels["entity"], s.channel) for s in sends] == [
        ("user:b", "mail"),
        ("user:b", "soc"),
        ("user:a", "mail"),
        ("user:a", "soc"),
    ]
    assert len({s.id for s in sends}) == 4


def test_planning_again_after_a_crash_gives_the_same_ids(desk, opened):
    alert = opened()
    decided = desk.at(30, alert)
    desk.memory.clear()

    assert [s.id for s in desk.at(31, alert).sends] == [s.id for s in decided.sends]
    assert decided.sends[0].id == notification_id(decided.sends[0].group_key, "mail", 1)


def test_a_group_comes_alive_again_gathers_again_and_never_twice_within_the_interval(desk, opened):
    first = opened(1)
    desk.at(30, first)
    desk.at(330, ended(first, 320))

    assert why(desk.at(340, opened(2, at=340))) == [(Hold.INTERVAL, T0 + 630 * SECOND)]
    assert why(desk.at(5000, opened(3, at=5000))) == [(Hold.WAITING, T0 + 5030 * SECOND)]


def test_a_long_label_makes_a_short_key_and_two_long_ones_differ(desk, opened):
    alerts = [opened(n, labels={"entity": "user:" + "a" * 9999 + str(n)}) for n in (1, 2)]

    keys = {send.group_key for send in desk.at(30, *alerts).sends}

    assert len(keys) == 2
    assert max(map(len, keys)) <= 240


def test_three_dots_group_every_alert_by_itself(opened):
    everything = Route(
        path="{}",
        group="{}",
        channels=("mail",),
        group_by=("...",),
        group_wait=0 * SECOND,
        group_interval=SECOND,
        repeat_interval=DAY,
    )
    desk = Desk(everything)

    sends = desk.at(0, opened(1, rule="a", labels={}), opened(2, rule="b", labels={})).sends

    assert [len(send.firing) for send in sends] == [1, 1]


def test_a_wave_of_low_alerts_is_one_message_of_the_shipped_routes_and_their_ends_another(opened):
    desk = Desk(load_routing(SHIPPED, ["soc"]))
    quarter, hour = 900, 3600
    wave = [
        opened(number, at=10 * number, severity="low", labels=_low(f"user:u{number}"))
        for number in range(1, 41)
    ]
    assert desk.at(450, *wave).sends == []

    (one,) = desk.at(10 + quarter, *wave).sends
    assert (one.reason, len(one.firing), one.labels) == (Reason.FIRST, 40, {"rule": "limit_wc", "tenant": ""})

    over = [ended(alert, at=hour) for alert in wave]
    assert desk.at(hour + 60, *over).sends == []
    (end,) = desk.at(10 + quarter + 4 * hour, *over).sends
    assert (end.reason, len(end.resolved)) == (Reason.RESOLVED, 40)


@BOTH
def test_a_low_alert_that_gets_worse_is_told_with_the_others_of_its_entity_at_once(opened, routing):
    desk = Desk(load_routing(routing, ["soc"]))
    low = opened(1, severity="low", labels=_low("user:eve"))
    assert desk.at(60, low).sends == []

    low.severity, low.labels["severity"] = "high", "high"
    (one,) = desk.at(61, low).sends

    assert one.labels == {"entity": "user:eve"}


@BOTH
def test_medium_alerts_about_many_users_are_one_message_of_their_rule(opened, routing):
    desk = Desk(load_routing(routing, ["soc"]))
    wave = [
        opened(number, at=number // 3, severity="medium", labels=_low(f"user:u{number}") | MEDIUM)
        for number in range(60)
    ]
    assert desk.at(25, *wave).sends == []

    (one,) = desk.at(30, *wave).sends

    assert (one.reason, len(one.firing), one.labels) == (Reason.FIRST, 60, {"rule": "limit_wc", "tenant": ""})


@BOTH
def test_a_high_alert_does_not_wait_for_the_turn_of_a_medium_one_about_the_same_address(opened, routing):
    desk = Desk(load_routing(routing, ["soc"]))
    medium = opened(1, severity="medium", labels=_low("ip:203.0.113.9") | MEDIUM)
    (first,) = desk.at(10, medium).sends
    assert first.reason is Reason.FIRST

    high = opened(2, at=41, severity="high", labels=_low("ip:203.0.113.9") | {"severity": "high"})
    (second,) = desk.at(41, medium, high).sends

    assert (len(second.firing), second.labels) == (2, {"entity": "ip:203.0.113.9"})


MEDIUM = {"severity": "medium"}


def _low(entity: str) -> dict[str, str]:
    return {"rule": "limit_wc", "severity": "low", "tenant": "", "entity": entity}
