"""Documents to rules: names resolved, filters and the overlay applied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tocsin.model.place import Locator
from tocsin.rules.chains import Chains, is_told
from tocsin.rules.compile import plain_rule
from tocsin.rules.detection.detections import Detection, Filtered, check_filter, compile_detection
from tocsin.rules.detection.scope import Catalog, Kept
from tocsin.rules.document import Scalar, Table
from tocsin.rules.made import Made
from tocsin.rules.names import Names
from tocsin.rules.overlay import Overlay
from tocsin.rules.spec import CorrelationDoc, DetectionDoc, Doc, FilterDoc

MOST_NARROWED = 300_000  # rules by filters, each by each; they are compiled, and a file may be hostile


class Known(NamedTuple):
    """What rules are compiled with: the event codes, the lists of `|expand`, whom regexes are trusted to."""

    catalog: Catalog
    lists: Mapping[str, tuple[str, ...]]
    trusted: tuple[str, ...]
    locator: Locator | None


class Linker:
    """Documents to rules: resolves names, applies filters and the overlay."""

    def __init__(self, docs: Sequence[Doc], names: Names, site: Overlay, known: Known) -> None:
        self._docs, self._names, self._site, self._known = docs, names, site, known
        self._by_source: dict[tuple[tuple[str, str], ...], list[DetectionDoc]] = defaultdict(list)
        for doc in docs:
            if isinstance(doc, DetectionDoc):
                self._by_source[tuple(_logsource(doc).items())].append(doc)

    def rules(self) -> list[Made]:
        """Every rule that runs, and is enabled or counted by one that is, in file order."""
        detections = self._detections()
        found: dict[int, list[Made]] = {}
        self._chains = Chains(self._docs, self._names, self._site, self._known.locator, detections)
        for doc in self._docs:
            if isinstance(doc, CorrelationDoc) and (made := self._chains.rule_of(doc)):
                found[id(doc)] = [made]
        for doc in self._docs:
            detection = detections.get(id(doc))
            if isinstance(doc, DetectionDoc) and detection is not None:
                found[id(doc)] = self._own_rules(doc, detection)
        self._check_shown_names([doc for doc in self._docs if found.get(id(doc))])
        enabled = [made for doc in self._docs for made in found.get(id(doc), ()) if self._enabled(doc)]
        wanted = _wanted(enabled)
        return [
            made
            for doc in self._docs
            for made in found.get(id(doc), ())
            if self._enabled(doc) or id(made.doc) in wanted
        ]

    def _check_shown_names(self, docs: Sequence[Doc]) -> None:
        """Rules that alert are told apart by their names."""
        shown: dict[str, Doc] = {}
        for doc in docs:
            meta = doc.meta
            earlier = shown.setdefault(meta.label, doc).meta
            if earlier is meta or earlier.file == meta.file:
                continue  # within one file it is told already
            message = f'"{meta.label}" is what {earlier.place} is called, too; give one another name'
            if meta.name:
                doc.problems.error(meta.name_mark, message)
            else:
                doc.problems.warning(meta.name_mark, message)

    def _enabled(self, doc: Doc) -> bool:
        return self._site.of(doc.meta).enabled

    def _detections(self) -> dict[int, Detection]:
        filters = self._filters()
        found: dict[int, Detection] = {}
        known, kept, filtered = self._known, Kept(), Filtered()
        for doc in self._docs:
            if isinstance(doc, DetectionDoc):
                own = filters.get(id(doc), [])
                detection = compile_detection(
                    doc,
                    own,
                    known.catalog,
                    known.lists,
                    known.trusted,
                    locator=known.locator,
                    kept=kept,
                    filtered=filtered,
                )
                if detection is not None:
                    found[id(doc)] = detection
        return found

    def _filters(self) -> dict[int, list[FilterDoc]]:
        """The filters of each detection, by the detection's identity."""
        found: dict[int, list[FilterDoc]] = {}
        narrowed = 0
        for filter_ in self._docs:
            if isinstance(filter_, FilterDoc):
                targets = self._targets(filter_)
                narrowed += len(targets)
                if narrowed > MOST_NARROWED:
                    message = (
                        f"the filters so far narrow rules {narrowed} times; name the rules that they are for"
                    )
                    filter_.problems.error(filter_.meta.mark, message)
                    break
                for target in targets:
                    found.setdefault(id(target), []).append(filter_)
                if not targets:  # nobody else judges what it says
                    check_filter(filter_, self._known.catalog, self._known.lists)
        return found

    def _targets(self, filter_: FilterDoc) -> list[Doc]:
        """The rules that a filter narrows: of its logsource, and named by it where it names any."""
        if not filter_.rules:
            return [doc for some in self._by_source.values() if _covers(filter_, some[0]) for doc in some]
        found: dict[int, Doc] = {}
        for reference in filter_.rules:
            doc = self._names.find(reference, filter_.problems)
            if doc is None:
                continue
            if isinstance(doc, CorrelationDoc):
                filter_.problems.warning(
                    reference.mark,
                    f'"{reference.text}" is a correlation, and a filter narrows detections alone, so it '
                    "changes nothing there; name the rules that it counts",
                )
            elif _covers(filter_, doc):
                found[id(doc)] = doc
            else:
                shown = ", ".join(f"{key} {value}" for key, value in _logsource(filter_).items())
                filter_.problems.warning(
                    reference.mark,
                    f'the filter is for {shown}, and "{reference.text}" is not, so it changes nothing there; '
                    "write the logsource of the rule",
                )
        return [*found.values()]

    def _own_rules(self, doc: DetectionDoc, detection: Detection) -> list[Made]:
        """What a detection alerts of itself, and what its `correlate` does."""
        override = self._site.of(doc.meta)
        correlate = doc.extension.correlate
        found: list[Made] = []
        if correlate is not None:
            made = self._chains.own_rule(doc)
            found += [made] if made else []
        counted = correlate is not None or id(doc) in self._chains.counted
        generates = (
            doc.generate
            or (id(doc) in self._chains.generating and not is_told(doc))
            or (correlate is not None and correlate.generate)
        )
        if not counted or generates:
            found.append(plain_rule(detection, override, beside_correlation=correlate is not None))
        return found


def _covers(filter_: FilterDoc, doc: Doc) -> bool:
    """Whether a rule's logsource is what the filter's says, as far as it says anything.

    A filter of the normalised view is for the rules of every provider, whatever category it names.
    """
    wanted = _logsource(filter_)
    if filter_.vocabulary.ecs:
        wanted.pop("category", None)
    return wanted.items() <= _logsource(doc).items()


def _logsource(doc: Doc) -> dict[str, str]:
    """What a document says of where its events come from, case-folded."""
    entry = doc.root.entries.get("logsource")
    within = entry.node.entries if entry is not None and isinstance(entry.node, Table) else {}
    said = {key: within[key].node for key in ("product", "category", "service") if key in within}
    return {key: node.text.casefold() for key, node in said.items() if isinstance(node, Scalar) and node.text}


def _wanted(made: Sequence[Made]) -> set[int]:
    """The documents of correlations that these count, whether they alert themselves or not."""
    found: set[int] = set()
    todo = list(made)
    while todo:
        for child in todo.pop().children:
            if id(child.doc) not in found:
                found.add(id(child.doc))
                todo.append(child)
    return found
