"""Items as pySigma reads them: every chain of two modifiers, many longer ones, over values of every kind.

Ours and pySigma's must agree on which are valid; where both take one, or pySigma takes another spelling
of it, it must be true of the same values. Where they differ on purpose stands in `STRICTER` and `LOOSER`;
anything else fails.
"""

from __future__ import annotations

import itertools
import random  # noqa: TID251 - seeded
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sigma.types import SigmaString, SpecialChars

from tocsin.rules.detection import encodings, leaves, patterns, selection, values
from tocsin.rules.detection.leaves import inside, text_leaf
from tocsin.rules.detection.modifiers import COMPARISONS, KINDS, MODIFIERS, RE_FLAGS, TIME_PARTS, TRANSFORMS
from tocsin.rules.detection.patterns import Wild
from tocsin.rules.detection.regex import compile_search
from tocsin.rules.detection.tree import any_of

from .oracle_ours import Document, Refused, answers, load
from .oracle_sigma import Parsed, Refusal, parsed, values_of

Chain = tuple[str, ...]

VALUES: Mapping[str, Any] = {
    "text": "abc",
    "capitals": "ABc -x",
    "wildcards": "a*c",
    "one": "a?c*",
    "escaped": r"a\*c\\",
    "empty": "",
    "number": 5,
    "fraction": 1.5,
    "true": True,
    "null": None,
    "network": "10.1.0.0/16",
    "no network": "10.1.0.1/16",
    "texts": ["a", "c"],
    "mixed": ["a*", 5, False],
    "with null": ["abc", None],
    "placeholder": "%n%",
    "within": "a%n%c",
    "unknown": "%nobody%",
    "expression": "^a.c|[0-9]{2,}$",
    "no expression": "a(",
    "hours": [23, 5],
}
LISTS = {"n": ["b", "Bx", "5"]}  # no wildcards: here a text of a list is meant as it is


class Spelling(NamedTuple):
    """Another spelling of an item, which pySigma takes."""

    reason: str
    respelled: Callable[[Chain, Any], tuple[Chain, Any]]


def _ordered(chain: Chain, value: Any) -> tuple[Chain, Any]:
    def place(name: str) -> int:
        for at, names in enumerate((("re", "cidr", "exists"), RE_FLAGS, TIME_PARTS, ("expand",), TRANSFORMS)):
            if name in names:
                return at
        return {"cased": 6, "all": 8, "neq": 9}.get(name, 7 if name != "fieldref" else 5)

    return tuple(sorted(chain, key=place)), value


def _as_text(chain: Chain, value: Any) -> tuple[Chain, Any]:
    if not set(chain) & {*TRANSFORMS, "cased", "expand", *KINDS} - {*COMPARISONS, "exists"}:
        return chain, value
    if isinstance(value, list):
        return chain, [_as_text(chain, one)[1] for one in value]
    return chain, value if value is None else str(value).lower()


LOOSER = {
    "utf16le": Spelling(
        "is Sigma's, and pySigma knows it by its other name, wide",
        lambda chain, value: (tuple("wide" if name == "utf16le" else name for name in chain), value),
    ),
    "order": Spelling("modifiers that do not change each other's text may stand in any order", _ordered),
    "the text of a number": Spelling(
        "numbers and booleans are compared as text, here as elsewhere", _as_text
    ),
}
"""What is taken here and not by pySigma; it means the other spelling."""

STRICTER = {
    "stands twice": "the second changes nothing, or was meant to be another",
    "exclude each other": "one would change the other's text, or hide it",
    "takes true or false alone": "`exists|all` asks no more than `exists`",
    "|expand needs a %name%": "an expand without a placeholder forgot it",
    '"fieldref" takes the name': "the empty text names no field",
    "a keyword search has no field": "the backends refuse it, or forget the modifier",
    'it cannot go with "fieldref"': "a field's name is no text to encode",
    "null has no text": "no value says null to whoever looks for it anywhere",
    "needs a regular expression": "the empty expression is true of everything",
}
"""What pySigma takes and we do not, by a part of our message."""
ONLY_KEYWORDS = {"a keyword search has no field", "null has no text"}


def _says(value: Any, part: str) -> bool:
    return any(
        isinstance(one, str) and part in one for one in (value if isinstance(value, list) else [value])
    )


