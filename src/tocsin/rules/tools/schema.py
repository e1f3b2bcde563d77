"""The JSON Schema of a rule file's document, for editors: completion, descriptions, mistakes as one types.

What the parser knows by name (types, modifiers, levels) is taken from it; a test holds the keys
against those that the parser asks for. `tocsin rules check` remains the judge.
"""

from __future__ import annotations

from collections.abc import Mapping

from tocsin.catalog.provider import PROVIDERS
from tocsin.model.rule import SEVERITIES
from tocsin.rules.cases import MOST_EVENTS
from tocsin.rules.detection.modifiers import MODIFIERS
from tocsin.rules.extension import LONGEST_TITLE
from tocsin.rules.prefixes import BITS
from tocsin.rules.tools.schema_correlations import correlate_schema, correlation_schema, type_schemas

Schema = dict[str, object]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DURATION = r"^\s*(\d+\s*(ms|[smhdw])\s*)+$"


def rule_schema() -> Schema:
    """The schema of one document of a rule file."""
    return {
        "$schema": DIALECT,
        "title": "A tocsin rule",
        "description": "A Sigma detection, correlation or filter, with the optional tocsin: key.",
        **_document(),
        "$defs": {
            "text": {"type": ["string", "number", "boolean"]},
            "texts": {"anyOf": [_ref("text"), {"type": "array", "items": _ref("text")}]},
            "level": {"enum": list(SEVERITIES)},
            "duration": {"type": "string", "pattern": _DURATION, "examples": ["30s", "10m", "4h", "7d"]},
            "param": {"type": "string", "pattern": r"^\$[A-Za-z_][A-Za-z0-9_.-]*$"},
            "value": {"type": ["string", "number", "boolean", "null"]},
            "item": {"anyOf": [_ref("value"), {"type": "array", "items": _ref("value"), "minItems": 1}]},
            "items": _items(),
            "selection": _selection(),
            **{name: dict(schema) for name, schema in type_schemas().items()},
            "correlation": dict(correlation_schema()),
            "correlate": dict(correlate_schema()),
            "alert": _alert(),
            "knob": _knob(),
            "test": _test(),
            "tocsin": _tocsin(),
        },
    }


def _document() -> Schema:
    properties: dict[str, Schema] = {
        "title": _told("What the rule finds, in one line.", _ref("text")),
        "id": _told("A UUID that stays when the rule is renamed.", {"type": "string"}),
        "name": _told(
            "What the rule is called in alerts, overlays and other rules, like failed_logins_from_ip.",
            _ref("text"),
        ),
        "status": {
            "description": "How far the rule can be trusted.",
            "type": "string",
            "examples": ["stable", "test", "experimental", "deprecated", "unsupported"],
        },
        "description": _told("What happened when it fires, and why that matters.", {"type": "string"}),
        "author": _told("Who wrote it.", {"type": "string"}),
        "references": _told("Where to read more.", _ref("texts")),
        "tags": _told("ATT&CK tactics and techniques, like attack.t1110.003.", _ref("texts")),
        "falsepositives": _told("What looks like it and is harmless.", _ref("texts")),
        "level": _told("How bad it is; alerts start at this severity.", _ref("level")),
        "taxonomy": _told("ecs reads the normalised view of any provider.", {"type": "string"}),
        "logsource": {
            "description": "Whose events it reads.",
            "type": "object",
            "properties": {"product": {"type": "string", "examples": ["auth0", "frontegg", "ecs"]}},
        },
        "detection": _detection("Named selections of events, and a condition over their names."),
        "correlation": _told("Counts the matches of other rules.", _ref("correlation")),
        "filter": _detection("Leaves events out of other rules; its condition begins with not.", rules=True),
        "generate": _told("Let it alert itself, too, although a correlation counts it.", _boolean()),
        "tocsin": _told("What Sigma does not say: knobs, counting, the alert, tests.", _ref("tocsin")),
    }
    return {
        "type": "object",
        "properties": properties,
        "required": ["title"],
        "oneOf": [{"required": [kind]} for kind in ("detection", "correlation", "filter")],
    }


def _detection(what: str, *, rules: bool = False) -> Schema:
    condition = "Selections joined by and, or, not; 1 of them, all of selection*; several are ORed."
    properties: dict[str, Schema] = {"condition": _told(condition, _ref("texts"))}
    if rules:
        properties["rules"] = _told("Names or ids of the rules it narrows, or any.", _ref("texts"))
    return {
        "description": what,
        "type": "object",
        "properties": properties,
        "required": ["condition"],
        "additionalProperties": _ref("selection"),
    }


def _selection() -> Schema:
    return {
        "description": "A map: all of it. A list of maps: any of them. Texts: anywhere in the event.",
        "anyOf": [
            _ref("items"),
            {"type": "array", "items": {"anyOf": [_ref("items"), _ref("value")]}, "minItems": 1},
            {"type": "string"},
        ],
    }


