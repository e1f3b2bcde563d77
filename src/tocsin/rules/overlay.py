"""A site's overlay file: rule -> enabled, params, labels, level. Rules stay as shipped.

A rule is named by its id or name, or by a glob over names (`mfa_*`). What is said of it by name beats what
a glob says, and of two of a kind the later one counts, setting by setting.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from tocsin.model.rule import Severity
from tocsin.rules.document import Scalar, Table, read_documents
from tocsin.rules.lints.labels import lint_labels
from tocsin.rules.params import Chosen
from tocsin.rules.problems import Mark, Problems, did_you_mean
from tocsin.rules.section import Section
from tocsin.rules.spec import Meta, severity_at

_WILD = "*?["


@dataclass(frozen=True, slots=True)
class Override:
    """What a site says about one rule; `marks` are where it says so, by setting (`label.team`)."""

    mark: Mark
    enabled: bool = True
    params: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    param_marks: Mapping[str, Mark] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    severity: Severity | None = None
    marks: Mapping[str, Mark] = field(default_factory=dict)


_UNTOUCHED = Override(Mark(1, 1))


@dataclass(frozen=True, slots=True)
class Saying:
    """One entry of the file: what is said of the rules of a name, id or glob."""

    name: str
    override: Override

    @property
    def is_glob(self) -> bool:
        """Whether it may be about several rules."""
        return any(char in self.name for char in _WILD)

    def is_of(self, meta: Meta) -> bool:
        """Whether it is about this rule; a glob knows rules by what they are shown as."""
        if self.name in (meta.written_id, meta.name, meta.label):
            return True
        return self.is_glob and fnmatchcase(meta.label, self.name)


@dataclass(frozen=True, slots=True)
class Overlay:
    """All that it says, in the order of the file."""

    sayings: Sequence[Saying]
    problems: Problems
    taken: set[tuple[str, str]] = field(default_factory=set)  # the globs' params that a rule has

    def of(self, meta: Meta) -> Override:
        """What it says about a rule, all in all."""
        said = self._about(meta)
        if not said:
            return _UNTOUCHED
        return said[0].override if len(said) == 1 else _merged([one.override for one in said])

    def choose(self, meta: Meta) -> Chosen | None:
        """The params it chose for a rule; None where it says nothing of it."""
        said = self._about(meta)
        values = {name: value for one in said for name, value in one.override.params.items()}
        if not values:
            return None
        marks = {name: mark for one in said for name, mark in one.override.param_marks.items()}
        named = frozenset(name for one in said if not one.is_glob for name in one.override.param_marks)
        globs: dict[str, list[str]] = {}
        for one in said:
            for name in one.override.params if one.is_glob else ():
                globs.setdefault(name, []).append(one.name)
        return Chosen(values, marks, self.problems, meta.label, named, globs, self.taken)

    def check_names(self, metas: Sequence[Meta], unread: Container[str] = ()) -> None:
        """Report names that are no rule's, or several rules'; `unread` are those of rules with mistakes."""
        known = {name for meta in metas for name in (meta.written_id, meta.label) if name}
        for one in self.sayings:
            meant = [meta for meta in metas if one.is_of(meta)]
            exact = [meta for meta in meant if one.name in (meta.written_id, meta.name, meta.label)]
            if one.is_glob and not exact:
                self._check_glob(one, meant, [meta.label for meta in metas])
            elif not meant and one.name not in unread:
                self.problems.error(
                    one.override.mark, f'there is no rule "{one.name}"; {did_you_mean(one.name, known)}'
                )
            elif len({meta.id for meta in exact}) > 1:
                places = " and ".join(meta.place for meta in exact)
                self.problems.error(
                    one.override.mark, f'several rules are called "{one.name}": {places}; write an id'
                )

    def _check_glob(self, one: Saying, meant: Sequence[Meta], known: Sequence[str]) -> None:
        if not meant:
            hint = did_you_mean(one.name.strip(_WILD), known)
            self.problems.warning(one.override.mark, f'no rule is called like "{one.name}"; {hint}')
            return
        for name, mark in one.override.param_marks.items():
            if (one.name, name) not in self.taken:
                self.problems.error(
                    mark,
                    f'no rule called like "{one.name}" has a param "{name}"; '
                    "`tocsin rules params` lists them all",
                )

    def _about(self, meta: Meta) -> list[Saying]:
        """What is about the rule, the least particular first."""
        if not self.sayings:
            return []
        return sorted((one for one in self.sayings if one.is_of(meta)), key=lambda one: not one.is_glob)


def read_overlay(path: Path | None, more: bytes = b"") -> Overlay:
    """The overlay of a file; an empty one where there is no path. Mistakes are noted in its `problems`.

    `more` is the text of another one, which comes after it.
    """
    problems = Problems(str(path or "overlay"))
    try:
        nodes = list(read_documents(path.read_bytes(), problems)) if path else []
    except OSError as exc:
        problems.error(Mark(1, 1), f"the overlay cannot be read: {exc.strerror or exc}; check the path")
        return Overlay((), problems)
    nodes += read_documents(more, problems) if more else []
    sayings: list[Saying] = []
    for node in nodes:
        if not isinstance(node, Table):
            problems.error(node.mark, "an overlay is a map from rule ids or names; begin with one")
            continue
        sayings += _sayings(Section(node, "the overlay", problems))
    return Overlay(sayings, problems)


def _sayings(section: Section) -> Iterator[Saying]:
    for name in section.table.entries:
        within = section.section(name, f'the overlay of "{name}"')
        if within is not None:
            yield Saying(name, _override(within, section.mark_of(name)))


def _override(section: Section, mark: Mark) -> Override:
    params = section.section("params")
    names = tuple(params.table.entries) if params else ()
    if section.has("level") and section.has("severity"):
        section.wrong("severity", "level and severity are the same here; keep level")
    lint_labels(section.table, section.problems)
    found = Override(
        mark=mark,
        enabled=section.flag("enabled", default=True),
        params={name: values for name in names if params and (values := params.scalars(name))},
        param_marks={name: params.mark_of(name) for name in names if params},
        labels=section.text_map("labels"),
        severity=severity_at(section, "level") or severity_at(section, "severity"),
        marks=_marks(section),
    )
    section.done()
    return found


def _marks(section: Section) -> dict[str, Mark]:
    """Where each setting stands: `enabled`, `level`, `label.NAME`."""
    entries = section.table.entries
    found: dict[str, Mark] = {}
    for key, setting in (("enabled", "enabled"), ("level", "level"), ("severity", "level")):
        if key in entries:
            found[setting] = entries[key].key_mark
    labels = entries["labels"].node if "labels" in entries else None
    if isinstance(labels, Table):
        found |= {f"label.{name}": entry.key_mark for name, entry in labels.entries.items()}
    return found


def _merged(overrides: Sequence[Override]) -> Override:
    """Setting by setting the last one counts."""
    found = overrides[0]
    for later in overrides[1:]:
        found = Override(
            mark=later.mark,
            enabled=later.enabled if "enabled" in later.marks else found.enabled,
            params={**found.params, **later.params},
            param_marks={**found.param_marks, **later.param_marks},
            labels={**found.labels, **later.labels},
            severity=later.severity or found.severity,
            marks={**found.marks, **later.marks},
        )
    return found
