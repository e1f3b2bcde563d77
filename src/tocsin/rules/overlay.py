"""A site's overlay file: rule id or name -> enabled, params, labels, severity. Rules stay as shipped."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tocsin.model.rule import Severity
from tocsin.rules.document import Scalar, Table, read_documents
from tocsin.rules.params import Chosen
from tocsin.rules.problems import Mark, Problems, did_you_mean
from tocsin.rules.section import Section
from tocsin.rules.spec import Meta, severity_at


@dataclass(frozen=True, slots=True)
class Override:
    """What a site says about one rule."""

    mark: Mark
    enabled: bool = True
    params: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    param_marks: Mapping[str, Mark] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Overlay:
    """All overrides, by the rule's id or name."""

    overrides: Mapping[str, Override]
    problems: Problems

    def of(self, meta: Meta) -> Override:
        """What it says about a rule."""
        for name in (meta.written_id, meta.name, meta.label):
            if name and name in self.overrides:
                return self.overrides[name]
        return Override(meta.mark)

    def choose(self, meta: Meta) -> Chosen | None:
        """The params it chose for a rule; None where it says nothing of it."""
        override = self.of(meta)
        if not override.params:
            return None
        return Chosen(override.params, override.param_marks, self.problems)

    def check_names(self, metas: Sequence[Meta], unread: Container[str] = ()) -> None:
        """Report names that are no rule's, or several rules'; `unread` are those of rules with mistakes."""
        known = {name for meta in metas for name in (meta.written_id, meta.label) if name}
        for name, override in self.overrides.items():
            meant = [meta for meta in metas if name in (meta.written_id, meta.name, meta.label)]
            if not meant and name not in unread:
                self.problems.error(override.mark, f'there is no rule "{name}"; {did_you_mean(name, known)}')
            elif len({meta.id for meta in meant}) > 1:
                places = " and ".join(meta.place for meta in meant)
                self.problems.error(
                    override.mark, f'several rules are called "{name}": {places}; write an id'
                )


def read_overlay(path: Path | None) -> Overlay:
    """The overlay of a file; an empty one where there is no path. Mistakes are noted in its `problems`."""
    problems = Problems(str(path or "overlay"))
    if path is None:
        return Overlay({}, problems)
    try:
        nodes = read_documents(path.read_bytes(), problems)
    except OSError as exc:
        problems.error(Mark(1, 1), f"the overlay cannot be read: {exc.strerror or exc}; check the path")
        return Overlay({}, problems)
    overrides: dict[str, Override] = {}
    for node in nodes:
        if not isinstance(node, Table):
            problems.error(node.mark, "an overlay is a map from rule ids or names; begin with one")
            continue
        overrides |= _overrides(Section(node, "the overlay", problems))
    return Overlay(overrides, problems)


def _overrides(section: Section) -> dict[str, Override]:
    found: dict[str, Override] = {}
    for name in section.table.entries:
        within = section.section(name, f'the overlay of "{name}"')
        if within is not None:
            found[name] = _override(within, section.mark_of(name))
    return found


def _override(section: Section, mark: Mark) -> Override:
    params = section.section("params")
    names = tuple(params.table.entries) if params else ()
    found = Override(
        mark=mark,
        enabled=section.flag("enabled", default=True),
        params={name: values for name in names if params and (values := params.scalars(name))},
        param_marks={name: params.mark_of(name) for name in names if params},
        labels=section.text_map("labels"),
        severity=severity_at(section, "severity"),
    )
    section.done()
    return found
