"""The normalised view of an event: what every provider's records say, in the Elastic Common Schema.

This is the definition. Rules read single fields of it by quicker ways (`tocsin.rules.ecs`), which a
test holds to what is said here.

Absent, null and the empty text are one thing in the view: the field is not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from tocsin.catalog.lookup import Code, codes
from tocsin.catalog.provider import ECS, PROVIDERS, Provider
from tocsin.clock import iso

# Fields that no vendor field holds as it is, and where they come from.
FROM_CODE = ("event.action", "event.category", "event.outcome", "event.type")
COMPUTED = (
    "@timestamp",
    "event.code",
    "event.id",
    *FROM_CODE,
    "event.kind",
    "event.module",
    "event.provider",
    "observer.product",
    "observer.vendor",
    "user.domain",
    "user.email",
)
# What only ECS documents hold yet, and what a place database adds.
ONLY_DOCUMENTS = ("source.as.number", "source.as.organization.name")
# The words that the schema itself defines.
WORDS: Mapping[str, frozenset[str]] = {
    "event.outcome": frozenset({"success", "failure", "unknown"}),
    "event.category": frozenset(
        [
            "api",
            "authentication",
            "configuration",
            "database",
            "driver",
            "email",
            "file",
            "host",
            "iam",
            "intrusion_detection",
            "library",
            "malware",
            "network",
            "package",
            "process",
            "registry",
            "session",
            "threat",
            "vulnerability",
            "web",
        ]
    ),
    "event.type": frozenset(
        [
            "access",
            "admin",
            "allowed",
            "change",
            "connection",
            "creation",
            "deletion",
            "denied",
            "device",
            "end",
            "error",
            "group",
            "indicator",
            "info",
            "installation",
            "protocol",
            "start",
            "user",
        ]
    ),
}
MISSING = (None, "")


@cache
def ecs_fields() -> frozenset[str]:
    """Every field that the view of some provider's event can hold, but for what only ECS documents say."""
    mapped = (name for provider in PROVIDERS.values() for name in provider.ecs)
    return frozenset({*COMPUTED, *ONLY_DOCUMENTS, *mapped})


def ecs_view(
    provider: str, code: str, event_id: str, time_ms: int, record: Mapping[str, Any]
) -> dict[str, Any]:
    """The view as one flat map: dotted name -> text, number or boolean; a list where there are several.

    An ECS document's own fields are all in it, by their dotted names. A provider nobody knows has
    only a time and an id.
    """
    known = PROVIDERS.get(provider)
    found: dict[str, Any] = {"@timestamp": iso(time_ms), "event.id": event_id}
    if known is not None and known.name == ECS:
        found = {**flattened(record), **found}
    elif known is not None:
        found |= {name: vendor_value(record, paths) for name, paths in known.ecs.items()}
        found |= {"event.code": code, "event.kind": "event"}
        found |= {"event.module": known.name, "event.provider": known.name}
        found |= {"observer.product": known.name, "observer.vendor": known.vendor}
        found |= {name: of_code(known.name, code, name) for name in FROM_CODE}
        found["event.outcome"] = told_outcome(known, record) or found["event.outcome"]
    found |= _addressed(found)
    return {name: value for name, value in found.items() if value not in MISSING}


def of_code(provider: str, code: str, field: str) -> str | list[str] | None:
    """What the catalogue says of one of `FROM_CODE`; None where it knows nothing of the code."""
    return told_of_codes(provider, field).get(code.casefold())


@cache
def told_of_codes(provider: str, field: str) -> Mapping[str, str | list[str]]:
    """What the catalogue says in one of `FROM_CODE` of every code of a provider, by case-folded code."""
    told = {code.code.casefold(): _told(code, field) for code in codes(provider).values()}
    return MappingProxyType({code: value for code, value in told.items() if value})


def _told(code: Code, field: str) -> Any:
    match field:
        case "event.action":
            return code.ecs.action
        case "event.outcome":
            outcome = code.ecs.outcome or code.outcome
            return outcome if outcome in WORDS["event.outcome"] else ""
        case "event.category":
            return one_or_many(code.ecs.category)
        case _:
            return one_or_many(code.ecs.type)


def one_or_many(values: tuple[Any, ...] | list[Any]) -> Any:
    """A single value as itself, several as a list, none as None."""
    return None if not values else values[0] if len(values) == 1 else list(values)


def told_outcome(provider: Provider, record: Mapping[str, Any]) -> str:
    """The outcome that the record itself tells; empty where it tells none."""
    for field, meanings in provider.outcomes.items():
        text = record.get(field)
        if isinstance(text, str) and (outcome := meanings.get(text.strip().casefold())):
            return outcome
    return ""


def email_of(text: object) -> str | None:
    """The text, if it is written like an e-mail address; None otherwise."""
    if not isinstance(text, str):
        return None
    name, at, domain = text.rpartition("@")
    sound = bool(name and at and domain) and "@" not in name and not any(map(str.isspace, text))
    return text if sound else None


def domain_of(email: str | None) -> str | None:
    """What follows the @ of an e-mail address."""
    return email.rpartition("@")[2] if email else None


def _addressed(found: Mapping[str, Any]) -> dict[str, Any]:
    """`user.email` and `user.domain`, where the record has none of its own, from what names the user."""
    email = found.get("user.email") or email_of(found.get("user.name"))
    return {"user.email": email, "user.domain": found.get("user.domain") or domain_of(email_of(email))}


def vendor_value(record: Mapping[str, Any], paths: tuple[str, ...]) -> Any:
    """The value of the first of these vendor fields that the record has."""
    for path in paths:
        start = [record[path]] if path in record else _at(record, path.split("."))
        values = [leaf for value in start for leaf in _leaves(value)]
        if values:
            return one_or_many(values)
    return None


def _at(value: Any, steps: list[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for member in value:
            yield from _at(member, steps)
    elif not steps:
        yield value
    elif isinstance(value, dict):
        yield from _at(value.get(steps[0]), steps[1:])


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for member in value:
            yield from _leaves(member)
    elif not isinstance(value, dict) and value not in MISSING:
        yield value


def flattened(record: Mapping[str, Any]) -> dict[str, Any]:
    """An ECS document, nested or with dotted keys, by dotted names; what is missing is not in it."""
    found: dict[str, list[Any]] = {}
    _flatten(record, "", found)
    return {name: one_or_many(values) for name, values in found.items()}


def _flatten(value: Any, name: str, found: dict[str, list[Any]]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(inner, f"{name}.{key}" if name else key, found)
    elif isinstance(value, list):
        for member in value:
            _flatten(member, name, found)
    elif value not in MISSING:
        found.setdefault(name, []).append(value)
