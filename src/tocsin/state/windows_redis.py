"""Windows on Redis: packed members, one script call a batch.

The groups of a rule and tenant are the fields of one hash, `g:SCOPE`, where scope is the hash of
tenant and state, and a field that of the group: what strangers wrote is never in a key's name. Most
groups see one or two events, and a field costs half of the memory and a third of the time of a key.
See `lua/observe.lua` for what is in them, and for the few groups that grow too large for a field.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import chain, islice, repeat
from struct import Struct
from typing import NamedTuple

from tocsin.model.compiled import WindowSpec
from tocsin.model.ledger import Scored
from tocsin.model.observed import Counted, Observations
from tocsin.state.connection import Store
from tocsin.state.ledgers_redis import RedisLedgers
from tocsin.state.window_keys import BACKSTOP_MS, Keys, WindowKeys, digest

_RECORD = Struct(">q8s").pack
_CALL_GROUPS = 5_000  # groups of one script call; a longer call would keep other clients waiting
_REMEMBERED = 50_000  # texts whose digests are kept from batch to batch
_REMEMBERED_LENGTH = 256
_SWEEP_GROUPS = 1_000  # groups of one look
_SWEEP_STEPS = 100  # looks of one sweep, shared by the rules
_SWEEP_EVERY_MS = 300_000  # of event time, at the latest: a round looks at every group
_LONG_AGO = -(1 << 62)
Batch = list[tuple[int, str]]


class RedisWindows:
    """Windows that outlive the process. One detect loop at a time on one server.

    `meanwhile` is called while the server works on a batch, once a batch or more: there is time to
    read the next one.
    """

    def __init__(self, store: Store, *, meanwhile: Callable[[], None] | None = None) -> None:
        self._store = store
        self._meanwhile = meanwhile
        self._observe = store.script("observe")
        self._due = store.script("due")
        self._sweep = store.script("sweep")
        self._keys_of = WindowKeys(store).of
        self._ledgers = RedisLedgers(store, self._keys_of)
        self._digests = _Digests()
        self._committed: dict[str, int] = {}
        self._censuses: dict[tuple[str, str], _Census] = {}

    def observe(self, tenant: str, seen: Sequence[Observations], *, committed_ms: int) -> list[Counted]:
        self._committed[tenant] = committed_ms
        kept = [one for one in seen if one.spec.ledger]
        counting = [one for one in seen if not one.spec.ledger] if kept else seen
        for one in kept:
            self._census(tenant, one.spec.state).seen += len(one.members)
        return [
            Counted(*call.names[number - 1], windows, size, floored)
            for call in self._calls(tenant, counting, committed_ms)
            for number, size, floored, windows in _rows(self._observe(call.keys, call.args, self._meanwhile))
        ] + self._ledgers.observe(tenant, kept, committed_ms)

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
        closing = [spec for spec in specs if spec.closes and not spec.ledger]
        with self._store.reaching():
            pipeline = self._store.pipeline()
            for spec in closing:
                deadlines = self._keys_of(tenant, spec.state).deadlines
                pipeline.zrangebyscore(deadlines, "-inf", f"({watermark_ms}")
            reached = pipeline.execute() if closing else []
        ledgers = [spec for spec in specs if spec.ledger]
        counted = self._ledgers.due(tenant, ledgers, watermark_ms, committed_ms)
        for spec, names in zip(closing, reached, strict=True):
            for start in range(0, len(names), _CALL_GROUPS):
                counted += self._decide(
                    tenant, spec, names[start : start + _CALL_GROUPS], watermark_ms, committed_ms
                )
        return counted

    def _decide(
        self, tenant: str, spec: WindowSpec, names: Sequence[bytes], watermark_ms: int, committed_ms: int
    ) -> list[Counted]:
        keys = self._keys_of(tenant, spec.state)
        values = int(spec.counts == "values")
        args = [watermark_ms, committed_ms, spec.span_ms, spec.floor, values, spec.span_ms + BACKSTOP_MS]
        groups = chain.from_iterable((digest(name), name) for name in names)
        return [
            Counted(spec.state, names[number - 1].decode("utf-8", "surrogatepass"), windows, size, floored)
            for number, size, floored, windows in _rows(
                self._due([keys.deadlines, keys.groups], [*args, *groups])
            )
        ]

    def sweep(self, tenant: str, specs: Sequence[WindowSpec], *, committed_ms: int) -> int:
        """See `Windows.sweep`. Goes on through each rule's groups where the last call stopped."""
        steps = max(2, _SWEEP_STEPS // max(1, len(specs)))
        return sum(self._sweep_rule(tenant, spec, committed_ms, steps) for spec in specs)

    def _sweep_rule(self, tenant: str, spec: WindowSpec, committed_ms: int, steps: int) -> int:
        keys, census = self._keys_of(tenant, spec.state), self._census(tenant, spec.state)
        if not census.is_due(spec, committed_ms):
            return 0
        horizon_ms = committed_ms if spec.ledger else committed_ms - spec.span_ms
        about = (_kind(spec), horizon_ms, keys.stem, keys.superseded)
        dropped = 0
        for _ in range(steps):
            asked_from = 0 if census.excess else spec.max_groups
            census.cursor, *living = self._sweep(
                [keys.groups], [census.cursor, _SWEEP_GROUPS, *about, asked_from]
            )
            ages = zip(living[::2], map(int, living[1::2]), strict=True)
            beyond = [field for field, newest_ms in ages if census.is_excess(newest_ms)]
            self._drop(keys, beyond)
            dropped += len(beyond)
            if not int(census.cursor) and not census.turn(spec.max_groups, committed_ms):
                break
        return dropped

    def forget(self, tenant: str, specs: Sequence[WindowSpec]) -> None:
        each = [self._keys_of(tenant, spec.state) for spec in specs]
        with self._store.reaching():
            pipeline = self._store.pipeline()
            for keys in each:
                self._ledgers.forget(keys)
                pipeline.exists(keys.groups, keys.deadlines)
            for keys, known in zip(each, pipeline.execute(), strict=True):
                if known:
                    held = self._store.client.hscan_iter(keys.groups, count=_SWEEP_GROUPS)
                    self._drop(keys, [field for field, content in held if not content])
                    self._store.client.unlink(keys.groups, keys.deadlines)

    def _census(self, tenant: str, state: str) -> _Census:
        census = self._censuses.get((tenant, state))
        if census is None:
            census = self._censuses[tenant, state] = _Census()
        return census

    def _drop(self, keys: Keys, fields: Sequence[bytes]) -> None:
        if not fields:
            return
        own = [stem + field for field in fields for stem in (keys.stem, keys.superseded)]
        with self._store.reaching():
            pipeline = self._store.pipeline(transaction=True)
            pipeline.hdel(keys.groups, *fields)
            pipeline.unlink(*own)
            pipeline.execute()

    def _calls(self, tenant: str, seen: Sequence[Observations], committed_ms: int) -> Iterator[_Call]:
        call = _Call([], [committed_ms], [])
        ids = _Digests()
        if len(self._digests) > _REMEMBERED:
            self._digests = _Digests()
        for spec, groups, _ in seen:
            # Values are other rules' groups (users, addresses) and come again; event ids do not.
            members = self._digests if spec.counts == "values" else ids
            for portion in _portions(groups):
                if call.names and len(call.names) + len(portion) > _CALL_GROUPS:
                    yield call
                    call = _Call([], [committed_ms], [])
                self._add(call, tenant, spec, portion, members)
        if call.names:
            yield call

    def _add(
        self, call: _Call, tenant: str, spec: WindowSpec, groups: Mapping[str, Batch], members: _Digests
    ) -> None:
        keys, args, fields = self._keys_of(tenant, spec.state), call.args, self._digests
        call.keys.extend((keys.groups, keys.deadlines))
        call.names.extend(zip(repeat(spec.state), groups))
        self._census(tenant, spec.state).seen += len(groups)
        values = int(spec.counts == "values")
        keep = -1 if spec.keep is None else spec.keep
        args += (_kind(spec), spec.span_ms, keep, spec.floor, spec.span_ms + BACKSTOP_MS)
        args += (keys.stem, keys.superseded, values, len(groups))
        args += [fields[group] for group in groups]
        args += [
            _RECORD(batch[0][0], members[batch[0][1]]) if len(batch) == 1 else _packed(batch, members)
            for batch in groups.values()
        ]
        if spec.closes:
            args += [group.encode("utf-8", "surrogatepass") for group in groups]


class _Digests(dict[str, bytes]):
    """Text -> its digest, made when first asked for. A long text is not kept: strangers write them."""

    def __missing__(self, text: str) -> bytes:
        made = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        if len(text) <= _REMEMBERED_LENGTH:
            self[text] = made
        return made


class _Call(NamedTuple):
    """One script call; `names` are the (state, group) its answer numbers from 1."""

    keys: list[bytes]
    args: list[bytes | str | int]
    names: list[tuple[str, str]]


class _Census:
    """A rule's round through its groups: how far it is, and how many are too many.

    A round that found too many says up to which age, and how many, the next one lets go.
    """

    def __init__(self) -> None:
        self.cursor: bytes | int = 0
        self.seen = 0  # groups observed since the last round: as many may be new
        self.excess = 0
        self._until_ms = 0
        self._ages: array[int] = array("q")
        self._ended_ms: int | None = None

    def is_due(self, spec: WindowSpec, committed_ms: int) -> bool:
        """Whether a round is under way, or one now would find enough to let go."""
        if self._ended_ms is None or int(self.cursor) or self.excess:
            return True
        rest_ms = min(spec.span_ms // 2, _SWEEP_EVERY_MS)
        return committed_ms - self._ended_ms >= rest_ms or self.seen > spec.max_groups // 4

    def is_excess(self, newest_ms: int) -> bool:
        """Count this group; whether the round before found it to be too much."""
        if self.excess and newest_ms <= self._until_ms:
            self.excess -= 1
            return True
        self._ages.append(newest_ms)
        return False

    def turn(self, most: int, committed_ms: int) -> bool:
        """End a round; whether another one has something to drop."""
        self.excess = max(0, len(self._ages) - most)
        if self.excess:
            self._until_ms = sorted(self._ages)[self.excess - 1]
        self._ages = array("q")
        self._ended_ms, self.seen = committed_ms, 0
        return self.excess > 0


def _kind(spec: WindowSpec) -> str:
    return "members" if spec.ledger else "closing" if spec.closes else spec.counts


def _packed(batch: Batch, members: _Digests) -> bytes:
    """The batch's records, sorted, each once."""
    records = sorted({(time_ms, members[member]) for time_ms, member in batch})  # times may be negative
    return b"".join([_RECORD(*record) for record in records])


def _portions(groups: Mapping[str, Batch]) -> Iterator[Mapping[str, Batch]]:
    if len(groups) <= _CALL_GROUPS:
        yield groups
        return
    names = iter(groups)
    while portion := list(islice(names, _CALL_GROUPS)):
        yield {name: groups[name] for name in portion}


def _rows(flat: Sequence[int]) -> Iterator[tuple[int, int, bool, list[Scored]]]:
    """Group number, size, floored, windows: as the scripts answer."""
    at = 0
    while at < len(flat):
        number, size, floored, count = flat[at : at + 4]
        after = at + 4 + 2 * count
        windows: list[Scored] = (
            list(zip(flat[at + 4 : after : 2], flat[at + 5 : after : 2], strict=True)) if count else []
        )
        yield number, size, bool(floored), windows
        at = after
