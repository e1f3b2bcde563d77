"""IPv6 addresses by their network: one household, or one attacker's server, has a whole /64 of them.

`tocsin.prefixes: {data.ip: 64}` makes a rule group, and count, by the network in place of the
address. IPv4 addresses, and what is no address, stay what they are.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from tocsin.model.alert import Reader
from tocsin.model.event import Event
from tocsin.rules.detection.fields import Vocabulary, field_of
from tocsin.rules.detection.leaves import LONGEST_ADDRESS
from tocsin.rules.section import Section

BITS = 128
_REMEMBERED = 50_000  # addresses

Prefixes = Mapping[str, int]  # field as written -> bits


def read_prefixes(section: Section | None) -> dict[str, int]:
    """The prefix lengths; mistakes are noted."""
    if section is None:
        return {}
    found: dict[str, int] = {}
    for name in section.table.entries:
        bits = section.number(name)
        if bits is None:
            continue
        if bits != int(bits) or not 1 <= bits <= BITS:
            section.wrong(name, f"an IPv6 prefix has 1 to {BITS} bits, not {bits:g}; write {name}: 64")
        else:
            found[name] = int(bits)
    return found


def as_spelled(prefixes: Prefixes, used: Iterable[str], vocabulary: Vocabulary) -> Prefixes:
    """The same prefixes, of the fields as they are spelled in `used`, too: `ip` is `data.ip`."""
    if not prefixes:
        return prefixes
    by_field = {field_of(name, vocabulary).key: bits for name, bits in prefixes.items()}
    meant = {name: by_field.get(field_of(name, vocabulary).key) for name in used if name not in prefixes}
    return {**prefixes, **{name: bits for name, bits in meant.items() if bits is not None}}


def warn_of_unused(section: Section | None, used: Iterable[str], vocabulary: Vocabulary) -> None:
    """Note prefixes of fields that nothing groups by or counts."""
    if section is None:
        return
    known = {field_of(name, vocabulary).key for name in used}
    for name, entry in section.table.entries.items():
        if field_of(name, vocabulary).key not in known:
            section.problems.warning(
                entry.key_mark,
                f'nothing groups by or counts "{name}", so its prefix changes nothing; remove it',
            )


def prefixed(readers: Sequence[Reader], names: Sequence[str], prefixes: Prefixes) -> tuple[Reader, ...]:
    """The readers of these fields, by network where a prefix says so."""
    if not prefixes:
        return tuple(readers)
    return tuple(
        by_network(reader, prefixes[name]) if name in prefixes else reader
        for reader, name in zip(readers, names, strict=True)
    )


@lru_cache(maxsize=1_024)
def by_network(reader: Reader, bits: int) -> Reader:
    """Reads an address as its network; one reader for each, so that the engine sees who groups alike."""

    def read(event: Event) -> object:
        value = reader(event)
        return network(value, bits) if type(value) is str and ":" in value else value

    return read


def network(text: str, bits: int) -> str:
    """`2001:db8::1` of 64 bits is `2001:db8::/64`; an IPv4 address within IPv6 is that; else the text."""
    return _network(text, bits) if len(text) <= LONGEST_ADDRESS else text


@lru_cache(maxsize=_REMEMBERED)
def _network(text: str, bits: int) -> str:
    try:
        address = ipaddress.IPv6Address(text.strip())
    except ValueError:
        return text
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, bits), strict=False))
