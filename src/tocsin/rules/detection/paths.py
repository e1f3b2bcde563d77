"""Dotted paths into a vendor's record, and how they are read.

The flat key comes first, then the dotted path. A path that crosses an array reaches every member.
A top-level field is an attribute of the event, which costs nothing; anything else decodes the record.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any

from tocsin.model.alert import Reader
from tocsin.model.event import Event, attribute

LONGEST_KEPT = 100  # characters of a path that is remembered
Members = Callable[[Event], list[Any]]

# What a decoded event can hold as an attribute: no path, none of our own names, nothing that
# msgspec refuses in a name. Any other field is read from the whole record.
_FLAT = re.compile(r'(?!tocsin/)[^."\\\x00-\x1f]+')

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_$-]+")


def is_flat(path: str) -> bool:
    """Whether a decoded event can hold it as an attribute."""
    return _FLAT.fullmatch(path) is not None


def path_members(path: str, *, flat: bool) -> Members:
    """Reads every value at the path, arrays opened; None stands for a null and for a missing one."""
    # Rules ask about the same few paths; long ones are none of these, and would fill the memory.
    return (_known_members if len(path) <= LONGEST_KEPT else _path_members)(path, flat)


def _path_members(path: str, flat: bool) -> Members:
    if flat:
        get: Reader = attrgetter(attribute(path))
        return lambda event: members_of(get(event))
    steps, is_absent = tuple(path.split(".")), _absence(path)

    def read(event: Event) -> list[Any]:
        if event.parsed is None and is_absent(event.raw):
            return [None]
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


_known_members = lru_cache(maxsize=4_096)(_path_members)


def members_of(value: Any) -> list[Any]:
    """The value, or the members of an array, nested ones opened."""
    if not isinstance(value, list):
        return [value]
    found: list[Any] = []
    _collect(value, (), found)
    return found


def path_presence(path: str) -> Callable[[Event], bool]:
    """Whether there is something at the path, be it null."""
    steps, is_absent = tuple(path.split(".")), _absence(path)

    def present(event: Event) -> bool:
        if event.parsed is None and is_absent(event.raw):
            return False
        fields = event.fields
        return path in fields or _has(fields, steps)

    return present


def _absence(path: str) -> Callable[[bytes], bool]:
    """Whether a record, by its bytes, surely has no value at the path: a look, where decoding takes 4 us.

    A record that has one says the path's last name, and then a quote, be it a key of its own or the
    end of a flat key; unless it spells some of it as an escape, for which it needs a backslash.
    """
    name = path.rpartition(".")[2]
    if _PLAIN_NAME.fullmatch(name) is None:
        return lambda _raw: False
    key = f'{name}"'.encode()
    return lambda raw: b"\\" not in raw and key not in raw


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
