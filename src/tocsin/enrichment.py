"""Where addresses are: files in MaxMind's format (GeoLite2, GeoIP2, DB-IP, IPinfo, your own).

Each file says what it knows: places, networks, or both. Nothing is asked of anybody outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tocsin.errors import ConfigError
from tocsin.model.place import Locator, Place

_REMEMBERED = 50_000  # addresses
_LONGEST = 64  # characters; a longer text is none, and has no place in the cache


class Databases:
    """Looks an address up in every file; what an earlier one knows, a later one does not change."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Opens the files.

        Raises:
            ConfigError: one cannot be read, is of another format, or `maxminddb` is not installed.
        """
        self._readers = [_opened(path) for path in paths]
        self._known = lru_cache(_REMEMBERED)(self._locate)

    def locate(self, address: str) -> Place | None:
        """See `Locator.locate`."""
        return self._known(address) if len(address) <= _LONGEST else None

    def _locate(self, address: str) -> Place | None:
        records: list[Mapping[str, Any]] = []
        address = address.partition("/")[0]  # of a network, where it begins
        if "." in address:
            address = address.lower().removeprefix("::ffff:")  # an IPv4 address, written as IPv6
        for reader in self._readers:
            try:
                found = reader.get(address)
            except ValueError:  # no address, or an IPv6 one in a file that has none
                continue
            if isinstance(found, dict):
                records.append(found)
        return _place(records) if records else None


def open_databases(paths: Sequence[Path]) -> Locator | None:
    """What finds places; None without a file. Raises as `Databases`."""
    return Databases(paths) if paths else None


def _opened(path: Path) -> Any:
    try:
        import maxminddb  # an extra that few need
    except ImportError as exc:
        raise ConfigError(f"geo: {path}: reading it needs maxminddb; install tocsin[geo]") from exc
    try:
        return maxminddb.open_database(path)
    except (OSError, maxminddb.InvalidDatabaseError) as exc:
        raise ConfigError(f"geo: {path}: not a file in MaxMind's format: {exc}") from exc


def _place(records: Sequence[Mapping[str, Any]]) -> Place:
    """The first record that says something says it; both spellings in use of networks are read."""
    return Place(
        latitude=_number(_first(records, "location", "latitude")),
        longitude=_number(_first(records, "location", "longitude")),
        country=_text(_first(records, "country", "iso_code")),
        city=_text(_first(records, "city", "names", "en")),
        asn=_network(_first(records, "autonomous_system_number") or _first(records, "asn")),
        as_name=_text(_first(records, "autonomous_system_organization") or _first(records, "as_name")),
    )


def _first(records: Sequence[Mapping[str, Any]], *steps: str) -> object:
    for record in records:
        found: object = record
        for step in steps:
            found = found.get(step) if isinstance(found, dict) else None
        if found is not None:
            return found
    return None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _network(value: object) -> int:
    """`64496` or `AS64496`."""
    text = str(value or "").upper().removeprefix("AS")
    return int(text) if text.isascii() and text.isdigit() else 0
