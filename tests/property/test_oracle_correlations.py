"""Correlations against pysigma-backend-sqlite: the moments at which each is true, before there are episodes.

A seed makes a stream (ties, mixed case, missing fields, numbers as text) and correlations over it.
SQLite sees the stream as a table; we see it late, shuffled, partly twice and in batches. Both must name
the same (group, time). What the backend does (version 2.1.1, read from its source and seen here):

- A row is a window `[t - timespan, t]`, closed at both ends, at whose end a matching event of the group
  stands and in which the condition is true. All events of one instant are in it.
- `event_count` counts events once by id, whichever rules matched them. `value_count` counts distinct
  values whatever their case. A null counts as no value, but its event has a window all the same.
- `value_sum`, `value_avg`, `value_median`, `value_percentile` take finite numbers and texts of JSON
  numbers (spaces around them trimmed; not `07`, `+7`, `.5`, true); without any the condition is false.
  A value counts once for each event. Percentiles interpolate between neighbours: the place of P is
  `(n - 1) * P / 100`; the median is that of 50, of an even count the mean of the middle two.
- `temporal`: how many of the rules have a match in the window (all of them, unless a count is asked);
  a text condition is true or false of that. With `not`, the window looks forward: each event of a rule
  that is asked for opens `[u, u + timespan]`, and the row's time is its end.
- `temporal_ordered`: strictly increasing times in the order of the rules, at any matching event.
- A chain: each row of the child is one member of the parent, at its end.

What differs on purpose is told by name in `DIFFERENCES`, and taken out before the comparison.
"""

from __future__ import annotations

import json
import random  # noqa: TID251 - seeded
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tocsin.model.compiled import RuleSet
from tocsin.rules.correlations import CORRELATIONS

from .oracle_ours import Document, Group, Record, load, run
from .oracle_sql import Row, Table

END_MS = 1_000_000  # by then every window has closed
SEEDS = 150  # streams, each with a correlation or two of every type
TYPES = ("fp", "fu", "s", "limit_mu")
BASES = ("password", "failure", "login", "ann", "limit")
_SELECTIONS: dict[str, Mapping[str, Any]] = {
    "password": {"type": "fp"},
    "failure": {"type": ["fp", "FU"]},
    "login": {"type": "S"},
    "ann": {"user_name": "ann*"},
    "limit": {"type|startswith": "limit"},
}

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
    "texts that are nearly numbers": (
        "'07' and '+7' are numbers here, ' 7 ' is not; to SQLite's JSON it is the other way round; not asked"
    ),
    "lt, lte, eq, neq and ranges close windows": (
        "rule-language.md 2: the backend compares at every match, and pySigma takes no ranges; not asked here"
    ),
}


def base(name: str) -> Document:
    return {
        "title": name,
        "name": name,
        "logsource": {"product": "auth0"},
        "detection": {"seen": _SELECTIONS[name], "condition": "seen"},
    }


def stream(rng: random.Random) -> list[Record]:
    """About fifty records in a minute or less, in no order; times fall on the same few instants."""
    step = rng.choice([1_000, 500, 250, 1])
    span = rng.choice([20_000, 40_000, 60_000])
    instants = [rng.randrange(0, span, step) for _ in range(30)]
    instants += [at + 5_000 for at in instants[:8]] + [at + 10_001 for at in instants[8:12]]
    return [
        {
            "log_id": f"id{number}",
            "at_ms": rng.choice(instants),
            **_some(rng, "type", [*TYPES, "fp", "FU"]),
            **_some(rng, "ip", ["A", "a", "b", "B", "", None, 7, "7"]),
            **_some(rng, "user_name", ["Ann", "ann", "bob", "ANNA", "", None, 7, "7"]),
            **_some(rng, "amount", [1, 2, 3.5, "4", "-1", "6e0", 10, "many", "", None, True]),
        }
        for number in range(rng.randint(25, 60))
    ]


def _some(rng: random.Random, field: str, values: Sequence[Any]) -> Record:
    return {} if rng.random() < 0.08 else {field: rng.choice(values)}


