"""`geo_velocity`: two places too far apart for the time between.

At an instant, the places seen at it are compared with each other and with those of the newest
instant before it inside the timespan. The score is the highest speed in km/h: great-circle distance
over the time between, at least a second. A distance below `min_km` has no score: databases err by that
much. Decided by the watermark, because an event in between changes what was newest.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tocsin.model.compiled import Correlation, WindowSpec
from tocsin.model.event import Event, as_text
from tocsin.model.ledger import Ledger, Scored, Seen, digest
from tocsin.model.place import Locator, Place
from tocsin.rules.correlations.bounds import HIGHEST_NUMBER, condition_of
from tocsin.rules.correlations.counting import Bounds
from tocsin.rules.correlations.geography import distance_km, packed, unpacked
from tocsin.rules.correlations.judged import Judged
from tocsin.rules.correlations.keys import TEXT, TEXTS, closed, condition, described, number
from tocsin.rules.correlations.kind import (
    CorrelationSpec,
    CorrelationType,
    Counting,
    Input,
    Reading,
    SeenBy,
)
from tocsin.rules.correlations.members import Members
from tocsin.rules.correlations.sliding import MAX_MEMBERS, Judge, Law, Sliding
from tocsin.rules.correlations.spans import timespan
from tocsin.rules.detection.fields import own_name
from tocsin.rules.detection.leaves import number_of
from tocsin.rules.section import Section

EXAMPLE = "{kmh: 1000}"
LOCATION = ("source.geo.location.lat", "source.geo.location.lon")  # as the record itself tells it
DEFAULT_SPAN_MS = 86_400_000
DEFAULT_MIN_KM = 100.0
MOST_PLACES = 50  # of an instant: each is compared with each, and a stranger may be at thousands
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Own(NamedTuple):
    """What the rule says besides its bounds. `address` and `place`: which of the fields there are."""

    min_km: float
    address: bool
    place: bool
    ignored: tuple[Network, ...]
    same_asn: bool


def read(reading: Reading) -> Counting | None:
    """The speed, the fields that tell the place, and what is left out."""
    section = reading.section
    before = len(section.problems.errors)
    span_ms = timespan(section, default_ms=DEFAULT_SPAN_MS)
    address, lat, lon = (_field(section, key) for key in ("ip", "lat", "lon"))
    if bool(lat) != bool(lon):
        section.problems.error(section.mark, "lat and lon go together; write both, or only ip")
    elif not address and not lat and section.lacks("ip"):
        section.problems.error(
            section.mark, "geo_velocity needs to know where it was; write ip: data.ip, or lat and lon"
        )
    if address and not (lat or lon) and reading.vocabulary:
        lat, lon = (own_name(name, reading.vocabulary) for name in LOCATION)
    ignored, same_asn = _ignored(section)
    speed = condition_of(reading, EXAMPLE)
    if speed is None:
        return None
    kmh, min_km = _positive(speed, "kmh"), _positive(speed, "min_km")
    param = reading.params.get(node.param) if (node := speed.scalar("kmh")) else None
    if kmh is None and speed.lacks("kmh"):
        speed.problems.error(speed.mark, f"the condition names no speed; write {EXAMPLE}")
    speed.done()
    if kmh is None or len(section.problems.errors) > before:
        return None
    return Counting(
        Bounds((("gte", kmh),)),
        highest=(param.highest or 0) if param else 0,
        fields=tuple(filter(None, (address, lat, lon))),
        own=Own(DEFAULT_MIN_KM if min_km is None else min_km, bool(address), bool(lat), ignored, same_asn),
        timespan_ms=span_ms,
    )


def _field(section: Section, key: str) -> str:
    node = section.scalar(key)
    if node is not None and not node.text and not node.is_open:
        section.wrong(key, f"{key} must not be empty; write a field, like data.ip")
    return node.text if node else ""


def _positive(section: Section, key: str) -> float | None:
    found = section.number(key)
    if found is not None and not (0 <= found <= HIGHEST_NUMBER and math.isfinite(found)):
        section.wrong(key, f"{key} must be from 0 to {HIGHEST_NUMBER}, not {found:g}")
        return None
    return found


def _ignored(section: Section) -> tuple[tuple[Network, ...], bool]:
    within = section.section("ignore", "ignore")
    if within is None:
        return (), False
    networks: list[Network] = []
    for scalar in within.scalars("cidrs"):
        try:
            networks.append(ipaddress.ip_network(scalar.text))
        except ValueError as exc:
            within.problems.error(scalar.mark, f"cidrs: {exc}; write a network like 192.0.2.0/24")
    same_asn = within.flag("same_asn")
    within.done()
    return tuple(networks), same_asn


def build(state: str, spec: CorrelationSpec, highest: float) -> Correlation:  # noqa: ARG001 - as all types
    """Speeds, ready to be compared."""
    own = spec.own
    if not isinstance(own, Own):
        raise TypeError(f"{state}: not read as geo_velocity")
    law = Law(spec.timespan_ms, _judge(own.min_km, same_asn=own.same_asn), at_once=False, merge=max)

    def opened(dumped: bytes | None, keep: int | None) -> Ledger:
        return _Places(law, dumped, keep)

    window = WindowSpec(state, spec.timespan_ms, "members", keep=MAX_MEMBERS, closes=True, ledger=opened)
    return Judged(window, spec.bounds)


class _Places(Sliding):
    """Where somebody was. What is older than all that is kept has no neighbour to be compared with."""

    def observe(self, batch: Sequence[Seen], committed_ms: int) -> list[Scored]:
        known = [one for one in batch if one.time_ms >= committed_ms - self._law.span_ms]
        return super().observe(known, committed_ms) if known else []


def seen(source: Input) -> SeenBy:
    """Where each event was; events of which nobody knows are left out."""
    own = source.spec.own
    if not isinstance(own, Own):
        raise TypeError("not read as geo_velocity")
    located = _located(source, own)

    def see(events: Sequence[Event]) -> list[Seen]:
        found = [(event, located(event)) for event in events]
        return [Seen(event.time_ms, digest(event.id), packed(place)) for event, place in found if place]

    return see


def _located(source: Input, own: Own) -> Callable[[Event], Place | None]:
    """The address's place by the database; where it knows none, what the record itself says."""
    address = source.values[0] if own.address else None
    lat, lon = source.values[-2:] if own.place else (None, None)
    locator = source.locator

    def located(event: Event) -> Place | None:
        text = as_text(address(event)) if address else None
        if text and own.ignored and _is_ignored(text, own.ignored):
            return None
        place = locator.locate(text) if locator and text else None
        if place is not None and place.latitude is not None and place.longitude is not None:
            return place
        if lat is None or lon is None:
            return None
        return _own_place(number_of(lat(event)), number_of(lon(event)), place.asn if place else 0)

    return located


