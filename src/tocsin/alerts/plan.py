"""The planner: who is told what, now. A pure function of alerts, routes, silences, memory and time.

No timers and no state of its own: the notify loop calls `plan` whenever an alert changed or
`Plan.next_at` came, puts every `Send` into the outbox, which remembers what was told, and settles
`Plan.done`. Planning again from the same memory decides the same, down to the notification's id,
so a crash anywhere in between repeats nothing. What is not told has a `Held` that says why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from tocsin.alerts.decision import Held, Hold, Plan, Reason, Send
from tocsin.alerts.group import Home, Homes, Last, members_of
from tocsin.alerts.judge import Standing, is_over, judge
from tocsin.alerts.route import Route
from tocsin.clock import from_ms
from tocsin.model.alert import Alert
from tocsin.model.notification import LastNotified
from tocsin.model.rule import severity_rank
from tocsin.model.silence import Silence


def plan(
    alerts: Sequence[Alert],
    routes: Route,
    silences: Sequence[Silence],
    last: Last,
    now: datetime,
    *,
    notify_max_age: timedelta | None,
) -> Plan:
    """Decide about every alert that fired; the others are not looked at.

    `last` is what a (group key, channel) was last told; `notify_max_age` None: history is told too.
    """
    known = _once(last)
    homes = Homes(routes)
    fired = sorted((alert for alert in alerts if alert.fired_ms is not None), key=lambda alert: alert.id)
    live = frozenset(alert.id for alert in fired)
    decisions: list[Send | Held] = []
    standings = []
    for alert in fired:
        members = members_of(alert, homes, known)
        if not any(not member.former for member in members):
            decisions.append(Held(alert.id, "", Hold.UNROUTED))
        standings += [judge(member, silences, now, notify_max_age) for member in members]
    decisions += [standing.held for standing in standings if standing.held is not None]
    times = [held.until for held in decisions if isinstance(held, Held) and held.until is not None]
    for home, group in _groups(standings):
        decided, next_at = _decide(home, group, known(home.group_key, home.channel), now, live)
        decisions += decided
        times += [] if next_at is None else [next_at]
    decisions.sort(key=_order)
    return Plan(decisions, _done(fired, standings, decisions), min(times, default=None))


def _once(last: Last) -> Last:
    known: dict[tuple[str, str], LastNotified | None] = {}

    def ask(group_key: str, channel: str) -> LastNotified | None:
        if (group_key, channel) not in known:
            known[group_key, channel] = last(group_key, channel)
        return known[group_key, channel]

    return ask


def _groups(standings: Iterable[Standing]) -> list[tuple[Home, list[Standing]]]:
    groups: dict[tuple[str, str], list[Standing]] = {}
    for standing in standings:
        home = standing.member.home
        groups.setdefault((home.group_key, home.channel), []).append(standing)
    return [(group[0].member.home, group) for group in groups.values()]


def _decide(
    home: Home, group: list[Standing], last: LastNotified | None, now: datetime, live: frozenset[str]
) -> tuple[list[Send | Held], datetime | None]:
    """A message of this group now, or its news held; and when time alone will change that."""
    news = [standing for standing in group if standing.news is not None]
    listed = _listed(group)
    if news:
        reason = _reason(news, last)
        at, hold = _due(group, news, last)
    elif last is not None and listed:
        reason, at, hold = Reason.REPEAT, last.at + _repeat(listed), Hold.INTERVAL
    else:
        return [], None
    if at > now:
        return [Held(standing.alert.id, home.channel, hold, at) for standing in news], at
    send = _send(group, reason, _remembered(last, group, now, live))
    return [send], now + _repeat(listed) if listed else None


def _due(group: list[Standing], news: list[Standing], last: LastNotified | None) -> tuple[datetime, Hold]:
    """When the most urgent of the news is due, and what it waits for until then.

    A group in which nothing told is alive gathers first; any other waits for its next turn.
    """
    alive = any(s.member.word is not None and s.member.word.status == "firing" for s in group)
    times = []
    for standing in news:
        route = standing.member.home.route
        gathered = from_ms(standing.alert.found_ms) + route.group_wait
        turn = gathered if last is None else last.at + route.group_interval
        waits = last is None or (not alive and gathered > turn)
        times.append((gathered, Hold.WAITING) if waits else (turn, Hold.INTERVAL))
    return min(times)


def _repeat(listed: list[Standing]) -> timedelta:
    routes = [standing.member.home.route for standing in listed]
    return min(max(route.repeat_interval, route.group_interval) for route in routes)


def _reason(news: list[Standing], last: LastNotified | None) -> Reason:
    if last is None and all(standing.member.word is None for standing in news):
        return Reason.FIRST
    present = {standing.news for standing in news}
    return next(reason for reason in Reason if reason in present)


def _listed(group: list[Standing]) -> list[Standing]:
    """The group's firing alerts, those that a message lists."""
    return [
        standing
        for standing in group
        if not is_over(standing.alert) and standing.held is None and not standing.member.former
    ]


