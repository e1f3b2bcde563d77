"""Lints: what is valid, and surely not meant. All are warnings."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tocsin.rules.document import scalars
from tocsin.rules.spec import CorrelationDoc, CorrelationSpec, DetectionDoc, Doc, FilterDoc

_BRACED = re.compile(r"\{[A-Za-z_][A-Za-z0-9_ -]*\}")


def lint(docs: Sequence[Doc]) -> None:
    """Warn of values that can never match, and of thresholds that always do."""
    for doc in docs:
        match doc:
            case DetectionDoc():
                _placeholders(doc)
                if doc.extension.correlate is not None:
                    _threshold(doc, doc.extension.correlate)
            case CorrelationDoc():
                if doc.correlation is not None:
                    _threshold(doc, doc.correlation)
            case FilterDoc():
                _placeholders(doc)


def _placeholders(doc: DetectionDoc | FilterDoc) -> None:
    for entry in doc.selections.values():
        for scalar in scalars(entry.node):
            if _BRACED.fullmatch(scalar.text.strip()):
                doc.problems.warning(
                    scalar.mark,
                    f'"{scalar.text}" is a placeholder that no event says; put your own value there',
                )


def _threshold(doc: DetectionDoc | CorrelationDoc, spec: CorrelationSpec) -> None:
    if spec.bounds.monotone and spec.bounds.floor <= 1:
        doc.problems.warning(
            spec.mark,
            "the condition is true at the first event already; raise its threshold, or drop the correlation",
        )
