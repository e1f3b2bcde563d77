"""Rule files to a rule set: everything that is wrong is told at once, and then nothing is loaded."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tocsin.catalog import lookup
from tocsin.errors import RuleError, RuleErrors
from tocsin.model.compiled import RuleSet
from tocsin.model.place import Locator
from tocsin.rules.cases import Case
from tocsin.rules.detection.scope import Catalog, Listed
from tocsin.rules.document import MAX_BYTES
from tocsin.rules.linker import Known, Linker
from tocsin.rules.lints.lint import lint
from tocsin.rules.made import Made
from tocsin.rules.names import Names, Unread, check_unique
from tocsin.rules.overlay import Overlay, read_overlay
from tocsin.rules.parse import parse_file
from tocsin.rules.problems import Mark, Problems
from tocsin.rules.spec import Doc, FilterDoc

SUFFIXES = (".yml", ".yaml")
_START = Mark(1, 1)
_COMMENT = re.compile(r"(?:^|\s)#.*")


class Loaded(NamedTuple):
    """A rule set, and the tests of each of its rules by the rule's id.

    `docs` are all documents of the files; `made` what came of them, rules that cannot run included.
    """

    ruleset: RuleSet
    cases: Mapping[str, tuple[Case, ...]]
    docs: tuple[Doc, ...]
    made: tuple[Made, ...]


def load_rules(
    paths: Sequence[Path],
    *,
    overlay: Path | None = None,
    lists: Mapping[str, Path] | None = None,
    trusted: Sequence[str] = (),
    catalog: Catalog | None = None,
    locator: Locator | None = None,
) -> RuleSet:
    """The rules of files and folders (`*.yml`, `*.yaml`, in folders of folders too).

    `lists` are files of one text a line, for `|expand`; `trusted` are globs of the names of rules
    whose regular expressions may run on `re`; `locator` finds the places of addresses.

    Raises:
        RuleErrors: every mistake of every file; no rule was loaded.
    """
    return load(
        paths, overlay=overlay, lists=lists, trusted=trusted, catalog=catalog, locator=locator
    ).ruleset


def load(
    paths: Sequence[Path],
    *,
    overlay: Path | None = None,
    lists: Mapping[str, Path] | None = None,
    trusted: Sequence[str] = (),
    catalog: Catalog | None = None,
    locator: Locator | None = None,
    some_missing: bool = False,
    tried: bytes = b"",
) -> Loaded:
    """As `load_rules`, with the tests that stand in the files.

    `tried` is the text of an overlay that comes after the site's, which may then speak of rules that
    are not in these files.
    `some_missing`: other files, known to be missing, may hold the rules that nobody here knows.
    """
    site = read_overlay(overlay, tried)
    unread = Unread(all_lost=some_missing)
    told = [site.problems]
    docs: list[Doc] = []
    for path in _files(paths, told):
        problems = Problems(path.as_posix())
        told.append(problems)
        docs += _read(path, problems, site, unread)
    if not tried:  # of a rule's own files; the site's overlay speaks of all its rules
        site.check_names([doc.meta for doc in docs if not isinstance(doc, FilterDoc)], unread)
    found_lists = {name: _read_list(path, told) for name, path in (lists or {}).items()}
    check_unique(docs)
    known = Known(catalog or lookup, found_lists, tuple(trusted), locator)
    made = Linker(docs, Names(docs, unread), site, known).rules()
    lint(docs)
    errors = [error for problems in told for error in _in_order(problems.errors)]
    warnings = tuple(warning for problems in told for warning in _in_order(problems.warnings))
    if errors:
        raise RuleErrors(errors, warnings)
    return Loaded(_ruleset(made, warnings), _cases(docs), tuple(docs), tuple(made))


def _files(paths: Sequence[Path], told: list[Problems]) -> list[Path]:
    found: dict[Path, Path] = {}  # by where they really are
    empty: list[Problems] = []
    for path in paths:
        within = _files_in(path) if path.is_dir() else [(path, path.resolve())]
        for file, real in sorted(within, key=lambda one: one[0].parts):
            found.setdefault(real, file)
        if not within:
            empty.append(Problems(path.as_posix()))
    for problems in empty:
        # Beside other rules an empty folder may be meant; with no rule at all the path is wrong.
        note = problems.warning if found else problems.error
        note(_START, f"the folder holds no rule; rules are {' and '.join(SUFFIXES)} files")
    told += empty
    return list(found.values())


def _files_in(folder: Path) -> list[tuple[Path, Path]]:
    """The rule files of a folder and of those in it, each with where it really is."""
    found: list[tuple[Path, Path]] = []
    left = [(folder, folder.resolve())]
    while left:
        within, real = left.pop()
        for entry in _entries(within):
            file, place = within / entry.name, real / entry.name
            if entry.is_dir(follow_symlinks=False):
                left.append((file, place))
            elif not entry.name.endswith(SUFFIXES) or entry.name[0] == ".":
                continue
            elif entry.is_file(follow_symlinks=False):
                found.append((file, place))
            elif file.is_file():
                found.append((file, file.resolve()))
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds: nothing, if it may not be read."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except PermissionError:
        return []


def _read(path: Path, problems: Problems, site: Overlay, unread: Unread) -> list[Doc]:
    try:
        data = path.read_bytes()
    except OSError as exc:
        problems.error(Mark(1, 1), f"the file cannot be read: {exc.strerror or exc}; check the path")
        return []
    docs = parse_file(data, problems, site.choose)
    if problems.errors:
        unread.take(data[:MAX_BYTES].decode("utf-8", "replace"))
    return docs


def _read_list(path: Path, told: list[Problems]) -> tuple[str, ...]:
    """The texts of a list file: one a line. A comment (`#`) begins a line or follows a blank."""
    problems = Problems(path.as_posix())
    told.append(problems)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as exc:
        problems.error(Mark(1, 1), f"the list cannot be read: {exc.strerror or exc}; check the path")
        return ()
    except UnicodeDecodeError:
        problems.error(Mark(1, 1), "the list is not UTF-8; save it as UTF-8")
        return ()
    return tuple(
        Listed.at(text, f"{path.as_posix()}:{number}")
        for number, line in enumerate(lines, 1)
        if (text := _COMMENT.sub("", line).strip())
    )


def _in_order(errors: Iterable[RuleError]) -> list[RuleError]:
    unique = {str(error): error for error in errors}
    return sorted(unique.values(), key=lambda error: (error.line, error.column))


def _ruleset(made: Sequence[Made], warnings: tuple[RuleError, ...]) -> RuleSet:
    running = [rule for rule in made if not rule.not_running]
    return RuleSet(
        rules=tuple(rule.compiled for rule in running),
        fields=frozenset().union(*(rule.fields for rule in running)),
        warnings=warnings,
        not_running={rule.compiled.rule.name: rule.not_running for rule in made if rule.not_running},
    )


def _cases(docs: Sequence[Doc]) -> dict[str, tuple[Case, ...]]:
    tested = [doc for doc in docs if not isinstance(doc, FilterDoc) and doc.extension.tests]
    return {doc.meta.id: doc.extension.tests for doc in tested if not isinstance(doc, FilterDoc)}
