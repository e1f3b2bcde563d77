"""Bytes in, events out: the first cost of every event.

There are two ways to decode a record. The quick one, in `decode_records`, reads the few fields the loaded
rules need and gives up on anything unusual; `_carefully` reads all of it and decides. When the
quick way succeeds it must say what the careful one would (a property test holds them together), so
whatever is new or odd needs care in one place only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

import msgspec

from tocsin.catalog.provider import PROVIDERS, Provider
from tocsin.errors import BadRecord, ConfigError
from tocsin.model.event import Event, attribute, event_type
from tocsin.protocols import Quarantined
from tocsin.sources.envelopes import is_wrapped, split_body, split_lines, unwrap
from tocsin.sources.limits import MAX_DEPTH, MAX_QUARANTINED, full_record, is_utf8, openers
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
    """

    def __init__(
        self,
        fields: Iterable[str],
        *,
        provider: str = "auth0",
        tenant: str = "",
        default_tenant: str = "default",
    ) -> None:
        if provider not in PROVIDERS:
            raise ConfigError(f"unknown provider {provider!r}; known are {', '.join(sorted(PROVIDERS))}")
        self._provider: Provider = PROVIDERS[provider]
        self._tenant, self._default_tenant = tenant, default_tenant
        self._fields = frozenset(fields) | _needed(self._provider)
        self._type = event_type(self._fields)
        self._flat = msgspec.json.Decoder(self._type)
        item = msgspec.defstruct("Item", [("data", self._type), ("type", Any, msgspec.UNSET)])
        self._wrapped = msgspec.json.Decoder(item)
        self._seconds = Seconds()
        first = (self._provider.id_fields[0], self._provider.time_fields[0])
        names = (*first, self._provider.code_field, self._provider.tenant_field, "data")
        self._read = attrgetter(*map(attribute, names))

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
        decode, read = self._decode_as(records), self._read
        seconds, milliseconds = self._seconds, MILLISECONDS
        provider, own_tenant = self._provider.name, self._tenant
        for number, record in enumerate(records, first):
            try:
                size = len(record)
                if size > QUICK_BYTES or openers(record, size) > MAX_DEPTH:
                    raise _Unusual
                if not (record.isascii() or is_utf8(record)):  # A typed decode does not check what it skips.
                    raise _Unusual
                event = decode(record)
                event_id, date, code, tenant, data = read(event)
                if type(event_id) is not str or type(code) is not str or data is not None:
                    raise _Unusual
                time_ms = seconds[date[:20]] + milliseconds[date[20:]]
                if time_ms > limit_ms or not 0 < len(event_id) <= MAX_ID:
                    raise _Unusual
                event.id = event_id
                event.time_ms = time_ms
                event.provider = provider
                event.tenant = own_tenant or (type(tenant) is str and tenant) or self._tenant_of(tenant)
                event.code = code
                event.raw = record
                event.parsed = None
                events.append(event)
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
        item: Any = self._wrapped.decode(record)
        if item.type is not msgspec.UNSET:
            raise _Unusual
        event: Event = item.data
        return event

    def _carefully(self, record: bytes, limit_ms: int) -> Event:
        whole, was_cut = full_record(record)
        item, fields = unwrap(whole)
        event = self._type(
            raw=msgspec.json.encode(item) if was_cut or item is not whole else record,
            provider=self._provider.name,
            code=_text(fields.get(self._provider.code_field), self._provider.code_field),
            tenant=self._tenant or self._tenant_of(fields.get(self._provider.tenant_field)),
        )
        vendor_id = self._vendor_id(fields) or self._vendor_id(item)
        event.id = vendor_id or _hash(fields)
        event.time_ms = self._time(fields, vendor_id)
        if event.time_ms > limit_ms:
            raise BadRecord(FUTURE)
        for name in self._fields:
            setattr(event, attribute(name), fields.get(name))
        return event

    def _tenant_of(self, value: object) -> str:
        return _text(value, self._provider.tenant_field) or self._default_tenant

    def _vendor_id(self, fields: dict[str, Any]) -> str:
        for name in self._provider.id_fields:
            if found := _text(fields.get(name), name):
                if len(found) > MAX_ID:
                    raise BadRecord(ID_TOO_LONG)
                return found
        return ""

    def _time(self, fields: dict[str, Any], vendor_id: str) -> int:
        for name in self._provider.time_fields:
            if (value := fields.get(name)) not in (None, ""):
                return parse_time(value)
        if (ms := time_in_log_id(vendor_id)) is None:
            raise BadRecord(NO_TIME)
        return ms


def _needed(provider: Provider) -> frozenset[str]:
    """What decoding itself reads; `data` tells a wrapped record among flat ones."""
    fields = (*provider.id_fields, *provider.time_fields, provider.code_field, provider.tenant_field, "data")
    return frozenset(fields)


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
