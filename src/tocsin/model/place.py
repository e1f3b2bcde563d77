"""Where an address is, as far as anybody knows."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Place(NamedTuple):
    """A place: degrees north and east (None: unknown), ISO country code, and network (0: unknown)."""

    latitude: float | None = None
    longitude: float | None = None
    country: str = ""
    city: str = ""
    asn: int = 0
    as_name: str = ""


class Locator(Protocol):
    """Finds places."""

    def locate(self, address: str) -> Place | None:
        """The place of an IP address as text; None where it is unknown, or no address."""
