"""Where one alert stands with one channel: it is news, held back, told already, or finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tocsin.alerts.decision import Held, Hold, Reason
from tocsin.alerts.group import Member, labels_of
from tocsin.alerts.silence import silenced_until
from tocsin.clock import from_ms
from tocsin.model.alert import Alert
from tocsin.model.rule import severity_rank
from tocsin.model.silence import Silence


@dataclass(frozen=True, slots=True)
class Standing:
    """A member, judged. None of `news`, `held` and `finished`: the channel knows all there is to know."""

    member: Member
    news: Reason | None = None
    held: Held | None = None
    finished: bool = False

    @property
    def alert(self) -> Alert:
        """The alert it is about."""
        return self.member.alert


def is_over(alert: Alert) -> bool:
    """Whether there is nothing more to come of it: resolved, or part of another now."""
    return alert.status == "resolved" or alert.merged_into is not None


def judge(
    member: Member, silences: Sequence[Silence], now: datetime, notify_max_age: timedelta | None
) -> Standing:
    """Where the member stands now. `notify_max_age` None: nothing is too old to tell."""
    alert, word = member.alert, member.word
    until = silenced_until(labels_of(alert), silences, now)
    if is_over(alert):
        return _judge_over(member, silences, until, now, notify_max_age)
    if member.former:
        return Standing(member)
    if until is not None:
        return Standing(member, held=Held(alert.id, member.home.channel, Hold.SILENCED, until))
    if word is None or word.status == "resolved":
        if word is None and _found_old(alert, notify_max_age):
            return Standing(member, held=Held(alert.id, member.home.channel, Hold.HISTORY))
        return Standing(member, news=Reason.NEW)
    raised = severity_rank(word.severity) < severity_rank(alert.severity)
    return Standing(member, news=Reason.RAISED if raised else None)


def _found_old(alert: Alert, notify_max_age: timedelta | None) -> bool:
    """Whether it is of a past that is being read, and will be over when more of that is read."""
    if notify_max_age is None:
        return False
    return from_ms(alert.found_ms) - from_ms(alert.last_ms) > notify_max_age


def _judge_over(
    member: Member,
    silences: Sequence[Silence],
    until: datetime | None,
    now: datetime,
    notify_max_age: timedelta | None,
) -> Standing:
    alert, word, channel = member.alert, member.word, member.home.channel
    if word is not None and word.status == "resolved":
        return Standing(member, finished=True)
    if word is not None and until is not None:
        return Standing(member, held=Held(alert.id, channel, Hold.SILENCED, until))
    if word is not None:
        return Standing(member, news=Reason.RESOLVED)
    why = _never_to_tell(alert, silences, until, now, notify_max_age)
    if why is not None:
        return Standing(member, held=Held(alert.id, channel, why), finished=True)
    return Standing(member, news=Reason.NEW)


def _never_to_tell(
    alert: Alert,
    silences: Sequence[Silence],
    until: datetime | None,
    now: datetime,
    notify_max_age: timedelta | None,
) -> Hold | None:
    """Why an alert that was over before anybody heard of it needs no telling at all."""
    if alert.merged_into is not None:
        return Hold.MERGED
    # The plan may come late: what counts is also whether it was silenced when it ended.
    ended_ms = alert.last_ms if alert.resolved_ms is None else alert.resolved_ms
    known_over = from_ms(max(ended_ms, alert.found_ms))
    if until is not None or silenced_until(labels_of(alert), silences, known_over) is not None:
        return Hold.SILENCED
    if notify_max_age is not None and now - from_ms(ended_ms) > notify_max_age:
        return Hold.HISTORY
    return None
