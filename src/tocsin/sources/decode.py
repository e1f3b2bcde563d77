"""Bytes in, events out: the first cost of every event.

There are two ways to decode a record. The quick one, in `decode_records`, reads the few fields the loaded
rules need and gives up on anything unusual; `_carefully` reads all of it and decides. When the
quick way succeeds it must say what the careful one would (a property test holds them together), so
whatever is new or odd needs care in one place only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, Literal, cast

import msgspec

from tocsin.catalog.lookup import code_of_action
from tocsin.catalog.provider import PROVIDERS, Provider
from tocsin.errors import BadRecord, ConfigError
from tocsin.model.event import Event, attribute, event_type
from tocsin.protocols import Quarantined
from tocsin.sources.envelopes import is_wrapped, split_body, split_lines, unwrap
from tocsin.sources.limits import MAX_DEPTH, MAX_QUARANTINED, full_record, is_utf8
from tocsin.sources.times import LAST_MS, MILLISECONDS, NO_TIME, Seconds, parse_time, time_in_log_id

FUTURE_MS = 5 * 60_000  # reliability F8: a record from the future would close windows early
FUTURE = "more than 5 min in the future"
NOT_TEXT = "{} is not text"
ID_TOO_LONG = "id longer than 512 characters"
# Up to here a line cannot hold MAX_KEYS keys, a string to cut, or an int that Python refuses (4,300 digits).
QUICK_BYTES = 4_096
MAX_ID = 512
_BOM = b"\xef\xbb\xbf"

Decoded = tuple[list[Event], list[Quarantined]]


class _Unusual(Exception):
    """The quick way does not know this record."""


# All that msgspec and the quick way's look-ups raise on records that are not the usual ones.
_GIVE_UP = (_Unusual, BadRecord, msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError)


class Decoder:
    """Decodes one source's records; `fields` are the top-level vendor fields its events shall hold.

    `tenant` is given to every event; where it is empty the record's own counts, else `default_tenant`.
    `whole` are the codes of the events that keep the bytes of their record (None: all do); of the
    others nobody may ask for more than those fields.
    """

    def __init__(
        self,
        fields: Iterable[str],
        *,
        provider: str = "auth0",
        tenant: str = "",
        default_tenant: str = "default",
        whole: frozenset[str] | None = None,
    ) -> None:
        if provider not in PROVIDERS:
            raise ConfigError(f"unknown provider {provider!r}; known are {', '.join(sorted(PROVIDERS))}")
        self._provider: Provider = PROVIDERS[provider]
        self._tenant, self._default_tenant = tenant, default_tenant
        self.fields = frozenset(fields)
        self._whole = whole
        self._type = event_type(self.fields)
        quick = _quick_type(provider, self.fields, tenant, default_tenant)
        self._flat = msgspec.json.Decoder(quick)
        own = {f"own_{place}": name for place, name in enumerate(sorted(self._provider.own_fields))}
        absent = [(name, msgspec.UnsetType, msgspec.UNSET) for name in own]
        item = msgspec.defstruct("Item", [("data", quick), *absent], rename=own)
        self._wrapped: msgspec.json.Decoder[Any] = msgspec.json.Decoder(item)
        self._seconds = Seconds()
        self._date = attrgetter(attribute(self._provider.time_fields[0]))

    def holding(self, fields: frozenset[str]) -> Decoder:
        """A decoder of the same records whose events hold these fields."""
        if fields == self.fields:
            return self
        return Decoder(
            fields,
            provider=self._provider.name,
            tenant=self._tenant,
            default_tenant=self._default_tenant,
            whole=self._whole,
        )

    def decode_lines(self, chunk: bytes, *, first_line: int, now_ms: int | None) -> Decoded:
        """NDJSON: an event for every good line; blank lines are skipped, bad ones say where they stood.

        `first_line` is the number of the chunk's first line. `now_ms` is the wall time of a live
        source; None in replay, where nothing is in the future.
        """
        return self.decode_records(split_lines(chunk), first=first_line, now_ms=now_ms)

    def decode_body(self, body: bytes, *, now_ms: int | None) -> Decoded:
        """A request body or a whole file: JSON array, one object, or NDJSON; told by its content alone.

        The `line` of a bad record in an array is its place in it.
        """
        return self.decode_records(split_body(body.removeprefix(_BOM)), first=1, now_ms=now_ms)

    def decode_records(self, records: list[bytes], *, first: int, now_ms: int | None) -> Decoded:
        """One record each, the first of them number `first`.

        The quick way is written out in the loop: a call a record would cost a tenth of it all.
        """
        events: list[Event] = []
        bad: list[Quarantined] = []
        limit_ms = LAST_MS if now_ms is None else now_ms + FUTURE_MS
        if not self._provider.code_field:  # An ECS document nests what every event has.
            for number, record in enumerate(records, first):
                self._add_carefully(record, number, limit_ms, events, bad)
            return events, bad
        decode, date_of, add = self._decode_as(records), self._date, events.append
        whole = self._whole
        seconds, milliseconds = self._seconds, MILLISECONDS
        for number, record in enumerate(records, first):
            try:
                size = len(record)
                # How many `{` and `[` there are, no further than 34 of each: it is no deeper than that.
                # By replacement, which jumps from hit to hit: CPython below 3.13 counts byte by byte.
                openers = 2 * size - len(record.replace(b"{", b"", 34)) - len(record.replace(b"[", b"", 34))
                if size > QUICK_BYTES or openers > MAX_DEPTH:
                    raise _Unusual
                if not (record.isascii() or is_utf8(record)):  # A typed decode does not check what it skips.
                    raise _Unusual
                event = decode(record)
                date = date_of(event)
                time_ms = seconds[date[:20]] + milliseconds[date[20:]]
                if time_ms > limit_ms:
                    raise _Unusual
                event.time_ms = time_ms
                event.raw = record if whole is None or event.code in whole else b""
                add(event)
            except _GIVE_UP:
                self._add_carefully(record, number, limit_ms, events, bad)
        return events, bad

    def _add_carefully(
        self, record: bytes, number: int, limit_ms: int, events: list[Event], bad: list[Quarantined]
    ) -> None:
        if record.isspace():
            return
        try:
            events.append(self._carefully(record, limit_ms))
        except BadRecord as exc:
            bad.append(Quarantined(str(exc), record[:MAX_QUARANTINED].rstrip(), number))

    def _decode_as(self, records: list[bytes]) -> Callable[[bytes], Event]:
        """The typed decode that fits the first record, flat or wrapped; the others tend to be alike."""
        return self._inner if is_wrapped(records[0] if records else b"") else self._flat.decode

    def _inner(self, record: bytes) -> Event:
        event: Event = self._wrapped.decode(record).data
        return event

    def _carefully(self, record: bytes, limit_ms: int) -> Event:
        whole, was_cut = full_record(record)
        item, fields = whole, whole
        if self._provider.code_field:
            item, fields = unwrap(whole, self._provider.own_fields)
        event = self._type(
            raw=msgspec.json.encode(item) if was_cut or item is not whole else record,
            provider=self._provider.name,
            code=self._code(fields),
            tenant=self._tenant or self._text_at(fields, self._provider.tenant_field) or self._default_tenant,
        )
        vendor_id = self._vendor_id(fields) or self._vendor_id(item)
        event.id = vendor_id or _hash(fields)
        event.time_ms = self._time(fields, vendor_id)
        if event.time_ms > limit_ms:
            raise BadRecord(FUTURE)
        for name in self.fields:
            setattr(event, attribute(name), fields.get(name))
        return event

    def _code(self, fields: dict[str, Any]) -> str:
        action = fields.get(self._provider.action_field)
        if fields.get(self._provider.code_field) is None and isinstance(action, str):
            return code_of_action(self._provider.name, action) or ""
        return self._text_at(fields, self._provider.code_field)

    def _text_at(self, fields: dict[str, Any], name: str) -> str:
        return _text(_at(fields, name), name) if name else ""

    def _vendor_id(self, fields: dict[str, Any]) -> str:
        for name in self._provider.id_fields:
            if found := self._text_at(fields, name):
                if len(found) > MAX_ID:
                    raise BadRecord(ID_TOO_LONG)
                return found
        return ""

    def _time(self, fields: dict[str, Any], vendor_id: str) -> int:
        for name in self._provider.time_fields:
            if (value := _at(fields, name)) not in (None, ""):
                return parse_time(value)
        if (ms := time_in_log_id(vendor_id)) is None:
            raise BadRecord(NO_TIME)
        return ms


@lru_cache(maxsize=64)
def _quick_type(provider_name: str, asked: frozenset[str], tenant: str, default_tenant: str) -> type[Event]:
    """The struct that a usual record is decoded into; nothing is left to look at but its time.

    The vendor's id, code and tenant land in our own attributes, and msgspec refuses what is not
    usual about them. The rest of ours have types that no JSON fits but their default, so that a
    record which spells our names out (`tocsin/raw`) is refused as well.
    """
    provider = PROVIDERS[provider_name]
    id_field, code_field, tenant_field = provider.id_fields[0], provider.code_field, provider.tenant_field
    same = {id_field: "id", code_field: "code"}
    names = {"id": id_field, "code": code_field, "tenant": "tocsin/tenant", "provider": "tocsin/provider"}
    types: list[tuple[str, Any, Any]] = [
        ("id", Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)], msgspec.NODEFAULT),
        ("code", str, msgspec.NODEFAULT),
        ("provider", Literal[provider_name], provider_name),
        *((name, None, None) for name in ("time_ms", "raw", "parsed")),
        (attribute("data"), None, None),  # It tells a wrapped record among flat ones.
        (attribute(provider.time_fields[0]), str, msgspec.NODEFAULT),
    ]
    if tenant:
        types.append(("tenant", Literal[tenant], tenant))
    else:
        # A rule that reads the field must see that it is missing, so then it may not be.
        default = msgspec.NODEFAULT if tenant_field in asked else default_tenant
        types.append(("tenant", Annotated[str, msgspec.Meta(min_length=1)], default))
        names["tenant"] = tenant_field
        same[tenant_field] = "tenant"
    rest = sorted(asked - set(same) - {"data", provider.time_fields[0]})
    types += [(attribute(name), Any, None) for name in rest]
    names |= {attribute(name): name for name in (*rest, "data", provider.time_fields[0])}
    names |= {name: f"tocsin/{name}" for name in ("time_ms", "raw", "parsed")}
    made = msgspec.defstruct(
        "UsualEvent", types, bases=(Event,), kw_only=True, eq=False, gc=False, rename=names
    )
    for field in same.keys() & asked:  # Of the others it cannot tell what was missing.
        setattr(made, attribute(field), getattr(made, same[field]))  # One slot by two names.
    return cast("type[Event]", made)


def _at(fields: dict[str, Any], name: str) -> Any:
    """The field of that name; of a dotted one, what is nested so."""
    value: Any = fields.get(name)
    if value is None and "." in name:
        value = fields
        for step in name.split("."):
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _text(value: object, field: str) -> str:
    """Text, or a number as text; empty where it is missing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadRecord(NOT_TEXT.format(field))


def _hash(fields: dict[str, Any]) -> str:
    """An id for a record without one: the same for the same fields in any order."""
    canonical = msgspec.json.encode(fields, order="sorted")
    return "sha256:" + hashlib.sha256(canonical).hexdigest()[:40]
