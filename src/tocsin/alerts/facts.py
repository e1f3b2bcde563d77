"""What a message says, as plain data for templates: every text in it is clean (`escape.clean`).

The on-call reads this at three in the morning: what, who, from where, since when, how many.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, timedelta, tzinfo
from typing import Any

from tocsin.alerts.decision import Send
from tocsin.alerts.escape import clean, clean_lines, defang, each_text
from tocsin.catalog.lookup import codes
from tocsin.clock import format_duration, from_ms
from tocsin.model.alert import TOP_VALUES, Alert, Value
from tocsin.model.rule import severity_rank

MOST_ALERTS = 20
MOST_VALUES = 10
LONGEST_RUNBOOK = 2_000
LONGEST_DESCRIPTION = 1_500
WARMING = (
    "warming: counted only since its rule was added or changed; it may have begun earlier, "
    "with a higher score"
)
Facts = dict[str, Any]
_TOGETHER = ("temporal", "temporal_ordered")  # types whose score is how many of their rules held
_LINK = re.compile(r"https?://[^\s<>\"'|]{1,1000}")
# A list's item that goes on in the next line of the rule file: whoever shows it wraps it anew.
_CONTINUED = re.compile(r"(?<=\S)[ \t]*\n[ \t]+(?![-*\s]|[0-9]+[.)])")
# By the last two parts of a field's path, or the last: what one is called, and what several are.
_NAMES = {
    "ip": ("IP address", "IP addresses"),
    "client_ip": ("IP address", "IP addresses"),
    "user_name": ("User", "User names"),
    "user_id": ("User id", "User ids"),
    "email": ("User", "User names"),
    "user_agent": ("User agent", "User agents"),
    "useragent": ("User agent", "User agents"),
    "client_name": ("Application", "Applications"),
    "client_id": ("Application id", "Application ids"),
    "connection": ("Connection", "Connections"),
    "type": ("Event", "Events"),
    "hostname": ("Host", "Hosts"),
    "country_code": ("Country", "Countries"),
    "tenant_name": ("Tenant", "Tenants"),
    "tenantid": ("Tenant", "Tenants"),
    "eventkey": ("Event", "Events"),
    "user.name": ("User", "User names"),
    "user.id": ("User id", "User ids"),
    "user_agent.original": ("User agent", "User agents"),
    "event.code": ("Event", "Events"),
    "event.action": ("Event", "Events"),
    "event.provider": ("Provider", "Providers"),
    "host.name": ("Host", "Hosts"),
    "country_iso_code": ("Country", "Countries"),
    "city_name": ("City", "Cities"),
    "as.number": ("AS number", "AS numbers"),
    "organization.name": ("Organization", "Organizations"),
    "url.path": ("Path", "Paths"),
}
_CODES = ("type", "event.code")  # fields of event codes


def message_facts(send: Send, titles: Mapping[str, str], *, external_url: str, zone: tzinfo) -> Facts:
    """Everything a template may want to know of a message. `titles`: alert id -> headline."""
    alerts = [*send.firing, *send.resolved]
    shown = [
        alert_facts(alert, titles[alert.id], external_url=external_url, zone=zone)
        for alert in alerts[:MOST_ALERTS]
    ]
    for alert, facts in zip(alerts, shown, strict=False):
        facts["news"] = alert.id in send.news
        facts["unheard"] = alert.id in send.unheard
    severity = max((alert.severity for alert in send.firing or alerts), key=severity_rank)
    return {
        "status": "firing" if send.firing else "resolved",
        "severity": severity,
        "reason": str(send.reason),
        "headline": shown[0]["title"] if len(alerts) == 1 else _summary_of_many(send, alerts),
        "about": _about(send, alerts),
        "count": len(alerts),
        "tally": _tally(send),
        "firing": len(send.firing),
        "resolved": len(send.resolved),
        "more": max(0, len(alerts) - MOST_ALERTS),
        "labels": [{"name": clean(name), "value": clean(value)} for name, value in send.labels.items()],
        "alerts": shown,
        "link": external_url,
        "id": send.id,
        "route": send.route,
        "template_error": "",
    }


def alert_facts(alert: Alert, title: str, *, external_url: str, zone: tzinfo) -> Facts:
    """One alert; times in `zone`, durations and numbers as text where people read them."""
    annotations = alert.annotations
    runbook = _CONTINUED.sub(" ", annotations.get("runbook", "").strip())
    is_link = _LINK.fullmatch(runbook) is not None
    return {
        "id": alert.id,
        "title": title,
        "status": _status(alert),
        "severity": str(alert.severity),
        "rule": clean(alert.rule),
        "rule_title": clean(annotations.get("rule_title", "") or alert.rule),
        "description": clean_lines(annotations.get("description", "").strip(), LONGEST_DESCRIPTION),
        "tags": clean(annotations.get("tags", "")),
        "tenant": clean(alert.tenant),
        "entity": clean(alert.labels.get("entity", "")),
        "group": [{"name": name_of(field), "value": clean(value)} for field, value in alert.group.items()],
        "score": _score_said(alert),
        "events": _more_events(alert),
        "sampled": _sampled(alert),
        "timespan": _timespan(alert),
        "started": _moment(alert.started_ms, zone),
        "last": _moment(alert.last_ms, zone),
        "resolved": "" if alert.resolved_ms is None else _moment(alert.resolved_ms, zone),
        "lasted": _lasted(alert),
        "evidence": [_evidence(field, values) for field, values in alert.evidence.values.items() if values],
        "approximate": alert.evidence.approximate,
        "late": alert.late,
        "warming": WARMING if alert.warming else "",
        "merged_into": alert.merged_into or "",
        "runbook": "" if is_link else clean_lines(runbook, LONGEST_RUNBOOK),
        "runbook_url": runbook if is_link else "",
        "link": f"{external_url}/alerts/{alert.id}" if external_url else "",
        "news": True,
        "unheard": True,
    }


def headline_facts(alert: Alert) -> Facts:
    """What a rule's headline may use."""
    return {
        "score": score_text(alert) if alert.floor else _plain_number(alert.score),
        "group": {field: clean(value) for field, value in alert.group.items()},
        "trigger": {field: clean(value) for field, value in alert.trigger.items()},
        "severity": str(alert.severity),
        "rule": clean(alert.rule),
        "timespan": _timespan(alert),
        "count": alert.evidence.total,
        "params": _params(alert.annotations.get("params", "")),
        "tenant": clean(alert.tenant),
        "started_at": _moment(alert.started_ms, None),
    }


