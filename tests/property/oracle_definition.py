"""Correlations by definition: the moments at which each is true, from its matches alone, window by window."""

from __future__ import annotations

import json
import operator
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from .oracle_correlations import Case, Instants, is_number, text_of
from .oracle_ours import Group, Record

OPERATORS = {
    "gte": operator.ge,
    "gt": operator.gt,
    "lte": operator.le,
    "lt": operator.lt,
    "eq": operator.eq,
    "neq": operator.ne,
}
Match = tuple[int, int, Record]  # time, place of the rule, record


def defined(case: Case) -> Instants:
    """The moments by the specification's words, of whatever type."""
    matches: dict[Group, list[Match]] = defaultdict(list)  # (time, slot, record)
    for slot in range(len(case.body["rules"])):
        for group, record in case.matches(slot):
            matches[group].append((record["at_ms"], slot, record))
    span_ms = int(case.body["timespan"].rstrip("s")) * 1_000
    return {
        (group, at_ms) for group, found in matches.items() for at_ms in _moments(case.body, found, span_ms)
    }


def _moments(body: Mapping[str, Any], found: list[Match], span_ms: int) -> Iterator[int]:
    condition = body.get("condition")
    if body["type"].startswith("value_"):
        read = _counted if body["type"] == "value_count" else _number
        found = [match for match in found if read(match[2]["value"]) is not None]
    times = sorted({at for at, *_ in found})
    if _closes(condition):
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


def _closes(condition: object) -> bool:
    """Whether a window is judged once, at its end: more that is seen could make the condition false."""
    if isinstance(condition, str):
        return "not" in condition
    return isinstance(condition, dict) and bool(condition.keys() & {"lt", "lte", "eq", "neq"})


def _counted(value: object) -> str | None:
    return text_of(value) or None


def _number(value: object) -> float | None:
    if not is_number(value):
        return None
    return float(json.loads(value) if isinstance(value, str) else value)


def _holds(body: Mapping[str, Any], window: list[Match], at: int) -> bool:
    condition = body.get("condition") or {"gte": len(body["rules"])}
    slots = {slot for _, slot, _ in window}
    if isinstance(condition, str) and body["type"] == "temporal_ordered":
        places = {name: place for place, name in enumerate(body["rules"])}
        ways = [sorted(places[name] for name in way.split(" and ")) for way in condition.split(" or ")]
        return any(_in_order(window, way, at) for way in ways)
    if isinstance(condition, str):
        truth = {name: slot in slots for slot, name in enumerate(body["rules"])}
        return bool(eval(condition, {}, truth))
    if body["type"] == "temporal_ordered":
        count = condition["gte"] if "gte" in condition else condition["gt"] + 1
        return any(_in_order(window, steps, at) for steps in combinations(range(len(body["rules"])), count))
    score = _score(body, window, slots)
    return all(compare(score, condition[name]) for name, compare in OPERATORS.items() if name in condition)


def _score(body: Mapping[str, Any], window: list[Match], slots: set[int]) -> float:
    if body["type"] == "temporal":
        return len(slots)
    # An event counts once, whoever matched it; twice, where aliases find two values in it.
    unique = {(record["log_id"], text_of(record.get("value"))): record for *_, record in window}
    if body["type"] == "event_count":
        return len({log_id for log_id, _ in unique})
    values = [record["value"] for record in unique.values()]
    if body["type"] == "value_count":
        return len({text_of(value) for value in values})
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


def _in_order(window: list[Match], steps: Sequence[int], at: int) -> bool:
    before = -(1 << 60)
    for step in steps:
        later = [time for time, slot, _ in window if slot == step and time > before]
        if not later:
            return False
        before = min(later)
    return any(time == at and slot == steps[-1] for time, slot, _ in window)