def _ended(group: list[Standing]) -> list[Alert]:
    """The alerts whose end a message tells."""
    return [s.alert for s in group if s.news is not None and is_over(s.alert)]


def _send(group: list[Standing], reason: Reason, last: LastNotified) -> Send:
    home = min(group, key=lambda standing: _worst_first(standing.alert)).member.home
    return Send(
        id=notification_id(home.group_key, home.channel, last.sequence),
        group_key=home.group_key,
        channel=home.channel,
        route=home.route.path,
        labels=home.labels,
        firing=sorted((standing.alert for standing in _listed(group)), key=_worst_first),
        resolved=sorted(_ended(group), key=_worst_first),
        reason=reason,
        news=frozenset(standing.alert.id for standing in group if standing.news is not None),
        last=last,
        unheard=frozenset(standing.alert.id for standing in group if standing.member.word is None),
    )


def _remembered(
    last: LastNotified | None, group: list[Standing], now: datetime, live: frozenset[str]
) -> LastNotified:
    """What the pair knows after this message; alerts that are settled by now are forgotten."""
    known = last or LastNotified(at=now, sequence=0)
    ended = {alert.id for alert in _ended(group)}
    kept = {id_: severity for id_, severity in known.firing.items() if id_ in live and id_ not in ended}
    firing = kept | {s.alert.id: str(s.alert.severity) for s in _listed(group)}
    resolved = ((known.resolved & live) | ended) - set(firing)
    return LastNotified(at=now, sequence=known.sequence + 1, firing=firing, resolved=resolved)


def _done(fired: list[Alert], standings: list[Standing], decisions: list[Send | Held]) -> frozenset[str]:
    """The alerts that are over and of which no channel has anything left to hear."""
    told = {
        (alert.id, send.channel) for send in decisions if isinstance(send, Send) for alert in send.resolved
    }
    open_ = {
        standing.alert.id
        for standing in standings
        if not standing.finished and (standing.alert.id, standing.member.home.channel) not in told
    }
    return frozenset(alert.id for alert in fired if is_over(alert) and alert.id not in open_)


def notification_id(group_key: str, channel: str, sequence: int) -> str:
    """The id of a pair's n-th notification, the same whenever it is worked out."""
    text = f"{sequence}\0{channel}\0{group_key}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _worst_first(alert: Alert) -> tuple[int, float, int, str]:
    return (-severity_rank(alert.severity), -alert.score, alert.started_ms, alert.id)


def _order(decision: Send | Held) -> tuple[int, int, str, str]:
    if isinstance(decision, Held):
        return (1, 0, decision.alert_id, decision.channel)
    alerts = decision.firing + decision.resolved
    worst = max(severity_rank(alert.severity) for alert in alerts)
    return (0, -worst, decision.group_key, decision.channel)