def _items() -> Schema:
    words = "|".join(sorted(MODIFIERS))
    return {
        "description": f"field|modifier: value, or a list of values (any of them). Modifiers: {words}.",
        "type": "object",
        "propertyNames": {"pattern": rf"^[^|]*(\|({words}))*$"},
        "additionalProperties": _ref("item"),
    }


def _alert() -> Schema:
    bound = _closed(
        {
            "gte": _told("From this score on.", _number()),
            "is": _told("This severity.", {"anyOf": [_ref("level"), _ref("param")]}),
        },
        required=["gte", "is"],
    )
    title = (
        "The alert's headline, a template: {{ score }}, {{ group['data.ip'] }}, {{ timespan }}, "
        "{{ trigger['data.user_name'] }} (what its first event showed of a context field)."
    )
    return _closed(
        {
            "title": _told(title, {"type": "string", "maxLength": LONGEST_TITLE}),
            "severity": {
                "description": "Severities that a higher score deserves.",
                "type": "array",
                "items": bound,
            },
            "resolve_after": _told("This long without a trigger ends the alert.", _duration()),
            "for": _told("Fires once it has lasted this long.", _duration()),
            "key": _told("Fields that say what one alert is about, where nothing is counted.", _ref("texts")),
            "labels": {
                "description": "For routes, silences and inhibition.",
                "type": "object",
                "additionalProperties": _ref("text"),
            },
            "runbook": _told("What to do, or where it is written.", {"type": "string"}),
            "context": _told("Fields whose top values are gathered as evidence.", _ref("texts")),
        }
    )


def _knob() -> Schema:
    bound: Schema = {"anyOf": [{"type": "number"}, _ref("duration")]}
    return _closed(
        {
            "default": _told("Its value where no overlay says another.", _ref("item")),
            "set": _told(
                "In a correlation: the path it sets, correlation.condition.gte.", {"type": "string"}
            ),
            "min": _told("The least that an overlay may set.", bound),
            "max": _told("The most that an overlay may set; counts are exact up to it.", bound),
            "help": _told("What it is, for somebody who tunes it.", {"type": "string"}),
        }
    ) | {"anyOf": [{"required": ["default"]}, {"required": ["set"]}]}


def _test() -> Schema:
    return _closed(
        {
            "name": _told("What it shows.", _ref("text")),
            "events": {"description": "Events to replay.", "type": "array", "items": _event_line()},
            "expect": {
                "description": "Alerts that open; [] for none.",
                "type": "array",
                "items": _expected(),
            },
        },
        required=["name", "expect"],
    )


def _event_line() -> Schema:
    repeat: Schema = {"type": "integer", "minimum": 1, "maximum": MOST_EVENTS}
    return {
        "type": "object",
        "description": "A vendor's record, and when it comes; {n} in texts counts from 1.",
        "properties": {
            "at": _told("The time of the first, after the test's beginning.", _ref("duration")),
            "repeat": _told("So many of them.", repeat),
            "every": _told("The time between two.", _ref("duration")),
            "provider": _told("Whose record it is, where not the rule's product's.", {"enum": [*PROVIDERS]}),
        },
    }


def _expected() -> Schema:
    group: Schema = {"type": "object", "additionalProperties": _ref("text")}
    return _closed(
        {
            "at": _told("When it opens.", _ref("duration")),
            "group": _told("What it is about, field by field.", group),
            "score": _told("Its score then.", {"type": "number"}),
            "severity": _told("Its severity then.", _ref("level")),
        }
    )


def _tocsin() -> Schema:
    return _closed(
        {
            "params": {
                "description": "The knobs; $name stands for one below, %name% in an |expand.",
                "type": "object",
                "additionalProperties": _ref("knob"),
            },
            "category": _told("Only events of these categories of the catalogue.", _ref("texts")),
            "correlate": _ref("correlate"),
            "prefixes": {
                "description": "Group and count IPv6 addresses by network: bits by field, like data.ip: 64.",
                "type": "object",
                "additionalProperties": {
                    "anyOf": [{"type": "integer", "minimum": 1, "maximum": BITS}, _ref("param")]
                },
            },
            "alert": _told("What the alert is and says.", _ref("alert")),
            "tests": {"description": "Proof that it works.", "type": "array", "items": _ref("test")},
        }
    )


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _told(what: str, schema: Mapping[str, object]) -> Schema:
    return {"description": what, **schema}


def _boolean() -> Schema:
    return {"type": "boolean"}


def _number() -> Schema:
    return {"anyOf": [{"type": "number"}, _ref("param")]}


def _duration() -> Schema:
    return {"anyOf": [_ref("duration"), _ref("param")]}


def _closed(properties: Mapping[str, Schema], required: list[str] | None = None) -> Schema:
    """A map without other keys."""
    found: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return found | ({"required": required} if required else {})