class Case(NamedTuple):
    """A correlation and the bases it names, for the adapters below."""

    document: Document
    records: Sequence[Record]
    table: Table

    @property
    def body(self) -> Mapping[str, Any]:
        body: Mapping[str, Any] = self.document["correlation"]
        return body

    def matches(self, *slots: int) -> Iterator[tuple[Group, Record]]:
        """The records that the rules of these places (none: any) match, with their group."""
        names = self.body["rules"]
        for slot in slots or range(len(names)):
            matching = self.table.matching(base(names[slot]))
            fields = [self._called(field, names[slot]) for field in self.body.get("group-by", ())]
            for record in self.records:
                if record["log_id"] in matching:
                    group = tuple(_text(record.get(field)) for field in fields)
                    if all(group):
                        yield group, record

    def _called(self, field: str, rule: str) -> str:
        called: str = self.body.get("aliases", {}).get(field, {}).get(rule, field)
        return called


def _text(value: object) -> str:
    return "" if value is None else str(value).casefold()


Instants = set[tuple[Group, int]]
Ours = Callable[[set[Row], Case], Instants]


def ends(rows: set[Row], case: Case) -> Instants:
    """The backend's rows as they are."""
    return {(row.group, row.end_ms) for row in rows}


def ends_with_value(rows: set[Row], case: Case) -> Instants:
    """Without the windows at whose end no event has the value."""
    field = case.body["condition"]["field"]
    has = {(group, record["at_ms"]) for group, record in case.matches() if _text(record.get(field))}
    return ends(rows, case) & has


def ends_with_number(rows: set[Row], case: Case) -> Instants:
    """Without the windows at whose end no event has a number."""
    field = case.body["condition"]["field"]
    return ends(rows, case) & {
        (group, record["at_ms"]) for group, record in case.matches() if _is_number(record.get(field))
    }


def _is_number(value: object) -> bool:
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


class Kind(NamedTuple):
    """How correlations of a type are made, and which of the backend's rows are ours.

    `chains`: the rules are correlations themselves, made by other kinds.
    """

    make: Callable[[random.Random], Document]
    ours: Ours = ends
    chains: tuple[str, ...] = ()


def _counts(rng: random.Random, most: int) -> Document:
    return {rng.choice(["gte", "gt"]): rng.randint(1, most)}


def _over(rng: random.Random, type_: str, condition: object, rules: Sequence[str] = ()) -> Document:
    names = list(rules) or rng.sample(BASES, rng.randint(1, 3))
    group_by = rng.choice([[], ["ip"], ["ip"], ["user_name"], ["ip", "user_name"]])
    body: Document = {
        "type": type_,
        "rules": names,
        "group-by": group_by,
        "timespan": f"{rng.choice([1, 5, 10, 30])}s",
    }
    if rng.random() < 0.2 and len(names) > 1:
        body["group-by"] = ["who"]
        body["aliases"] = {"who": {name: rng.choice(["ip", "user_name"]) for name in names}}
    return body | ({"condition": condition} if condition is not None else {})


def _event_count(rng: random.Random) -> Document:
    return _over(rng, "event_count", _counts(rng, 6))


def _value_count(rng: random.Random) -> Document:
    field = rng.choice(["user_name", "ip", "type", "amount"])
    return _over(rng, "value_count", {**_counts(rng, 4), "field": field})


def _numeric(type_: str, thresholds: Sequence[float]) -> Callable[[random.Random], Document]:
    def make(rng: random.Random) -> Document:
        condition = {rng.choice(["gte", "gt"]): rng.choice(thresholds), "field": "amount"}
        if type_ == "value_percentile":
            condition["percentile"] = rng.choice([0, 10, 25, 50, 75, 90, 99, 100])
        return _over(rng, type_, condition)

    return make


def _temporal(rng: random.Random) -> Document:
    names = rng.sample(BASES, rng.randint(2, 3))
    condition = None if rng.random() < 0.5 else {"gte": rng.randint(1, len(names))}
    return _over(rng, "temporal", condition, names)


