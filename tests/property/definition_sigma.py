"""Sigma's correlations by definition: what the specification says, and nothing of how it is done.

All events at once; for each group every window is tested. A stream is drawn from a seed, as are the
rules, chains of them included. `told` is what the program says, driven as the detect loop does it.
"""

from __future__ import annotations

import json
import random  # noqa: TID251 - seeded
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from operator import eq, ge, gt, le, lt, ne
from typing import Any, NamedTuple

import msgspec

from tocsin.clock import iso
from tocsin.engine import Engine
from tocsin.model.alert import NEVER_MS
from tocsin.model.compiled import RuleSet
from tocsin.protocols import Windows
from tocsin.sources.decode import Decoder
from tocsin.state.evidence import MemoryEvidence

from .oracle_ours import BASE_MS, Document, Group, Record, group_of

LATENESS_MS = 60_000
END_MS = 2_000_000  # from BASE_MS; by then every window has closed
BASES: dict[str, tuple[str, ...]] = {
    "password": ("fp",),
    "failure": ("fp", "fu"),
    "login": ("s",),
    "limit": ("limit_mu",),
}
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "gte": ge, "gt": gt, "lte": le, "lt": lt, "eq": eq, "neq": ne,
}  # fmt: skip

Times = dict[int, Fraction]  # instants, with their scores
Told = dict[Group, Times]


class Member(NamedTuple):
    """What a correlation counts: an event that a rule matched, or an instant of a correlation."""

    at: int
    key: tuple[object, ...]
    slot: int
    fields: Mapping[str, Any]


def base(name: str) -> Document:
    """A detection that the correlations name."""
    return {
        "title": name,
        "name": name,
        "logsource": {"product": "auth0"},
        "detection": {"s": {"type": [*BASES[name]]}, "condition": "s"},
    }


# The definition.


def text(value: object) -> str:
    """A value as groups and counts compare it."""
    return "" if value is None else str(value).casefold()


