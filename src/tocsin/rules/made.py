"""What came of a document: a compiled rule, and what it was made of."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.model.compiled import CompiledRule
from tocsin.rules.correlations.kind import CorrelationSpec
from tocsin.rules.detection.detections import Detection
from tocsin.rules.spec import CorrelationDoc, DetectionDoc


@dataclass(frozen=True, slots=True)
class Made:
    """A compiled rule, and the top-level fields it reads. `not_running`: why it cannot run.

    `doc`, `bases` and `spec` are what it was made of: its document, the detections it matches
    with, those of the correlations it counts (`children`) included, and how it counts their
    matches (None: every match is a trigger).
    """

    compiled: CompiledRule
    fields: frozenset[str]
    doc: DetectionDoc | CorrelationDoc
    bases: tuple[Detection, ...]
    spec: CorrelationSpec | None = None
    not_running: str = ""
    children: tuple[Made, ...] = ()


Base = Detection | Made  # what a correlation counts: a detection's matches, or when another was true