def _temporal_text(*shapes: str) -> Callable[[random.Random], Document]:
    def make(rng: random.Random) -> Document:
        shape = rng.choice(shapes)
        names = rng.sample(BASES, 3 if "{2}" in shape else 2)
        return _over(rng, "temporal", shape.format(*names), names)

    return make


def _ordered(rng: random.Random) -> Document:
    return _over(rng, "temporal_ordered", None, rng.sample(BASES, rng.randint(2, 3)))


KINDS: dict[str, Kind] = {
    "event_count": Kind(_event_count),
    "value_count": Kind(_value_count, ends_with_value),
    "value_sum": Kind(_numeric("value_sum", [1, 4, 8, 20]), ends_with_number),
    "value_avg": Kind(_numeric("value_avg", [1, 2.5, 3.5]), ends_with_number),
    "value_median": Kind(_numeric("value_median", [1, 2, 2.5, 3.5]), ends_with_number),
    "value_percentile": Kind(_numeric("value_percentile", [1, 2, 2.5, 6]), ends_with_number),
    "temporal": Kind(_temporal),
    "temporal, text": Kind(
        _temporal_text("{0} and {1}", "{0} or {1}", "{0} and ({1} or {2})", "{0} or {1} and {2}")
    ),
    "temporal, not": Kind(
        _temporal_text(
            "{0} and not {1}",
            "not {1} and {0}",
            "{0} and {1} and not {2}",
            "({0} or {1}) and not {2}",
            "{0} and not ({1} or {2})",
        ),
        ends_of_opened,
    ),
    "temporal_ordered": Kind(_ordered, ends_with_last_step),
}
RUNNING = [name for name in KINDS if name.split(",")[0] in CORRELATIONS]


def correlation(rng: random.Random, kind: str, title: str) -> Document:
    return {"title": title, "name": title, "level": "low", "correlation": KINDS[kind].make(rng)}


