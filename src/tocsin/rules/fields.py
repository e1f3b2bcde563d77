"""Field names of rules, and how an event's fields are read.

The flat key comes first, then the dotted path. A path that crosses an array reaches every member.
A top-level field is an attribute of the event, which costs nothing; anything else decodes the record.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from tocsin.catalog.provider import PROVIDERS
from tocsin.model.alert import Reader
from tocsin.model.event import Event, attribute

ELEMENTS = "{}"  # Splunk's suffix for "each element", which any path does anyway

# What a decoded event can hold as an attribute: no path, none of our own names, nothing that
# msgspec refuses in a name. Any other field is read from the whole record.
_FLAT = re.compile(r'(?!tocsin/)[^."\\\x00-\x1f]+')

Members = Callable[[Event], list[Any]]


class Field(NamedTuple):
    """A field of a rule: `path` is what it is called inside the record.

    `flat`: it is read as an attribute of the event. `is_code`: it holds the event code.
    """

    path: str
    flat: bool
    is_code: bool

    @property
    def steps(self) -> tuple[str, ...]:
        """The keys from the record down."""
        return tuple(self.path.split("."))


def field_of(written: str, product: str) -> Field:
    """The field that a rule for `product` means by this name."""
    provider = PROVIDERS.get(product)
    path = written.replace(ELEMENTS, "")
    if provider is not None and provider.prefix and path.startswith(provider.prefix):
        path = path.removeprefix(provider.prefix)
    return Field(
        path,
        flat=_FLAT.fullmatch(path) is not None,
        is_code=provider is not None and path == provider.code_field,
    )


@lru_cache(maxsize=4_096)
def reader(field: Field) -> Reader:
    """Reads the field as one value: for groups, counted values and evidence.

    One reader a field, so that the engine sees which rules group alike.
    """
    if field.flat:
        return attrgetter(attribute(field.path))
    members = all_members(field)

    def read(event: Event) -> object:
        found = [value for value in members(event) if value is not None]
        return found[0] if len(found) == 1 else found or None

    return read


def all_members(field: Field) -> Members:
    """Reads every value of the field, arrays opened; None stands for a null and for a missing one."""
    path, steps = field.path, field.steps
    if field.flat:
        get = attrgetter(attribute(path))
        return lambda event: members_of(get(event))

    def read(event: Event) -> list[Any]:
        value: Any = event.fields
        if path in value:
            return members_of(value[path])
        for place, step in enumerate(steps):
            if type(value) is not dict:
                found: list[Any] = []
                _collect(value, steps[place:], found)
                return found
            value = value.get(step)
        return members_of(value)

    return read


def members_of(value: Any) -> list[Any]:
    """The value, or the members of an array, nested ones opened."""
    if not isinstance(value, list):
        return [value]
    found: list[Any] = []
    _collect(value, (), found)
    return found


def presence(field: Field) -> Callable[[Event], bool]:
    """Whether the field is there, be it null."""
    path, steps = field.path, field.steps

    def present(event: Event) -> bool:
        fields = event.fields
        return path in fields or _has(fields, steps)

    return present


def _collect(value: Any, steps: tuple[str, ...], found: list[Any]) -> None:
    if isinstance(value, list):
        if not value and steps:
            found.append(None)
        for member in value:
            _collect(member, steps, found)
    elif not steps:
        found.append(value)
    elif isinstance(value, dict):
        _collect(value.get(steps[0]), steps[1:], found)
    else:
        found.append(None)


def _has(value: Any, steps: tuple[str, ...]) -> bool:
    if not steps:
        return True
    if isinstance(value, list):
        return any(_has(member, steps) for member in value)
    return isinstance(value, dict) and steps[0] in value and _has(value[steps[0]], steps[1:])
