"""The JSON Schemas of keys that several correlation types have, for `rules schema`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tocsin.rules.correlations.counting import HIGHEST_COUNT

Schema = Mapping[str, Any]

PARAM: Schema = {"$ref": "#/$defs/param"}
TEXT: Schema = {"$ref": "#/$defs/text"}
TEXTS: Schema = {"$ref": "#/$defs/texts"}
DURATION: Schema = {"anyOf": [{"$ref": "#/$defs/duration"}, PARAM]}
FIELD: Schema = {
    "description": "The field whose values count; several: their combinations.",
    **TEXTS,
}
IGNORED_FIELD: Schema = {"description": "Not read by this type.", **TEXTS}


def number(what: str, *, lowest: float = 0, highest: float = HIGHEST_COUNT) -> Schema:
    """A number, or a param."""
    bounded = {"type": "number", "minimum": lowest, "maximum": highest}
    return {"description": what, "anyOf": [bounded, PARAM]}


def condition(properties: Mapping[str, Schema], required: tuple[str, ...] = ()) -> Schema:
    """The condition: a map of these keys and no other."""
    return {"description": "When it is true.", **closed(properties, required)}


def closed(properties: Mapping[str, Schema], required: tuple[str, ...] = ()) -> Schema:
    """A map of these keys and no other."""
    found: dict[str, Any] = {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
    }
    return found | ({"required": list(required)} if required else {})


def described(what: str, schema: Schema) -> Schema:
    """The schema with a description."""
    return {"description": what, **schema}


COMPARED: Mapping[str, Schema] = {
    "gte": number("At least so many."),
    "gt": number("More than so many."),
    "lte": number("At most so many; decided when the window ends."),
    "lt": number("Less than so many; decided when the window ends."),
    "eq": number("Exactly so many; decided when the window ends."),
    "neq": number("Any number but this; decided when the window ends."),
}
