"""`|expand`: the texts of params and list files in place of `%name%`."""

from __future__ import annotations

import re
from itertools import product

from tocsin.rules.detection.modifiers import Chain
from tocsin.rules.detection.scope import Listed, Scope
from tocsin.rules.document import Scalar
from tocsin.rules.problems import ListedMark, Mark

_PLACEHOLDER = re.compile(r"%([A-Za-z0-9_.-]+)%")
MOST_EXPANDED = 100_000  # texts that one value may stand for
MOST_OF_A_FILE = 300_000  # texts, of all values: they are held, and a file may be hostile


def expanded(values: tuple[Scalar, ...], chain: Chain, scope: Scope) -> list[Scalar] | None:
    """The values with their `%placeholders%` filled; None after a mistake."""
    if not chain.expand:
        return list(values)
    before = len(scope.problems.errors)
    found = [filled for value in values for filled in _filled(value, chain, scope)]
    return found if len(scope.problems.errors) == before else None


def _filled(value: Scalar, chain: Chain, scope: Scope) -> list[Scalar]:
    pieces = _PLACEHOLDER.split(value.text)  # text, name, text, name, …, text
    if len(pieces) == 1:
        scope.problems.error(value.mark, f"|expand needs a %name% in {value.text!r}")
        return []
    before = len(scope.problems.errors)
    choices = [scope.values_of(name, value.mark) for name in pieces[1::2]]
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > MOST_EXPANDED:
        scope.problems.error(
            value.mark, f"{value.text!r} stands for more than {MOST_EXPANDED} texts; split it"
        )
        return []
    total = scope.problems.expanded(value.mark, count)
    if total > MOST_OF_A_FILE:
        if total - count <= MOST_OF_A_FILE:  # told of the first alone
            message = (
                f"from here on |expand stands for more than {MOST_OF_A_FILE} texts in this file; split it"
            )
            scope.problems.error(value.mark, message)
        return []
    if not count and len(scope.problems.errors) == before:
        scope.problems.warning(
            value.mark,
            f"{value.text!r} stands for no text, because its list is empty; write a line there",
        )
    literal = (lambda text: text) if chain.kind in ("re", "cidr") else _escaped
    filled = []
    for chosen in product(*choices):
        between = [literal(text) for text in chosen]
        text = "".join(a + b for a, b in zip(pieces[::2], [*between, ""], strict=True))
        filled.append(Scalar(text, _mark(value, chosen)))
    return filled


def _mark(value: Scalar, chosen: tuple[str, ...]) -> Mark:
    """Where the value stands, and of what a list file said, where that does."""
    places = [text.place for text in chosen if isinstance(text, Listed)]
    return ListedMark(value.mark.line, value.mark.column, " and ".join(places)) if places else value.mark


def _escaped(text: str) -> str:
    return re.sub(r"([*?\\])", r"\\\1", text)
