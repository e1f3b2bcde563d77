"""YAML as rules are written: nodes that know their place and keep their text as it was typed.

Narrower than YAML on purpose: no tags, no aliases (a 9⁶ bomb fits in a few lines), no duplicate
keys, at most 1 MB and 64 levels. Scalars follow YAML 1.2, so `off`, `no`, `1:30` and `010` stay
what they look like.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import msgspec
import yaml
from yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
)

from tocsin.rules.problems import Mark, Problems
from tocsin.rules.yaml_mistakes import told_of

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
MOST_LOST = 50  # documents of a file that an alias or a tag makes unreadable: the rest is not read then
OPEN = "$"  # what `param` begins with where there is no value; no param is called so
LONGEST_NUMBER = 30  # characters; a longer run of digits is an id, not a number

_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(_NULLS),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER_BEGINS = frozenset("+-.0123456789")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

ScalarValue = str | int | float | bool | None


# Nodes are structs that the garbage collector leaves alone: a thousand files have a hundred thousand
# of them, they live as long as the rules do, and no node holds itself.
class Scalar(msgspec.Struct, frozen=True, gc=False):
    """A single value. `text` is as written; `param` names the parameter that a `$name` stood for."""

    text: str
    mark: Mark
    plain: bool = False
    param: str = ""

    @property
    def value(self) -> ScalarValue:
        """The value by YAML 1.2's core schema; quoted text is always text."""
        return _plain_value(self.text) if self.plain else self.text

    @property
    def is_null(self) -> bool:
        """Nothing was written, or `null`, or `~`."""
        return self.plain and self.text in _NULLS

    @property
    def is_open(self) -> bool:
        """It stands for a param with a mistake, told already: what it lacks is no second one."""
        return self.param.startswith(OPEN)


class Items(msgspec.Struct, frozen=True, gc=False):
    """A list."""

    items: tuple[Node, ...]
    mark: Mark


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A key's place and its value."""

    key_mark: Mark
    node: Node


class Table(msgspec.Struct, frozen=True, gc=False):
    """A map, in the order written. `flow`: it was written in braces."""

    entries: dict[str, Entry]
    mark: Mark
    flow: bool = False


Node = Scalar | Items | Table


class _Stopped(Exception):
    """What was found cannot be read past; the problem is noted."""


def read_documents(data: bytes, problems: Problems) -> list[Node]:
    """The documents of a file, empty ones left out; what stands before a mistake is still returned."""
    if len(data) > MAX_BYTES:
        problems.error(Mark(1, 1), f"the file has {len(data)} bytes; a rule file may have {MAX_BYTES}")
        return []
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        problems.error(Mark(line, 1), "the text is not UTF-8; save the file as UTF-8")
        return []
    found: list[Node] = []
    try:
        next_event = _LOADER(text).get_event  # not yaml.parse(), which takes half as long again
        for node in _Reader(next_event, problems).documents():
            found.append(node)  # noqa: PERF402 - what stands before a mistake is kept
    except _Stopped:
        pass
    except yaml.MarkedYAMLError as exc:
        problems.error(*_not_yaml(text, exc))
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, max(exc.position, 0)) + 1
        problems.error(Mark(line, 1), "a character that YAML does not allow; remove it")
    return [node for node in found if not (isinstance(node, Scalar) and node.is_null)]


def plain(node: Node) -> object:
    """The node as plain dicts, lists and scalars."""
    match node:
        case Scalar():
            return node.value
        case Items():
            return [plain(item) for item in node.items]
        case Table():
            return {key: plain(entry.node) for key, entry in node.entries.items()}


def scalars(node: Node) -> Iterator[Scalar]:
    """Every value below a node, keys excepted."""
    match node:
        case Scalar():
            yield node
        case Items():
            for item in node.items:
                yield from scalars(item)
        case Table():
            for entry in node.entries.values():
                yield from scalars(entry.node)


def _not_yaml(text: str, exc: yaml.MarkedYAMLError) -> tuple[Mark, str]:
    at = exc.problem_mark or exc.context_mark
    mark = _mark(at) if at else Mark(1, 1)
    opened = _mark(exc.context_mark) if exc.context_mark else mark
    return told_of(text, mark, opened, exc.problem or exc.context or "it makes no sense")


