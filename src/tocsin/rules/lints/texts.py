"""Lints of one value: patterns, addresses and parts of a time that are valid and surely not meant.

Each answers what is told of the value, empty where nothing is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache

from tocsin.rules.detection.leaves import MAPPED_BITS
from tocsin.rules.detection.modifiers import COMPARISONS, MODIFIERS, Chain
from tocsin.rules.document import Scalar

_SLASHED = re.compile(r"/(?:\^.*|.*\$|.+(?=/[ims]))/([ims]*)", re.DOTALL)  # '/users/' may be a path's
_PLACES = {"contains": "holds", "startswith": "begins with", "endswith": "ends with"}
_TIMES = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "week": (1, 53), "month": (1, 12)}
_SQL = re.compile(r"[^%\s]*[^%\d\s]%")  # `admin%`, and neither `50%` nor `%name%`
_DOTTED = frozenset(MODIFIERS) - {"all", "i", "m", "s", *_TIMES, "year"}  # which are fields' names, too
_PLAIN = Chain()
_PARTIAL = re.compile(r"\d{1,3}(?:\.\d{1,3}){1,2}")
_ADDRESS_LIKE = re.compile(r"[0-9A-Fa-f]{0,4}[.:]")
_LONGEST_ADDRESS = 64
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def dotted_told(field: str, chain: Chain) -> str:
    """A modifier behind a dot, or a colon."""
    name, dot, last = field.rpartition(":" if ":" in field else ".")
    if dot and last in _DOTTED and chain == _PLAIN:
        return f'"{field}" is read as a field; for the modifier write "{name}|{last}"'
    return ""


def pattern_told(field: str, chain: Chain, value: Scalar) -> str:
    """An empty part of a text, a pattern between slashes."""
    if chain.kind in _PLACES and not value.is_null and value.text == "":
        told = f"every text {_PLACES[chain.kind]} the empty one"
        return f'{told}; write what to look for, or "{field}|neq: null" for any value'
    slashed = _SLASHED.fullmatch(value.text) if chain.kind == "re" else None
    if slashed is not None:
        flags = "".join(f"|{flag}" for flag in dict.fromkeys(slashed[1]))
        return f"the slashes are part of the pattern; write '{field}|re{flags}' and the pattern alone"
    return ""


def meant_told(field: str, chain: Chain, value: Scalar) -> str:
    """A modifier, a regular expression or SQL's wildcard in a text that is compared as it is."""
    text = value.text
    if text[:1] != "^" and text[-1:] != "%" and "|" not in text:
        return ""
    if chain.transforms or chain.time_part:
        return ""
    first, bar, rest = text.partition("|")
    if bar and rest and first in _DOTTED:
        return f'"{text}" is compared as text; write "{field}|{first}: {rest}"'
    if text[0] == "^" and text[-1] == "$":
        return f"\"{text}\" is compared as text; for a regular expression write '{field}|re'"
    if _SQL.fullmatch(text):
        return f'"{text}" is compared as text; for any run of characters write *, not %'
    return ""


def address_told(field: str, chain: Chain, value: Scalar) -> str:
    """An address or a network that is compared as text, or that holds none of what it seems to."""
    if len(value.text) > _LONGEST_ADDRESS or _ADDRESS_LIKE.match(value.text) is None:
        return ""
    if chain.kind == "cidr":
        return _network_told(value.text)
    if chain.kind == "startswith" and _PARTIAL.fullmatch(value.text):
        told = f'"{value.text}" also begins {value.text}0 to {value.text}9'
        return f"{told}; end it with a dot, or write {field}|cidr"
    if chain.kind != "equals" or chain.transforms or chain.time_part:
        return ""
    return _text_told(field, value.text)


def _network_told(text: str) -> str:
    try:
        network = ipaddress.IPv6Network(text)
    except ValueError:
        return ""
    if network.prefixlen < MAPPED_BITS and _MAPPED.subnet_of(network):
        told = f"{text} holds no IPv4 address: those written ::ffff:a.b.c.d are compared as IPv4"
        return f"{told}; add 0.0.0.0/0 for all of them"
    return ""


def _text_told(field: str, text: str) -> str:
    """What is told of an address as text: IPv6 is written in many ways, and a network is none."""
    if "/" in text:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            return ""
        return f'"{text}" is compared as text, which no address equals; write "{field}|cidr"'
    if text.count(":") < 2:  # noqa: PLR2004 - the fewest of an IPv6 address
        return ""
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return ""
    return f'"{text}" is compared as text, and an IPv6 address is written in many ways; write "{field}|cidr"'


def time_told(_field: str, chain: Chain, value: Scalar) -> str:
    """An hour 25."""
    bounds, number = _TIMES.get(chain.time_part), value.value
    if bounds is None or not isinstance(number, int | float) or isinstance(number, bool):
        return ""
    least, most = bounds
    if least <= number <= most or (chain.kind in COMPARISONS and number in (least - 1, most + 1)):
        return ""
    return f"{chain.time_part} is from {least} to {most}, never {value.text}; write one of these"


Teller = Callable[[str, Chain, Scalar], str]


@lru_cache(maxsize=1_024)
def tellers(kind: str, time_part: str) -> tuple[Teller, ...]:
    """Those that may have something to tell of a value that is asked about so: of most, one."""
    tells: dict[Teller, bool] = {
        pattern_told: kind in _PLACES or kind == "re",
        meant_told: kind == "equals",
        address_told: kind in ("cidr", "startswith", "equals"),
        time_told: time_part in _TIMES,
    }
    return tuple(tell for tell, applies in tells.items() if applies)
