"""Tests of the normalised view, and what is told of names and words that it never holds."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

from tocsin.catalog import PROVIDERS, codes
from tocsin.catalog.ecs import WORDS, ecs_fields
from tocsin.catalog.provider import ECS
from tocsin.model.event import Event
from tocsin.rules.detection.ecs import UNKNOWN, told_by_code
from tocsin.rules.detection.fields import Field, Vocabulary, reader
from tocsin.rules.detection.leaves import Leaf
from tocsin.rules.detection.modifiers import Chain
from tocsin.rules.detection.scope import Scope
from tocsin.rules.detection.tree import Codes, Test
from tocsin.rules.document import Node, Scalar, scalars
from tocsin.rules.problems import Mark, Problems, nearest

LONGEST_WORD = 100  # characters; comparing is quadratic
A_LETTER_OR_TWO = 0.87  # of difflib's likeness
MOST_HINTS = 20  # a file; looking for the nearest name is slow, and a file may be hostile


def view_test(field: Field, key: str, leaf: Leaf) -> Test:
    """A test of a field of the view; the catalogue may tell which codes pass it."""
    read = reader(field)
    told = told_by_code(field.path, field.view or "", leaf)

    def holds(event: Event) -> bool:
        value = read(event)
        return any(map(leaf, value)) if isinstance(value, list) else leaf(value)

    test = Test(key, holds, field.attributes, deep=field.deep, told=told)
    passing = told.get(field.view or "") if told else None
    if passing is None or UNKNOWN in passing:
        return test
    return replace(test, codes=Codes(passing), decided=True)  # One product, and its codes tell all.


def warn_of_name(written: str, vocabulary: Vocabulary, mark: Mark, problems: Problems) -> None:
    """A field that no event's view holds. An ECS document may hold any, so there only a typo is told."""
    if not vocabulary.ecs:
        return
    name = written.replace("{}", "")
    if name in ecs_fields():
        return
    near = nearest(name, ecs_fields()) if len(problems.warnings) < MOST_HINTS else None
    if near is not None:
        problems.warning(mark, f'"{written}" is no field of the normalised view; did you mean "{near}"?')
    elif vocabulary.product != ECS:
        problems.warning(
            mark,
            f'"{written}" is no field of the normalised view, so only an ECS document could hold it; '
            "without taxonomy: ecs a rule reads the vendor's own fields",
        )


def warn_of_names(written: Sequence[str], vocabulary: Vocabulary, within: Node, problems: Problems) -> None:
    """The same for fields to group by, to count or to show, which stand somewhere within a node."""
    if vocabulary.ecs:
        places = {scalar.text: scalar.mark for scalar in scalars(within)}
        for name in dict.fromkeys(written):
            warn_of_name(name, vocabulary, places.get(name, within.mark), problems)


def warn_of_words(field: Field, chain: Chain, values: Iterable[Scalar], scope: Scope) -> None:
    """A value that the field never has."""
    if chain.kind != "equals" or chain.transforms or chain.time_part:
        return
    known = _words(field.path, field.view or "")
    for value in values:
        text = value.text
        if not text and not value.is_null:
            told = "the normalised view holds no empty text, so this never matches; write null for missing"
            scope.problems.warning(value.mark, told)
            continue
        if not known or value.is_null or text.casefold() in known or "*" in text or "?" in text:
            continue
        free = field.path not in WORDS and field.view in ("", ECS)  # an ECS document's action may be any
        few = len(scope.problems.warnings) < MOST_HINTS
        near = (_typo_of(text, known) if free else nearest(text, known)) if few else None
        if near is not None:
            told = f'did you mean "{near}"?'
        elif free:
            continue
        elif field.path in WORDS:
            told = f"known are {', '.join(sorted(known))}"
        else:
            told = "`tocsin events` shows them; the vendor's own codes are event.code"
        scope.problems.warning(value.mark, f'no event has the {field.path} "{text}"; {told}')


def _typo_of(text: str, known: Iterable[str]) -> str | None:
    """The word that it is but for a letter or two, among those that begin or end alike: these cost little."""
    folded = text.casefold()[:LONGEST_WORD]
    alike = [
        word
        for word in known
        if abs(len(word) - len(folded)) <= 2 and (word[0] == folded[0] or word[-1] == folded[-1])  # noqa: PLR2004
    ]
    near = difflib.get_close_matches(folded, alike, n=1, cutoff=A_LETTER_OR_TWO)
    return near[0] if near else None


@cache
def _words(field: str, product: str) -> frozenset[str]:
    """All that the field can say, case-folded; empty where that is not known."""
    if field != "event.action":
        return WORDS.get(field, frozenset())
    providers = [name for name in PROVIDERS if product in ("", name)]
    return frozenset(code.ecs.action for name in providers for code in codes(name).values())
