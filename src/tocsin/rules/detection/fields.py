"""Field names of rules, and how an event's fields are read: the vendor's, or those of the normalised view."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from tocsin.catalog.provider import PROVIDERS
from tocsin.model.alert import Reader
from tocsin.model.event import Event, attribute
from tocsin.model.place import Locator
from tocsin.rules.detection.ecs import attributes_of, ecs_reader, is_deep
from tocsin.rules.detection.paths import (
    LONGEST_KEPT,
    Members,
    is_flat,
    members_of,
    path_members,
    path_presence,
)

ELEMENTS = "{}"  # Splunk's suffix for "each element", which any path does anyway


class Vocabulary(NamedTuple):
    """What the field names of a document mean.

    `product` is the provider whose events it reads (empty: any). With `ecs` the names are those of
    the normalised view, without it those of the product's own records. `locator` finds the places of
    addresses whose record tells none (None: nothing does).
    """

    product: str = ""
    ecs: bool = False
    locator: Locator | None = None


class Field(NamedTuple):
    """A field of a rule: `path` is what it is called inside the record, or in the normalised view.

    `flat`: it is read as an attribute of the event. `is_code`: it holds the event code. `view`: it
    is a field of the normalised view, of this product's events (empty: of any), with what `locator`
    adds; None where it is the vendor's own.
    """

    path: str
    flat: bool
    is_code: bool
    view: str | None = None
    locator: Locator | None = None

    @property
    def key(self) -> str:
        """The field in canonical text."""
        return self.path if self.view is None else f"ecs:{self.path}"

    @property
    def attributes(self) -> frozenset[str]:
        """The top-level vendor fields that reading it takes from the event's attributes."""
        if self.view is not None:
            return attributes_of(self.path, self.view)
        return _only(self.path) if self.flat else frozenset()

    @property
    def deep(self) -> bool:
        """Whether reading it decodes the whole record."""
        return not self.flat if self.view is None else is_deep(self.path, self.view)


@lru_cache(maxsize=4_096)
def _only(path: str) -> frozenset[str]:
    """One object for each: most tests read the same few fields."""
    return frozenset({path})


def field_of(written: str, vocabulary: Vocabulary) -> Field:
    """The field that a document of this vocabulary means by this name."""
    if vocabulary.ecs:
        path = written.replace(ELEMENTS, "")
        is_code = path == "event.code"
        return Field(path, flat=False, is_code=is_code, view=vocabulary.product, locator=vocabulary.locator)
    product = vocabulary.product if vocabulary.product in PROVIDERS else ""
    # Rules ask about the same few fields; long names are none of these, and would fill the memory.
    return (_known_field if len(written) <= LONGEST_KEPT else _vendor_field)(written, product)


def own_name(name: str, vocabulary: Vocabulary) -> str:
    """What a document of this vocabulary calls a field of the normalised view; empty where it has none."""
    if vocabulary.ecs:
        return name
    provider = PROVIDERS.get(vocabulary.product)
    paths = provider.ecs.get(name) if provider else None
    return f"{provider.prefix}{paths[0]}" if provider and paths else ""


def _vendor_field(written: str, product: str) -> Field:
    path = written.replace(ELEMENTS, "")
    provider = PROVIDERS.get(product)
    if provider is not None and provider.prefix and path.startswith(provider.prefix):
        path = path.removeprefix(provider.prefix)
    return Field(
        path,
        flat=is_flat(path),
        is_code=provider is not None and path == provider.code_field,
    )


_known_field = lru_cache(maxsize=4_096)(_vendor_field)


@lru_cache(maxsize=4_096)
def reader(field: Field) -> Reader:
    """Reads the field as one value: for groups, counted values and evidence.

    One reader a field, so that the engine sees which rules group alike.
    """
    if field.view is not None:
        return ecs_reader(field.path, field.view, field.locator)
    if field.flat:
        return attrgetter(attribute(field.path))
    members = all_members(field)

    def read(event: Event) -> object:
        found = [value for value in members(event) if value is not None]
        return found[0] if len(found) == 1 else found or None

    return read


def all_members(field: Field) -> Members:
    """Reads every value of the field, arrays opened; None stands for a null and for a missing one."""
    if field.view is None:
        return path_members(field.path, flat=field.flat)
    read = reader(field)
    return lambda event: members_of(read(event))


def presence(field: Field) -> Callable[[Event], bool]:
    """Whether the field is there, be it null (which a field of the normalised view never is)."""
    if field.view is None:
        return path_presence(field.path)
    read = reader(field)
    return lambda event: read(event) is not None