def _plain_value(text: str) -> ScalarValue:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_BEGINS or len(text) > LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text, 10)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def _mark(mark: Any) -> Mark:
    """A place by PyYAML's mark, be it of the C parser or of the Python one."""
    return Mark(mark.line + 1, mark.column + 1)


class _Reader:
    """Parser events to nodes. It descends as deep as the file is nested, at most `MAX_DEPTH`."""

    def __init__(self, next_event: Callable[[], Any], problems: Problems) -> None:
        self._next, self._problems = next_event, problems
        self._is_lost = False  # the document that is being read
        self._lost = 0

    def documents(self) -> Iterator[Node]:
        """Each as soon as it is read in full; without those that an alias or a tag makes unreadable."""
        while (event := self._next()) is not None:
            if isinstance(event, NodeEvent):
                self._is_lost = False
                node = self._node(event, 0)
                if not self._is_lost:
                    yield node

    def _node(self, event: Any, depth: int) -> Node:
        kind = type(event)  # not isinstance(): it is asked for every word of a file
        if kind is ScalarEvent:
            return self._scalar(event)
        if kind is AliasEvent:
            return self._alias(event)
        self._check(event, depth)
        return self._table(event, depth) if kind is MappingStartEvent else self._items(event, depth)

    def _scalar(self, event: Any) -> Scalar:
        if event.tag is not None:
            self._refuse_tag(event)
        text: str = event.value
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            self._stop(event, "half of a surrogate pair is not a character; write the character itself")
        mark = event.start_mark
        return Scalar(text, Mark(mark.line + 1, mark.column + 1), not event.style)

    def _items(self, event: Any, depth: int) -> Items:
        found: list[Node] = []
        while type(member := self._next()) is not SequenceEndEvent:
            found.append(self._node(member, depth + 1))
        return Items(tuple(found), _mark(event.start_mark))

    def _table(self, event: Any, depth: int) -> Table:
        entries: dict[str, Entry] = {}
        while type(member := self._next()) is not MappingEndEvent:
            key = self._key(member, depth + 1)
            node = self._node(self._next(), depth + 1)
            if key.text in entries:
                self._refuse_second(key, entries[key.text])
            else:
                entries[sys.intern(key.text)] = Entry(key.mark, node)  # a few words, in every file again
        return Table(entries, _mark(event.start_mark), bool(event.flow_style))

    def _key(self, event: Any, depth: int) -> Scalar:
        if type(event) is AliasEvent:
            return self._alias(event)
        if type(event) is not ScalarEvent:
            self._check(event, depth)
            self._stop(event, "a key must be text; put text that begins with { or [ in quotes")
        return self._scalar(event)

    def _check(self, event: Any, depth: int) -> None:
        """Refuse a list or map that is tagged, or within too many others."""
        if event.tag is not None:
            self._refuse_tag(event)
        if depth >= MAX_DEPTH:
            self._stop(event, f"the file is nested deeper than {MAX_DEPTH} levels; make it flatter")

    def _alias(self, event: Any) -> Scalar:
        told = f"*{event.anchor} is an alias in YAML, which is not allowed"
        self._lose(event, f"{told}; text that begins with * needs quotes")
        return Scalar(f"*{event.anchor}", _mark(event.start_mark))

    def _refuse_second(self, key: Scalar, earlier: Entry) -> None:
        line = earlier.key_mark.line
        told = f'duplicate key "{key.text}"; it stands in line {line} already, keep one'
        self._problems.error(key.mark, told)

    def _refuse_tag(self, event: Any) -> None:
        told = f"{event.tag} is a tag in YAML, which is not allowed"
        self._lose(event, f"{told}; text that begins with ! needs quotes")

    def _lose(self, event: Any, message: str) -> None:
        """The document cannot be understood; those after it can."""
        if self._is_lost:
            return
        self._lost += 1
        if self._lost >= MOST_LOST:
            self._stop(event, message)
        self._is_lost = True
        self._problems.error(_mark(event.start_mark), message)

    def _stop(self, event: Any, message: str) -> NoReturn:
        self._problems.error(_mark(event.start_mark), message)
        raise _Stopped
