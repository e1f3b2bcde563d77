"""What the compiler knows while it compiles one document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tocsin.rules.detection.fields import Vocabulary
from tocsin.rules.detection.tree import Tree
from tocsin.rules.problems import Mark, Problems

# Items of selections that were read without a word, by what is written, and what it may mean there.
Kept = dict[tuple[Vocabulary, bool], dict[tuple[object, ...], Tree]]


class Catalog(Protocol):
    """What is asked of the event catalogue; `tocsin.catalog.lookup` is one."""

    def codes(self, provider: str, /) -> Mapping[str, object]:
        """The codes of a provider."""

    def expand_category(self, provider: str, category: str, /) -> frozenset[str]:
        """The codes of a category.

        Raises:
            KeyError: with a message.
        """

    def nearest_code(self, provider: str, code: str, /) -> str | None:
        """The known code most like this one."""


class Listed(str):
    """A text of a list file; `place` is its `file:line`."""

    __slots__ = ("place",)
    place: str

    @classmethod
    def at(cls, text: str, place: str) -> Listed:
        """The text, knowing where it stands."""
        listed = cls(text)
        listed.place = place
        return listed


@dataclass
class Scope:
    """One document's surroundings.

    `refused` collects what RE2 does not run, which stops the rule. `kept` are the items that other
    documents of the load asked about already: rules share many.
    """

    vocabulary: Vocabulary
    problems: Problems
    catalog: Catalog
    placeholders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    trusted: bool = False
    refused: list[str] = field(default_factory=list)
    kept: Kept = field(default_factory=dict)
    items: dict[tuple[object, ...], Tree] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.items = self.kept.setdefault((self.vocabulary, self.trusted), {})

    @property
    def told(self) -> int:
        """How much was noted so far."""
        return len(self.problems.errors) + len(self.problems.warnings) + len(self.refused)

    @property
    def product(self) -> str:
        """The provider whose events are read; empty for any."""
        return self.vocabulary.product

    def values_of(self, placeholder: str, mark: Mark) -> tuple[str, ...]:
        """The texts for `%placeholder%`; a mistake where there is neither param nor list of that name."""
        found = self.placeholders.get(placeholder)
        if found is None:
            hint = self.problems.hint(placeholder, self.placeholders)
            if not self.placeholders:
                hint = "define it under tocsin.params, or as a list file in the settings"
            self.problems.error(mark, f'nothing stands for "%{placeholder}%"; {hint}')
            return ()
        return found
