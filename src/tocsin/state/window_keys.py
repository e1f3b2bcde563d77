"""The keys of a rule's windows, which hold nothing that a stranger wrote."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import blake2b
from typing import NamedTuple

from tocsin.state.connection import Store

BACKSTOP_MS = 7 * 24 * 3_600_000  # state expires by the watermark; this is for what nobody sweeps


class Keys(NamedTuple):
    """Of one rule and tenant. The stems begin the keys of groups too large for a field of `groups`."""

    groups: bytes
    deadlines: bytes
    stem: bytes
    superseded: bytes


class WindowKeys:
    """The keys, each made once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys: dict[tuple[str, str], Keys] = {}

    def of(self, tenant: str, state: str) -> Keys:
        """The keys of a tenant's windows of one rule state."""
        keys = self._keys.get((tenant, state))
        if keys is None:
            text = f"{len(tenant)}:{tenant}{state}".encode("utf-8", "surrogatepass")
            scope = urlsafe_b64encode(digest(text)).rstrip(b"=")
            key = self._store.key
            keys = Keys(key("g", scope), key("due", scope), key("w", scope, b""), key("r", scope, b""))
            self._keys[tenant, state] = keys
        return keys


def digest(data: bytes) -> bytes:
    """The 8 bytes that stand for a group or a member."""
    return blake2b(data, digest_size=8).digest()
