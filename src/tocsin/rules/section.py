"""A map of a rule file being read: typed values out, and a mistake noted where one is not what it must be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tocsin.rules.document import Entry, Items, Node, Scalar, Table
from tocsin.rules.durations import duration_meant, duration_ms
from tocsin.rules.problems import Mark, Problems
from tocsin.rules.yaml_mistakes import spaceless

_COMMA = "in braces a comma begins the next entry; text with a comma needs quotes"
NOWHERE: Mapping[str, str] = {}


class Section:
    """A map under reading. Every getter answers the default where the key is absent or wrong.

    `name` is how messages call the map. `done` reports the keys nobody asked for.
    """

    def __init__(self, table: Table, name: str, problems: Problems) -> None:
        self.table, self.name, self.problems = table, name, problems
        self._entries = table.entries
        self._asked: list[str] = []

    @property
    def mark(self) -> Mark:
        """Where the map begins."""
        return self.table.mark

    def has(self, key: str) -> bool:
        """Whether the key is there, with a value."""
        return self.node(key) is not None

    def node(self, key: str) -> Node | None:
        """The value as it stands; None where it is absent or null."""
        self._asked.append(key)
        entry = self._entries.get(key)
        if entry is None or (isinstance(entry.node, Scalar) and entry.node.is_null):
            return None
        return entry.node

    def lacks(self, key: str) -> bool:
        """Whether nothing was written at the key; a wrong `$name` is something, and told already."""
        entry = self.table.entries.get(key)
        is_open = entry is not None and isinstance(entry.node, Scalar) and entry.node.is_open
        return not is_open and not self.has(key)

    def mark_of(self, key: str) -> Mark:
        """Where the key stands; where it is absent, the map."""
        entry = self.table.entries.get(key)
        return entry.key_mark if entry else self.table.mark

    def wrong(self, key: str, message: str) -> None:
        """Note a mistake at the value of a key."""
        entry = self.table.entries.get(key)
        self.problems.error(entry.node.mark if entry else self.table.mark, message)

    def scalar(self, key: str, what: str = "text") -> Scalar | None:
        """A single value."""
        node = self.node(key)
        if node is None or isinstance(node, Scalar):
            return node
        self.wrong(key, f"{key} must be {what}{_shape(node)}")
        return None

    def text(self, key: str, default: str = "") -> str:
        """Text, as written."""
        node = self.node(key)
        if isinstance(node, Scalar):
            return node.text
        if node is not None:
            self.scalar(key)  # which says what is wrong
        return default

    def flag(self, key: str, *, default: bool = False) -> bool:
        """`true` or `false`."""
        node = self.scalar(key, "true or false")
        if node is None:
            return default
        if isinstance(node.value, bool):
            return node.value
        self.wrong(key, f"{key} must be true or false, not {node.text!r}")
        return default

    def number(self, key: str) -> float | None:
        """A number."""
        node = self.scalar(key, "a number")
        return None if node is None else number_of(node, key, self.problems)

    def duration_ms(self, key: str) -> int | None:
        """A duration like `10m`, in milliseconds."""
        node = self.scalar(key, "a duration like 30s, 10m, 4h or 7d")
        if node is None:
            return None
        try:
            return duration_ms(node.text)
        except ValueError as exc:
            meant = duration_meant(node.text)
            self.wrong(key, f"{key}: {exc}{f'; here {meant}' if meant else ''}")
            return None

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, or one text."""
        return tuple([scalar.text for scalar in self.scalars(key)])

    def scalars(self, key: str) -> tuple[Scalar, ...]:
        """A list of single values, or one."""
        node = self.node(key)
        if node is None:
            return ()
        if isinstance(node, Scalar):
            return (node,)
        if isinstance(node, Items):
            found = tuple([item for item in node.items if isinstance(item, Scalar)])
            if len(found) == len(node.items):
                return found
            place, other = next(one for one in enumerate(node.items, 1) if not isinstance(one[1], Scalar))
            told = f"{key} must be a list of texts, and entry {place} is {_kind(other)}"
            self.problems.error(other.mark, told)
            return ()
        self.wrong(key, f"{key} must be a list of texts{_shape(node)}")
        return ()

    def names(self, key: str, example: str, *, none: bool = False) -> tuple[str, ...]:
        """A list of texts, or one, each of which names something; an empty list only where `none` is fine.

        `example` is how one is written. Nothing after a mistake.
        """
        found, node = self.scalars(key), self.node(key)
        nameless = [one for one in found if (one.is_null or not one.text) and not one.is_open]
        if isinstance(node, Items) and not node.items and not none:
            self.wrong(key, f"{key} is empty; write one, like {example}")
        for one in nameless:
            self.problems.error(one.mark, f"{key} must not be empty; write one, like {example}")
        return () if nameless else tuple([one.text for one in found])

    def section(self, key: str, name: str = "") -> Section | None:
        """A map within."""
        node = self.node(key)
        if node is None:
            return None
        if isinstance(node, Table):
            return Section(node, name or key, self.problems)
        meant = spaceless(node.text) if isinstance(node, Scalar) else ""
        hint = f'; write a space after the colon: "{meant}"' if meant else ""
        self.wrong(key, f"{key} must be a map{_shape(node)}{hint}")
        return None

    def sections(self, key: str, name: str = "", first: str = "…") -> list[Section]:
        """A list of maps within; `first` is the key that each begins with, for messages."""
        node = self.node(key)
        if node is None:
            return []
        if isinstance(node, Items):
            found = [item for item in node.items if isinstance(item, Table)]
            if len(found) == len(node.items):
                return [Section(item, name or key, self.problems) for item in found]
            place, other = next(one for one in enumerate(node.items, 1) if not isinstance(one[1], Table))
            told = f"{key} must be a list of maps, and entry {place} is {_kind(other, first)}"
            self.problems.error(other.mark, told)
            return []
        shape = "; this is one map, put it in a list: [{…}]" if isinstance(node, Table) else _shape(node)
        self.wrong(key, f"{key} must be a list of maps{shape}")
        return []

    def text_map(self, key: str) -> dict[str, str]:
        """A map of texts to texts."""
        within = self.section(key)
        if within is None:
            return {}
        return {name: within.text(name) for name in within.table.entries}

    def rest(self) -> Iterator[tuple[str, Entry]]:
        """The entries nobody asked for."""
        for key, entry in self.table.entries.items():
            if key not in self._asked:
                yield key, entry

    def done(self, elsewhere: Mapping[str, str] = NOWHERE) -> None:
        """Report unknown keys; `elsewhere` says of those that stand in the wrong place where they belong."""
        for key, entry in self.rest():
            place = elsewhere.get(key)
            hint = (
                f"it belongs into {place}" if place else self.problems.hint(key, dict.fromkeys(self._asked))
            )
            if self.table.flow and _is_nothing(entry):
                meant = spaceless(key)
                hint = f'write a space after the colon: "{meant}"' if meant else _COMMA
            self.problems.error(entry.key_mark, f'unknown key "{key}" in {self.name}; {hint}')


