"""Writes small files in MaxMind's format, for tests. Source: MaxMind DB File Format Specification 2.0."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MARKER = b"\xab\xcd\xefMaxMind.com"


def write(path: Path, records: Mapping[str, Mapping[str, Any]], *, kind: str = "Test-City") -> Path:
    """A database of these networks; IPv4 ones are found as `::/96`, as in MaxMind's own."""
    data, places = b"", {}
    for network, record in records.items():
        places[network] = len(data)
        data += _encoded(record)
    tree = _tree(places)
    count = len(tree)
    nodes = b"".join(b"".join(_pointer(side, count).to_bytes(4, "big") for side in node) for node in tree)
    about = {
        "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1 << 33,
        "database_type": kind, "description": {"en": "a test"}, "ip_version": 6, "languages": ["en"],
        "node_count": _Count(count), "record_size": 32,
    }  # fmt: skip
    path.write_bytes(nodes + bytes(16) + data + _MARKER + _encoded(about))
    return path


class _Count(int):
    """A number that readers want as uint32, however small."""


def _tree(places: Mapping[str, int]) -> list[list[int | tuple[str, int] | None]]:
    """Nodes of two sides: the number of another node, ("data", place), or None."""
    nodes: list[list[int | tuple[str, int] | None]] = [[None, None]]
    for network, place in places.items():
        parsed = ipaddress.ip_network(network)
        bits = int(parsed.network_address)
        length = parsed.prefixlen + (96 if parsed.version == 4 else 0)
        at = 0
        for depth in range(length):
            side = bits >> (127 - depth) & 1
            if depth == length - 1:
                nodes[at][side] = ("data", place)
                break
            if not isinstance(nodes[at][side], int):
                nodes.append([None, None])
                nodes[at][side] = len(nodes) - 1
            at = nodes[at][side]  # type: ignore[assignment]
    return nodes


def _pointer(side: int | tuple[str, int] | None, count: int) -> int:
    if side is None:
        return count
    return side if isinstance(side, int) else count + 16 + side[1]


def _encoded(value: Any) -> bytes:  # noqa: PLR0911 - a line a type
    if isinstance(value, _Count):
        return _head(6, 4) + value.to_bytes(4, "big")
    if isinstance(value, bool):
        return _head(14, int(value))
    if isinstance(value, float):
        return _head(3, 8) + struct.pack(">d", value)
    if isinstance(value, int):
        body = value.to_bytes((value.bit_length() + 7) // 8, "big")
        kind = 5 if len(body) <= 2 else 6 if len(body) <= 4 else 9  # uint16, uint32, uint64
        return _head(kind, len(body)) + body
    if isinstance(value, str):
        return _head(2, len(value.encode())) + value.encode()
    if isinstance(value, Mapping):
        return _head(7, len(value)) + b"".join(_encoded(part) for pair in value.items() for part in pair)
    return _head(11, len(value)) + b"".join(map(_encoded, value))


def _head(kind: int, size: int) -> bytes:
    """The control byte; types above 7 stand in a second one, sizes from 29 on in a next."""
    extra = b"" if size < 29 else bytes([size - 29])
    short = min(size, 29)
    return (bytes([kind << 5 | short]) if kind <= 7 else bytes([short, kind - 7])) + extra
