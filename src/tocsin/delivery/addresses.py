"""Which addresses an HTTP channel may connect to, so that a URL cannot reach into our own network.

A name is resolved once, all its addresses are judged, and the connection goes to a judged address:
a name that answers differently the second time (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from tocsin.errors import PermanentFailure, TemporaryFailure

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]  # host, port -> addresses as text

_NAT64 = IPv6Network("64:ff9b::/96")
# Not public whatever `is_global` of this Python says: translation and tunnel prefixes that carry
# an address of a network nearby, and a metadata service that sits in a global prefix.
_NEVER: tuple[Network, ...] = (
    *map(IPv6Network, ("64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "fec0::/10", "fd00:ec2::/32")),
    IPv4Network("192.0.0.0/24"),
)


def resolve_by_system(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system's resolver gives them.

    Raises:
        OSError: it does not resolve.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def checked_addresses(
    host: str, port: int, *, allowed: Sequence[Network], resolve: Resolve, plain: bool = False
) -> list[str]:
    """The host's addresses, when every one of them may be connected to.

    That is: it is public, or inside `allowed`; a `plain` (unencrypted) connection may only go
    inside `allowed`.

    Raises:
        TemporaryFailure: the host does not resolve now.
        PermanentFailure: one of its addresses is refused.
    """
    try:
        found = [ip_address(text) for text in resolve(host, port)]
    except (OSError, ValueError) as exc:  # UnicodeError, of an impossible name, is a ValueError
        raise TemporaryFailure(f"{host}: the name cannot be resolved") from exc
    if not found:
        raise TemporaryFailure(f"{host}: the name has no address")
    for address in found:
        if _inside(address, allowed):
            continue
        if plain:
            raise PermanentFailure(
                f"{host}: http:// is for addresses in allow_private_cidrs only; use https://"
            )
        if not is_public(address):
            raise PermanentFailure(
                f"{host}: leads to {address}, which is not a public address; "
                "if it is meant, add its network to the channel's allow_private_cidrs"
            )
    return [str(address) for address in found]


def is_public(address: Address) -> bool:
    """Whether it is an ordinary address of the internet; what an IPv6 address wraps is judged instead."""
    inner = _unwrapped(address)
    if any(inner in network for network in _NEVER):
        return False
    return inner.is_global and not (inner.is_multicast or inner.is_reserved or inner.is_unspecified)


def _inside(address: Address, networks: Sequence[Network]) -> bool:
    inner = _unwrapped(address)
    return any(inner in network or address in network for network in networks)


def _unwrapped(address: Address) -> Address:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(address.packed[-4:])
    return address


def literal(host: str) -> str | None:
    """The address that a host spells out (`127.0.0.1`, `::1`, `2130706433`, `0177.1`); None for a name."""
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None
