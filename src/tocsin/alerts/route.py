"""Routes: which channels are told of an alert, and how patiently. Alertmanager's tree and terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from tocsin.model.silence import Matcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One node of the routing tree, with everything it inherited filled in.

    `path` names it by the matchers that lead to it, so that moving a route in the file changes
    nothing. `group` names the conversation its alerts are told in: the nearest route above, or
    itself, that says who is told or how to group. So a route that only changes the timing makes its
    alerts more urgent without parting them from the others of the same attacker. `channels` may be
    empty: told to nobody, on purpose. `group_wait` is how long a new
    group gathers before its first message, `group_interval` the least time between two messages,
    `repeat_interval` how often an unchanged firing group is told again.
    """

    path: str
    group: str
    channels: tuple[str, ...]
    group_by: tuple[str, ...]
    group_wait: timedelta
    group_interval: timedelta
    repeat_interval: timedelta
    matchers: tuple[Matcher, ...] = ()
    continues: bool = False
    routes: tuple[Route, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether all its matchers accept these labels."""
        return all(matcher.matches(labels) for matcher in self.matchers)


def routes_of(root: Route, labels: Mapping[str, str]) -> list[Route]:
    """The routes an alert with these labels takes, in file order; a parent only if no child takes it.

    The first child that matches is the last one asked, unless it says `continue`.
    """
    if not root.matches(labels):
        return []
    found: list[Route] = []
    for child in root.routes:
        taken = routes_of(child, labels)
        found += taken
        if taken and not child.continues:
            break
    return found or [root]
