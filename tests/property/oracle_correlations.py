"""Random streams and correlations for the differential tests, and how SQLite's answer becomes ours.

A `Kind` is a row: how correlations of a type are made, and which of the backend's windows are ours.
Where these differ on purpose is named in `DIFFERENCES`.
"""

from __future__ import annotations

import json
import random  # noqa: TID251 - seeded
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import combinations
from typing import Any, NamedTuple

from tocsin.clock import MS

from .oracle_ours import Document, Group, Record
from .oracle_sql import Row, Table

END_MS = 1_000_000  # by then every window has closed
TIMESPANS = (1, 5, 10, 30)  # seconds
TYPES = ("fp", "fu", "s", "limit_mu")
_SELECTIONS: dict[str, Mapping[str, Any]] = {
    "password": {"type": "fp"},
    "failure": {"type": ["fp", "FU"]},
    "login": {"type": "S"},
    "ann": {"user_name": "ann*"},
    "limit": {"type|startswith": "limit"},
    "priced": {"amount|re": "^-?[0-9]+([.][0-9]+)?$"},
}
BASES = (*_SELECTIONS,)[:5]
COLUMNS = ("type", "ip", "user_name", "amount")

DIFFERENCES = {
    "an event without the value has no window": (
        "rule-language.md 2: it neither counts nor triggers; the backend asks at its time too"
    ),
    "temporal_ordered triggers at its last step": (
        "rule-language.md 2: only the event that completes the order; the backend asks at every one"
    ),
    "not is decided once a window": (
        "rule-language.md 2: the group's first match opens it, and the next the first match after it; "
        "the backend opens one at every match of a rule that is asked for"
    ),
    "alternatives without a not beside one with it": (
        "the backend slides for the one and looks forward for the other, and for `not a` alone asks at every "
        "event of the table; here a condition with a not is decided at its window's end, whole; not asked"
    ),
    "texts that are nearly numbers": (
        "'07' and '+7' are numbers here, ' 7 ' is not; to SQLite's JSON it is the other way round; not asked"
    ),
    "lt, lte, eq, neq and ranges close windows": (
        "rule-language.md 2: the backend compares at every match, and pySigma takes no ranges; "
        "test_oracle_closing has them"
    ),
    "a chain's fields": (
        "of a correlation only its group-by is known to another; the backend adds every event's fields"
    ),
}


def base(name: str) -> Document:
    """A detection to correlate."""
    return {
        "title": name,
        "name": name,
        "logsource": {"product": "auth0"},
        "detection": {"seen": _SELECTIONS[name], "condition": "seen"},
    }


ALL_BASES = [base(name) for name in _SELECTIONS]


def stream(rng: random.Random, *, long: bool = False) -> list[Record]:
    """About fifty records in a minute or less, in no order; times fall on the same few instants.

    A `long` one lasts some minutes, so that windows pass and what they held is let go.
    """
    step = rng.choice([1_000, 250, 1, 1])
    span = rng.choice([150_000, 300_000] if long else [20_000, 40_000, 60_000])
    instants = [rng.randrange(0, span, step) for _ in range(90 if long else 30)]
    edges = [at + 1_000 * rng.choice(TIMESPANS) for at in instants[:20]]  # just inside, and just outside
    instants += [*edges, *(at + 1 for at in edges[:4])]
    return [
        {
            "log_id": f"id{number}",
            "at_ms": rng.choice(instants),
            **_some(rng, "type", [*TYPES, "fp", "FU"]),
            **_some(rng, "ip", ["A", "a", "b", "B", "", None, 7, "7"]),
            **_some(rng, "user_name", ["Ann", "ann", "bob", "ANNA", "", None, 7, "7"]),
            **_some(rng, "amount", [1, 2, 3.5, "4", "-1", "6e0", 10, "many", "", None, True]),
        }
        for number in range(rng.randint(120, 200) if long else rng.randint(25, 60))
    ]


def _some(rng: random.Random, field: str, values: Sequence[Any]) -> Record:
    return {} if rng.random() < 0.08 else {field: rng.choice(values)}


