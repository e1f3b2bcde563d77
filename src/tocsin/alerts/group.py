"""Groups: which messages an alert belongs in, and what each channel already knows of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tocsin.alerts.route import Route, routes_of
from tocsin.model.alert import Alert, Status
from tocsin.model.notification import LastNotified
from tocsin.model.rule import SEVERITIES, severity_rank

ALL_LABELS = "..."  # Alertmanager's word in `group_by`: every alert is its own group
LONGEST_KEY = 240
Last = Callable[[str, str], LastNotified | None]


@dataclass(frozen=True, slots=True)
class Home:
    """A group on a channel: where news of an alert is told. `labels` are those it groups by."""

    route: Route
    group_key: str
    labels: dict[str, str]
    channel: str


class Word(NamedTuple):
    """The latest that a channel was told of an alert."""

    status: Status
    severity: str


@dataclass(frozen=True, slots=True)
class Member:
    """An alert in a home, and the latest word its channel had of it (None: never told).

    `former`: the alert's severity has risen since, and its route with it, to other channels. This
    one was told that it fires, so it will be told of its end, and nothing else.
    """

    alert: Alert
    home: Home
    word: Word | None
    former: bool = False


class Homes:
    """Finds homes; routes that were once worked out for a set of labels are remembered."""

    def __init__(self, root: Route) -> None:
        self._root = root
        self._known: dict[tuple[tuple[str, str], ...], list[Home]] = {}

    def of(self, labels: Mapping[str, str]) -> list[Home]:
        """One home per channel: the first route that names the channel has it."""
        key = tuple(sorted(labels.items()))
        if key not in self._known:
            self._known[key] = list(_by_channel(_homes(self._root, labels)).values())
        return self._known[key]


def labels_of(alert: Alert, severity: str | None = None) -> dict[str, str]:
    """What routes, silences and groups see of an alert: its labels, at its severity of now."""
    return {
        "rule": alert.rule,
        "tenant": alert.tenant,
        **alert.labels,
        "severity": severity or alert.severity,
    }


def members_of(alert: Alert, homes: Homes, last: Last) -> list[Member]:
    """The alert in each of its homes, and in those it had at a lower severity and was told of in."""
    now = {home.channel: home for home in homes.of(labels_of(alert))}
    all_by_channel: dict[str, list[Home]] = {channel: [home] for channel, home in now.items()}
    for severity in reversed(SEVERITIES[: severity_rank(alert.severity)]):
        for home in homes.of(labels_of(alert, severity)):
            all_by_channel.setdefault(home.channel, []).append(home)
    members = []
    for channel, candidates in all_by_channel.items():
        told_in, word = _latest_word(alert.id, candidates, last)
        if channel in now:
            members.append(Member(alert, now[channel], word))
        elif told_in is not None and word is not None and word.status == "firing":
            members.append(Member(alert, told_in, word, former=True))
    return members


def _latest_word(alert_id: str, homes: Iterable[Home], last: Last) -> tuple[Home | None, Word | None]:
    """What the first home that knows the alert was told: severities only rise, and homes come worst first."""
    for home in homes:
        known = last(home.group_key, home.channel)
        if known is not None and alert_id in known.firing:
            return home, Word("firing", known.firing[alert_id])
        if known is not None and alert_id in known.resolved:
            return home, Word("resolved", "")
    return None, None


def _homes(root: Route, labels: Mapping[str, str]) -> Iterable[Home]:
    for route in routes_of(root, labels):
        names = sorted(labels) if ALL_LABELS in route.group_by else route.group_by
        values = {name: labels.get(name, "") for name in names}
        for channel in route.channels:
            yield Home(route, group_key(route.group, values), values, channel)


def _by_channel(homes: Iterable[Home]) -> dict[str, Home]:
    found: dict[str, Home] = {}
    for home in homes:
        found.setdefault(home.channel, home)
    return found


def group_key(group: str, labels: Mapping[str, str]) -> str:
    """`{}/{severity="high"}:{entity="ip:203.0.113.9"}`: the same for ever, printable, of bounded length."""
    key = group + ":{" + ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items()) + "}"
    if len(key) <= LONGEST_KEY:
        return key
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{key[: LONGEST_KEY - 17]}~{digest}"
