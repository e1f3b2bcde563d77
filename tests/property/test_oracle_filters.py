"""Filters as pySigma applies them: to which rules, and what is left of these."""

from __future__ import annotations

import copy
import itertools
import random  # noqa: TID251 - seeded
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sigma.collection import SigmaCollection
from sigma.filters import SigmaFilter
from sigma.rule import SigmaRule

from tocsin.model.compiled import RuleSet
from tocsin.rules.detection import detections
from tocsin.rules.detection.tree import any_of

from .oracle_ours import Document, answers, load, seeds
from .oracle_sigma import Parsed

SOURCES: Sequence[Document] = [
    {"product": "auth0"},
    {"product": "auth0"},
    {"product": "windows"},
    {"product": "auth0", "service": "logs"},
    {"product": "auth0", "category": "authentication"},
]
CONDITIONS: Sequence[Any] = ["sel", "sel or other", "not other", ["sel", "other"], "1 of them", "all of them"]
FILTERING = ["not sel", "not 1 of sel*", "not (sel and sel2)", "not 1 of them", "not all of them"]
FILTERING += ["not sel or sel2", "not sel and not sel2", "not not sel"]
RECORDS = [{"type": "x", "f": f, "g": g} for f, g in itertools.product("xyz", repeat=2)]


def rules(rng: random.Random) -> list[Document]:
    return [
        {
            "title": name,
            "name": name,
            "logsource": rng.choice(SOURCES),
            "detection": {"sel": {"f": "x"}, "other": {"g": "y"}, "condition": rng.choice(CONDITIONS)},
        }
        for name in ("a", "b")
    ]


def filters(rng: random.Random) -> Iterator[Document]:
    for number in range(rng.randint(1, 2)):
        yield {
            "title": f"filter {number}",
            "logsource": rng.choice(SOURCES),
            "filter": {
                "rules": rng.choice(["any", "Any", [], ["a"], "b", ["a", "b"]]),
                "sel": {"g": "x"},
                "sel2": {"f": "y"},
                "condition": rng.choice(FILTERING),
            },
        }


def check(folder: Path, seeds: range) -> int:
    """How many rules were compared; fails where one matches otherwise."""
    compared = 0
    for seed in seeds:
        rng = random.Random(seed)
        some = rules(rng)
        narrowing = [*filters(rng)]
        ours = load(folder, [*some, *narrowing])
        assert isinstance(ours, RuleSet), f"seed {seed}: {ours}"
        theirs = SigmaCollection(
            [SigmaRule.from_dict(copy.deepcopy(one)) for one in some]
            + [SigmaFilter.from_dict(copy.deepcopy(one)) for one in narrowing]
        )
        parsed = {
            rule.name: Parsed(tuple(condition.parsed for condition in rule.detection.parsed_condition))
            for rule in theirs.rules
        }
        for rule in ours.rules:
            said = answers(RuleSet((rule,), ours.fields), RECORDS)
            wanted = [parsed[rule.rule.name].holds(record) for record in RECORDS]
            assert said == wanted, f"seed {seed}: {rule.rule.name} of {some}, {narrowing}"
            compared += 1
    return compared


def test_a_filtered_rule_matches_what_pysigma_leaves_of_it(tmp_path: Path) -> None:
    assert check(tmp_path, seeds(150)) >= 300


def test_a_planted_mistake_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detections, "all_of", any_of)

    with pytest.raises(AssertionError, match="seed"):
        check(tmp_path, range(50))