def number(value: object) -> Fraction | None:
    """A number, or a text that is one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return Fraction(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def defined(documents: Sequence[Document], records: Sequence[Record]) -> dict[str, Told]:
    """When each correlation is true, for whom, and with what score; children stand before parents."""
    unique = {record["log_id"]: record for record in records}
    found: dict[str, Told] = {}
    for document in documents:
        body = document["correlation"]
        groups: dict[Group, list[Member]] = defaultdict(list)
        for group, member in _members(documents, body, list(unique.values()), found):
            groups[group].append(member)
        found[document["name"]] = {group: dict(_instants(body, some)) for group, some in groups.items()}
    return found


def _members(
    documents: Sequence[Document], body: Document, records: Sequence[Record], found: Mapping[str, Told]
) -> Iterator[tuple[Group, Member]]:
    named = {document["name"]: document["correlation"] for document in documents}
    for slot, name in enumerate(body["rules"]):
        fields = [
            body.get("aliases", {}).get(field, {}).get(name, field) for field in body.get("group-by", ())
        ]
        if name in BASES:
            seen = [
                Member(record["at_ms"], ("event", record["log_id"]), slot, record)
                for record in records
                if record["type"] in BASES[name]
            ]
        else:
            child_fields = named[name].get("group-by", ())
            seen = [
                Member(at, (name, group, at), slot, dict(zip(child_fields, group, strict=True)))
                for group, times in found[name].items()
                for at in times
            ]
        for member in seen:
            group = tuple(text(member.fields.get(field)) for field in fields)
            if all(group):
                yield group, member


def _instants(body: Document, members: list[Member]) -> Iterator[tuple[int, Fraction]]:
    span = int(body["timespan"].rstrip("s")) * 1_000
    kind, condition = body["type"], body.get("condition")
    if kind.startswith("value_"):
        read = number if kind != "value_count" else lambda value: text(value) or None
        members = [member for member in members if read(member.fields.get(condition["field"])) is not None]
    times = sorted({member.at for member in members})
    closes = (isinstance(condition, str) and "not" in condition.split()) or (
        isinstance(condition, dict) and bool({"lt", "lte", "eq", "neq"} & condition.keys())
    )
    after = -1
    for at in times:
        if closes and at <= after:
            continue
        first, last = (at, at + span) if closes else (at - span, at)
        after = last
        score = _score(body, [member for member in members if first <= member.at <= last], last)
        if score is not None:
            yield last, score


def _score(body: Document, window: list[Member], at: int) -> Fraction | None:
    """The score of a window that ends at `at`; None where it is not true."""
    condition = body.get("condition")
    names = list(dict.fromkeys(body["rules"]))
    seen = {body["rules"][member.slot] for member in window}
    if body["type"] == "temporal_ordered":
        return _ordered(body, window, at)
    if isinstance(condition, str):
        truth = {name: name in seen for name in names}
        return Fraction(len(seen)) if eval(condition, {}, truth) else None
    condition = condition or {"gte": len(names)}
    score = Fraction(len(seen)) if body["type"] == "temporal" else _number_of(body, window)
    bounds = {name: Fraction(str(limit)) for name, limit in condition.items() if name in COMPARE}
    return score if all(COMPARE[name](score, limit) for name, limit in bounds.items()) else None


def _number_of(body: Document, window: list[Member]) -> Fraction:
    kind = body["type"]
    if kind == "event_count":
        return Fraction(len({member.key for member in window}))
    field = body["condition"]["field"]
    if kind == "value_count":
        return Fraction(len({text(member.fields[field]) for member in window}))
    counted = {(member.key, number(member.fields[field])): None for member in window}
    numbers = sorted(value for _, value in counted if value is not None)
    if kind == "value_sum":
        return sum(numbers, Fraction(0))
    if kind == "value_avg":
        return sum(numbers, Fraction(0)) / len(numbers)
    place = (len(numbers) - 1) * Fraction(str(body["condition"].get("percentile", 50))) / 100
    low = int(place)
    high = min(low + 1, len(numbers) - 1)
    return numbers[low] + (numbers[high] - numbers[low]) * (place - low)


def _ordered(body: Document, window: list[Member], at: int) -> Fraction | None:
    """Every choice of rules that makes it true, every chain of events: the longest that ends at `at`."""
    count = len(body["rules"])
    condition = body.get("condition") or {"gte": count}
    best = 0
    for mask in range(1, 1 << count):
        slots = [slot for slot in range(count) if mask >> slot & 1]
        if isinstance(condition, str):
            said = dict.fromkeys(body["rules"], False) | {body["rules"][slot]: True for slot in slots}
            smaller = [said | {name: False} for name, is_in in said.items() if is_in]
            fits = eval(condition, {}, said) and not any(eval(condition, {}, one) for one in smaller)
        else:
            fits = len(slots) == int(condition.get("gte", condition.get("gt", 0) + 1))
        if fits and _follows(window, slots, at):
            best = max(best, len(slots))
    return Fraction(best) if best else None


def _follows(window: list[Member], slots: Sequence[int], at: int) -> bool:
    before = -(1 << 60)
    for slot in slots:
        later = [member.at for member in window if member.slot == slot and member.at > before]
        if slot == slots[-1]:
            return at in later
        if not later:
            return False
        before = min(later)
    return False


# The stream, and the program.


def encoded(record: Record) -> bytes:
    """A record as a line of the log."""
    envelope = {"date": iso(BASE_MS + record["at_ms"]), "tenant_name": "acme"}
    return msgspec.json.encode({**record, **envelope})


def stream(rng: random.Random, *, size: int, over_s: int) -> list[Record]:
    """Records with ties, mixed case, missing fields, numbers as text and none."""
    return [
        {
            "at_ms": rng.randrange(over_s) * 1_000 + rng.choice([0, 0, 0, 1, 999]),
            "log_id": f"id{place}",
            "type": rng.choice(["fp", "fp", "fu", "s", "limit_mu"]),
            "ip": rng.choice(["A", "a", "b", "B", "", None, 7]),
            "user_name": rng.choice(["Ann", "ann", "bob", "cy", "", None]),
            "amount": rng.choice(
                [0, 1, 2, 5, -3, 0.1, 0.2, 1e15, -1e15, 2.5, "4", "-1.5e0", "x", True, None]
            ),
        }
        for place in range(size)
    ]


def arriving(rng: random.Random, records: Sequence[Record]) -> list[list[Record]]:
    """Up to 59 s late, a third of it twice, in batches of any size."""
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


def told(
    rules: RuleSet,
    windows: Windows,
    batches: Sequence[Sequence[Record]],
    rng: random.Random,
    *,
    exact: bool = True,
) -> dict[str, Told]:
    """What the engine says, batch by batch; some batches are done again, by a process that begins anew."""
    decoder, found = Decoder(rules.fields), defaultdict[str, Told](lambda: defaultdict(dict))
    engine = Engine(rules, windows, MemoryEvidence(), exact=exact)
    newest_ms = committed_ms = NEVER_MS
    for batch in [*batches, []]:
        lines = b"\n".join(encoded(record) for record in batch)
        events, bad = decoder.decode_lines(lines, first_line=1, now_ms=None) if batch else ([], [])
        assert not bad, bad
        newest_ms = max([newest_ms, *[event.time_ms for event in events]])
        watermark_ms = newest_ms - LATENESS_MS if batch else BASE_MS + END_MS
        for _ in range(rng.choice([1, 1, 2])):
            triggers = engine.process("acme", events, committed_ms=committed_ms) if events else []
            if rng.random() < 0.2:  # it dies here, and then does all of it again
                triggers = engine.process("acme", events, committed_ms=committed_ms) if events else []
            triggers += engine.due("acme", watermark_ms=watermark_ms, committed_ms=committed_ms)
            for trigger in triggers:
                times = found[trigger.rule.name][group_of(trigger.group)]
                for at_ms, score in trigger.instants:
                    at = at_ms - BASE_MS
                    times[at] = max(times.get(at, Fraction(score)), Fraction(score))
        engine.sweep("acme", committed_ms=watermark_ms)
        committed_ms = watermark_ms
    return found


def agree(said: Mapping[str, Told], wanted: Mapping[str, Told], *, scores: bool = True) -> list[str]:
    """Where the two differ, in words; a score may be rounded once."""
    wrong = []
    for name, groups in wanted.items():
        ours = said.get(name, {})
        for group in {*groups, *ours}:
            mine, theirs = ours.get(group, {}), groups.get(group, {})
            for at in sorted({*mine, *theirs}):
                if at not in mine:
                    wrong.append(f"{name} {group}: not at {at}, where it is {theirs[at]}")
                elif at not in theirs:
                    wrong.append(f"{name} {group}: at {at} with {mine[at]}, where it is not true")
                elif scores and mine[at] != Fraction(float(theirs[at])):
                    wrong.append(f"{name} {group}: {mine[at]} at {at}, where it is {theirs[at]}")
    return wrong
