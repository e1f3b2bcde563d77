"""The planner's laws, checked from outside: live through a random history, judge what each channel heard.

The simulation knows nothing of how the planner decides. It keeps what a channel heard, routes by
its own few lines, and asks after every step whether that is right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tocsin.alerts import group, judge
from tocsin.alerts import plan as planner
from tocsin.alerts.decision import Hold, Plan, Send
from tocsin.alerts.route import Route
from tocsin.clock import from_ms, to_ms
from tocsin.model.alert import Alert
from tocsin.model.notification import LastNotified
from tocsin.model.silence import Silence, parse_matcher

SECOND = timedelta(seconds=1)
START = from_ms(1_700_000_000_000)
MAX_AGE = timedelta(hours=24)
SEVERITIES = ("low", "medium", "high", "critical")


def node(
    path: str,
    channels: str,
    wait: int,
    matchers: str = "",
    routes: tuple[Route, ...] = (),
    *,
    on: bool = False,
    group_: str = "",
) -> Route:
    return Route(
        path=path,
        group=group_ or path,
        channels=tuple(channels.split()),
        group_by=("entity",),
        group_wait=wait * SECOND,
        group_interval=60 * SECOND,
        repeat_interval=600 * SECOND,
        matchers=(parse_matcher(matchers),) if matchers else (),
        continues=on,
        routes=routes,
    )


ROUTES = node(
    "{}",
    "mail",
    30,
    routes=(
        node("{}/a", "oncall soc", 0, 'severity=~"high|critical"', on=True),
        node("{}/b", "soc", 20, "team=blue"),
        node("{}/c", "", 20, "team=nobody"),
        node("{}/d", "mail", 0, "severity=medium", group_="{}"),
    ),
)


def naive_channels(alert: Alert) -> set[str]:
    """The channels that ROUTES means, said another way."""
    channels = {"oncall", "soc"} if alert.severity in ("high", "critical") else set()
    team = alert.labels["team"]
    if team == "blue":
        return channels | {"soc"}
    if team == "nobody":
        return channels
    return channels or {"mail"}


class World:
    """Alerts, silences, a clock, and all that was ever told."""

    def __init__(self) -> None:
        self.now = START
        self.alerts: dict[str, Alert] = {}
        self.settled: set[str] = set()
        self.silences: list[Silence] = []
        self.memory: dict[tuple[str, str], LastNotified] = {}
        self.sent: dict[str, Send] = {}
        self.times: defaultdict[tuple[str, str], list] = defaultdict(list)
        self.heard_firing: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self.heard_end: defaultdict[tuple[str, str], int] = defaultdict(int)

    def live(self) -> list[Alert]:
        return [alert for id_, alert in self.alerts.items() if id_ not in self.settled]

    def plan(self, now=None, *, backwards: bool = False) -> Plan:
        alerts = self.live()[::-1] if backwards else self.live()
        return planner.plan(
            alerts,
            ROUTES,
            self.silences,
            lambda g, c: self.memory.get((g, c)),
            now or self.now,
            notify_max_age=MAX_AGE,
        )

    def put(self, send: Send) -> None:
        key = (send.group_key, send.channel)
        assert send.id not in self.sent, "an id came twice"
        earlier = self.times[key]
        assert not earlier or self.now - earlier[-1] >= 60 * SECOND, "group_interval was not kept"
        self.sent[send.id] = send
        self.times[key].append(self.now)
        self.memory[key] = send.last
        assert send.firing or send.resolved
        for alert in send.firing:
            self._hear_firing(send, alert)
        for alert in send.resolved:
            heard = (send.channel, alert.id)
            assert alert.merged_into is None or self.heard_firing[heard], (
                "a merged alert nobody knew was told"
            )
            self.heard_end[heard] += 1
            assert self.heard_end[heard] == 1, "an end was told twice"

    def _hear_firing(self, send: Send, alert: Alert) -> None:
        heard = (send.channel, alert.id)
        assert send.channel in naive_channels(alert), "told to a channel that it is not routed to"
        assert alert.fired_ms is not None
        assert alert.status == "firing"
        assert alert.merged_into is None
        assert not self.is_silenced(alert), "told while silenced"
        if alert.id in send.news:
            assert alert.severity not in self.heard_firing[heard], "the same news twice"
        else:
            assert alert.severity in self.heard_firing[heard], "news that is not called news"
        self.heard_firing[heard].append(alert.severity)

    def is_silenced(self, alert: Alert) -> bool:
        labels = alert.labels | {"severity": alert.severity}
        return any(
            s.starts_at <= self.now < s.ends_at and all(m.matches(labels) for m in s.matchers)
            for s in self.silences
        )

    def tick(self, *, crash: bool = False) -> None:
        """One turn of the notify loop; a crash puts half of the messages and forgets the rest."""
        decided = self.plan()
        assert decided == self.plan(backwards=True), "the order of alerts matters"
        assert decided.next_at is None or decided.next_at > self.now
        if crash:
            for send in decided.sends[: len(decided.sends) // 2]:
                self.put(send)
            again = self.plan()
            assert {s.id for s in again.sends} == {s.id for s in decided.sends} - self.sent.keys(), (
                "ids changed"
            )
            decided = again
        for send in decided.sends:
            self.put(send)
        self.explained(decided)
        self.settled |= decided.done
        assert not self.plan().sends, "planning again said something"

    def explained(self, decided: Plan) -> None:
        held = {(h.alert_id, h.channel): h for h in decided.held}
        for alert in self.live():
            if alert.fired_ms is None:
                assert not [h for h in decided.held if h.alert_id == alert.id]
                continue
            over = alert.status == "resolved" or alert.merged_into is not None
            channels = naive_channels(alert)
            assert channels or held[alert.id, ""].reason == Hold.UNROUTED
            for channel in channels:
                told = self.heard_firing[channel, alert.id]
                known = self.heard_end[channel, alert.id] if over else alert.severity in told
                why = held.get((alert.id, channel))
                assert known or why, f"nobody said why {channel} does not know of {alert.id}"
                assert why is None or why.reason in (Hold.SILENCED, Hold.MERGED, Hold.HISTORY) or not known
                assert why is None or why.until is None or why.until > self.now

    def advance(self, by: timedelta, *, asleep: bool = False) -> None:
        """Time passes; the loop wakes when the plan said so, and only then something may be new."""
        end = self.now + by
        while not asleep:
            next_at = self.plan().next_at
            if next_at is None or next_at > end:
                break
            early = self.now + (next_at - self.now) / 2
            assert not self.plan(early).sends, "time alone changed the plan before next_at"
            self.now = next_at
            self.tick()
        self.now = end
        self.tick()

    def finish(self) -> None:
        """Long after: everything fired is known, or was over in silence; then all ends."""
        self.advance(timedelta(hours=2))
        for alert in self.live():
            if alert.fired_ms is not None and alert.status == "firing" and alert.merged_into is None:
                for channel in naive_channels(alert):
                    assert alert.severity in self.heard_firing[channel, alert.id], "never told"
        for alert in list(self.live()):
            end(self, alert.id)
        self.tick()
        self.advance(timedelta(hours=2))
        for (channel, id_), told in self.heard_firing.items():
            assert not told or self.heard_end[channel, id_] == 1, "told of the beginning, never of the end"
        unfired = {id_ for id_, alert in self.alerts.items() if alert.fired_ms is None}
        assert self.alerts.keys() - unfired == self.settled, "an alert is never done"


def end(world: World, id_: str) -> None:
    alert = world.alerts[id_]
    if alert.status == "firing":
        alert.status = "resolved"
        alert.resolved_ms = to_ms(world.now)


def open_alert(world: World, n: int, severity: str, entity: str, team: str, *, fired: bool) -> None:
    id_ = f"alert{n}"
    if id_ in world.alerts:
        return
    ms = to_ms(world.now)
    world.alerts[id_] = Alert(
        id=id_, fingerprint=id_, tenant="t", rule="r", rule_id="r", severity=severity, started_ms=ms,
        last_ms=ms, score=n, fired_ms=ms if fired else None, found_ms=ms,
        labels={"entity": entity, "team": team},
    )  # fmt: skip


def apply(world: World, step: tuple) -> None:
    """One step of a history."""
    name, *args = step
    n = f"alert{args[0]}" if args else ""
    alert = world.alerts.get(n)
    alert = None if alert is None or n in world.settled else alert
    match name:
        case "open":
            open_alert(world, *args, fired=True)
        case "pending":
            open_alert(world, args[0], "high", "ip:1", "red", fired=False)
        case "raise" if alert is not None and alert.status == "firing":
            alert.severity = SEVERITIES[min(SEVERITIES.index(alert.severity) + args[1], 3)]
        case "resolve" if alert is not None:
            end(world, n)
        case "merge" if alert is not None and alert.status == "firing":
            end(world, n)
            alert.merged_into = "another"
        case "silence":
            world.silences.append(
                Silence(
                    id="s",
                    matchers=(parse_matcher(args[1]),),
                    starts_at=world.now,
                    ends_at=world.now + args[0] * SECOND,
                )
            )
        case "pass":
            world.advance(args[0] * SECOND)
        case "sleep":
            world.advance(args[0] * SECOND, asleep=True)
    world.tick(crash=name == "crash")


numbers = st.integers(0, 2)
severities = st.sampled_from(SEVERITIES)
entities = st.sampled_from(["ip:1", "user:2"])
teams = st.sampled_from(["red", "blue", "nobody"])
opens = st.tuples(st.just("open"), numbers, severities, entities, teams)
passes = st.tuples(
    st.sampled_from(["pass", "sleep"]), st.sampled_from([1, 10, 20, 59, 60, 61, 300, 599, 700])
)
steps = st.one_of(
    opens,
    opens,
    passes,
    passes,
    st.tuples(st.just("raise"), numbers, st.integers(1, 3)),
    st.tuples(st.sampled_from(["resolve", "resolve", "merge", "pending", "crash"]), numbers),
    st.tuples(
        st.just("silence"),
        st.sampled_from([15, 90, 900]),
        st.sampled_from(["entity=ip:1", "severity=medium", "team!=red"]),
    ),
)
histories = st.lists(steps, min_size=1, max_size=25)


def live_through(history: list[tuple]) -> None:
    world = World()
    for step in history:
        apply(world, step)
    world.finish()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories)
def test_every_channel_hears_everything_once_and_silence_is_always_explained(history):
    live_through(history)


def quick_law() -> None:
    @settings(max_examples=400, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(histories)
    def law(history):
        live_through(history)

    law()


def _told_is_forgotten(last, members, now, live):
    return LastNotified(at=now, sequence=(last.sequence if last else 0) + 1)


def _sequence_stands_still(last, members, now, live, real=planner._remembered):
    told = real(last, members, now, live)
    return LastNotified(at=now, sequence=1, firing=told.firing, resolved=told.resolved)


def _silenced_are_listed(members):
    return [s for s in members if not judge.is_over(s.alert) and not s.member.former]


def _repeats_list_nothing_held_as_told(members, real=planner._listed):
    return real(members)[:1]


def _due_at_once(members, news, last, real=planner._due):
    return (from_ms(0), real(members, news, last)[1])


def _only_the_homes_of_now(alert, homes, last):
    found = homes.of(group.labels_of(alert))
    return [group.Member(alert, home, group._latest_word(alert.id, [home], last)[1]) for home in found]


def _nobody_is_ever_done(*_):
    return frozenset()


def _done_when_over(fired, *_):
    return frozenset(alert.id for alert in fired if judge.is_over(alert))


def _as_it_came(things, key):
    return list(things)


PLANTED: dict[str, tuple[object, str, Callable]] = {
    "what was told is forgotten": (planner, "_remembered", _told_is_forgotten),
    "the sequence stands still": (planner, "_remembered", _sequence_stands_still),
    "silenced alerts are listed": (planner, "_listed", _silenced_are_listed),
    "only the worst is remembered": (planner, "_listed", _repeats_list_nothing_held_as_told),
    "no waiting": (planner, "_due", _due_at_once),
    "a raised alert's old channels are forgotten": (planner, "members_of", _only_the_homes_of_now),
    "nothing is ever done": (planner, "_done", _nobody_is_ever_done),
    "done as soon as over": (planner, "_done", _done_when_over),
    "silences are not asked": (judge, "silenced_until", lambda *_: None),
    "merged alerts are told to everybody": (judge, "_never_to_tell", lambda *_: None),
    "the order of the input shows": (planner, "sorted", _as_it_came),
}


@pytest.mark.parametrize("mistake", PLANTED)
def test_the_laws_notice_a_planted_mistake(mistake, monkeypatch):
    module, name, wrong = PLANTED[mistake]
    monkeypatch.setattr(module, name, wrong, raising=False)

    with pytest.raises((AssertionError, ExceptionGroup)):
        quick_law()
