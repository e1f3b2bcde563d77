"""Sigma 2.1's modifiers: what `field|contains|all` asks for."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.rules.problems import Mark, Problems, did_you_mean

COMPARISONS = ("lt", "lte", "gt", "gte")
KINDS = ("contains", "startswith", "endswith", "re", "cidr", "exists", "fieldref", *COMPARISONS)
ENCODINGS = ("utf16le", "wide", "utf16be", "utf16", "base64", "base64offset")
TRANSFORMS = (*ENCODINGS, "windash")
TIME_PARTS = ("minute", "hour", "day", "week", "month", "year")
RE_FLAGS = ("i", "m", "s")
SWITCHES = ("all", "cased", "neq", "expand")
MODIFIERS = (*KINDS, *TRANSFORMS, *TIME_PARTS, *RE_FLAGS, *SWITCHES)
_PLACES = ("contains", "startswith", "endswith")


@dataclass(frozen=True, slots=True)
class Chain:
    """What the modifiers of one item ask for.

    `kind` is how a value is compared (`equals` without a modifier); `place` where a referenced
    field's text stands; `transforms` what is done to the rule's values first, in order.
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

    @property
    def text(self) -> str:
        """The chain in canonical text, to hash."""
        words = [self.kind, self.place, *self.transforms, self.time_part, "".join(sorted(self.re_flags))]
        return "|".join([*words, "cased" if self.cased else ""])


def parse_key(key: str, mark: Mark, problems: Problems) -> tuple[str, Chain] | None:
    """The field and the modifiers of an item's key; None after a mistake."""
    field, *names = key.split("|")
    before = len(problems.errors)
    for name in names:
        if name not in MODIFIERS:
            problems.error(mark, f'unknown modifier "{name}"; {did_you_mean(name, MODIFIERS)}')
    for name in {name for name in names if names.count(name) > 1}:
        problems.error(mark, f'the modifier "{name}" stands twice; keep one')
    if len(problems.errors) > before:
        return None
    chain = _chain(names)
    clash = _clash(names, field)
    if clash:
        problems.error(mark, clash)
        return None
    return field, chain


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


def _clash(names: list[str], field: str) -> str:
    """What is wrong with modifiers that exist, but not together; empty when nothing is."""
    kinds = [name for name in names if name in KINDS]
    parts = [name for name in names if name in TIME_PARTS]
    plain = [name for name in names if name in (*TRANSFORMS, "cased")]
    if _several(kinds) or len(parts) > 1:
        one, two, *_ = kinds if _several(kinds) else parts
        return f'the modifiers "{one}" and "{two}" exclude each other; keep one'
    if "re" not in kinds and any(name in RE_FLAGS for name in names):
        return "the flags i, m and s belong to a regular expression; write |re first"
    if parts and set(kinds) - set(COMPARISONS):
        return f'"{parts[0]}" gives a number; combine it with lt, lte, gt, gte or nothing, not "{kinds[0]}"'
    if plain and set(kinds) & {"re", "cidr", "exists", *COMPARISONS}:
        return f'the modifier "{plain[0]}" is for text; it cannot go with "{kinds[0]}"'
    if "exists" in kinds and {"all", "expand"} & set(names):
        return '"exists" takes true or false alone; remove the other modifiers'
    return "" if field else _without_field(kinds)


def _several(kinds: list[str]) -> bool:
    """Two ways to compare; of a referenced field's text the place may be said too."""
    left = [kind for kind in kinds if kind != "fieldref" or not set(kinds) & set(_PLACES)]
    return len(left) > 1


def _without_field(kinds: list[str]) -> str:
    other = [kind for kind in kinds if kind not in ("contains", "re")]
    return f'a keyword search has no field for "{other[0]}"; name a field before the "|"' if other else ""
