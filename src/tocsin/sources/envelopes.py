"""What senders put around a record: log-stream items, EventBridge, Event Grid, Splunk; JSON arrays.

An *item* is `{log_id, data: {…}}`, the log stream's own envelope, or the bare record. Sinks wrap
items once more (domain notes 1.4).
"""

from __future__ import annotations

import io
import re
from typing import Any

import msgspec

_SINKS = ("detail", "event")  # EventBridge, Splunk HEC
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)|[\[{]++|[\]}]++|,++', re.DOTALL)


class _Shape(msgspec.Struct):
    type: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_SHAPE = msgspec.json.Decoder(_Shape)


def is_wrapped(record: bytes) -> bool:
    """Whether it is a log-stream item; False for anything that cannot be told."""
    try:
        shape = _SHAPE.decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return (
        shape.type is msgspec.UNSET and isinstance(shape.data, msgspec.Raw) and bytes(shape.data)[:1] == b"{"
    )


def is_spread(body: bytes) -> bool:
    """Whether it begins like one value written over many lines."""
    first, newline, _ = body.lstrip().partition(b"\n")
    return bool(newline) and first.rstrip().endswith((b"{", b"[", b","))


def unwrap(
    whole: dict[str, Any], own: frozenset[str] = frozenset({"type"})
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The item inside the sink's envelope, and the record inside the item.

    What has one of its `own` fields is a record itself, whatever its `data` may be.
    """
    item = whole
    while (inner := _inside(item, own)) is not None:
        item = inner
    data = item.get("data")
    return item, data if own.isdisjoint(item) and isinstance(data, dict) else item


def _inside(envelope: dict[str, Any], own: frozenset[str]) -> dict[str, Any] | None:
    """The item in a sink's envelope; None when this is an item already."""
    if not own.isdisjoint(envelope):
        return None
    if isinstance(data := envelope.get("data"), dict):
        return data if _is_item(data) else None  # Event Grid has an item where an item has its record.
    return next((item for name in _SINKS if _is_item(item := envelope.get(name))), None)


def _is_item(value: Any) -> bool:
    return isinstance(value, dict) and "type" not in value and isinstance(value.get("data"), dict)


def split_lines(text: bytes) -> list[bytes]:
    """Its lines, ends and blank ones included."""
    # Not split(): CPython below 3.13 scans byte by byte there (0.5 us a record, not 0.1).
    return io.BytesIO(text).readlines()


def split_body(body: bytes) -> list[bytes]:
    """The records of a whole body, each as its own bytes: of a JSON array, of one object, of NDJSON.

    What is broken is split as far as its lines or brackets tell, so that one bad record takes no
    good one with it.
    """
    body = body.strip()
    if body.startswith(b"["):
        return _split_array(body)
    if _is_one_value(body):
        return [body]
    lines = split_lines(body)
    if is_spread(body) and not any(map(_is_one_value, lines)):
        return _split_values(body)
    return lines


def _is_one_value(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _split_array(body: bytes) -> list[bytes]:
    try:
        return [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _split_broken_array(body)


def _split_broken_array(body: bytes) -> list[bytes]:
    elements: list[bytes] = []
    depth, start = 1, 1
    for token in _TOKEN.finditer(body, 1):
        run = token[0]
        match run[:1]:
            case b"[" | b"{":
                depth += len(run)
            case b"]" | b"}":
                if len(run) >= depth:  # The array ends inside this run.
                    elements.append(body[start : token.start() + depth - 1])
                    start = token.start() + depth
                    break
                depth -= len(run)
            case b"," if depth == 1:
                elements.append(body[start : token.start()])
                start = token.end()
    elements.append(body[start:])
    # Nothing but brackets and commas is a bad record too: it must not pass in silence.
    return [element for element in map(bytes.strip, elements) if element] or [body]


def _split_values(body: bytes) -> list[bytes]:
    """Objects one after another, each over many lines (what `jq .` writes)."""
    values: list[bytes] = []
    depth = start = 0
    for token in _TOKEN.finditer(body):
        run = token[0]
        if run[:1] in b"[{":
            depth += len(run)
        elif run[:1] in b"]}":
            depth -= len(run)
            if depth <= 0:
                values.append(body[start : token.end()])
                depth, start = 0, token.end()
    values.append(body[start:])
    return [value for value in map(bytes.strip, values) if value]
