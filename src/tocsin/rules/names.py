"""Which rule a name means: one of the same file first, then one of all files; never one of several."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from tocsin.rules.document import Scalar
from tocsin.rules.problems import Problems
from tocsin.rules.spec import Doc, FilterDoc

MOST_PLACES = 10  # of rules with one name, in a message
_NAMING = re.compile(r"^[ \t]*(?:name|id):(.*)$", re.MULTILINE)


@dataclass
class Unread:
    """Names of rules that a mistake kept from being read: to use one is no second mistake.

    `all_lost`: whole files are not there, so that any name may be one of theirs.
    """

    all_lost: bool = False
    names: set[str] = field(default_factory=set)

    def take(self, text: str) -> None:
        """The names in a file with mistakes, as far as they can be seen."""
        self.names.update(written.strip(" \t\r'\"") for written in _NAMING.findall(text))

    def __contains__(self, name: object) -> bool:
        return self.all_lost or name in self.names


class Names:
    """The rules of a load by id and by name."""

    def __init__(self, docs: Sequence[Doc], unread: Container[str] = ()) -> None:
        self._unread = unread
        self._by_name: dict[str, list[Doc]] = defaultdict(list)
        self._of_file: dict[str, dict[str, None]] = defaultdict(dict)
        self._titles: dict[tuple[str, str], Doc] = {}  # of rules without a name
        for doc in docs:
            if isinstance(doc, FilterDoc):
                continue
            meta = doc.meta
            for name in {meta.written_id, meta.name} - {""}:
                self._by_name[name].append(doc)
                self._of_file[self._by_name[name][0].meta.file][name] = None
            if not meta.name:
                self._titles.setdefault((meta.file, meta.title), doc)

    def find(self, reference: Scalar, problems: Problems) -> Doc | None:
        """The rule that a reference in this file means; None after a mistake."""
        found = self._by_name.get(reference.text, [])
        near = [doc for doc in found if doc.meta.file == problems.file]
        meant = near or found
        if len(meant) == 1:
            return meant[0]
        if meant:
            places = ", ".join(doc.meta.place for doc in meant[:MOST_PLACES])
            places += f" and {more} more" if (more := len(meant) - MOST_PLACES) > 0 else ""
            problems.error(
                reference.mark, f'"{reference.text}" is the name of several rules: {places}; use an id'
            )
        elif reference.text in self._unread:
            pass
        elif (nameless := self._nameless(reference.text, problems.file)) is not None:
            problems.error(
                reference.mark,
                f'there is no rule "{reference.text}"; {nameless.meta.place} has it as its title only, '
                f"give that rule a name: {_as_name(reference.text)}",
            )
        else:
            here = self._of_file.get(problems.file)
            hint = problems.hint(reference.text, here or self._by_name)
            hint = hint if self._by_name else "load its file, too"
            problems.error(reference.mark, f'there is no rule "{reference.text}"; {hint}')
        return None

    def _nameless(self, title: str, file: str) -> Doc | None:
        """The rule of that file which has that title, and no name."""
        return self._titles.get((file, title))


def _as_name(title: str) -> str:
    """A title as people write names: `failed_logins`."""
    return re.sub(r"\W+", "_", title.casefold()).strip("_")


def check_unique(docs: Sequence[Doc]) -> None:
    """Report ids that two documents share, and names that two of one file share."""
    ids: dict[str, Doc] = {}
    names: dict[tuple[str, str], Doc] = {}
    for doc in docs:
        meta = doc.meta
        earlier = ids.setdefault(meta.written_id, doc) if meta.written_id else doc
        if earlier is not doc:
            doc.problems.error(
                meta.name_mark, f'duplicate id "{meta.id}"; {earlier.meta.place} has it already'
            )
        earlier = names.setdefault((meta.file, meta.name), doc) if meta.name else doc
        if earlier is not doc:
            doc.problems.error(
                meta.name_mark, f'duplicate name "{meta.name}"; {earlier.meta.place} has it already'
            )
