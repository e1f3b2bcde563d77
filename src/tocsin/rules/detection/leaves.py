"""What one value of an event is asked: tests of leaves, built from the values of a rule.

A leaf is what stands at the end of a path: text, number, boolean or null. Across types they compare
as text: `false` is `'false'` and 4625 is `'4625'`, but 1 is not true.
"""

from __future__ import annotations

import ipaddress
import math
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from tocsin.clock import EPOCH
from tocsin.rules.detection.patterns import TextTest
from tocsin.rules.document import ScalarValue

Leaf = Callable[[Any], bool]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LONGEST_ADDRESS = 64  # characters; a longer text is none, and has no place in the cache
MAPPED_BITS = 96  # of an IPv6 address that wraps an IPv4 one
# Above it a number is milliseconds since the epoch, below seconds (until the year 5138).
FIRST_MILLISECONDS = 100_000_000_000
_NUMBER = re.compile(r"[-+]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][-+]?[0-9]{1,3})?")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "equals": operator.eq,
}


def texts_of(value: ScalarValue) -> tuple[str, ...]:
    """The texts that a boolean or number equals; a text equals itself, null nothing."""
    if isinstance(value, str):
        return (value,)
    if value is None:
        return ()
    if isinstance(value, bool):
        return ("true",) if value else ("false",)
    if isinstance(value, float):
        return (str(int(value)), repr(value)) if value.is_integer() else (repr(value),)
    return (str(value),)


def text_leaf(test: TextTest, *, cased: bool, null: bool) -> Leaf:
    """Whether a leaf's text passes; `null` is the answer for null and for nothing there."""

    def folding(value: Any) -> bool:
        if type(value) is str:
            return test(value.casefold())
        if value is None:
            return null
        return not isinstance(value, dict | list) and any(test(text) for text in texts_of(value))

    if not cased:
        return folding

    def casing(value: Any) -> bool:
        if type(value) is str:
            return test(value)
        if value is None:
            return null
        return not isinstance(value, dict | list) and any(test(text) for text in texts_of(value))

    return casing


def searched(search: Callable[[str], object]) -> Leaf:
    """Whether a regular expression is found in a leaf's text."""

    def leaf(value: Any) -> bool:
        if isinstance(value, dict | list):
            return False
        for text in texts_of(value):
            # Half a surrogate pair cannot be encoded, which RE2 needs.
            clean = text if text.isascii() else text.encode("utf-8", "replace").decode()
            if search(clean) is not None:
                return True
        return False

    return leaf


def any_leaf(leaves: Iterable[Leaf]) -> Leaf:
    """OR."""
    each = tuple(leaves)
    return each[0] if len(each) == 1 else lambda value: any(leaf(value) for leaf in each)


def compared(kind: str, wanted: float) -> Leaf:
    """Whether a number, or the text of one, compares so; anything else does not."""
    compare = _COMPARE[kind]

    def leaf(value: Any) -> bool:
        number = number_of(value)
        return number is not None and compare(number, wanted)

    return leaf


def number_of(value: Any) -> float | None:
    """A leaf as a number; None for what is none (true is none, nor is NaN)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value if isinstance(value, int) or math.isfinite(value) else None
    if isinstance(value, str) and (found := _NUMBER.fullmatch(value)):
        whole = found[1].isdigit() and not found[3]
        return int(value) if whole else float(value)  # a float has 53 bits, an id may have more
    return None


def time_compared(part: str, kind: str, wanted: float) -> Leaf:
    """Whether that part of a moment (UTC) compares so."""
    compare = _COMPARE[kind]

    def leaf(value: Any) -> bool:
        moment = moment_of(value)
        if moment is None:
            return False
        return compare(moment.isocalendar().week if part == "week" else getattr(moment, part), wanted)

    return leaf


def moment_of(value: Any) -> datetime | None:
    """A leaf as a moment, UTC: ISO 8601 text, or seconds or milliseconds since the epoch."""
    try:
        if isinstance(value, str) and not _NUMBER.fullmatch(value):
            moment = datetime.fromisoformat(value)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        number = number_of(value)
        if number is None:
            return None
        seconds = number / 1_000 if abs(number) >= FIRST_MILLISECONDS else number
        return EPOCH + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return None


def network_of(text: str) -> Network:
    """A network, an IPv4 one in IPv6 clothes as IPv4.

    Raises:
        ValueError: with a message and the way out.
    """
    return _known_network(text) if len(text) <= LONGEST_ADDRESS else _network(text)


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as exc:
        try:
            loose = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(
                f"{text!r} is not a network; write one like 192.0.2.0/24 or 2001:db8::/32"
            ) from exc
        raise ValueError(f"{text!r} has host bits set; write {loose}") from exc
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < MAPPED_BITS:
        return network
    return ipaddress.IPv4Network((int(mapped), network.prefixlen - MAPPED_BITS))


_known_network = lru_cache(maxsize=1_024)(_network)  # lists of one's own networks stand in many rules


def inside(networks: Iterable[Network]) -> Leaf:
    """Whether a leaf is an address inside one of the networks, however many there are."""
    by_shift: dict[tuple[int, int], set[int]] = defaultdict(set)
    for network in networks:
        shift = network.max_prefixlen - network.prefixlen
        by_shift[network.version, shift].add(int(network.network_address) >> shift)
    kinds = tuple((version, shift, frozenset(heads)) for (version, shift), heads in by_shift.items())

    def leaf(value: Any) -> bool:
        address = _address_of(value) if isinstance(value, str) and len(value) <= LONGEST_ADDRESS else None
        if address is None:
            return False
        version, number = address
        return any(version == v and number >> shift in heads for v, shift, heads in kinds)

    return leaf


@lru_cache(maxsize=8_192)
def _address_of(text: str) -> tuple[int, int] | None:
    try:
        address: Address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return address.version, int(address)
