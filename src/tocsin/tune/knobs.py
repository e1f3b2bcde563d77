"""The params that tune a rule: its own, and those of the rules that it counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tocsin.errors import TuneError
from tocsin.rules.made import Made
from tocsin.rules.params import Param


class Knob(NamedTuple):
    """A param: of which rule (as overlays name it), and whether that is one which the tuned rule counts."""

    rule: str
    param: Param
    counted: bool


Knobs = Mapping[str, Knob]


def knobs_of(made: Made) -> Knobs:
    """Every param by its shortest name that no other has: `users`, or `the_rule.users`."""
    found = [
        (one.compiled.rule.name, Knob(one.doc.meta.written_id or one.doc.meta.label, param, one is not made))
        for one in _with_counted(made)
        for param in one.doc.extension.params.values()
    ]
    named = Counter(knob.param.name for _, knob in found)
    return {
        knob.param.name
        if not knob.counted or named[knob.param.name] == 1
        else f"{rule}.{knob.param.name}": knob
        for rule, knob in found
    }


def shortest(asked: Sequence[str], made: Made, knobs: Knobs) -> list[str]:
    """What was asked for, `NAME=VALUES`, by the names of the knobs.

    Raises:
        TuneError: several of the rules that it counts have a param of that name.
    """
    return [f"{_shortest(name, made, knobs)}{equals}{values}" for name, equals, values in _parted(asked)]


def overlays(values: Mapping[str, str], knobs: Knobs) -> Mapping[str, Mapping[str, str]]:
    """The values by rule and param."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for name, text in values.items():
        found[knobs[name].rule][knobs[name].param.name] = text
    return found


def _shortest(name: str, made: Made, knobs: Knobs) -> str:
    if name in knobs:
        return name
    rule, _, short = name.rpartition(".")
    if short in knobs and any(
        one.compiled.rule.name == rule and short in one.doc.extension.params for one in _with_counted(made)
    ):
        return short
    several = [full for full in knobs if full.rpartition(".")[2] == name]
    if several:
        raise TuneError(f"--param {name}: several rules have it; write {' or '.join(several)}")
    return name


def _parted(asked: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    for text in asked:
        yield text.partition("=")


def _with_counted(made: Made) -> list[Made]:
    """The rule, and those that it counts, each once."""
    found: dict[int, Made] = {}
    todo = [made]
    while todo:
        one = todo.pop(0)
        if id(one.doc) not in found:
            found[id(one.doc)] = one
            todo += one.children
    return list(found.values())
