"""What a rule file says, checked and typed: Sigma's documents and the `tocsin:` key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from tocsin.catalog.provider import ECS
from tocsin.model.rule import SEVERITIES, Severity, SeverityBound
from tocsin.rules.cases import Case
from tocsin.rules.correlations.kind import CorrelationSpec
from tocsin.rules.detection.fields import Vocabulary
from tocsin.rules.document import Entry, Node, Scalar, Table
from tocsin.rules.params import Param
from tocsin.rules.problems import Mark, Problems, did_you_mean, nearest
from tocsin.rules.section import Section


@dataclass(frozen=True, slots=True)
class Meta:
    """What every Sigma document says of itself. `label` is how it is shown: name, else id, else title."""

    file: str
    mark: Mark
    title: str
    id: str
    written_id: str
    name: str
    name_mark: Mark
    status: str = ""
    description: str = ""
    author: str = ""
    level: Severity | None = None
    tags: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The shown name."""
        return self.name or self.written_id or self.title

    @property
    def place(self) -> str:
        """`file:line`, for messages about two places."""
        return f"{self.file}:{self.name_mark.line}"


@dataclass(frozen=True, slots=True)
class AlertSpec:
    """`tocsin.alert`."""

    title: str = ""
    severity: tuple[SeverityBound, ...] = ()
    resolve_after_ms: int | None = None
    for_ms: int = 0
    key: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    runbook: str = ""
    context: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extension:
    """The `tocsin:` key."""

    params: Mapping[str, Param] = field(default_factory=dict)
    categories: tuple[Scalar, ...] = ()
    correlate: CorrelationSpec | None = None
    prefixes: Mapping[str, int] = field(default_factory=dict)
    alert: AlertSpec = field(default_factory=AlertSpec)
    tests: tuple[Case, ...] = ()


@dataclass(frozen=True, slots=True)
class DetectionDoc:
    """A document with a detection: its selections, and its conditions (several = OR).

    `root`, here and below, is the whole document, in which params stand where they are set.
    """

    meta: Meta
    root: Table
    product: str
    taxonomy: str
    selections: Mapping[str, Entry]
    conditions: tuple[Scalar, ...]
    generate: bool
    extension: Extension
    problems: Problems

    @property
    def vocabulary(self) -> Vocabulary:
        """What its field names mean."""
        return Vocabulary(self.product, ecs=self.taxonomy == ECS)


@dataclass(frozen=True, slots=True)
class CorrelationDoc:
    """A document with a correlation over other rules.

    `references` are the rules it names, there even where a mistake left no `correlation`.
    """

    meta: Meta
    root: Table
    correlation: CorrelationSpec | None
    generate: bool
    extension: Extension
    problems: Problems
    references: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True)
class FilterDoc:
    """A document that narrows other rules. `rules` is empty for all rules of its logsource."""

    meta: Meta
    root: Table
    product: str
    taxonomy: str
    rules: tuple[Scalar, ...]
    selections: Mapping[str, Entry]
    conditions: tuple[Scalar, ...]
    problems: Problems

    @property
    def vocabulary(self) -> Vocabulary:
        """What its field names mean."""
        return Vocabulary(self.product, ecs=self.taxonomy == ECS)


Doc = DetectionDoc | CorrelationDoc | FilterDoc


def read_meta(section: Section, index: int) -> Meta:
    """The metadata of document number `index` of its file."""
    problems = section.problems
    title = section.text("title")
    if not section.has("title"):
        problems.error(section.mark, "the title is missing; write what the rule finds")
    written_id = section.text("id")
    key = "name" if section.has("name") else "id" if written_id else "title"
    return Meta(
        file=problems.file,
        mark=section.mark,
        title=title,
        id=written_id or _hash(f"{problems.file}#{index}"),
        written_id=written_id,
        name=section.text("name"),
        name_mark=section.mark_of(key),
        status=section.text("status"),
        description=section.text("description").strip(),
        author=section.text("author"),
        level=severity_at(section, "level"),
        tags=section.texts("tags"),
        references=section.texts("references"),
        falsepositives=section.texts("falsepositives"),
    )


def severity_at(section: Section, key: str, what: str = "") -> Severity | None:
    """A severity, by Sigma's names of levels; `what` is how messages call it."""
    text = section.text(key)
    if not text:
        return None
    if text.casefold() in SEVERITIES:
        return cast("Severity", text.casefold())
    section.wrong(key, f'unknown {what or key} "{text}"; {did_you_mean(text, SEVERITIES)}')
    return None


def read_selections(section: Section) -> tuple[dict[str, Entry], tuple[Scalar, ...]]:
    """The selections of a detection or filter, and its conditions."""
    conditions = section.scalars("condition")
    if not conditions and section.lacks("condition"):
        section.problems.error(*_no_condition(section))
    if section.has("timeframe"):
        section.problems.warning(
            section.mark_of("timeframe"), "timeframe left Sigma and is ignored; write a correlation"
        )
    return dict(section.rest()), conditions


def _no_condition(section: Section) -> tuple[Mark, str]:
    """Where it went, if it is near."""
    for name, entry in section.table.entries.items():
        if isinstance(entry.node, Table) and "condition" in entry.node.entries:
            mark = entry.node.entries["condition"].key_mark
            return mark, f'condition stands inside of selection "{name}"; indent it like the selection itself'
        if name == "condition":
            return entry.key_mark, "condition is empty; write which selections must match"
        if nearest(name, ["condition"]):
            return entry.key_mark, f'{section.name} has no condition; did you mean "condition" by "{name}"?'
    return section.mark, f"{section.name} has no condition; write which selections must match"


def product_of(section: Section) -> str:
    """The product of a document's logsource, case-folded; empty for any."""
    logsource = section.section("logsource")
    return logsource.text("product").casefold() if logsource else ""


def taxonomy_of(section: Section) -> str:
    """Whose field names the document uses, case-folded; empty for those of its logsource."""
    return section.text("taxonomy").casefold()


def document_kind(section: Section) -> str | None:
    """`detection`, `correlation` or `filter`; None after a mistake."""
    kinds = [kind for kind in ("detection", "correlation", "filter") if kind in section.table.entries]
    if len(kinds) == 1:
        return kinds[0]
    problems = section.problems
    if kinds:
        problems.error(
            section.mark_of(kinds[1]), f"a document has {kinds[0]} or {kinds[1]}; split it with ---"
        )
    else:
        problems.error(section.mark, "this is no Sigma rule; it needs detection, correlation or filter")
    return None


def is_list_of_any(node: Node | None) -> bool:
    """Whether a filter's `rules` is absent or `any`."""
    return node is None or (isinstance(node, Scalar) and node.text.casefold() == "any")


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