OTHER_MEANING: Mapping[str, tuple[str, Callable[[Chain, Any], bool]]] = {
    "byte order mark": (
        "utf16 without base64: two characters of its two bytes here, U+FEFF there",
        lambda chain, _: (
            "utf16" in chain and not set(chain[chain.index("utf16") :]) & {"base64", "base64offset"}
        ),
    ),
    "escapes in a field's name": (
        "a field is named as it is written; pySigma escapes what is escaped once more",
        lambda chain, value: "fieldref" in chain and _says(value, "\\"),
    ),
    "a field's name that is filled": (
        "here a placeholder may stand for a field's name",
        lambda chain, value: "fieldref" in chain and "expand" in chain and _says(value, "%"),
    ),
    "a cased reference": (
        "here cased is of the text of both fields; pySigma refuses it, or forgets it",
        lambda chain, _: {"fieldref", "cased"} <= {*chain},
    ),
    "cased, then changed": (
        "pySigma forgets cased where another modifier, or a placeholder, changes the text after it",
        lambda chain, _: (
            "cased" in chain and bool({*chain[chain.index("cased") :]} & {*TRANSFORMS, "expand"})
        ),
    ),
    "filled, then changed": (
        "here a placeholder is filled before its text is encoded; pySigma encodes its name, or leaves it",
        lambda chain, value: (
            "expand" in chain and _says(value, "%") and bool({*chain} & {*TRANSFORMS, "cased"})
        ),
    ),
    "a fraction of an hour": (
        "no part of a time is 1.5; pySigma cuts it to 1",
        lambda chain, value: value == 1.5 and bool({*chain} & {*TIME_PARTS}),
    ),
}
"""What both take and read otherwise."""


def pairs() -> list[Chain]:
    """No modifier, every one, every two."""
    return [(), *((name,) for name in MODIFIERS), *itertools.product(MODIFIERS, repeat=2)]


def longer(rng: random.Random, count: int) -> list[Chain]:
    """Chains of up to five modifiers: likely ones, and any."""
    return [
        _likely(rng) if place % 4 else tuple(rng.sample(MODIFIERS, rng.randint(3, 5)))
        for place in range(count)
    ]


def _likely(rng: random.Random) -> Chain:
    """A chain that is probably valid."""
    head = rng.choice(
        [("re", *rng.sample(RE_FLAGS, rng.randint(0, 3))), ("cidr",), ("fieldref",), (), (), ()]
    )
    if not head:
        head = tuple(rng.sample(["windash", "wide", "utf16", "utf16be", "utf16le"], rng.randint(0, 1)))
        head += tuple(rng.sample(["base64", "base64offset"], rng.randint(0, 1)))
        head += tuple(rng.sample(["contains", "startswith", "endswith"], rng.randint(0, 1)))
        head += tuple(rng.sample(["cased"], rng.randint(0, 1)))
    elif head == ("fieldref",):
        head += tuple(rng.sample(["contains", "startswith", "endswith"], rng.randint(0, 1)))
    return head + tuple(rng.sample(["all", "neq", "expand"], rng.randint(0, 2)))


def document(chain: Chain, value: Any, field: str = "f") -> Document:
    item = {"|".join([field, *chain]): value}
    return {
        "title": "t",
        "logsource": {"product": "p"},
        "detection": {"sel": item, "condition": "sel"},
    }


def theirs_in_other_words(chain: Chain, value: Any, field: str) -> tuple[Parsed | Refusal, str]:
    """What pySigma makes of the item once it is spelled as it likes, and which spelling was needed."""
    wanted = parsed(document(chain, value, field), LISTS)
    needed: list[str] = []
    for name, spelling in LOOSER.items():
        if isinstance(wanted, Parsed):
            break
        respelled = spelling.respelled(chain, value)
        if respelled != (chain, value):
            (chain, value), needed = respelled, [*needed, name]
            wanted = parsed(document(chain, value, field), LISTS)
    return wanted, " + ".join(needed)


PROBES: list[Any] = [
    None,
    "",
    "abc",
    "ABC",
    "xabcx",
    "abcx",
    "xabc",
    "aXc",
    "a\nc",
    "a*c",
    "ab",
    "c",
    "b",
    "B",
]
PROBES += [5, "5", 5.0, 1.5, "1.5", 4, 6.5, True, "true", "TRUE", False, "x5x", "10.1.2.3", "10.2.0.1", "12"]
PROBES += [["abc", "x"], [], [None], ["a", "c"], "ABc /x", "abc –x", "a\0b\0c\0", "\0a\0b\0c", "ac"]
PROBES += [
    "2024-02-29T23:59:07Z",
    "2024-05-05T05:05:05+05:00",
    "2024-05-05 05:05:05",
    "NQ==",
    "YQ==",
    "eGFiY3g=",
]


def records(wanted: Parsed, value: Any) -> list[Mapping[str, Any]]:
    """Records that tell readings of the item apart."""
    found = [*PROBES, *(text for one in values_of(wanted.trees) for text in _like(one))]
    others = [str(one) for one in (value if isinstance(value, list) else [value])]
    some = [{"f": probe} for probe in found] + [{}, {"g": "abc"}]
    return some + [
        {"f": probe, other: "Bc"} for probe in ("bc", "aBcd", "bcd", "abc", None) for other in others
    ]


def _like(value: Any) -> Iterator[str]:
    """Texts that the pattern matches, and some near them."""
    if not isinstance(value, SigmaString):
        return
    for run, one in (("", "x"), ("x\ny", "?")):
        wild = {SpecialChars.WILDCARD_MULTI: run, SpecialChars.WILDCARD_SINGLE: one}
        text = "".join(part if isinstance(part, str) else wild[part] for part in value.s)
        yield from (text, text.upper(), text.lower(), text[:-1], text[1:], f"x{text}", f"{text}x")


