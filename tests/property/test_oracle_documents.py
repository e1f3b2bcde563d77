"""Correlation documents as pySigma takes them: types, rules, group-by, timespans, conditions, aliases.

Random documents, good and bad: ours and pySigma's (with its SQLite backend, which finds what the parser
leaves) must agree on which are valid. What they mean is `test_oracle_correlations`' to compare.
"""

from __future__ import annotations

import copy
import random  # noqa: TID251 - seeded
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule

from tocsin.rules.correlations import CORRELATIONS

from .oracle_ours import Document, Refused, load, seeds

STRICTER = {
    "temporal_ordered is true once": "lt, lte, eq and neq of an order make no sense; a count of rules does",
    'it cannot say "not"': "an order says what follows what",
    "no window can meet": "a count that the rules cannot come to is a mistake",
    "no count can meet": "so is a bound that nothing, or only nothing, is within",
    "which is not in rules": "an alias of a rule that is not asked is a mistake",
    "add one": "an alias that forgets a rule reads a field of the alias's own name there; a mistake",
    "months and years": "they have no fixed length",
    "unknown key": "within a correlation every key is known, so that a misspelt one is found",
    "unknown correlation type": "types are written small",
    "must be a number": "pySigma counts to true, and takes quoted numbers",
    "must be from": "no count is negative",
    "rules is empty": "a correlation of nothing is never true",
}
"""What pySigma takes and we do not, by a part of our message."""

LOOSER = {
    "exactly one condition item": "ranges: rule-language.md 2",
    "field list": "several fields are counted as a tuple",
    "not referenced in extended": "a rule that the condition never names is a warning",
    "group-by definition must be": "a name is a name, be it 5",
    "Timespan": "a duration may have several parts, as elsewhere in a rule file",
    "Failed to parse extended": "`1 of login*` is understood of rules, as of selections",
}
"""What we take and pySigma does not, by a part of its message."""

TYPES = [name for name, kind in CORRELATIONS.items() if kind.sigma]
RULES: Sequence[Any] = [["a"], ["a", "b"], ["a", "b", "c"], ["a", "b", "c"], "a", ["a", "zz"], [], ["a", "a"]]
TIMESPANS: Sequence[Any] = [
    "5s",
    "10m",
    "1h",
    "2d",
    "1w",
    "1M",
    "1y",
    "0s",
    "5",
    "1h30m",
    "-5s",
    "5S",
    5,
    "1.5h",
]
NUMBERS: Sequence[Any] = [1, 2, 3, 1, 2, 3, 0, 2.5, "3", "x", True, -1, 1e3, [1]]
TEXTS = ["{0} and {1}", "{0} or {1}", "{0} and not {1}", "not {0}", "({0} or {1}) and not {2}", "{0}"]
TEXTS += [
    "{0} and {1} and {2}",
    "not ({0} and {1})",
    "{0} {1}",
    "{0} and",
    "({0} or {1}",
    "zz and {0}",
    "1 of {0}",
]
ALIASES: Sequence[Any] = [
    {"who": {"a": "ip", "b": "user", "c": "ip"}},
    {"who": {"a": "ip"}},
    {"who": "ip"},
    "x",
    {},
]


def _mostly(rng: random.Random, usual: Any, odd: Sequence[Any], share: float = 0.15) -> Any:
    return copy.deepcopy(rng.choice(odd) if rng.random() < share else usual)


def correlation(rng: random.Random) -> Document:
    """A correlation, with a mistake or two in about half."""
    type_ = _mostly(rng, rng.choice(TYPES), ["Event_Count", "near"], 0.03)
    rules = _mostly(rng, rng.choice([["a", "b"], ["a", "b", "c"]]), RULES)
    body: Document = {"type": type_, "rules": rules, "timespan": _mostly(rng, "5m", TIMESPANS)}
    if rng.random() < 0.8:
        body["group-by"] = _mostly(rng, ["ip"], ["ip", ["ip", "user"], [], 5, {"a": 1}], 0.3)
    condition = _condition(rng, type_, rules)
    if condition is not None:
        body["condition"] = condition
    if rng.random() < 0.1:
        body["generate"] = rng.choice([True, False, "yes"])
    if rng.random() < 0.1:
        body["aliases"] = copy.deepcopy(rng.choice(ALIASES))
    if rng.random() < 0.02:
        body["bogus"] = 1
    return body


def _condition(rng: random.Random, type_: str, rules: Any) -> Any:
    if rng.random() < (0.4 if type_.startswith("temporal") else 0.05):
        return None
    if rng.random() < (0.5 if type_.startswith("temporal") else 0.05):
        names = [*(rules if isinstance(rules, list) else [rules]), "b", "c", "a"]
        return rng.choice(TEXTS).format(*names)
    count = 1 if rng.random() < 0.93 else rng.choice([0, 2])
    operators = rng.sample(["gte", "gt", "lt", "lte", "eq", "neq"], count)
    condition = {operator: _mostly(rng, rng.randint(1, 3), NUMBERS) for operator in operators}
    if type_.startswith("value"):
        condition["field"] = _mostly(rng, "user", [["user"], ["user", "ip"]], 0.1)
    if type_ == "value_percentile":
        condition["percentile"] = _mostly(rng, 95, [0, 50, 100, 101, -1, "x"])
    if rng.random() < 0.03:
        condition["bogus"] = 1
    return {key: one for key, one in condition.items() if rng.random() > 0.01}


def base(name: str) -> Document:
    return {
        "title": name,
        "name": name,
        "logsource": {"product": "auth0"},
        "detection": {"seen": {"type": "fp"}, "condition": "seen"},
    }


def theirs(documents: Sequence[Document]) -> str:
    """Why pySigma, or its backend, refuses these; empty when they do not."""
    try:
        rules = [
            (SigmaCorrelationRule if "correlation" in one else SigmaRule).from_dict(copy.deepcopy(one))
            for one in documents
        ]
        sqliteBackend().convert(SigmaCollection(rules))
    except SigmaError as refusal:
        return str(refusal)
    except (AttributeError, KeyError, TypeError, ValueError) as crash:
        return f"crash: {crash!r}"
    return ""


def check(folder: Path, seeds: range) -> tuple[int, set[str]]:
    """How many both take, and the known differences met; fails on any other."""
    valid, met = 0, set()
    for seed in seeds:
        body = correlation(random.Random(seed))
        documents = [*map(base, "abc"), {"title": "t", "correlation": body}]
        ours, refusal = load(folder, documents), theirs(documents)
        mistake = ours.reason if isinstance(ours, Refused) else ""
        if bool(mistake) == bool(refusal):
            valid += not mistake
            continue
        known = [name for name in (STRICTER if mistake else LOOSER) if name in (mistake or refusal)]
        assert known, f"seed {seed}: {body}: {'here' if mistake else 'there'} alone: {mistake or refusal}"
        met.update(known)
    return valid, met


def test_correlations_are_valid_where_they_are_to_pysigma(tmp_path: Path) -> None:
    valid, met = check(tmp_path, seeds(1_500))

    assert valid > 500
    assert len(met) > 12  # most of what is known to differ


def test_a_planted_mistake_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = replace(CORRELATIONS["event_count"], read=CORRELATIONS["value_count"].read)
    monkeypatch.setitem(CORRELATIONS, "event_count", planted)

    with pytest.raises(AssertionError, match="seed"):
        check(tmp_path, range(500))
