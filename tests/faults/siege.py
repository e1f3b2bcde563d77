"""A seeded attack, what is true of it by definition, and how a service's answer is compared with that.

The oracle knows no windows, batches or stores: for each rule and group it takes all events, tests
the rule at every instant, and cuts the instants into episodes.
"""

from __future__ import annotations

import json
import random  # noqa: TID251 - seeded
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tocsin.clock import iso
from tocsin.model.alert import Alert, fingerprint
from tocsin.model.notification import Delivery

SPAN_MS = 480_000  # the attack's length
DISORDER_MS = 25_000  # less than the source's allowed lateness
IPS = [f"203.0.113.{n}" for n in range(24)]
USERS = [f"user{n}@example.com" for n in range(40)]
Record = dict[str, Any]


class Spec(NamedTuple):
    """A rule, as the oracle reads it."""

    name: str
    codes: tuple[str, ...]
    by: str
    span_ms: int = 0  # 0: a plain detection
    least: int = 1
    field: str = ""
    high: int = 1_000
    resolve_ms: int = 0

    @property
    def id(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, self.name))


SPECS = (
    Spec("failures_of_ip", ("fp", "fu"), "ip", 20_000, 3, "", 5, 30_000),
    Spec("users_of_ip", ("fp", "fu"), "ip", 15_000, 3, "user_name", 1_000, 15_000),
    Spec("failures_of_user", ("fp",), "user_name", 30_000, 3, "", 4, 20_000),
    Spec("throttled", ("limit_mu",), "ip", 0, 1, "", 1_000, 7_000),
    Spec("marker", ("sapi",), "log_id"),
)
# Every event of `marker` is an alert of its own that nobody is told of: so no lost event goes unseen.
ROUTING = """
route:
  channels: [hook]
  group_by: [entity]
  group_wait: 0s
  group_interval: 300ms
  routes:
    - {matchers: ['rule="marker"'], channels: []}
"""


def rules() -> str:
    """The rule file."""
    return "---\n".join(_yaml(spec) for spec in SPECS)


def _yaml(spec: Spec) -> str:
    by = "log_id" if spec.by == "log_id" else f"data.{spec.by}"
    correlate, key = "", f"key: [{by}], "
    if spec.span_ms:
        kind, field = ("value_count", f", field: data.{spec.field}") if spec.field else ("event_count", "")
        correlate = (
            f"    correlate: {{type: {kind}, group-by: [{by}], timespan: {spec.span_ms // 1000}s, "
            f"condition: {{gte: {spec.least}{field}}}}}\n"
        )
        key = ""
    return (
        f"title: {spec.name}\nname: {spec.name}\nid: {spec.id}\nlogsource: {{product: auth0}}\n"
        f"detection: {{seen: {{data.type: [{', '.join(spec.codes)}]}}, condition: seen}}\nlevel: low\n"
        f"tocsin:\n{correlate}    alert: {{{key}resolve_after: {spec.resolve_ms // 1000}s, "
        f"severity: [{{gte: {spec.high}, is: high}}], context: [data.user_name]}}\n"
    )


def attack(rng: random.Random, start_ms: int, count: int) -> list[Record]:
    """`count` different events, in the order in which they are sent: disordered by `DISORDER_MS`."""
    records = []
    for number in range(count):
        at_ms = start_ms + DISORDER_MS + number * SPAN_MS // count - rng.randrange(DISORDER_MS)
        records.append(
            {
                "log_id": f"9002026{number:08d}",
                "at_ms": at_ms,
                "type": rng.choices(["fp", "fu", "limit_mu", "sapi", "s"], [6, 6, 2, 2, 4])[0],
                "ip": rng.choice(IPS),
                "user_name": rng.choice(USERS),
            }
        )
    return records


def last_event(start_ms: int) -> Record:
    """An event of no interest, so much later that every episode is over by then."""
    at_ms = start_ms + DISORDER_MS + SPAN_MS + 90_000
    return {"log_id": "last", "at_ms": at_ms, "type": "s", "ip": "192.0.2.1", "user_name": "z"}


