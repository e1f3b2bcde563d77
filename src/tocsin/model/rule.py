"""A rule as the rest of tocsin sees it: what it is called, how bad it is, what an alert of it says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["informational", "low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("informational", "low", "medium", "high", "critical")
OWN_LABELS = ("rule", "severity", "tenant", "entity")  # every alert has them, whatever its rule says


def severity_rank(severity: str) -> int:
    """0 for informational to 4 for critical, to compare severities by."""
    return SEVERITIES.index(severity)


@dataclass(frozen=True, slots=True)
class SeverityBound:
    """From a score of `gte` on, the severity is (at least) `severity`."""

    gte: float
    severity: Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule that can alert: a detection, or a correlation over detections.

    `name` is how it is shown: Sigma's `name`, else `id`, else `title`. `group_by` holds the fields
    as written in the file. `type` is `detection` or a correlation type. `resolve_after_ms` is the
    quiet time that ends an episode; `for_ms` how long an episode must last before it fires. What a
    correlation of correlations counts may have begun `chained_ms` before its own timespan.
    """

    name: str
    id: str
    title: str
    severity: Severity
    type: str = "detection"
    file: str = ""
    line: int = 1
    status: str = ""
    description: str = ""
    author: str = ""
    product: str = ""
    tags: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ()
    timespan_ms: int = 0
    chained_ms: int = 0
    threshold: float | None = None
    allow_missing: bool = False
    expected: tuple[str, ...] = ()  # values of its group-by that it names itself, as written
    headline: str = ""  # the Jinja2 source of an alert's title
    runbook: str = ""
    context: tuple[str, ...] = ()  # fields whose top values are gathered as evidence
    labels: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, float | str] = field(default_factory=dict)  # effective values, for templates
    severity_bounds: tuple[SeverityBound, ...] = ()
    resolve_after_ms: int = 900_000
    for_ms: int = 0

    @property
    def evidence_ms(self) -> int:
        """How far before an instant at which it is true the events lie that made it so."""
        return self.timespan_ms + self.chained_ms

    def score_within(self, severity: str) -> float:
        """The highest score that asks for no more than this severity."""
        rank = severity_rank(severity)
        above = [bound.gte for bound in self.severity_bounds if severity_rank(bound.severity) > rank]
        return math.nextafter(min(above), -math.inf) if above else math.inf

    def severity_of(self, score: float) -> Severity:
        """The severity that a score deserves: never below the rule's own."""
        reached = [bound.severity for bound in self.severity_bounds if score >= bound.gte]
        return max([self.severity, *reached], key=severity_rank)
