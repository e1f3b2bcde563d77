"""Sigma 2.1's modifiers: what `field|contains|all` asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from tocsin.rules.problems import Mark, Problems, did_you_mean

COMPARISONS = ("lt", "lte", "gt", "gte")
KINDS = ("contains", "startswith", "endswith", "re", "cidr", "exists", "fieldref", *COMPARISONS)
CHARSETS = ("utf16le", "wide", "utf16be", "utf16")
ENCODINGS = (*CHARSETS, "base64", "base64offset")
TRANSFORMS = (*ENCODINGS, "windash")
TIME_PARTS = ("minute", "hour", "day", "week", "month", "year")
RE_FLAGS = ("i", "m", "s")
SWITCHES = ("all", "cased", "neq", "expand")
MODIFIERS = (*KINDS, *TRANSFORMS, *TIME_PARTS, *RE_FLAGS, *SWITCHES)
_NEEDLESS = {
    "": 'remove the "|"',
    **dict.fromkeys(("equals", "equal", "is", "eq"), "a field without one equals its value; leave it out"),
    **dict.fromkeys(("in", "any", "oneof"), "a list of values means any of them; leave it out"),
    **dict.fromkeys(("null", "isnull", "empty"), "write the value null, which is absent or null"),
}
_PLACES = ("contains", "startswith", "endswith")


@dataclass(frozen=True, slots=True)
class Chain:
    """What the modifiers of one item ask for.

    `kind` is how a value is compared (`equals` without a modifier); `place` where a referenced
    field's text stands; `transforms` what is done to the rule's values first, in order. `text` is
    the chain in canonical text, to hash.
    """

    kind: str = "equals"
    place: str = "equals"
    transforms: tuple[str, ...] = ()
    time_part: str = ""
    re_flags: str = ""
    all: bool = False
    cased: bool = False
    neq: bool = False
    expand: bool = False
    text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        words = [self.kind, self.place, *self.transforms, self.time_part, "".join(sorted(self.re_flags))]
        object.__setattr__(self, "text", "|".join([*words, "cased" if self.cased else ""]))


_PLAIN = Chain()


def parse_key(key: str, mark: Mark, problems: Problems) -> tuple[str, Chain] | None:
    """The field and the modifiers of an item's key; None after a mistake."""
    try:
        return _parsed(key)
    except _Mistaken as exc:
        for message in exc.messages:
            problems.error(mark, message)
        return None


def sound_key(key: str) -> tuple[str, Chain] | None:
    """The same, where mistakes are told already."""
    try:
        return _parsed(key)
    except _Mistaken:
        return None


def _parsed(key: str) -> tuple[str, Chain]:
    name = key.partition("|")[0]
    return name, _chain_of(key[len(name) :], name != "") if name != key or not name else _PLAIN


class _Mistaken(Exception):
    """The modifiers make no sense, or not together."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__(*messages)
        self.messages = messages


@lru_cache(maxsize=1_024)
def _chain_of(modifiers: str, named: bool) -> Chain:
    """`|contains|all`, of which there are few, so each is read once; what is wrong is not remembered."""
    names = modifiers.split("|")[1:]
    wrong = [f'unknown modifier "{name}"; {_meant(name)}' for name in names if name not in MODIFIERS]
    wrong += [
        f'the modifier "{name}" stands twice; keep one'
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if not wrong and (clash := _clash(names, named=named)):
        wrong.append(clash)
    if wrong:
        raise _Mistaken(wrong)
    return _chain(names)


def _meant(name: str) -> str:
    return _NEEDLESS.get(name.strip().casefold()) or did_you_mean(name, MODIFIERS)


def _chain(names: list[str]) -> Chain:
    kinds = [name for name in names if name in KINDS]
    places = [name for name in kinds if name in _PLACES]
    reference = "fieldref" in kinds
    return Chain(
        kind="fieldref" if reference else (kinds[0] if kinds else "equals"),
        place=places[0] if places else "equals",
        transforms=tuple(name for name in names if name in TRANSFORMS),
        time_part=next((name for name in names if name in TIME_PARTS), ""),
        re_flags="".join(name for name in names if name in RE_FLAGS),
        all="all" in names,
        cased="cased" in names,
        neq="neq" in names,
        expand="expand" in names,
    )


def _clash(names: list[str], *, named: bool) -> str:
    """What is wrong with modifiers that exist, but not together; empty when nothing is."""
    kinds = [name for name in names if name in KINDS]
    parts = [name for name in names if name in TIME_PARTS]
    plain = [name for name in names if name in (*TRANSFORMS, "cased")]
    charsets = _twice_encoded(names)
    if _several(kinds) or len(parts) > 1 or charsets:
        one, two, *_ = kinds if _several(kinds) else parts if len(parts) > 1 else charsets
        return f'the modifiers "{one}" and "{two}" exclude each other; keep one'
    if "re" not in kinds and any(name in RE_FLAGS for name in names):
        return "the flags i, m and s belong to a regular expression; write |re first"
    if parts and set(kinds) - set(COMPARISONS):
        return f'"{parts[0]}" gives a number; combine it with lt, lte, gt, gte or nothing, not "{kinds[0]}"'
    other = [kind for kind in (*kinds, *parts) if kind not in _PLACES]
    if other == ["fieldref"] and plain == ["cased"]:
        other = []
    if plain and other:
        return f'the modifier "{plain[0]}" is for text; it cannot go with "{other[0]}"'
    if "exists" in kinds and {"all", "expand"} & set(names):
        return '"exists" takes true or false alone; remove the other modifiers'
    return "" if named else _without_field([*kinds, *parts])


def _twice_encoded(names: list[str]) -> list[str]:
    """Two charsets of one text; between them base64 makes another text."""
    found: list[str] = []
    for name in names:
        if name in CHARSETS:
            found.append(name)
        elif name in ENCODINGS and len(found) < 2:  # noqa: PLR2004 - two are too many
            found = []
    return found if len(found) > 1 else []


def _several(kinds: list[str]) -> bool:
    """Two ways to compare; of a referenced field's text the place may be said too."""
    left = [kind for kind in kinds if kind != "fieldref" or not set(kinds) & set(_PLACES)]
    return len(left) > 1


def _without_field(kinds: list[str]) -> str:
    other = [kind for kind in kinds if kind not in ("contains", "re")]
    return f'a keyword search has no field for "{other[0]}"; name a field before the "|"' if other else ""
