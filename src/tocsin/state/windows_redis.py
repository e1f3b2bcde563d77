"""Windows on Redis: packed members, one script call a batch.

A group's key is `w:SCOPE:HASH`, where scope is the hash of tenant and state, and hash that of the
group: what strangers wrote is never in a key's name. See `lua/observe.lua` for what is in them.
"""

from __future__ import annotations

from array import array
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from struct import Struct
from typing import NamedTuple

from tocsin.model.compiled import WindowSpec
from tocsin.protocols import Counted, Observations
from tocsin.state.connection import Store

_RECORD = Struct(">q8s").pack
_CALL_GROUPS = 5_000  # groups of one script call; a longer call would keep other clients waiting
_REMEMBERED_GROUPS = 50_000  # whose hashes are kept from batch to batch: busy groups come again
_SWEEP_KEYS = 1_000
_SWEEP_STEPS = 100
_LONG_AGO = -(1 << 62)
Batch = list[tuple[int, str]]
_BACKSTOP_MS = 7 * 24 * 3_600_000  # state expires by the watermark; this is for what nobody sweeps
_HEADER = {"events": 8, "values": 0}
_CLOSING_HEADER = 16


class RedisWindows:
    """Windows that outlive the process. One detect loop at a time on one server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._observe = store.script("observe")
        self._due = store.script("due")
        self._sweep = store.script("sweep")
        self._scopes: dict[tuple[str, str], bytes] = {}
        self._group_hashes: dict[str, bytes] = {}
        self._committed: dict[str, int] = {}
        self._censuses: dict[str, _Census] = {}

    def observe(self, tenant: str, seen: Sequence[Observations], *, committed_ms: int) -> list[Counted]:
        self._committed[tenant] = committed_ms
        return [
            Counted(*call.names[number - 1], windows, size, floored)
            for call in self._calls(tenant, seen, committed_ms)
            for number, size, floored, windows in _rows(self._observe(call.keys, call.args))
        ]

    def due(
        self,
        tenant: str,
        specs: Sequence[WindowSpec],
        *,
        watermark_ms: int,
        committed_ms: int | None = None,
    ) -> list[Counted]:
        if committed_ms is None:
            committed_ms = self._committed.get(tenant, _LONG_AGO)
        closing = [spec for spec in specs if spec.closes]
        with self._store.reaching():
            pipeline = self._store.pipeline()
            for spec in closing:
                pipeline.zrangebyscore(self._deadlines(tenant, spec), "-inf", f"({watermark_ms}")
            reached = pipeline.execute() if closing else []
        counted: list[Counted] = []
        for spec, names in zip(closing, reached, strict=True):
            for start in range(0, len(names), _CALL_GROUPS):
                counted += self._decide(
                    tenant, spec, names[start : start + _CALL_GROUPS], watermark_ms, committed_ms
                )
        return counted

    def _decide(
        self, tenant: str, spec: WindowSpec, names: Sequence[bytes], watermark_ms: int, committed_ms: int
    ) -> list[Counted]:
        stem = self._stem(tenant, spec.state)
        keys = [self._deadlines(tenant, spec), *(stem + digest(name) for name in names)]
        values = int(spec.counts == "values")
        args = [watermark_ms, committed_ms, spec.span_ms, spec.floor, values, spec.span_ms + _BACKSTOP_MS]
        return [
            Counted(spec.state, names[number - 1].decode("utf-8", "surrogatepass"), windows, size, floored)
            for number, size, floored, windows in _rows(self._due(keys, [*args, *names]))
        ]

    def sweep(self, tenant: str, specs: Sequence[WindowSpec], *, committed_ms: int) -> int:
        """See `Windows.sweep`. Goes on through the keys where the last call stopped."""
        by_scope = {self._scope(tenant, spec.state): spec for spec in specs}
        census = self._censuses.setdefault(tenant, _Census())
        dropped = 0
        for _ in range(_SWEEP_STEPS):
            with self._store.reaching():
                cursor, keys = self._store.client.scan(
                    census.cursor, match=self._store.pattern("w", "*"), count=_SWEEP_KEYS
                )
            dropped += self._sweep_keys(keys, by_scope, census, committed_ms)
            census.cursor = int(cursor)
            if not cursor and not census.turn({s: spec.max_groups for s, spec in by_scope.items()}):
                break
        return dropped

    def _sweep_keys(
        self,
        found: Iterable[bytes | str],
        by_scope: dict[bytes, WindowSpec],
        census: _Census,
        committed_ms: int,
    ) -> int:
        start = len(self._store.key("w", b""))
        width = len(next(iter(by_scope), b""))
        ours = [
            (key, spec)
            for key in found
            if isinstance(key, bytes) and (spec := by_scope.get(key[start : start + width]))
        ]
        if not ours:
            return 0
        keys = [part for key, _ in ours for part in (key, self._superseded(key))]
        args = [
            part
            for _, spec in ours
            for part in (
                _CLOSING_HEADER if spec.closes else _HEADER[spec.counts],
                committed_ms - spec.span_ms,
            )
        ]
        excess: list[bytes] = []
        for (key, _), newest in zip(ours, self._sweep(keys, args), strict=True):
            if newest and census.is_excess(key[start : start + width], int(newest)):
                excess += (key, self._superseded(key))
        if excess:
            with self._store.reaching():
                self._store.client.unlink(*excess)
        return len(excess) // 2

    def _calls(self, tenant: str, seen: Sequence[Observations], committed_ms: int) -> Iterator[_Call]:
        call = _Call.begin(committed_ms)
        hashes: dict[str, bytes] = {}
        if len(self._group_hashes) > _REMEMBERED_GROUPS:
            self._group_hashes = {}
        for spec, groups in seen:
            for portion in _portions(groups):
                if call.names and len(call.names) + len(portion) > _CALL_GROUPS:
                    yield call
                    call = _Call.begin(committed_ms)
                self._add_rule(call, tenant, spec, len(portion))
                self._add_groups(call, tenant, spec, portion, hashes)
        if call.names:
            yield call

    def _add_rule(self, call: _Call, tenant: str, spec: WindowSpec, groups: int) -> None:
        kind = "closing" if spec.closes else spec.counts
        keep = -1 if spec.keep is None else spec.keep
        call.args.extend((kind, spec.span_ms, keep, spec.floor, spec.span_ms + _BACKSTOP_MS, groups))
        if spec.closes:
            call.keys.append(self._deadlines(tenant, spec))

    def _add_groups(
        self,
        call: _Call,
        tenant: str,
        spec: WindowSpec,
        groups: Mapping[str, Batch],
        hashes: dict[str, bytes],
    ) -> None:
        keys, args, names, state = call.keys, call.args, call.names, spec.state
        group_hashes = self._group_hashes
        stem = self._stem(tenant, state)
        second_stem = self._superseded(stem) if spec.counts == "values" and not spec.closes else None
        for group, batch in groups.items():
            hashed = group_hashes.get(group)
            if hashed is None:
                hashed = group_hashes[group] = digest(group.encode("utf-8", "surrogatepass"))
            keys.append(stem + hashed)
            if second_stem is not None:
                keys.append(second_stem + hashed)
            args.append(_packed(batch, hashes))
            if spec.closes:
                args.extend((group.encode("utf-8", "surrogatepass"), int(spec.counts == "values")))
            names.append((state, group))

    def _scope(self, tenant: str, state: str) -> bytes:
        scope = self._scopes.get((tenant, state))
        if scope is None:
            text = f"{len(tenant)}:{tenant}{state}".encode("utf-8", "surrogatepass")
            scope = self._scopes[tenant, state] = urlsafe_b64encode(digest(text)).rstrip(b"=")
        return scope

    def _stem(self, tenant: str, state: str) -> bytes:
        return self._store.key("w", self._scope(tenant, state), b"")

    def _deadlines(self, tenant: str, spec: WindowSpec) -> bytes:
        return self._store.key("due", self._scope(tenant, spec.state))

    def _superseded(self, key: bytes) -> bytes:
        start = len(self._store.key("w", b""))
        return self._store.key("r", key[start:])


class _Call(NamedTuple):
    """One script call; `names` are the (state, group) its answer numbers from 1."""

    keys: list[bytes]
    args: list[bytes | str | int]
    names: list[tuple[str, str]]

    @classmethod
    def begin(cls, committed_ms: int) -> _Call:
        """An empty one."""
        return cls([], [committed_ms], [])


class _Census:
    """How many groups each rule has, counted while the sweep goes round.

    A round that found too many says up to which age, and how many, the next one lets go.
    """

    def __init__(self) -> None:
        self.cursor = 0
        self._ages: dict[bytes, array[int]] = {}
        self._excess: dict[bytes, tuple[int, int]] = {}

    def is_excess(self, scope: bytes, newest_ms: int) -> bool:
        """Count this group; whether the round before found it to be too much."""
        until_ms, left = self._excess.get(scope, (0, 0))
        if left and newest_ms <= until_ms:
            self._excess[scope] = (until_ms, left - 1)
            return True
        self._ages.setdefault(scope, array("q")).append(newest_ms)
        return False

    def turn(self, most: dict[bytes, int]) -> bool:
        """End a round; whether another one has something to drop."""
        self._excess = {}
        for scope, ages in self._ages.items():
            excess = len(ages) - most.get(scope, len(ages))
            if excess > 0:
                self._excess[scope] = (sorted(ages)[excess - 1], excess)
        self._ages = {}
        return bool(self._excess)


def digest(data: bytes) -> bytes:
    """The 8 bytes that stand for a group or a member."""
    return blake2b(data, digest_size=8).digest()


def _packed(batch: Sequence[tuple[int, str]], hashes: dict[str, bytes]) -> bytes:
    """The batch's records, sorted, each once."""
    if len(batch) == 1:
        time_ms, member = batch[0]
        hashed = hashes.get(member)
        if hashed is None:
            hashed = hashes[member] = digest(member.encode("utf-8", "surrogatepass"))
        return _RECORD(time_ms, hashed)
    records = []
    for time_ms, member in batch:
        hashed = hashes.get(member)
        if hashed is None:
            hashed = hashes[member] = digest(member.encode("utf-8", "surrogatepass"))
        records.append((time_ms, hashed))
    return b"".join([_RECORD(*record) for record in sorted(set(records))])


def _portions(groups: Mapping[str, Batch]) -> Iterator[Mapping[str, Batch]]:
    if len(groups) <= _CALL_GROUPS:
        yield groups
        return
    names = iter(groups)
    while portion := list(islice(names, _CALL_GROUPS)):
        yield {name: groups[name] for name in portion}


def _rows(flat: Sequence[int]) -> Iterator[tuple[int, int, bool, list[tuple[int, int]]]]:
    """Group number, size, floored, windows: as the scripts answer."""
    at = 0
    while at < len(flat):
        number, size, floored, count = flat[at : at + 4]
        after = at + 4 + 2 * count
        windows = list(zip(flat[at + 4 : after : 2], flat[at + 5 : after : 2], strict=True)) if count else []
        yield number, size, bool(floored), windows
        at = after
