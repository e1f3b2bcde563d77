"""What a rule does with what matches, in sentences: for `rules explain` and the catalogue page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from tocsin.clock import format_duration
from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.correlations.kind import CorrelationSpec
from tocsin.rules.document import Items, Node, Scalar, Table
from tocsin.rules.made import Made
from tocsin.rules.params import substituted
from tocsin.rules.problems import Problems
from tocsin.rules.spec import CorrelationDoc, DetectionDoc
from tocsin.rules.tools.listing import needed_codes

_WORDS = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<", "eq": "=", "neq": "!="}
_SAID = ("type", "rules", "group-by", "timespan", "aliases", "allow_missing", "generate")  # told otherwise
LONGEST = 300  # characters of what is told as it is written


def facts_of(made: Made) -> list[tuple[str, str]]:
    """What the rule does with what matches: `(word, sentence)`, only what applies."""
    rule = made.compiled.rule
    bounds = ", ".join(f"{bound.severity} from {bound.gte:g}" for bound in rule.severity_bounds)
    own = "" if made.compiled.alerts else "nothing itself: another correlation counts when it is true"
    facts = [
        ("not running", made.not_running),
        ("reads", _reads(made)),
        ("counts", _counts(made)),
        *_written(made),
        ("alerts", own or _alerts(made)),
        ("group", _grouped(made)),
        ("severity", rule.severity + (f"; {bounds}" if bounds else "")),
        ("fires", f"once it lasts {_time(rule.for_ms)}" if rule.for_ms else ""),
        ("ends", f"{_time(rule.resolve_after_ms)} after its last trigger"),
        ("params", ", ".join(f"{name} {value}" for name, value in rule.params.items())),
        ("evidence", ", ".join(rule.context)),
        ("labels", ", ".join(f"{name}={value}" for name, value in rule.labels.items())),
    ]
    return [(word, told) for word, told in facts if told]


def part_facts_of(made: Made) -> list[tuple[str, str]]:
    """What a rule that another counts adds to it: `(word, sentence)`, only what applies."""
    params = ", ".join(f"{name} {value}" for name, value in made.compiled.rule.params.items())
    facts = [("counts", _counts(made)), *_written(made), ("true", _alerts(made)), ("params", params)]
    return [(word, told) for word, told in facts if told]


def correlation_of(doc: DetectionDoc | CorrelationDoc) -> Mapping[str, Node]:
    """What is written of the correlation, by key, params in place of `$name`; empty where there is none."""
    root: Node = doc.root
    for key in ("correlation",) if isinstance(doc, CorrelationDoc) else ("tocsin", "correlate"):
        entry = root.entries.get(key) if isinstance(root, Table) else None
        if entry is None:
            return {}
        root = entry.node
    written = substituted(root, doc.extension.params, Problems(doc.meta.file))
    return {key: entry.node for key, entry in written.entries.items()} if isinstance(written, Table) else {}


def _reads(made: Made) -> str:
    products = ", ".join(dict.fromkeys(base.doc.product or "any product" for base in made.bases))
    needed = needed_codes(made.bases)
    codes = "any code" if needed is None else ", ".join(code or "no code" for code in needed)
    return f"{products}: events of {codes}"


def _counts(made: Made) -> str:
    if made.spec is None:
        return ""
    rule, spec = made.compiled.rule, made.spec
    of = ", ".join(_counted(made))
    if not _is_count(spec):
        told = _summed_up(spec.type, rule.timespan_ms) + (f", of {of}" if of else "")
    else:
        what = f"different values of {' with '.join(spec.fields)}" if spec.fields else of or "events"
        told = f"{what} within {_time(rule.timespan_ms)}"
    per = f" for each {_joined(rule.group_by)}" if rule.group_by else ""
    missing = ", a missing one too" if spec.allow_missing and rule.group_by else ""
    return f"{told}{per}{missing} ({rule.type})"


def _summed_up(kind: str, timespan_ms: int) -> str:
    """When a correlation of this type is true, with the length of its window, if it has one."""
    summary = CORRELATIONS[kind].summary
    if not timespan_ms or not CORRELATIONS[kind].windowed:
        return summary
    joint = " of" if summary.endswith("window") else ", within"
    return f"{summary}{joint} {_time(timespan_ms)}"


def _counted(made: Made) -> Iterator[str]:
    """What it counts, by name, where that is not the events of one rule."""
    states: dict[str, str] = {}
    for child in made.children:
        if child.compiled.correlation is not None:
            states[child.compiled.correlation.spec.state] = child.compiled.rule.name
    matchers = made.compiled.matchers
    if states or len({matcher.name for matcher in matchers}) > 1:
        for matcher in matchers:
            yield f"the times when {states[matcher.of]} is true" if matcher.of in states else matcher.name


def _written(made: Made) -> Iterator[tuple[str, str]]:
    """The keys that only its type has, as they are written."""
    if made.spec is None or _is_count(made.spec):
        return
    for key, node in correlation_of(made.doc).items():
        if key not in _SAID:
            text = _inline(node)
            yield key, text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _alerts(made: Made) -> str:
    if made.spec is None:
        return "at every event that matches"
    correlation, bounds = made.compiled.correlation, made.spec.bounds
    later = correlation is not None and correlation.spec.closes
    if later and _waits_for_its_window(made.spec):
        return "when the window closes: the timespan after its first event"
    waits = any(_closes(child) for child in made.children)
    if not _is_count(made.spec):
        past = "when its time is past, as late events may change it"
        return past if later or waits else "as soon as it is true"
    told = " and ".join(f"{_WORDS[name]} {number:g}" for name, number in bounds.pairs)
    when = ", decided when the window ends" if later else ", once what it counts is past" if waits else ""
    return f"when the count is {told}{when}"


def _closes(made: Made) -> bool:
    """Whether the watermark decides it, or something that it counts."""
    correlation = made.compiled.correlation
    closes = correlation is not None and correlation.spec.closes
    return closes or any(_closes(child) for child in made.children)


def _waits_for_its_window(spec: CorrelationSpec) -> bool:
    """Whether what it asks, less of something or nothing, is known only when a whole window is over."""
    return not _is_count(spec) and (
        spec.type == "temporal" or (CORRELATIONS[spec.type].sigma and not spec.bounds.monotone)
    )


def _is_count(spec: CorrelationSpec) -> bool:
    """Whether it counts events or values, without a ledger."""
    return CORRELATIONS[spec.type].seen is None


def _grouped(made: Made) -> str:
    fields = made.compiled.rule.group_by
    if not fields:
        return "one alert for the whole tenant"
    prefixes = made.spec.prefixes if made.spec else {}
    shown = [f"{field} (IPv6 by /{prefixes[field]})" if field in prefixes else field for field in fields]
    return f"one alert for each {_joined(shown)}"


def _inline(node: Node) -> str:
    """A value as one line of YAML, about."""
    match node:
        case Scalar():
            return "null" if node.is_null else node.text
        case Items(items=items):
            return f"[{', '.join(map(_inline_within, items))}]"
        case Table(entries=entries):
            return ", ".join(f"{key} {_inline_within(entry.node)}" for key, entry in entries.items())


def _inline_within(node: Node) -> str:
    return f"{{{_inline(node)}}}" if isinstance(node, Table) else _inline(node)


def _joined(fields: Sequence[str]) -> str:
    return " and ".join(fields)


def _time(ms: int) -> str:
    return format_duration(timedelta(milliseconds=ms))