def arriving(rng: random.Random, records: Sequence[Record]) -> list[list[Record]]:
    """The stream as it comes: up to a minute late, a third of it twice, in batches of any size."""
    coming = [(record["at_ms"] + rng.randrange(59_000), rng.random(), record) for record in records]
    coming += [
        (at + rng.randrange(900), rng.random(), one) for at, _, one in rng.sample(coming, len(coming) // 3)
    ]
    left = [record for *_, record in sorted(coming, key=lambda row: row[:2])]
    batches: list[list[Record]] = []
    while left:
        size = rng.randint(1, 12)
        batches.append(left[:size])
        left = left[size:]
    return batches


def compare(folder: Path, seed: int, kinds: Sequence[str]) -> int:
    """One stream, one correlation of each kind; how often they were true. Fails where the two differ."""
    rng = random.Random(seed)
    records = stream(rng)
    documents = [correlation(rng, kind, f"{kind} {place}") for place, kind in enumerate(kinds)]
    rules = load(folder, [*map(base, BASES), *documents])
    assert isinstance(rules, RuleSet), f"seed {seed}: {rules}"
    said = run(rules, arriving(rng, records), until_ms=END_MS).instants
    times = 0
    with Table(records, empty_is_null=True) as table:
        table.need(["type", "ip", "user_name", "amount"])
        for kind, document in zip(kinds, documents, strict=True):
            rows = table.true([*map(base, BASES), document], document["title"], until_ms=END_MS)
            expected = KINDS[kind].ours(rows, Case(document, records, table))
            ours = {(found.group, found.at_ms) for found in said if found.rule == document["name"]}
            assert ours == expected, (
                f"seed {seed}: {document['correlation']}\n"
                f"only here: {sorted(ours - expected)[:5]}\nonly there: {sorted(expected - ours)[:5]}"
            )
            times += len(expected)
    return times


@pytest.mark.parametrize("kind", RUNNING)
def test_a_correlation_is_true_when_the_backend_says_so(tmp_path: Path, kind: str) -> None:
    times = [compare(tmp_path, seed, [kind] * 4) for seed in range(SEEDS)]

    assert sum(map(bool, times)) > SEEDS * 0.7  # most streams make some of them true


# By definition: the same moments again, from each group's matches alone, so that what is taken out of the
# backend's rows above is no more than its name says.


def defined(case: Case) -> Instants:
    """The moments by the specification's words, of whatever type."""
    matches: dict[Group, list[tuple[int, int, Record]]] = defaultdict(list)  # (time, slot, record)
    for slot in range(len(case.body["rules"])):
        for group, record in case.matches(slot):
            matches[group].append((record["at_ms"], slot, record))
    span_ms = int(case.body["timespan"].rstrip("s")) * 1_000
    return {
        (group, at_ms) for group, found in matches.items() for at_ms in _moments(case.body, found, span_ms)
    }


def _moments(body: Mapping[str, Any], found: list[tuple[int, int, Record]], span_ms: int) -> Iterator[int]:
    condition = body.get("condition")
    if body["type"].startswith("value_"):
        read = _counted if body["type"] == "value_count" else _number
        found = [match for match in found if read(match[2].get(body["condition"]["field"])) is not None]
    times = sorted({at for at, *_ in found})
    if isinstance(condition, str) and "not" in condition:
        after = -1
        for at in times:
            if at > after:
                after = at + span_ms
                if _holds(body, [match for match in found if at <= match[0] <= after], after):
                    yield after
        return
    for at in times:
        if _holds(body, [match for match in found if at - span_ms <= match[0] <= at], at):
            yield at


def _counted(value: object) -> str | None:
    return _text(value) or None


def _number(value: object) -> float | None:
    if not _is_number(value):
        return None
    return float(json.loads(value) if isinstance(value, str) else value)


def _holds(body: Mapping[str, Any], window: list[tuple[int, int, Record]], at: int) -> bool:
    condition = body.get("condition") or {"gte": len(body["rules"])}
    slots = {slot for _, slot, _ in window}
    if isinstance(condition, str):
        truth = {name: slot in slots for slot, name in enumerate(body["rules"])}
        return bool(eval(condition, {}, truth))
    if body["type"] == "temporal_ordered":
        return _in_order(window, len(body["rules"]), at)
    score = _score(body, window, slots)
    return score >= condition["gte"] if "gte" in condition else score > condition["gt"]


def _score(body: Mapping[str, Any], window: list[tuple[int, int, Record]], slots: set[int]) -> float:
    if body["type"] == "temporal":
        return len(slots)
    unique = {record["log_id"]: record for *_, record in window}
    if body["type"] == "event_count":
        return len(unique)
    values = [record.get(body["condition"]["field"]) for record in unique.values()]
    if body["type"] == "value_count":
        return len({_text(value) for value in values})
    numbers = sorted(number for value in values if (number := _number(value)) is not None)
    match body["type"]:
        case "value_sum":
            return sum(numbers)
        case "value_avg":
            return sum(numbers) / len(numbers)
    place = (len(numbers) - 1) * body["condition"].get("percentile", 50) / 100
    low = int(place)
    high = min(low + 1, len(numbers) - 1)
    return numbers[low] + (numbers[high] - numbers[low]) * (place - low)


def _in_order(window: list[tuple[int, int, Record]], steps: int, at: int) -> bool:
    before = -(1 << 60)
    for step in range(steps):
        later = [time for time, slot, _ in window if slot == step and time > before]
        if not later:
            return False
        before = min(later)
    return any(time == at and slot == steps - 1 for time, slot, _ in window)


@pytest.mark.parametrize("kind", [name for name in KINDS if not KINDS[name].chains])
def test_the_backend_says_what_the_definition_says(kind: str) -> None:
    for seed in range(40):
        rng = random.Random(seed)
        records = stream(rng)
        with Table(records, empty_is_null=True) as table:
            table.need(["type", "ip", "user_name", "amount"])
            for _ in range(3):
                document = correlation(rng, kind, "one")
                rows = table.true([*map(base, BASES), document], "one", until_ms=END_MS)
                case = Case(document, records, table)
                assert KINDS[kind].ours(rows, case) == defined(case), f"seed {seed}: {document}"
