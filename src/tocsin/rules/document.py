"""YAML as rules are written: nodes that know their place and keep their text as it was typed.

Narrower than YAML on purpose: no tags, no aliases (a 9⁶ bomb fits in a few lines), no duplicate
keys, at most 1 MB and 64 levels. Scalars follow YAML 1.2, so `off`, `no`, `1:30` and `010` stay
what they look like.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from tocsin.rules.problems import Mark, Problems
from tocsin.rules.yaml_mistakes import told_of

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
MOST_LOST = 50  # documents of a file that an alias or a tag makes unreadable: the rest is not read then
OPEN = "$"  # what `param` begins with where there is no value; no param is called so
LONGEST_NUMBER = 30  # characters; a longer run of digits is an id, not a number

_NULLS = ("", "~", "null", "Null", "NULL")
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
    builder = _Builder(problems)
    try:
        loader = _LOADER(text)
        while (event := loader.get_event()) is not None:  # not yaml.parse(), which takes half as long again
            builder.take(event)
    except _Stopped:
        pass
    except yaml.MarkedYAMLError as exc:
        problems.error(*_not_yaml(text, exc))
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, max(exc.position, 0)) + 1
        problems.error(Mark(line, 1), "a character that YAML does not allow; remove it")
    return [node for node in builder.documents if not (isinstance(node, Scalar) and node.is_null)]


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


class _List:
    """A list that is being filled, or the file's documents."""

    def __init__(self, mark: Mark) -> None:
        self._mark = mark
        self.items: list[Node] = []

    def add(self, node: Node) -> None:
        self.items.append(node)

    def finished(self) -> Node:
        return Items(tuple(self.items), self._mark)


class _Map:
    """A map that is being filled; `key` waits for its value."""

    def __init__(self, mark: Mark, problems: Problems, *, flow: bool) -> None:
        self.key: Scalar | None = None
        self._entries: dict[str, Entry] = {}
        self._mark, self._problems, self._flow = mark, problems, flow

    def add(self, node: Node) -> None:
        key, self.key = self.key, None
        if key is not None:
            if key.text in self._entries:
                self._refuse_second(key)
            else:
                self._entries[key.text] = Entry(key.mark, node)
        elif isinstance(node, Scalar):
            self.key = node

    def _refuse_second(self, key: Scalar) -> None:
        earlier = self._entries[key.text].key_mark.line
        self._problems.error(
            key.mark, f'duplicate key "{key.text}"; it stands in line {earlier} already, keep one'
        )

    def finished(self) -> Node:
        return Table(self._entries, self._mark, self._flow)


class _Builder:
    """Parser events to nodes, with a stack of its own: nothing recurses before the depth is known."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._documents = _List(Mark(1, 1))
        self._stack: list[_List | _Map] = [self._documents]
        self._is_lost = False  # the document that is being read
        self._lost = 0

    @property
    def documents(self) -> list[Node]:
        """What is finished."""
        return self._documents.items

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):  # first, because most are
            if event.tag is not None:
                self._refuse_tag(event)
            text: str = event.value
            if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
                self._stop(event, "half of a surrogate pair is not a character; write the character itself")
            mark: Any = event.start_mark
            place = Mark(mark.line + 1, mark.column + 1)  # not _mark(): it is called for every word of a file
            self._stack[-1].add(Scalar(text, place, not event.style))
        elif isinstance(event, yaml.CollectionStartEvent):
            if event.tag is not None:
                self._refuse_tag(event)
            self._open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            node = self._stack.pop().finished()
            self._stack[-1].add(node)
        elif isinstance(event, yaml.AliasEvent):
            told = f"*{event.anchor} is an alias in YAML, which is not allowed"
            self._lose(event, f"{told}; text that begins with * needs quotes")
            self._stack[-1].add(Scalar(f"*{event.anchor}", _mark(event.start_mark)))
        elif isinstance(event, yaml.DocumentEndEvent) and self._is_lost:
            self._is_lost = False
            self._documents.items.pop()

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        if len(self._stack) > MAX_DEPTH:
            self._stop(event, f"the file is nested deeper than {MAX_DEPTH} levels; make it flatter")
        top, mark = self._stack[-1], _mark(event.start_mark)
        if isinstance(top, _Map) and top.key is None:
            self._stop(event, "a key must be text; put text that begins with { or [ in quotes")
        if isinstance(event, yaml.MappingStartEvent):
            self._stack.append(_Map(mark, self._problems, flow=bool(event.flow_style)))
        else:
            self._stack.append(_List(mark))

    def _refuse_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        told = f"{event.tag} is a tag in YAML, which is not allowed"
        self._lose(event, f"{told}; text that begins with ! needs quotes")

    def _lose(self, event: yaml.Event, message: str) -> None:
        """The document cannot be understood; those after it can."""
        if self._is_lost:
            return
        self._lost += 1
        if self._lost >= MOST_LOST:
            self._stop(event, message)
        self._is_lost = True
        self._problems.error(_mark(event.start_mark), message)

    def _stop(self, event: yaml.Event, message: str) -> None:
        self._problems.error(_mark(event.start_mark), message)
        raise _Stopped
