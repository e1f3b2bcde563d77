"""Selections as pySigma reads them: maps, lists of maps, keywords, lists in lists, nothing."""

from __future__ import annotations

import itertools
import random  # noqa: TID251 - seeded
from pathlib import Path
from typing import Any

import pytest

from tocsin.rules.detection import selection
from tocsin.rules.detection.tree import all_of

from .oracle_ours import Document, Refused, answers, load, seeds
from .oracle_sigma import Refusal, parsed

SCALARS = ["a", "b", "A*", "", 5, 1.5, True, False, None]
KEYS = ["f", "g", "f|contains", "g|startswith|all", "f|neq", "", "|all", "f|re", "|contains"]
RECORDS = [
    {"f": one, **({} if two == "missing" else {"g": two})}
    for one, two in itertools.product(
        ["a", "xab", "A", "", 5, 1.5, True, False, None, ["a", "5"]], ["b", "ba", "missing", None, 5, "true"]
    )
]

STRICTER = {
    "is empty; name a field": "a selection of nothing is true of nothing, or of everything",
    "a list within": "pySigma flattens some, and takes others for texts",
    "has no value": "`field: []` is null to pySigma; here it is `field: null` that says so",
    "null has no text": "no value says null to whoever looks for it anywhere",
    "is a map": "pySigma takes a map for the text of an expression",
    "needs a regular expression": "the empty expression is true of everything",
}
"""What pySigma takes and we do not, by a part of our message."""


def value(rng: random.Random, depth: int) -> Any:
    """Anything YAML has."""
    kind = rng.random()
    if depth and kind < 0.35:
        return [value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    if depth and kind < 0.7:
        return {rng.choice(KEYS): value(rng, depth - 1) for _ in range(rng.randint(0, 2))}
    return rng.choice(SCALARS)


def likely(rng: random.Random) -> Any:
    """Something that is probably valid."""

    def item() -> tuple[str, Any]:
        some = [rng.choice(SCALARS[:4]) for _ in range(rng.randint(1, 3))]
        return rng.choice(KEYS[:5]), some[0] if len(some) == 1 else some

    def table() -> dict[str, Any]:
        return dict(item() for _ in range(rng.randint(1, 2)))

    shapes = [table(), [table() for _ in range(2)], [rng.choice(SCALARS[:8]), table()]]
    return rng.choice([*shapes, rng.choice(SCALARS[:8]), rng.sample(SCALARS[:8], 2), {"|all": SCALARS[:2]}])


def document(rng: random.Random) -> Document:
    """A rule of up to three such selections."""
    names = ["one", "two", "_three"][: rng.randint(1, 3)]
    make = likely if rng.random() < 0.5 else lambda rng: value(rng, 3)
    selections = {name: make(rng) for name in names}
    return {
        "title": "t",
        "logsource": {"product": "p"},
        "detection": {**selections, "condition": f" {rng.choice(['or', 'and', 'and not'])} ".join(names)},
    }


def respelled(node: Any, *, as_text: bool = False) -> Any:
    """As pySigma likes it: numbers and booleans that are compared as text are quoted, as they are written."""
    if isinstance(node, dict):
        return {
            key: respelled(one, as_text=any(word in key for word in ("contains", "startswith", "re")))
            for key, one in node.items()
        }
    if isinstance(node, list):
        return [respelled(one, as_text=as_text) for one in node]
    quoted = as_text and isinstance(node, bool | int | float)
    return str(node).lower() if quoted else node


def check(folder: Path, seeds: range) -> tuple[int, set[str]]:
    """How many rules meant the same, and the known differences met; fails on any other."""
    valid, met = 0, set()
    for seed in seeds:
        wanted = document(random.Random(seed))
        ours = load(folder, [wanted])
        theirs = parsed({**wanted, "detection": respelled(wanted["detection"])})
        said = f"seed {seed}: {wanted['detection']}"
        if isinstance(ours, Refused):
            known = [name for name in STRICTER if name in ours.reason]
            assert known or isinstance(theirs, Refusal), f"{said}: {ours.reason}"
            met.update(known if not isinstance(theirs, Refusal) else ())
            continue
        assert not isinstance(theirs, Refusal), f"{said}: {theirs}"
        valid += 1
        for record, answer in zip(RECORDS, answers(ours, RECORDS), strict=True):
            assert answer is theirs.holds(record), f"{said}: {record} {'here' if answer else 'there'} alone"
    return valid, met


def test_selections_of_any_shape_mean_what_they_mean_to_pysigma(tmp_path: Path) -> None:
    valid, met = check(tmp_path, seeds(1_000))

    assert valid > 350
    assert met == {*STRICTER}


def test_a_planted_mistake_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "any_of", all_of)

    with pytest.raises(AssertionError):
        check(tmp_path, range(300))
