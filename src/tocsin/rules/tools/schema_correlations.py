"""The part of the JSON Schema that correlations are: common keys, and each type's own from the registry."""

from __future__ import annotations

from collections.abc import Mapping

from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.correlations.keys import DURATION, TEXTS, closed, described
from tocsin.rules.correlations.kind import CorrelationType

Schema = Mapping[str, object]

DEFINED = "keys_of_"  # what the definition of a type's own keys begins with

_COMMON: dict[str, Schema] = {
    "group-by": described("One count, and one alert, for each value of these fields.", TEXTS),
    "timespan": described("The window that slides with the time of the events.", DURATION),
    "allow_missing": {
        "description": "Count events without a group-by field, as a group of their own.",
        "type": "boolean",
    },
    "generate": {"description": "Let what is counted alert by itself, too.", "type": "boolean"},
}
_OF_RULES: dict[str, Schema] = {
    "rules": described("Names or ids of the rules whose matches it counts.", TEXTS),
    "aliases": {
        "description": "A name for group-by: the field that each rule means by it.",
        "type": "object",
        "additionalProperties": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


def correlation_schema() -> Schema:
    """Of Sigma's `correlation:`, with the types that Sigma has."""
    types = {name: kind for name, kind in CORRELATIONS.items() if kind.sigma}
    found = _of_types(types, {**_COMMON, **_OF_RULES}, ("type",))
    by_condition = {"required": ["condition"], "properties": {"condition": {"type": "string"}}}
    return {**found, "anyOf": [{"required": ["rules"]}, by_condition]}


def correlate_schema() -> Schema:
    """Of `tocsin.correlate`, with every type."""
    found = _of_types(CORRELATIONS, _COMMON, ("type",))
    return described("A correlation over this document's own matches.", found)


def type_schemas() -> dict[str, Schema]:
    """The definitions that the two refer to: each type's own keys, and which of them it needs."""
    return {
        f"{DEFINED}{name}": {
            "properties": dict(kind.keys),
            "required": [*kind.required, *(("timespan",) if kind.timespan else ())],
        }
        for name, kind in CORRELATIONS.items()
    }


def _of_types(
    types: Mapping[str, CorrelationType], common: Mapping[str, Schema], required: tuple[str, ...]
) -> Schema:
    """A map whose type decides which other keys it may have, and must have."""
    what = "; ".join(f"{name}: {kind.summary}" for name, kind in types.items())
    kind_key = described(f"How matches are counted. {what}.", {"enum": [*types]})
    own: dict[str, Schema] = {}
    for kind in types.values():
        for key, schema in kind.keys.items():
            own.setdefault(key, {"description": schema.get("description", "")})
    each = [_of_type(name, kind, (*required, *common)) for name, kind in types.items()]
    return {**closed({"type": kind_key, **own, **common}, required), "allOf": each}


def _of_type(name: str, kind: CorrelationType, common: tuple[str, ...]) -> Schema:
    return {
        "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
        "then": {
            "$ref": f"#/$defs/{DEFINED}{name}",
            "propertyNames": {"enum": [*dict.fromkeys((*common, *kind.keys))]},
        },
    }