def number_of(node: Scalar, key: str, problems: Problems) -> float | None:
    """A scalar as a number; a mistake where it is none (true is no number)."""
    value = node.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    unquoted = Scalar(node.text, node.mark, plain=True).value
    hint = "" if isinstance(unquoted, str | bool | None) else "; remove the quotes"
    if hint and node.param:
        hint += f' of the param "{node.param}"'
    problems.error(node.mark, f"{key} must be a number, not {node.text!r}{hint}")
    return None


def replaced(table: Table, changes: Mapping[str, Node]) -> Table:
    """The map with some values changed."""
    entries = dict(table.entries)
    for key, node in changes.items():
        earlier = entries.get(key)
        entries[key] = Entry(earlier.key_mark if earlier else node.mark, node)
    return Table(entries, table.mark, table.flow)


def _kind(node: Node, first: str = "…") -> str:
    """What an entry of a list is in place of what it must be, and the usual way out."""
    match node:
        case Items():
            return "a list; write its entries one by one"
        case Table(entries, flow=True) if all(_is_nothing(entry) for entry in entries.values()):
            return "a map, as an unquoted {…} is in YAML; put it in quotes"
        case Table(entries):
            return f"a map; write text, like {next(iter(entries), 'a')}"
        case Scalar(text):
            meant = spaceless(text)
            hint = f'a space after the colon: "{meant}"' if meant else f"{{{first}: {text}}}"
            return f"the text {text!r}; write {hint}"


def _is_nothing(entry: Entry) -> bool:
    """Whether a key has no value, as in `{key}`."""
    return isinstance(entry.node, Scalar) and entry.node.is_null and not entry.node.text


def _shape(node: Node) -> str:
    """What was found instead, and the usual reason for it."""
    match node:
        case Items():
            return "; this is a list"
        case Table(flow=True):
            return "; an unquoted {…} is a map in YAML, put it in quotes"
        case Table():
            return "; this is a map"
        case _:
            return f", not {node.text!r}"
