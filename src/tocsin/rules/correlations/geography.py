"""Places in 64 bits, and how far apart they are."""

from __future__ import annotations

import math

from tocsin.model.place import Place

_EARTH_KM = 6_371.0088  # the mean radius (IUGG)
_STEPS = 1 << 16  # of a full circle of degrees: 600 m at the equator
_ASN_BITS = 32


def packed(place: Place) -> int:
    """A place in 64 bits (signed): 16 each for latitude and longitude, 32 for its network."""
    north = round(((place.latitude or 0.0) + 90) / 180 * (_STEPS - 1))
    east = round(((place.longitude or 0.0) + 180) / 360 * (_STEPS - 1))
    whole = (north << 16 | east) << _ASN_BITS | (place.asn & ((1 << _ASN_BITS) - 1))
    return whole - (1 << 64) if whole >> 63 else whole


def unpacked(value: int) -> Place:
    """The place that `packed` packed, to some 600 m."""
    whole = value & ((1 << 64) - 1)
    north, east = whole >> 48, whole >> 32 & (_STEPS - 1)
    return Place(
        north / (_STEPS - 1) * 180 - 90, east / (_STEPS - 1) * 360 - 180, asn=whole & ((1 << _ASN_BITS) - 1)
    )


def distance_km(one: Place, other: Place) -> float:
    """The great-circle distance in kilometres, by the haversine formula.

    Source: R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68(2), 1984.
    """
    lat_1, lat_2 = math.radians(one.latitude or 0.0), math.radians(other.latitude or 0.0)
    east = math.radians((other.longitude or 0.0) - (one.longitude or 0.0))
    half = math.sin((lat_2 - lat_1) / 2) ** 2 + math.cos(lat_1) * math.cos(lat_2) * math.sin(east / 2) ** 2
    return 2 * _EARTH_KM * math.asin(math.sqrt(min(1.0, half)))
