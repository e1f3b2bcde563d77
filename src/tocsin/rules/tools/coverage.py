"""What a set of rules covers: ATT&CK techniques, and the event codes of the catalogue by category."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tocsin.catalog import PROVIDERS, categories, codes
from tocsin.rules.made import Made
from tocsin.rules.tools.listing import needed_codes, providers_of, techniques
from tocsin.rules.tools.techniques import TECHNIQUES

UNCATEGORISED = "(no category)"


@dataclass(frozen=True, slots=True)
class Technique:
    """A technique, and the rules that find it: none, where it is one that they could.

    `name` is empty for one that no log of an identity provider is known to show.
    """

    technique: str
    rules: tuple[str, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Category:
    """A category of a provider's codes: those that a rule reads, and those that none does."""

    provider: str
    category: str
    covered: tuple[str, ...]
    uncovered: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """`any_code` are rules that read events of any code; they cover no code in particular."""

    techniques: tuple[Technique, ...]
    categories: tuple[Category, ...]
    any_code: tuple[str, ...]


def coverage_of(made: Sequence[Made]) -> Coverage:
    """What the rules that run cover, and what they do not; of providers that at least one of them reads."""
    running = [rule for rule in made if not rule.not_running]
    return Coverage(_techniques(running), _categories(running), _reading_any(running))


def _techniques(made: Sequence[Made]) -> tuple[Technique, ...]:
    found: dict[str, list[str]] = defaultdict(list)
    for rule in made:
        for technique in techniques(rule.compiled.rule.tags):
            found[technique].append(rule.compiled.rule.name)
    known = sorted({*found, *TECHNIQUES})
    return tuple(Technique(one, tuple(found.get(one, ())), TECHNIQUES.get(one, "")) for one in known)


def _categories(made: Sequence[Made]) -> tuple[Category, ...]:
    """A code stands under each of its categories, as in the vendor's own list."""
    read: dict[str, set[str]] = defaultdict(set)
    for rule in made:
        for base in rule.bases:
            needed = {*(needed_codes([base]) or ())}
            for provider in providers_of(base.doc.product):
                if needed or base.doc.product:
                    read[provider] |= needed
    return tuple(
        category
        for provider in PROVIDERS
        if provider in read
        for category in _categories_of(provider, read[provider])
    )


def _categories_of(provider: str, read: set[str]) -> list[Category]:
    filters = {code.stream_filter for code in codes(provider).values()}
    headings = {name: members for name, members in categories(provider).items() if name not in filters}
    headed = frozenset[str]().union(*headings.values())
    without = frozenset(codes(provider)) - headed
    if without:
        headings[UNCATEGORISED] = without
    return [
        Category(
            provider,
            heading,
            covered=tuple(code for code in codes(provider) if code in members & read),
            uncovered=tuple(code for code in codes(provider) if code in members - read),
        )
        for heading, members in sorted(headings.items())
    ]


def _reading_any(made: Sequence[Made]) -> tuple[str, ...]:
    return tuple(rule.compiled.rule.name for rule in made if needed_codes(rule.bases) is None)
