"""Correlations over detections, and over correlations: each is made once, after those that it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import dropwhile

from tocsin.model.place import Locator
from tocsin.rules.compile import correlation_rule
from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.detection.detections import Detection
from tocsin.rules.document import Scalar
from tocsin.rules.made import Base, Made
from tocsin.rules.names import Names
from tocsin.rules.overlay import Overlay
from tocsin.rules.spec import CorrelationDoc, DetectionDoc, Doc

DEEPEST = 10  # correlations of a chain
_FURTHEST = 50  # correlations that are followed down before the chain is given up

Path = tuple[CorrelationDoc, ...]


def is_told(doc: DetectionDoc) -> bool:
    """Whether who names a detection means its `correlate`: one that only stands there, as it is not Sigma's.

    Of Sigma's own types the shorthand is a detection with a correlation beside it, and its name is
    the detection's for every other tool, too.
    """
    spec = doc.extension.correlate
    return spec is not None and not CORRELATIONS[spec.type].sigma


class Chains:
    """The correlations of a rule set.

    `counted` are the documents that some correlation counts, by identity; `generating` those of them
    that alert themselves all the same, because the correlation says so.
    """

    def __init__(
        self,
        docs: Sequence[Doc],
        names: Names,
        site: Overlay,
        locator: Locator | None,
        detections: Mapping[int, Detection],
    ) -> None:
        self._names, self._site, self._locator = names, site, locator
        self._detections = detections
        self._found: dict[int, Made | None] = {}
        self.counted: set[int] = set()
        self.generating: set[int] = set()
        for doc in docs:
            if isinstance(doc, CorrelationDoc) and id(doc) not in self._found:
                self._make(doc, ())

    def rule_of(self, doc: CorrelationDoc) -> Made | None:
        """The rule of a correlation, None after a mistake; one that is only counted does not alert."""
        return self._heard(doc, self._found[id(doc)])

    def own_rule(self, doc: DetectionDoc) -> Made | None:
        """What a detection's own `correlate` says, None after a mistake; silent where it is only counted."""
        made = self._own(doc)
        return self._heard(doc, made) if is_told(doc) else made

    def _heard(self, doc: CorrelationDoc | DetectionDoc, made: Made | None) -> Made | None:
        silent = id(doc) in self.counted and not doc.generate and id(doc) not in self.generating
        silent = silent or not self._site.of(doc.meta).enabled
        return replace(made, compiled=replace(made.compiled, alerts=False)) if made and silent else made

    def _own(self, doc: DetectionDoc) -> Made | None:
        detection, spec = self._detections.get(id(doc)), doc.extension.correlate
        if id(doc) not in self._found and detection is not None and spec is not None:
            override = self._site.of(doc.meta)
            self._found[id(doc)] = correlation_rule(doc, spec, [detection], override, self._locator)
        return self._found.get(id(doc))

    def _counted(self, doc: DetectionDoc) -> Base | None:
        return self._own(doc) if is_told(doc) else self._detections.get(id(doc))

    def _make(self, doc: CorrelationDoc, path: Path) -> Made | None:
        if id(doc) not in self._found:
            self._found[id(doc)] = None
            self._found[id(doc)] = self._made(doc, (*path, doc))
        return self._found[id(doc)]

    def _made(self, doc: CorrelationDoc, path: Path) -> Made | None:
        spec = doc.correlation
        bases = [self._base(reference, doc, path) for reference in doc.references]
        sound = [base for base in bases if base is not None]
        if spec is None or len(sound) < len(spec.rules):
            return None
        return correlation_rule(doc, spec, sound, self._site.of(doc.meta), self._locator)

    def _base(self, reference: Scalar, doc: CorrelationDoc, path: Path) -> Base | None:
        meant = self._names.find(reference, doc.problems)
        if not isinstance(meant, DetectionDoc | CorrelationDoc):
            return None
        self.counted.add(id(meant))
        if doc.generate or (doc.correlation is not None and doc.correlation.generate):
            self.generating.add(id(meant))
        if isinstance(meant, DetectionDoc):
            return self._counted(meant)  # None: it has a mistake of its own, told already
        if any(meant is above for above in path):
            around = [above.meta.label for above in dropwhile(lambda above: above is not meant, path)]
            circle = " -> ".join([*around, meant.meta.label])
            doc.problems.error(
                reference.mark, f"a correlation cannot count itself: {circle}; name another rule"
            )
            return None
        made = self._make(meant, path) if len(path) < _FURTHEST else None
        if len(path) >= _FURTHEST or (made and made.compiled.depth + 1 >= DEEPEST):
            doc.problems.error(
                reference.mark,
                f"a chain has {DEEPEST} correlations at most, and this is one more; count a detection here",
            )
            return None
        return made