def inert(facts: Facts) -> Facts:
    """The facts with nothing to click in what an event said; a rule's own links and texts stay."""
    changed: Facts = each_text(facts, defang, keep=("link", "runbook_url", "runbook", "description"))
    return changed


def name_of(field: str, *, several: bool = False) -> str:
    """`data.user_name` as people say it: `User`, of several `User names`."""
    parts = field.removesuffix("{}").split(".")
    for known in (".".join(parts[-2:]), parts[-1]):
        if known.lower() in _NAMES:
            return _NAMES[known.lower()][several]
    words = clean(parts[-1]).replace("_", " ")
    return words[:1].upper() + words[1:]


def _lasted(alert: Alert) -> str:
    """From its first trigger to its last; empty where that is no time."""
    seconds = (alert.last_ms - alert.started_ms) // 1000
    return format_duration(timedelta(seconds=seconds)) if seconds > 0 else ""


def _score_said(alert: Alert) -> str:
    """The score as messages say it: where rules hold together it is how many."""
    text = score_text(alert)
    if alert.type in _TOGETHER:
        return f"{text} of its rules"
    return f"{text} (sampled)" if alert.sampled else text


def score_text(alert: Alert) -> str:
    """`157`, or `200+` where a cap let events go."""
    return _number(_plain_number(alert.score), floor=alert.floor)


def _number(number: float, *, floor: bool) -> str:
    return f"{number}+" if floor else str(number)


def _plain_number(score: float) -> float:
    return int(score) if math.isfinite(score) and score == int(score) else round(score, 3)


def _more_events(alert: Alert) -> str:
    """How many events the episode had, where that is more than its score says; else empty."""
    evidence = alert.evidence
    return _number(evidence.total, floor=evidence.approximate) if evidence.total > alert.score else ""


def _sampled(alert: Alert) -> str:
    """Of how many events the evidence was counted, where its bounds let older ones go; else empty."""
    total = alert.evidence.total
    return str(total) if 0 < total < alert.score and alert.evidence.values else ""


def _status(alert: Alert) -> str:
    return "merged" if alert.merged_into else str(alert.status)


def _timespan(alert: Alert) -> str:
    text = clean(alert.annotations.get("timespan", ""))
    at_once = text == "0s" or (text == "1s" and alert.type in _TOGETHER)
    return "" if at_once else text


def _params(text: str) -> Facts:
    try:
        params = json.loads(text) if text else {}
    except ValueError:
        return {}
    return params if isinstance(params, dict) else {}


def _moment(ms: int, zone: tzinfo | None) -> str:
    try:
        return from_ms(ms).astimezone(zone or UTC).strftime("%Y-%m-%d %H:%M:%S %Z")
    except OverflowError:  # beyond the first or the last day there is
        return f"{ms} ms"


def _evidence(field: str, values: list[Value]) -> Facts:
    shown = [{"text": _shown(field, value.text), "count": value.count} for value in values[:MOST_VALUES]]
    return {
        "name": name_of(field, several=len(values) > 1),
        "values": shown,
        "more": len(values) - len(shown),
        "open_ended": len(values) >= TOP_VALUES,  # only the top ones are kept: there may be more still
    }


def _shown(field: str, text: str) -> str:
    """A value; an event code with what it means."""
    known = codes("auth0").get(text) if field.removeprefix("data.") in _CODES else None
    return clean(f"{text} “{known.name}”" if known else text, 128)


def _summary_of_many(send: Send, alerts: list[Alert]) -> str:
    ended = "" if send.firing else " resolved"
    return f"{len(alerts)} alerts{ended} about {_about(send, alerts)}"


def _tally(send: Send) -> str:
    """`2 firing, 1 resolved`; what there is none of is left out."""
    counts = ((len(send.firing), "firing"), (len(send.resolved), "resolved"))
    return ", ".join(f"{count} {what}" for count, what in counts if count)


def _about(send: Send, alerts: list[Alert]) -> str:
    """What the group's alerts have in common, in a word."""
    values = [value for value in send.labels.values() if value]
    return clean(", ".join(values)) or clean(alerts[0].labels.get("entity", "") or alerts[0].rule)
