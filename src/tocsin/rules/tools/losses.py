"""What rules say that Sigma has no words for: told beside the Sigma form of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.correlations.kind import CorrelationSpec
from tocsin.rules.spec import DetectionDoc, Doc, Extension, FilterDoc
from tocsin.rules.tools.facts import correlation_of

SIGMA_KEYS = ("type", "rules", "group-by", "timespan", "condition", "aliases")  # of a correlation


@dataclass(frozen=True, slots=True)
class Loss:
    """What a rule says and its Sigma form does not."""

    rule: str
    key: str
    what: str


def is_sigma(spec: CorrelationSpec) -> bool:
    """Whether Sigma can say how matches are counted: over selections of one document it cannot."""
    return CORRELATIONS[spec.type].sigma and not spec.steps


def losses_of(doc: Doc) -> Iterator[Loss]:
    """What this document says and its Sigma form does not."""
    if not isinstance(doc, FilterDoc):
        spec = doc.extension.correlate if isinstance(doc, DetectionDoc) else doc.correlation
        said = {**_lost_counting(spec, correlation_of(doc)), **_lost_alert(doc.extension)}
        for key, what in said.items():
            yield Loss(doc.meta.label, key, what)


def _lost_counting(spec: CorrelationSpec | None, keys: Iterable[str]) -> Mapping[str, str]:
    if spec is None:
        return {}
    lost: dict[str, str] = {}
    if not is_sigma(spec):
        what = CORRELATIONS[spec.type].summary
        return {"correlate": f"{spec.type} ({what}): Sigma has no words for it, only its events are exported"}
    if spec.allow_missing:
        lost["correlate.allow_missing"] = "events without a group-by field are not counted"
    for key in keys:
        if key not in (*SIGMA_KEYS, "generate", "allow_missing"):
            lost[f"correlate.{key}"] = "no key of Sigma's: left out"
    if spec.timespan_ms % 1_000:
        lost["correlate.timespan"] = "Sigma counts in whole seconds: rounded up"
    return lost


def _lost_alert(extension: Extension) -> Mapping[str, str]:
    alert = extension.alert
    said: Sequence[tuple[str, object, str]] = (
        ("params", extension.params, "knobs: their values are written in"),
        ("prefixes", extension.prefixes, "IPv6 addresses by network: Sigma counts each address"),
        ("alert.key", alert.key, "what one alert is about: Sigma alerts at every event"),
        ("alert.severity", alert.severity, "a severity that rises with the score: only level is left"),
        ("alert.resolve_after", alert.resolve_after_ms is not None, "how long an alert lasts"),
        ("alert.for", alert.for_ms, "how long it must last before it fires"),
        ("alert.title", alert.title, "a title with values in it"),
        ("alert.labels", alert.labels, "labels for routing and silences"),
        ("alert.runbook", alert.runbook, "what to do"),
        ("alert.context", alert.context, "the fields gathered as evidence"),
        ("tests", extension.tests, "the rule's tests"),
    )
    return {key: what for key, value, what in said if value}