def disagreement(folder: Path, chain: Chain, value: Any, field: str = "f") -> str:
    """What ours and pySigma do not agree on; empty when they do. Known differences by their name."""
    for name, (_, applies) in OTHER_MEANING.items():
        if applies(chain, value):
            return name
    ours = load(folder, [document(chain, value, field)], lists={"n": folder / "n.txt"})
    theirs, needed = theirs_in_other_words(chain, value, field)
    if isinstance(ours, Refused):
        if isinstance(theirs, Refusal):
            return ""
        known = [name for name in STRICTER if name in ours.reason]
        return known[0] if known else f"refused: {ours.reason}"
    if isinstance(theirs, Refusal):
        return f"taken, but pySigma says {theirs.reason}"
    asked = records(theirs, value)
    for record, answer in zip(asked, answers(ours, asked), strict=True):
        if answer is not theirs.holds(record):
            return f"{record} {'here' if answer else 'there'} alone; {theirs.trees}"
    return needed


def check(folder: Path, asked: Iterable[tuple[Chain, str]], field: str = "f") -> set[str]:
    """The known differences that were met; fails on any other."""
    (folder / "n.txt").write_text("\n".join(LISTS["n"]))
    met: set[str] = set()
    for chain, kind in asked:
        found = disagreement(folder, chain, VALUES[kind], field)
        known = (
            found in STRICTER or found in OTHER_MEANING or all(part in LOOSER for part in found.split(" + "))
        )
        assert not found or known, f"{field}{'|'.join(['', *chain])}: {VALUES[kind]!r}: {found}"
        met.update(found.split(" + "))
    return met - {""}


# One case for each known difference.
SHOWN: list[tuple[Chain, str]] = [
    (("utf16le",), "text"),
    (("contains", "fieldref"), "text"),
    (("contains",), "number"),
    (("contains", "contains"), "text"),
    (("contains", "startswith"), "text"),
    (("exists", "all"), "true"),
    (("expand",), "text"),
    (("fieldref",), "empty"),
    (("fieldref", "base64"), "text"),
    (("re",), "empty"),
    (("utf16",), "text"),
    (("fieldref",), "escaped"),
    (("fieldref", "expand"), "placeholder"),
    (("fieldref", "cased"), "text"),
    (("cased", "wide"), "text"),
    (("expand", "base64"), "placeholder"),
    (("hour",), "fraction"),
]


def test_every_two_modifiers_mean_what_they_mean_to_pysigma(tmp_path: Path) -> None:
    rng = random.Random(1)
    asked = [(chain, kind) for chain in pairs() for kind in rng.sample([*VALUES], 5)]

    met = check(tmp_path, asked + SHOWN)

    # What is no longer met is no difference any more, and its line can go.
    assert met == {*LOOSER, *STRICTER, *OTHER_MEANING} - ONLY_KEYWORDS


def test_every_modifier_alone_means_what_it_means_to_pysigma(tmp_path: Path) -> None:
    check(tmp_path, [(chain, kind) for chain in pairs() if len(chain) < 2 for kind in VALUES])


@pytest.mark.parametrize("seed", range(3))
def test_longer_chains_mean_what_they_mean_to_pysigma(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)

    check(tmp_path, [(chain, kind) for chain in longer(rng, 300) for kind in rng.sample([*VALUES], 5)])


def test_keywords_mean_what_they_mean_to_pysigma(tmp_path: Path) -> None:
    rng = random.Random(2)
    asked = [(chain, kind) for chain in pairs() for kind in rng.sample([*VALUES], 2)]

    assert check(tmp_path, asked, "") >= ONLY_KEYWORDS


def _no_ones(parts: Sequence[str | Wild]) -> re.Pattern[str]:
    return PART([part for part in parts if part is not Wild.ONE])


PART = patterns._part
PLANTED: Mapping[str, tuple[object, str, object]] = {
    "case counts": (values, "folded", lambda pattern: pattern),
    "null matches nothing": (
        values,
        "text_leaf",
        lambda test, *, cased, null: text_leaf(test, cased=cased, null=False),
    ),
    "? is no character": (patterns, "_part", _no_ones),
    "lte is lt": (leaves, "_COMPARE", {**leaves._COMPARE, "lte": leaves._COMPARE["lt"]}),
    "all is any": (selection, "all_of", any_of),
    "neq is nothing": (selection, "negated", lambda tree: tree),
    "a network is empty": (values, "inside", lambda networks: inside([])),
    "base64 at every offset is whole": (encodings, "_CUT_BEFORE", (0, 0, 0)),
    "an hour is local": (leaves, "UTC", timezone(timedelta(hours=1))),
    "a flag is ignored": (
        values,
        "compile_search",
        lambda text, flags, *, trusted: compile_search(text, "", trusted=trusted),
    ),
}


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_planted_mistake_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    place, name, planted = PLANTED[mistake]
    monkeypatch.setattr(place, name, planted)
    likely = [chain for chain in pairs() if len(chain) < 2] + [("base64offset", "contains"), ("re", "i")]

    with pytest.raises(AssertionError):
        check(tmp_path, [(chain, kind) for chain in likely for kind in VALUES])