def bodies(rng: random.Random, records: Sequence[Record], count: int) -> list[bytes]:
    """The records in `count` bodies, in the order given; a fifth of them twice, soon after each other."""
    size = -(-len(records) // count)
    made = []
    for start in range(0, len(records), size):
        some = list(records[start : start + size])
        again = [r for r in records[max(0, start - size) : start + size] if rng.random() < 0.2]
        some += again
        rng.shuffle(some)
        made.append(body(some))
    return made


def body(records: Sequence[Record]) -> bytes:
    """The records as a log stream sends them."""
    sent = []
    for record in records:
        data = {k: v for k, v in record.items() if k != "at_ms"}
        data |= {"date": iso(record["at_ms"]), "tenant_name": record.get("tenant_name", "acme")}
        sent.append({"log_id": record["log_id"], "data": data})
    return json.dumps(sent).encode()


Episode = tuple[str, int, int, str]  # fingerprint, start, last, severity


def oracle(records: Sequence[Record]) -> list[Episode]:
    """Every episode that these events make true."""
    found: list[Episode] = []
    for spec in SPECS:
        groups: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            if record["type"] in spec.codes:
                groups[record[spec.by]].append(record)
        for group, members in groups.items():
            mark = fingerprint("acme", spec.id, group)
            found += [(mark, *run) for run in _runs(spec, _instants(spec, members))]
    return sorted(found)


def _instants(spec: Spec, members: list[Record]) -> dict[int, int]:
    if not spec.span_ms:
        return {record["at_ms"]: 1 for record in members}
    counts = {}
    for end_ms in {record["at_ms"] for record in members}:
        inside = [r for r in members if end_ms - spec.span_ms <= r["at_ms"] <= end_ms]
        counts[end_ms] = len({r[spec.field or "log_id"] for r in inside})
    return {at_ms: n for at_ms, n in counts.items() if n >= spec.least}


def _runs(spec: Spec, instants: dict[int, int]) -> Iterator[tuple[int, int, str]]:
    run: list[int] = []
    for at_ms in [*sorted(instants), 1 << 60]:
        if run and at_ms - run[-1] > spec.resolve_ms:
            worst = max(instants[one] for one in run)
            yield run[0], run[-1], "high" if worst >= spec.high else "low"
            run = []
        run.append(at_ms)


def complaints(
    records: Sequence[Record],
    alerts: Sequence[Alert],
    deliveries: Sequence[Delivery],
    got: Sequence[tuple[str, dict[str, Any]]],
) -> list[str]:
    """What is wrong with a service's answer; nothing, if it kept its promises."""
    found = sorted((a.fingerprint, a.started_ms, a.last_ms, a.severity) for a in alerts if not a.merged_into)
    expected = oracle(records)
    lost, extra = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
    wrong = [f"lost alerts: {len(lost)}, such as {_few(lost)}"] if lost else []
    wrong += [f"alerts too many: {len(extra)}, such as {_few(extra)}"] if extra else []
    return wrong + _untold(alerts, got) + _told_twice(deliveries, got) + list(_no_news(got))


def _few(counted: Counter[Episode]) -> list[Episode]:
    return list(counted)[:3]


def _untold(alerts: Sequence[Alert], got: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    told = {(alert["id"], alert["status"]) for _, message in got for alert in message["alerts"]}
    ids = {alert_id for alert_id, _ in told}
    routed = [alert for alert in alerts if alert.rule != "marker" and not alert.merged_into]
    never = [alert.id for alert in routed if alert.id not in ids]
    unended = [a.id for a in routed if a.status == "resolved" and (a.id, "resolved") not in told]
    wrong = [f"never told: {never[:3]} ({len(never)})"] if never else []
    return wrong + ([f"end not told: {unended[:3]} ({len(unended)})"] if unended else [])


def _told_twice(deliveries: Sequence[Delivery], got: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """A notification may come again only if an attempt of it is on record whose outcome nobody knows."""
    times = Counter(id_ for id_, _ in got)
    ambiguous = {delivery.notification.id: delivery.ambiguous for delivery in deliveries}
    return [
        f"{id_} came {n} times, with {ambiguous.get(id_, 0)} ambiguous attempts"
        for id_, n in times.items()
        if n > 1 + ambiguous.get(id_, 0)
    ]


def _no_news(got: Sequence[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    """Every message says something that no earlier one said; what was told as over is not told again."""
    seen: set[str] = set()
    told: set[tuple[str, str, str]] = set()
    for id_, message in got:
        if id_ in seen:
            continue
        seen.add(id_)
        words = {(a["id"], a["status"], a["severity"]) for a in message["alerts"]}
        if words <= told:
            yield f"{id_} says nothing new"
        again = {(a, s) for a, s, _ in words if s == "resolved"} & {(a, s) for a, s, _ in told}
        if again:
            yield f"{id_} tells an end again: {sorted(again)[:3]}"
        told |= words
