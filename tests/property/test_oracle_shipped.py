"""Every shipped rule, and the published ones under tests/data/okta, as pySigma reads them.

They are valid Sigma to it and its backend; and each detection is true of the same records, made of
what the rule asks for: the right value, nearly the right one, another, none.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.conditions import ConditionFieldEqualsValueExpression
from sigma.policy.profiles import TrustedPolicy
from sigma.rule import SigmaRule
from sigma.types import SigmaBool, SigmaExists, SigmaExpansion, SigmaNumber, SigmaString, SpecialChars

from tocsin.rules.detection import condition as ours
from tocsin.rules.load import load

from .oracle_ours import matched, seeds
from .oracle_sigma import Parsed

ROOT = Path(__file__).parents[2]
REFUSED_BY_BOTH = ROOT / "tests/data/okta/client_with_overpermissive_granted_scopes.yml"  # a map for a text
FILES = sorted(
    {*(ROOT / "rules").rglob("*.yml"), *(ROOT / "tests/data/okta").glob("*.yml")} - {REFUSED_BY_BOTH}
)
NAMES = [file.relative_to(ROOT).as_posix() for file in FILES]
OTHERS = ["other", "", None, "missing", 7, True, ["other", None]]


def _collection(file: Path) -> SigmaCollection:
    return SigmaCollection.from_yaml(file.read_text(), policy=TrustedPolicy)


def _asked(tree: Any) -> Iterator[tuple[str, Any]]:
    """The fields of a condition, and what it looks for in them."""
    if not isinstance(tree, ConditionFieldEqualsValueExpression):
        for arg in getattr(tree, "args", ()):
            yield from _asked(arg)
        return
    for value in tree.value.values if isinstance(tree.value, SigmaExpansion) else [tree.value]:
        yield tree.field, value


def _samples(value: Any, rng: random.Random) -> list[Any]:
    """The value, and some near it."""
    if isinstance(value, SigmaNumber):
        return [value.number, str(value.number), value.number + 1]
    if isinstance(value, SigmaBool | SigmaExists):
        return [True, False, "true", "false"]
    if not isinstance(value, SigmaString):
        return []
    wild = {SpecialChars.WILDCARD_MULTI: rng.choice(["", "xy"]), SpecialChars.WILDCARD_SINGLE: "z"}
    text = "".join(part if isinstance(part, str) else wild[part] for part in value.s)
    return [text, text.upper(), f"{text}x", f"x{text}", text[1:], [text, "other"], ["other", text.upper()]]


def _records(rules: Sequence[SigmaRule], rng: random.Random) -> Iterator[dict[str, Any]]:
    choices: dict[str, list[Any]] = {}
    for rule in rules:
        for condition in rule.detection.parsed_condition:
            for field, value in _asked(condition.parsed):
                choices.setdefault(_plain(field), []).extend(_samples(value, rng))
    for number in seeds(60):
        record: dict[str, Any] = {}
        noise = number % 3 / 10
        for path, some in choices.items():
            value = rng.choice(
                OTHERS if rng.random() < noise or not some else some[:: 7 if number % 3 == 0 else 1]
            )
            if path in ("type", "eventKey") and not isinstance(value, str):  # the decoder lets none pass
                continue
            if value != "missing":
                _put(record, path.split("."), value)
        yield record


def _plain(field: str) -> str:
    return field.replace("{}", "").removeprefix("data.")


def _put(record: dict[str, Any], path: Sequence[str], value: object) -> None:
    for step in path[:-1]:
        within = record.setdefault(step, {})
        if not isinstance(within, dict):
            return
        record = within
    record.setdefault(path[-1], value)


class _Paths(Mapping[str, Any]):
    """A record whose keys are paths as rules write them."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._record = record

    def __getitem__(self, field: str) -> Any:
        value: Any = self._record
        for step in _plain(field).split("."):
            if not isinstance(value, Mapping) or step not in value:
                raise KeyError(field)
            value = value[step]
        return None if value is None else self._leaf(value)

    def _leaf(self, value: Any) -> Any:
        return [] if isinstance(value, Mapping) else value  # a map is neither null nor text

    def __iter__(self) -> Iterator[str]:
        return iter(self._record)

    def __len__(self) -> int:
        return len(self._record)


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_rule_is_valid_to_pysigma_and_its_backend(file: Path) -> None:
    assert sqliteBackend(fulltext_field="everything").convert(_collection(file))


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_detection_is_true_of_what_it_is_to_pysigma(file: Path) -> None:
    theirs = {rule.name or (rule.id and str(rule.id)) or rule.title: rule for rule in _collection(file).rules}
    for made in load([file], trusted=["*"]).made:
        for base in made.bases:
            rule = theirs.get(base.doc.meta.label)
            if not isinstance(rule, SigmaRule) or base.vocabulary.ecs or base.doc.extension.categories:
                continue
            parsed = Parsed(tuple(condition.parsed for condition in rule.detection.parsed_condition))
            records = [*_records([rule], random.Random(1))]
            for record, answer in zip(records, matched(base.matcher(), made.fields, records), strict=True):
                assert answer is parsed.holds(_Paths(record)), f"{rule.name}: {record}"


def _check_all() -> None:
    for file in FILES:
        test_a_detection_is_true_of_what_it_is_to_pysigma(file)


def test_a_planted_mistake_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "negated", lambda tree: tree)

    with pytest.raises(AssertionError):
        _check_all()
