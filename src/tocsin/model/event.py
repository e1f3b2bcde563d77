"""An event: one thing that happened, as its vendor told it.

Decoding is the first cost of every event, so an event is one msgspec struct that
holds the few top-level fields the loaded rules read as attributes (`event_type`
makes that struct) and the bytes it came from. Whatever else a rule asks for is
decoded from the bytes on demand, once.

Why attributes carry a prefix: a vendor's field may be named like one of ours
(`id`, `tenant`), and ours must never be what the vendor's JSON says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, cast

import msgspec

from tocsin.catalog.ecs import ecs_view, flattened
from tocsin.catalog.provider import ECS, PROVIDERS

ATTRIBUTE_PREFIX = "v_"
LONGEST_KEPT = 100  # characters of a field whose attribute is remembered
# Names no JSON log uses; the decoder overwrites these fields after every decode all the same.
_OURS = {name: f"tocsin/{name}" for name in ("id", "time_ms", "provider", "tenant", "code", "raw", "parsed")}


class Event(msgspec.Struct, kw_only=True, eq=False, gc=False, rename=_OURS):
    """One event.

    `id` is the vendor's own (Auth0: `log_id`), unique within the tenant; `time_ms` is when it
    happened, in milliseconds since the epoch, UTC; `code` is the event code (Auth0: `type`).
    """

    id: str = ""
    time_ms: int = 0
    provider: str = ""
    tenant: str = ""
    code: str = ""
    raw: bytes = b""
    parsed: dict[str, Any] | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """The whole vendor record, unwrapped, an ECS document by dotted names; decoded at the first call."""
        if self.parsed is None:
            self.parsed = _unwrapped(decode_json(self.raw), self.provider) if self.raw else {}
        return self.parsed

    @property
    def ecs(self) -> dict[str, Any]:
        """The normalised view: ECS name -> value, made anew at every call (`tocsin.catalog.ecs`)."""
        return ecs_view(self.provider, self.code, self.id, self.time_ms, self.fields)


_CODE = frozenset({"type"})


def _finite(number: str) -> float | str:
    """A number too large for a float (`1e999`) stays the text it was."""
    value = float(number)
    return value if math.isfinite(value) else number


_DECODER = msgspec.json.Decoder(float_hook=_finite)


def decode_json(raw: bytes) -> Any:
    """Any JSON value; takes all that a typed decode lets pass unread, numbers out of range too."""
    return _DECODER.decode(raw)


def attribute(field: str) -> str:
    """The attribute under which an event type of `event_type` holds a top-level field."""
    return _known_attribute(field) if len(field) <= LONGEST_KEPT else _attribute(field)


def _attribute(field: str) -> str:
    return ATTRIBUTE_PREFIX + "".join(map(_spelled, field))


_known_attribute = lru_cache(maxsize=1_024)(_attribute)


def _spelled(character: str) -> str:
    """A part of an identifier for every character, no two alike."""
    if character == "_":
        return "__"
    return character if character.isascii() and character.isalnum() else f"_{ord(character):x}_"


@lru_cache(maxsize=64)
def _event_type(fields: frozenset[str]) -> type[Event]:
    names = {**_OURS, **{attribute(name): name for name in fields}}
    made = msgspec.defstruct(
        "DecodedEvent",
        [(attribute(name), Any, None) for name in sorted(fields)],
        bases=(Event,),
        kw_only=True,
        eq=False,
        gc=False,  # an event never refers to itself, and the collector need not walk a million of them
        rename=names,
    )
    return cast("type[Event]", made)


def event_type(fields: Iterable[str]) -> type[Event]:
    """The struct of events that hold these top-level vendor fields as attributes (absent: None)."""
    return _event_type(frozenset(fields))


def _unwrapped(record: Any, provider: str) -> dict[str, Any]:
    """A log-stream item `{log_id, data: {…}}` is its `data`; anything else is itself."""
    if not isinstance(record, dict):
        return {}
    if provider == ECS:
        return flattened(record)
    inner = record.get("data")
    known = PROVIDERS.get(provider)
    own = known.own_fields if known else _CODE
    return inner if isinstance(inner, dict) and own.isdisjoint(record) else record


def as_text(value: object) -> str | None:
    """A field's value as text; None where it is missing (absent, null or empty)."""
    if isinstance(value, str):
        return value or None
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return msgspec.json.encode(value).decode()
