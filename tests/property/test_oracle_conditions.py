"""Conditions as pySigma reads them: a second opinion on every precedence, bracket, name and mistake.

Conditions are put together from the grammar, and more of them from loose words; ours and pySigma's
must agree on which are valid, and on the truth of these under every assignment. Where they differ on
purpose stands in `DIFFERENCES`; anything else fails.
"""

from __future__ import annotations

import itertools
import random  # noqa: TID251 - seeded
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tocsin.rules.detection import condition as condition_module
from tocsin.rules.detection.tree import Tree, all_of, any_of

from .oracle_ours import Document, Refused, answers, load, seeds
from .oracle_sigma import Refusal, parsed

NAMES = ("a", "sel_1", "sel_2", "other", "_hid")
ODD_NAMES = ("notsel", "and-so", "all", "1", "of", "sel.1")  # defined too, now and then
PATTERNS = ("them", "sel_*", "*", "_*", "*e*", "s*_1")
WORDS = (*NAMES, *ODD_NAMES, *PATTERNS, "and", "or", "not", "(", ")", "1 of", "all of", "any of", "2 of")
WORDS += (
    "AND",
    "Not",
    "ALL of",
    "Them",
    "|",
    "count()",
    "b",
    "1of",
    "none*",
    "sel_?",
    "and-*",
    "s-*",
    "them)",
)


class Difference(NamedTuple):
    """Where ours takes a condition that pySigma does not, or the other way round, on purpose."""

    reason: str
    applies: Callable[[str, str], bool]  # to the condition, and to why it was refused


DIFFERENCES = {
    "operators in capitals": Difference(
        "rules from elsewhere write AND, and mean it; pySigma takes it for a name",
        lambda condition, _: bool(set(condition.split()) & {"AND", "Not", "ALL", "Them"}),
    ),
    "any word is a name": Difference(
        'pySigma knows letters, digits, "_" and "-" in a name, and no "-" in a pattern',
        lambda condition, _: re.search(r"sel\.1|\bof\s+\S*-", condition) is not None,
    ),
}


def term(rng: random.Random, depth: int, names: Sequence[str] = NAMES) -> str:
    """A condition by the grammar; brackets, and space about them, wherever they may stand."""
    kind = rng.random()
    if depth == 0 or kind < 0.3:
        if rng.random() < 0.3:
            return f"{rng.choice(['1', 'any', 'all'])} of {rng.choice(PATTERNS)}"
        return rng.choice(names)
    if kind < 0.5:
        return f"not {term(rng, depth - 1, names)}"
    if kind < 0.65:
        space = rng.choice(["", " "])
        return f"({space}{term(rng, depth - 1, names)}{space})"
    joiner = rng.choice(["and", "or", "and", "or", "\n  and", " \t or "])
    return f" {joiner} ".join(term(rng, depth - 1, names) for _ in range(rng.randint(2, 3)))


def loose(rng: random.Random, names: Sequence[str] = NAMES) -> str:
    """Words in any order, or a good condition with one word too many, too few or another."""
    if rng.random() < 0.3:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(0, 6)))
    words = term(rng, 3, names).replace("(", " ( ").replace(")", " ) ").split()
    at = rng.randrange(len(words))
    words[at : at + rng.randint(0, 1)] = rng.choice([[], [rng.choice(WORDS)], [rng.choice(WORDS)]])
    return " ".join(words)


def document(condition: str | list[str], names: Sequence[str] = NAMES) -> Document:
    """A rule whose selection number n is true where the field fn is x."""
    selections = {name: {f"f{place}": "x"} for place, name in enumerate(names)}
    return {"title": "t", "logsource": {"product": "p"}, "detection": {**selections, "condition": condition}}


def assignments(names: Sequence[str]) -> list[dict[str, str]]:
    """A record for every way the selections can be true or not."""
    return [
        {f"f{place}": "x" if true else "y" for place, true in enumerate(truth)}
        for truth in itertools.product([False, True], repeat=len(names))
    ]


