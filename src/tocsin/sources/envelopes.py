"""What senders put around a record: log-stream items, EventBridge, Event Grid, Splunk; JSON arrays.

An *item* is `{log_id, data: {…}}`, the log stream's own envelope, or the bare record. Sinks wrap
items once more (domain notes 1.4).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

_OUTER = ("detail", "event", "data")  # EventBridge, Splunk HEC, Event Grid
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


def unwrap(whole: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The item inside the sink's envelope, and the record inside the item."""
    item = whole
    while (inner := _inside(item)) is not None:
        item = inner
    data = item.get("data")
    return item, data if "type" not in item and isinstance(data, dict) else item


def _inside(envelope: dict[str, Any]) -> dict[str, Any] | None:
    """The item in a sink's envelope; None when this is an item already."""
    if "type" in envelope:
        return None
    for name in _OUTER:
        inner = envelope.get(name)
        if isinstance(inner, dict) and "type" not in inner and isinstance(inner.get("data"), dict):
            return inner
    return None


def split_array(body: bytes) -> list[bytes]:
    """The elements of a JSON array, each as its own bytes, without looking into them.

    A broken array is split as far as its brackets tell, so that one bad element takes no good one
    with it.
    """
    try:
        return [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _split_broken(body)


def _split_broken(body: bytes) -> list[bytes]:
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
    return [element for element in map(bytes.strip, elements) if element]
