"""YAML as people write it, with the line of everything, so that an error has a place.

Narrower than YAML on purpose: no tags, no anchors or aliases (a 9⁶ bomb fits in a few lines), no
duplicate keys, at most 1 MB and 64 levels; only `true`/`false`/`null`, decimal numbers and text, so
that `no`, `off`, `1:30` and `2024-01-01` stay the text they look like.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tocsin.errors import ConfigError

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64

Steps = tuple[str | int, ...]

_WORDS: dict[str, bool | None] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_DECIMAL = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")


class Place(NamedTuple):
    """Where in the file, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """A file's data (plain dicts with text keys, lists, scalars) and where each part stands.

    `keys` and `values` give the place of the key and of the value at a path of keys and indexes.
    """

    file: str
    data: Any
    keys: dict[Steps, Place] = field(default_factory=dict)
    values: dict[Steps, Place] = field(default_factory=dict)

    def place(self, steps: Sequence[str | int], *, key: bool = False) -> Place:
        """Where the value (or the key) at `steps` stands; steps that lead nowhere are passed over.

        Passing over is for pydantic, whose locations name union members between real steps.
        """
        found: Steps = ()
        for step in steps:
            if (*found, step) in self.values:
                found = (*found, step)
        fallback = self.values.get(found, Place(1, 1))
        return self.keys.get(found, fallback) if key else fallback

    def error(self, steps: Sequence[str | int], message: str, *, key: bool = False) -> str:
        """`file:line: message`, of what stands at `steps`; without a line where there is no file."""
        if not self.values:
            return f"{self.file}: {message}"
        return f"{self.file}:{self.place(steps, key=key).line}: {message}"


def load_document(path: Path, *, shown: str | None = None) -> Document:
    """Read and parse a file; `shown` is its name in errors (else the path as given).

    Raises:
        ConfigError: it cannot be read, or is not such YAML.
    """
    name = shown or str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"{name}: cannot be read: {exc.strerror}") from exc
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{name}: the file is larger than 1 MB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise ConfigError(f"{name}:{line}: this is not UTF-8 text; save the file as UTF-8") from exc
    return parse_document(text, name)


def parse_document(text: str, file: str) -> Document:
    """Parse one document; an empty one is None.

    Raises:
        ConfigError: the first thing wrong, with its line (all duplicate keys at once).
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{file}:{line}: not valid YAML: {exc.problem or exc.context}") from exc
    except yaml.YAMLError as exc:
        line = text.count("\n", 0, getattr(exc, "position", 0) or 0) + 1
        raise ConfigError(f"{file}:{line}: a character that YAML does not allow") from exc
    reader = _Reader(file)
    data = reader.read(node, ()) if node is not None else None
    if reader.problems:
        raise ConfigError("\n".join(reader.problems))
    return Document(file, data, reader.keys, reader.values)


class _Loader(yaml.SafeLoader):
    """Composes nodes, and refuses while it does what could cost more than it shows."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases, anchors, tags and depth before the node is made."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _refusal(event, "anchors and aliases (& and *) are not allowed; write the value out")
        if getattr(event, "tag", None) is not None:
            raise _refusal(event, "tags (!) are not allowed; quote the value if it is text")
        if self.depth >= MAX_DEPTH:
            raise _refusal(event, f"nested deeper than {MAX_DEPTH} levels")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _refusal(event: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


class _Reader:
    """Nodes into plain data, keeping places and collecting duplicate keys."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.keys: dict[Steps, Place] = {}
        self.values: dict[Steps, Place] = {}
        self.problems: list[str] = []

    def read(self, node: yaml.Node, steps: Steps) -> Any:
        self.values[steps] = _place(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, steps)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*steps, index)) for index, item in enumerate(node.value)]
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, steps: Steps) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = _place(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(f"{self.file}:{place.line}: a key must be text")
                continue
            key = str(key_node.value)
            if key in made:
                first = self.keys[(*steps, key)].line
                self.problems.append(
                    f'{self.file}:{place.line}: duplicate key "{key}", first on line {first}'
                )
                continue
            self.keys[(*steps, key)] = place
            made[key] = self.read(value_node, (*steps, key))
        return made


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    if getattr(node, "style", None) is not None:  # quoted, or a block: text
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text