def disagreement(folder: Path, condition: str | list[str], names: Sequence[str] = NAMES) -> str:
    """What ours and pySigma do not agree on; empty when they do. Known differences by their name."""
    wanted = document(condition, names)
    ours, theirs = load(folder, [wanted]), parsed(wanted)
    if isinstance(ours, Refused) != isinstance(theirs, Refusal):
        refusal = ours if isinstance(ours, Refused) else theirs
        assert isinstance(refusal, Refused | Refusal)
        one = " ".join(condition) if isinstance(condition, list) else condition
        known = [name for name, known in DIFFERENCES.items() if known.applies(one, refusal.reason)]
        return known[0] if known else f"only {type(refusal).__name__}: {refusal.reason}"
    if isinstance(ours, Refused) or isinstance(theirs, Refusal):
        return ""
    records = assignments(names)
    differ = [
        (record, answer)
        for record, answer in zip(records, answers(ours, records), strict=True)
        if answer is not theirs.holds(record)
    ]
    return f"{differ[0]} here, not there" if differ else ""


def check(folder: Path, conditions: Mapping[int, str | list[str]], names: Sequence[str] = NAMES) -> set[str]:
    """The known differences that were met; fails on any other, with its seed."""
    met: set[str] = set()
    for seed, condition in conditions.items():
        found = disagreement(folder, condition, names)
        assert not found or found in DIFFERENCES, f"seed {seed}: {condition!r} of {names}: {found}"
        met.add(found)
    return met - {""}


def test_conditions_mean_what_they_mean_to_pysigma(tmp_path: Path) -> None:
    conditions = {seed: term(random.Random(seed), 3) for seed in seeds(800)}

    assert check(tmp_path, conditions) == set()


def test_loose_words_are_valid_where_they_are_to_pysigma(tmp_path: Path) -> None:
    conditions = {seed: loose(random.Random(seed)) for seed in seeds(1_000)}

    assert check(tmp_path, conditions) == {"operators in capitals"}


def test_selections_of_odd_names_mean_what_they_mean_to_pysigma(tmp_path: Path) -> None:
    names = ("a", "sel_1", *ODD_NAMES)
    conditions = {seed: loose(random.Random(seed), names) for seed in seeds(700)}

    assert check(tmp_path, conditions, names) == set(DIFFERENCES)


def test_a_list_of_conditions_means_what_it_means_to_pysigma(tmp_path: Path) -> None:
    conditions: dict[int, str | list[str]] = {
        seed: [term(rng, 2) for _ in range(rng.randint(1, 3))]
        for seed in seeds(300)
        for rng in [random.Random(seed)]
    }

    assert check(tmp_path, conditions) == set()


def _or_first(parser: condition_module._Parser) -> Tree:
    """`or` binds tighter than `and`."""
    parts = [_ands(parser)]
    while parser._takes("and"):
        parts.append(_ands(parser))
    return all_of(parts)


def _ands(parser: condition_module._Parser) -> Tree:
    parts = [parser._not()]
    while parser._takes("or"):
        parts.append(parser._not())
    return any_of(parts)


PLANTED: dict[str, tuple[str, object]] = {
    "or before and": ("_or", _or_first),
    "them holds what begins with _": ("_matching", lambda parser, pattern: list(parser._known)),
    "not is nothing": ("_not", lambda parser: (parser._takes("not"), parser._term())[1]),
    "all of is 1 of": ("_quantified", None),
}


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_planted_mistake_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    name, planted = PLANTED[mistake]
    if planted is None:
        monkeypatch.setattr(condition_module, "_ALL", ())
        monkeypatch.setattr(condition_module, "_ANY", ("1", "any", "all"))
    else:
        monkeypatch.setattr(condition_module._Parser, name, planted)

    with pytest.raises(AssertionError):
        check(tmp_path, {seed: term(random.Random(seed), 3) for seed in range(200)})
