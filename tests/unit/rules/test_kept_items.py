"""What an item means is found out once a load; it must mean the same in each rule as it does there alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tocsin.errors import RuleErrors
from tocsin.rules.detection import scope, selection
from tocsin.rules.document import Items, Node, Scalar
from tocsin.rules.load import Loaded, load

from .conftest import made_event

# Alike in places, and never the same: in type, in what is quoted, in shape, by what else is known.
ITEMS = (
    "{u: 5}",
    "{u: '5'}",
    "{u: [5]}",
    "{u: null}",
    "{u: 'null'}",
    "{u: [null, '5']}",
    "{u: ['5', null]}",
    "{u: true}",
    "{u: 'true'}",
    "{u|neq: '5'}",
    "{u|cased: a}",
    "{u: a}",
    "{u|contains: [a, b]}",
    "{u|contains|all: [a, b]}",
    "{u|contains: ['a, b']}",
    "{u|expand: '%p%'}",
    "{u: '%p%'}",
    "{u|re: '(?=a)b'}",
    "{u|re: 'a.b'}",
    "{type: fpp}",
    "{type: fp}",
    "{event.outcome: failure}",
    "{event.outcome: fail}",
    "{u: [a, {x: y}]}",
    "{u: [a]}",
)
HEADS = (
    "logsource: {product: auth0}",
    "logsource: {product: frontegg}",
    "logsource: {category: authentication}\ntaxonomy: ecs",
)
PARAMS = ("{default: a}", "{default: [b, '5']}")
RECORDS: tuple[Mapping[str, Any], ...] = (
    {},
    *({"type": "fp", "u": one} for one in (5, "5", None, "null", True, "true", "a", "A", "ab", "%p%")),
)  # fmt: skip


def write(folder: Path) -> list[Path]:
    """A file for each item under each head, each twice, with other params."""
    texts = [
        f"title: t{number}\nname: n{number}\n{head}\n"
        f"detection:\n    s: {item}\n    condition: s\ntocsin: {{params: {{p: {param}}}}}\n"
        for number, (item, head, param) in enumerate(
            (item, head, param) for param in PARAMS for item in ITEMS for head in HEADS
        )
    ]
    files = [folder / f"{number:03}.yml" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return files


def told_and_meant(files: Sequence[Path], trusted: Sequence[str]) -> dict[str, Any]:
    """What is told of each file, and how each of its rules answers the records."""
    try:
        loaded = load(files, trusted=trusted)
    except RuleErrors as exc:
        return {"": sorted(map(str, exc.errors))} | {
            str(warning): warning.severity for warning in exc.warnings
        }
    answers = {
        one.doc.meta.name: one.not_running or _answers(loaded, one.compiled.matchers[0])
        for one in loaded.made
    }
    return answers | {str(warning): warning.severity for warning in loaded.ruleset.warnings}


def _answers(loaded: Loaded, matcher: Any) -> list[object]:
    provider = matcher.product or "ecs"
    events = [made_event(loaded.ruleset, record, provider) for record in RECORDS]
    codes = matcher.codes
    return [
        sorted(codes) if codes is not None else None,
        *((matcher.matches is None or matcher.matches(event)) for event in events),
    ]


def differences(folder: Path) -> list[str]:
    """What is told or answered otherwise when all are loaded together."""
    files = write(folder)
    trusted = ("n51",)  # of one of the rules with a pattern that only `re` runs
    alone = [told_and_meant([file], trusted) for file in files]
    sound = [file for file, one in zip(files, alone, strict=True) if "" not in one]
    together = told_and_meant(sound, trusted)
    expected = {what: one[what] for one in alone if "" not in one for what in one}
    wrong = sorted(str(error) for one in alone for error in one.get("", ()))
    found = [what for what in {**expected, **together} if expected.get(what) != together.get(what)]
    return found + ([] if told_and_meant(files, trusted)[""] == wrong else ["the errors"])


def test_rules_loaded_together_mean_what_each_means_alone(tmp_path: Path) -> None:
    assert differences(tmp_path) == []


def test_a_pattern_runs_on_re_only_where_its_rule_is_trusted(tmp_path: Path) -> None:
    files = write(tmp_path)
    number = [file for file in files if "(?=a)b" in file.read_text()]

    loaded = load(number, trusted=(f"n{int(number[1].stem)}",))

    assert len(loaded.ruleset.not_running) == len(number) - 1


def _values(node: Node) -> tuple[Node, ...]:
    return node.items if isinstance(node, Items) else (node,)


FORGETFUL: dict[str, Callable[[str, Node], tuple[object, ...]]] = {
    "the values": lambda key, _node: (key,),
    "what is quoted": lambda key, node: (key, *(getattr(one, "text", None) for one in _values(node))),
    "the second value": lambda key, node: (key, *(getattr(one, "text", 0) for one in _values(node)[:1])),
    "what is no value": lambda key, node: (
        key,
        *((one.text, one.plain) for one in _values(node) if isinstance(one, Scalar)),
    ),
    "the modifiers": lambda key, node: (
        key.partition("|")[0],
        *((getattr(one, "text", None), getattr(one, "plain", None)) for one in _values(node)),
    ),
}


@pytest.mark.parametrize("forgotten", sorted(FORGETFUL))
def test_planted_a_memory_that_forgets_something_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: str
) -> None:
    monkeypatch.setattr(selection, "_written", FORGETFUL[forgotten])

    assert differences(tmp_path)


def test_planted_one_memory_for_all_vocabularies_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        scope.Scope, "__post_init__", lambda self: setattr(self, "items", self.kept.setdefault("", {}))
    )

    assert differences(tmp_path)
