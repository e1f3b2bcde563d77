"""What the compiler knows while it compiles one document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tocsin.rules.detection.fields import Vocabulary
from tocsin.rules.problems import Mark, Problems, did_you_mean

# The texts that a placeholder stands for; None where nobody knows the name.
Placeholders = Callable[[str], tuple[str, ...] | None]


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
    """One document's surroundings. `refused` collects what RE2 does not run, which stops the rule."""

    vocabulary: Vocabulary
    problems: Problems
    catalog: Catalog
    placeholders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    trusted: bool = False
    refused: list[str] = field(default_factory=list)

    @property
    def product(self) -> str:
        """The provider whose events are read; empty for any."""
        return self.vocabulary.product

    def values_of(self, placeholder: str, mark: Mark) -> tuple[str, ...]:
        """The texts for `%placeholder%`; a mistake where there is neither param nor list of that name."""
        found = self.placeholders.get(placeholder)
        if found is None:
            hint = did_you_mean(placeholder, self.placeholders)
            if not self.placeholders:
                hint = "define it under tocsin.params, or as a list file in the settings"
            self.problems.error(mark, f'nothing stands for "%{placeholder}%"; {hint}')
            return ()
        return found