def arriving(rng: random.Random, records: Sequence[Record], lateness: timedelta) -> list[list[Record]]:
    """The stream as it comes: late within what is allowed, a third of it twice, in batches of any size."""
    late_ms = lateness // MS
    twice = [*records, *rng.sample(records, len(records) // 3)]
    coming = [(record["at_ms"] + rng.randrange(late_ms), rng.random(), record) for record in twice]
    left = [record for *_, record in sorted(coming, key=lambda row: row[:2])]
    batches: list[list[Record]] = []
    while left:
        size = rng.randint(1, 12)
        batches.append(left[:size])
        left = left[size:]
    return batches


class Case(NamedTuple):
    """A correlation, the last of its documents, over a stream; the others feed it."""

    documents: Sequence[Document]
    records: Sequence[Record]
    table: Table

    @property
    def body(self) -> Mapping[str, Any]:
        """What it asks."""
        body: Mapping[str, Any] = self.documents[-1]["correlation"]
        return body

    def rows(self) -> set[Row]:
        """The backend's answer."""
        return self.table.true([*ALL_BASES, *self.documents], self.documents[-1]["title"], until_ms=END_MS)

    def matches(self, *slots: int) -> Iterator[tuple[Group, Record]]:
        """The records that the rules of these places (none: any) match, with their group.

        A correlation among the rules gives a record for each of its instants. Under `value` stands
        what the correlation counts or computes with.
        """
        names, condition = self.body["rules"], self.body.get("condition")
        counted = condition.get("field", "") if isinstance(condition, dict) else ""
        for slot in slots or range(len(names)):
            fields = [self._called(field, names[slot]) for field in self.body.get("group-by", ())]
            value = self._called(counted, names[slot])
            for record in self._matched(names[slot]):
                group = tuple(text_of(record.get(field)) for field in fields)
                if all(group):
                    yield group, {**record, "value": record.get(value)}

    def _matched(self, name: str) -> Iterator[Record]:
        if name in _SELECTIONS:
            matching = self.table.matching(base(name))
            yield from (record for record in self.records if record["log_id"] in matching)
            return
        place = [document["name"] for document in self.documents].index(name)
        child = self._replace(documents=self.documents[: place + 1])
        for row in child.rows():
            fields = dict(zip(child.body["group-by"], row.group, strict=True))
            yield {"log_id": f"{name} {row}", "at_ms": row.end_ms, **fields}

    def _called(self, field: str, rule: str) -> str:
        called: str = self.body.get("aliases", {}).get(field, {}).get(rule, field)
        return called


def text_of(value: object) -> str:
    """A value as groups and counts see it."""
    return "" if value is None else str(value).casefold()


Instants = set[tuple[Group, int]]
Ours = Callable[[set[Row], Case], Instants]


def ends(rows: set[Row], case: Case) -> Instants:
    """The backend's rows as they are."""
    return {(row.group, row.end_ms) for row in rows}


def ends_with_value(rows: set[Row], case: Case) -> Instants:
    """Without the windows at whose end no event has the value."""
    has = {(group, record["at_ms"]) for group, record in case.matches() if text_of(record["value"])}
    return ends(rows, case) & has


def ends_with_number(rows: set[Row], case: Case) -> Instants:
    """Without the windows at whose end no event has a number."""
    has = {(group, record["at_ms"]) for group, record in case.matches() if is_number(record["value"])}
    return ends(rows, case) & has


def is_number(value: object) -> bool:
    """Whether the backend's aggregates take the value."""
    if isinstance(value, str):
        try:
            value = json.loads(value.strip(" "))
        except ValueError:
            return False
    return isinstance(value, int | float) and not isinstance(value, bool)


def ends_with_last_step(rows: set[Row], case: Case) -> Instants:
    """Only the windows at whose end an event of the last rule stands."""
    last = len(case.body["rules"]) - 1
    return ends(rows, case) & {(group, record["at_ms"]) for group, record in case.matches(last)}


def ends_of_opened(rows: set[Row], case: Case) -> Instants:
    """Only the windows that a group's first match opens, and the first match after each."""
    times: dict[Group, set[int]] = defaultdict(set)
    for group, record in case.matches():
        times[group].add(record["at_ms"])
    span_ms = int(case.body["timespan"].rstrip("s")) * 1_000
    opened: set[tuple[Group, int]] = set()
    for group, some in times.items():
        after = -1
        for at_ms in sorted(some):
            if at_ms > after:
                after = at_ms + span_ms
                opened.add((group, after))
    return ends(rows, case) & opened


def ends_of_chains(rows: set[Row], case: Case) -> Instants:
    """Of several orders that would do, each at its own last step."""
    names, condition = case.body["rules"], case.body["condition"]
    if isinstance(condition, str):
        chains = [tuple(way.split(" and ")) for way in condition.split(" or ")]
    else:
        floor = condition["gte"] if "gte" in condition else condition["gt"] + 1
        chains = list(combinations(names, floor))
    found: Instants = set()
    for chain in chains:
        one = {**case.body, "rules": sorted(chain, key=names.index)}
        del one["condition"]
        alone = case._replace(documents=[{**case.documents[-1], "correlation": one}])
        found |= ends_with_last_step(alone.rows(), alone)
    assert found <= ends(rows, case)
    return found


class Kind(NamedTuple):
    """How correlations of a type are made: their bodies, the last of which is compared."""

    make: Callable[[random.Random], list[Document]]
    ours: Ours = ends


Make = Callable[[random.Random], Document]


def one(make: Make, ours: Ours = ends) -> Kind:
    """A correlation of detections."""
    return Kind(lambda rng: [make(rng)], ours)


def chain(parent: Make, *children: Make, ours: Ours = ends) -> Kind:
    """A correlation of correlations: rule number n of the parent is child number n."""

    def made(rng: random.Random) -> list[Document]:
        group_by = rng.choice([[], ["ip"], ["ip", "user_name"]])
        bodies = [_plainly(child(rng)) | {"group-by": group_by} for child in children]
        return [*bodies, _plainly(parent(rng)) | {"group-by": group_by[: rng.randint(0, 2)]}]

    return Kind(made, ours)


def _plainly(body: Document) -> Document:
    plain = {key: value for key, value in body.items() if key != "aliases"}
    if isinstance(plain.get("condition"), dict) and plain["condition"].get("field") == "what":
        plain["condition"]["field"] = "amount"
    return plain


def _over(rng: random.Random, type_: str, condition: object, rules: Sequence[str] = ()) -> Document:
    names = list(rules) or rng.sample(BASES, rng.randint(1, 3))
    body: Document = {
        "type": type_,
        "rules": names,
        "group-by": rng.choice([[], ["ip"], ["ip"], ["user_name"], ["ip", "user_name"]]),
        "timespan": f"{rng.choice(TIMESPANS)}s",
    }
    if rng.random() < 0.2 and len(names) > 1:
        body["group-by"] = ["who"]
        body["aliases"] = {"who": {name: rng.choice(["ip", "user_name"]) for name in names}}
        if isinstance(condition, dict) and "field" in condition:
            condition["field"] = "what"
            body["aliases"]["what"] = {name: rng.choice(["amount", "user_name"]) for name in names}
    return body | ({} if condition is None else {"condition": condition})


def _bound(rng: random.Random, most: int) -> Document:
    return {rng.choice(["gte", "gt"]): rng.randint(1, most)}


def _events(most: int = 6, rules: Sequence[str] = ()) -> Make:
    return lambda rng: _over(rng, "event_count", _bound(rng, most), rules)


def _values(fields: Sequence[str], rules: Sequence[str] = (), most: int = 4) -> Make:
    return lambda rng: _over(rng, "value_count", {**_bound(rng, most), "field": rng.choice(fields)}, rules)


def _numbers(type_: str, thresholds: Sequence[float], rules: Sequence[str] = ()) -> Make:
    def make(rng: random.Random) -> Document:
        condition = {rng.choice(["gte", "gt"]): rng.choice(thresholds), "field": "amount"}
        if type_ == "value_percentile":
            condition["percentile"] = rng.choice([0, 10, 25, 50, 75, 90, 99, 100])
        return _over(rng, type_, condition, rules)

    return make


def _together(type_: str, *shapes: str | None, rules: Sequence[str] = ()) -> Make:
    """All of some rules (None), so many of them, or as a text says."""

    def make(rng: random.Random) -> Document:
        shape = rng.choice(shapes)
        count = rng.randint(2, 3) if shape is None else 3 if "{2}" in shape or shape == "2" else 2
        names = list(rules) or rng.sample(BASES, count)
        if shape in ("1", "2"):
            return _over(rng, type_, rng.choice([{"gte": int(shape)}, {"gt": int(shape) - 1}]), names)
        return _over(rng, type_, shape and shape.format(*names), names)

    return make


_EITHER = ("{0} and {1}", "{0} or {1}", "{0} and ({1} or {2})", "{0} or {1} and {2}")
_NOT = ("{0} and not {1}", "not {1} and {0}", "{0} and {1} and not {2}", "({0} or {1}) and not {2}")
_NOT += ("{0} and not ({1} or {2})",)

KINDS: dict[str, Kind] = {
    "event_count": one(_events()),
    "value_count": one(_values(COLUMNS), ends_with_value),
    "value_sum": one(_numbers("value_sum", [1, 4, 8, 20]), ends_with_number),
    "value_avg": one(_numbers("value_avg", [1, 2.5, 3.5]), ends_with_number),
    "value_median": one(_numbers("value_median", [1, 2, 2.5, 3.5]), ends_with_number),
    "value_percentile": one(_numbers("value_percentile", [1, 2, 2.5, 6]), ends_with_number),
    "temporal": one(_together("temporal", None, "1", "2")),
    "temporal, text": one(_together("temporal", *_EITHER)),
    "temporal, not": one(_together("temporal", *_NOT), ends_of_opened),
    "temporal_ordered": one(_together("temporal_ordered", None), ends_with_last_step),
    "temporal_ordered, some": one(_together("temporal_ordered", "1", "2"), ends_of_chains),
    "temporal_ordered, text": one(
        _together("temporal_ordered", "{0} and {1}", "{1} and {0}", "{0} and {1} or {2} and {1}"),
        ends_of_chains,
    ),
    "event_count of event_count": chain(_events(4, ["child0"]), _events(3)),
    "event_count of value_count": chain(_events(4, ["child0"]), _values(["user_name"], ["ann"], 1)),
    "event_count of value_avg": chain(_events(4, ["child0"]), _numbers("value_avg", [1, 2.5], ["priced"])),
    "event_count of value_median": chain(_events(3, ["child0"]), _numbers("value_median", [2], ["priced"])),
    "event_count of temporal": chain(_events(4, ["child0"]), _together("temporal", None, *_EITHER)),
    "event_count of two": chain(_events(6, ["child0", "child1"]), _events(3), _together("temporal", None)),
    "temporal of counts": chain(
        _together("temporal", None, rules=["child0", "child1"]),
        _events(3),
        _values(["user_name"], ["ann"], 1),
    ),
    "temporal of a count and events": chain(
        _together("temporal", None, rules=["child0", "login"]), _events(3)
    ),
    "temporal_ordered of counts": chain(
        _together("temporal_ordered", None, rules=["child0", "child1"]),
        _events(2),
        _numbers("value_sum", [4], ["priced"]),
        ours=ends_with_last_step,
    ),
    "value_avg's parent's parent": chain(
        _events(2, ["child1"]), _numbers("value_avg", [1], ["priced"]), _events(3, ["child0"])
    ),
}


def correlation(rng: random.Random, kind: str, name: str) -> list[Document]:
    """The documents of a correlation of that kind; the last, of that name, is compared."""
    bodies = KINDS[kind].make(rng)
    names = [*(f"{name}_child{place}" for place in range(len(bodies) - 1)), name]
    for body in bodies:
        body["rules"] = [f"{name}_{rule}" if rule.startswith("child") else rule for rule in body["rules"]]
    return [
        {"title": title, "name": title, "level": "low", "correlation": body}
        for title, body in zip(names, bodies, strict=True)
    ]
