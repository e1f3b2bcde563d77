"""Looking at the rule files: whether they are others than those that were read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tocsin.errors import RuleError
from tocsin.rules.load import SUFFIXES
from tocsin.settings import Settings

_GONE = -1  # in place of a size


class Signature(NamedTuple):
    """What the files look like from outside: path, time of change (ns), size and inode of each.

    `unreadable` are the folders that could not be listed, and the links to nothing: what rules are there
    nobody knows.
    """

    files: frozenset[tuple[str, int, int, int]]
    unreadable: tuple[RuleError, ...] = ()

    def differs(self, other: Signature) -> bool:
        """Whether they are not the same files as they were."""
        return self.files != other.files or len(self.unreadable) != len(other.unreadable)


def signature_of(settings: Settings) -> Signature:
    """Of every file that rules are made of: rule files, the overlay, the lists, the geo databases."""
    unreadable: list[RuleError] = []
    overlay = [settings.overlay] if settings.overlay else []
    paths = [*settings.rules, *overlay, *settings.lists.values(), *settings.geo]
    return Signature(frozenset(_looks(paths, unreadable)), tuple(unreadable))


def _looks(paths: Iterable[Path], unreadable: list[RuleError]) -> Iterator[tuple[str, int, int, int]]:
    def note(error: OSError) -> None:
        message = f"the folder cannot be read: {error.strerror or error}; check its permissions"
        unreadable.append(RuleError(str(error.filename), 1, 1, message))

    for path in paths:
        yield _look(path)
        for file in _rule_files(path, note):
            seen = _look(file)
            if seen[2] == _GONE:
                message = "the file cannot be read; it is gone, or a link to nothing: mend or delete it"
                unreadable.append(RuleError(seen[0], 1, 1, message))
            yield seen


def _rule_files(folder: Path, note: Callable[[OSError], None]) -> Iterator[Path]:
    """The rule files in a folder, and in those in it; none of a file."""
    for parent, _, names in os.walk(folder, onerror=note) if folder.is_dir() else ():
        yield from (Path(parent, n) for n in names if n.endswith(SUFFIXES) and not n.startswith("."))


def _look(path: Path) -> tuple[str, int, int, int]:
    try:
        seen = path.stat()
    except OSError:
        return str(path), 0, _GONE, 0  # for now, maybe
    # A folder's own time changes with every file an editor leaves in it for a moment.
    if stat.S_ISDIR(seen.st_mode):
        return str(path), 0, 0, 0
    return str(path), seen.st_mtime_ns, seen.st_size, seen.st_ino


class Watch:
    """Says when the files have changed and come to rest: a set that is half saved is left alone.

    `tried` says what was read last, whatever came of it.
    """

    def __init__(self, look: Callable[[], Signature], tried: Callable[[], Signature]) -> None:
        self._look, self._tried = look, tried
        self._seen = tried()

    def rested(self) -> bool:
        """Whether there is something new to read, which is as it was at the last look."""
        seen, self._seen = self._seen, self._look()
        return not self._seen.differs(seen) and self._seen.differs(self._tried())