def _own_place(latitude: float | None, longitude: float | None, asn: int) -> Place | None:
    if latitude is None or longitude is None or not (abs(latitude) <= 90 and abs(longitude) <= 180):  # noqa: PLR2004 - degrees
        return None
    return Place(latitude, longitude, asn=asn)


def _is_ignored(text: str, networks: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(mapped in network for network in networks)


def _judge(min_km: float, *, same_asn: bool) -> Judge:
    def judge(members: Members, span_ms: int, from_ms: int, until_ms: int) -> list[Scored]:
        after = members.first_at(until_ms)
        first = members.first_at(from_ms)
        begin = members.first_at(members.time(first - 1)) if first else 0
        scored: list[Scored] = []
        before: tuple[int, list[Place]] | None = None
        for at_ms, places in _instants(members, begin, after):
            if at_ms >= from_ms:
                earlier = before if before and before[0] >= at_ms - span_ms else None
                speed = _fastest(at_ms, places, earlier, min_km, same_asn)
                if speed > 0:
                    scored.append((at_ms, speed))
            before = (at_ms, places)
        return scored

    return judge


def _instants(members: Members, first: int, after: int) -> list[tuple[int, list[Place]]]:
    """The different places of each instant, in order."""
    found: dict[int, set[int]] = {}
    for at_ms, value in zip(members.times(first, after), members.values(first, after), strict=True):
        found.setdefault(at_ms, set()).add(value)
    return [(at_ms, [unpacked(value) for value in _some(values)]) for at_ms, values in found.items()]


def _some(places: Iterable[int]) -> Sequence[int]:
    """So many of them, the same whatever the order: of too many every second, or third, and so on."""
    ordered = sorted(places)
    return ordered[:: -(-len(ordered) // MOST_PLACES)]


def _fastest(
    at_ms: int,
    places: Sequence[Place],
    before: tuple[int, list[Place]] | None,
    min_km: float,
    same_asn: bool,
) -> float:
    pairs = [(one, other, 0) for at, one in enumerate(places) for other in places[at + 1 :]]
    if before is not None:
        pairs += [(one, other, at_ms - before[0]) for one in before[1] for other in places]
    fastest = 0.0
    for one, other, between_ms in pairs:
        if same_asn and one.asn and one.asn == other.asn:
            continue
        km = distance_km(one, other)
        if km >= min_km:
            fastest = max(fastest, km * 3_600_000 / max(between_ms, 1_000))
    return round(fastest, 1)


def unable(spec: CorrelationSpec, locator: Locator | None) -> str:
    """Why it cannot run here, if it cannot."""
    own = spec.own
    if isinstance(own, Own) and not own.place and locator is None:
        return "no geo database"
    return ""


_IGNORE = closed(
    {
        "cidrs": described("Networks that say nothing of a place: your VPN, your proxies.", TEXTS),
        "same_asn": described("Leave out pairs within one network (AS).", {"type": "boolean"}),
    }
)

GEO_VELOCITY = CorrelationType(
    summary="two places too far apart for the time between",
    read=read,
    build=build,
    example=EXAMPLE,
    keys={
        "ip": described("The field with the address, looked up in the geo databases.", TEXT),
        "lat": described(
            "The field with the degrees north, where no database knows (the record's own).", TEXT
        ),
        "lon": described("The field with the degrees east (the record's own).", TEXT),
        "ignore": described("What is not compared.", _IGNORE),
        "condition": condition(
            {
                "kmh": number("From this speed on, in kilometres an hour.", highest=HIGHEST_NUMBER),
                "min_km": number("Not below this distance (100).", highest=HIGHEST_NUMBER),
            },
            required=("kmh",),
        ),
    },
    seen=seen,
    identity=lambda spec: (
        (spec.own.ignored, spec.own.address, spec.own.place) if isinstance(spec.own, Own) else None
    ),
    unable=unable,
    sigma=False,
    timespan=False,
)
