"""Ledgers on Redis: loaded, shown the batch, kept again.

A small ledger is one field of its rule's hash, like any group; one that outgrew that has a key of
its own, and its field is empty. Before the ledger stand 8 bytes that say how long it lasts, for the
sweep. Two round trips a call, one more where large ledgers are: so what a type keeps is written once,
in Python, for every store. Reading a batch again is safe, and one process writes a partition. A ledger
and its deadline are written together or not at all: what is read again would not tell them apart.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby
from struct import Struct
from typing import Any, NamedTuple, cast

from redis.client import Pipeline

from tocsin.model.alert import NEVER_MS
from tocsin.model.compiled import WindowSpec
from tocsin.model.ledger import Ledger, Scored
from tocsin.model.observed import Counted, Observations
from tocsin.state.connection import Store
from tocsin.state.window_keys import BACKSTOP_MS, Keys, digest

_SMALL = 1_024  # bytes of a field; what grows in a larger ledger is written at its end
_PORTION = 2_000  # ledgers at a time
_UNTIL = Struct(">q")

Shown = Callable[["_Held"], list[Scored]]


class _Place(NamedTuple):
    """Where a group's ledger is kept."""

    spec: WindowSpec
    keys: Keys
    group: str
    field: bytes

    @property
    def own_key(self) -> bytes:
        """Where it is when it is large."""
        return self.keys.stem + self.field


class _Held(NamedTuple):
    """A ledger, and what the store held of it (None: nothing) under its own key or not."""

    place: _Place
    before: bytes | None
    moved_out: bool
    ledger: Ledger


class RedisLedgers:
    """The ledgers of every tenant and rule; threads take turns."""

    def __init__(self, store: Store, keys_of: Callable[[str, str], Keys]) -> None:
        self._store = store
        self._keys_of = keys_of
        self._lock = threading.Lock()
        self._expecting: set[Keys] = set()  # of the rules whose expected groups all have a ledger

    def observe(self, tenant: str, seen: Sequence[Observations], committed_ms: int) -> list[Counted]:
        """See `Windows.observe`."""
        asked = [(one.spec, group) for one in seen for group in one.members]
        members = {(one.spec.state, group): batch for one in seen for group, batch in one.members.items()}

        def show(held: _Held) -> list[Scored]:
            return held.ledger.observe(members[held.place.spec.state, held.place.group], committed_ms)

        answers = self._show(tenant, asked, show)
        return [answer for answer in answers if answer.windows or answer.size > 1]

    def due(
        self, tenant: str, specs: Sequence[WindowSpec], watermark_ms: int, committed_ms: int
    ) -> list[Counted]:
        """See `Windows.due`."""
        if not specs:
            return []
        with self._store.reaching():
            pipeline = self._store.pipeline()
            for spec in specs:
                deadlines = self._keys_of(tenant, spec.state).deadlines
                pipeline.zrangebyscore(deadlines, "-inf", f"({watermark_ms}")
            found = pipeline.execute()
        asked = [
            (spec, group)
            for spec, names in zip(specs, found, strict=True)
            for group in dict.fromkeys([*map(_text, names), *self._unknown(tenant, spec)])
        ]
        answers = self._show(tenant, asked, lambda held: held.ledger.due(watermark_ms, committed_ms))
        self._expecting.update(self._keys_of(tenant, spec.state) for spec in specs if spec.expected)
        return [answer for answer in answers if answer.windows]

    def forget(self, keys: Keys) -> None:
        """The store holds nothing under these keys any more."""
        self._expecting.discard(keys)

    def _unknown(self, tenant: str, spec: WindowSpec) -> Sequence[str]:
        """The expected groups, if some may have no ledger yet; once they have one, it has its deadline."""
        return () if self._keys_of(tenant, spec.state) in self._expecting else spec.expected

    def _show(self, tenant: str, asked: Sequence[tuple[WindowSpec, str]], show: Shown) -> list[Counted]:
        answers: list[Counted] = []
        places = [self._place(tenant, spec, group) for spec, group in asked]
        for start in range(0, len(places), _PORTION):
            portion = places[start : start + _PORTION]
            with self._lock, self._store.reaching():
                pipeline, many = self._store.pipeline(transaction=True), _Many()
                for held in self._load(portion):
                    deadline = held.ledger.deadline
                    scored = show(held)
                    _keep(pipeline, many, held)
                    _note_deadline(many, held, deadline)
                    answers.append(_answer(held, scored))
                many.put(pipeline)
                for keys, span_ms in {place.keys: place.spec.span_ms for place in portion}.items():
                    pipeline.pexpire(keys.groups, span_ms + BACKSTOP_MS)
                    pipeline.pexpire(keys.deadlines, span_ms + BACKSTOP_MS)
                pipeline.execute()
        return answers

    def _place(self, tenant: str, spec: WindowSpec, group: str) -> _Place:
        field = digest(group.encode("utf-8", "surrogatepass"))
        return _Place(spec, self._keys_of(tenant, spec.state), group, field)

    def _load(self, places: Sequence[_Place]) -> Iterator[_Held]:
        pipeline = self._store.pipeline()
        for keys, some in groupby(places, key=lambda place: place.keys):
            pipeline.hmget(keys.groups, [place.field for place in some])
        contents: list[bytes | None] = list(chain.from_iterable(pipeline.execute()))
        both = list(zip(places, contents, strict=True))
        large = [place.own_key for place, content in both if content == b""]
        bodies: Iterator[bytes | None] = iter(cast("Any", self._store.client.mget(large)) if large else ())
        for place, content in both:
            moved_out = content == b""
            before = next(bodies) if moved_out else content
            yield _Held(place, before, moved_out, _opened(place.spec, before))


class _Many:
    """What is written for many groups of a rule in one command each: most ledgers are small."""

    def __init__(self) -> None:
        self.fields: dict[bytes, dict[bytes, bytes]] = defaultdict(dict)  # key -> field -> ledger
        self.due: dict[bytes, dict[bytes, int]] = defaultdict(dict)  # key -> group -> deadline
        self.settled: dict[bytes, list[bytes]] = defaultdict(list)  # key -> groups without one

    def put(self, pipeline: Pipeline) -> None:
        """Hand all of it to the pipeline."""
        for key, fields in self.fields.items():
            pipeline.hset(key, mapping=cast("Any", fields))
        for key, due in self.due.items():
            pipeline.zadd(key, cast("Any", due))
        for key, names in self.settled.items():
            pipeline.zrem(key, *names)


def _opened(spec: WindowSpec, before: bytes | None) -> Ledger:
    if spec.ledger is None:
        raise TypeError(f"{spec.state} keeps no ledger")
    return spec.ledger(before[_UNTIL.size :] if before else None, spec.keep)


def _answer(held: _Held, scored: list[Scored]) -> Counted:
    floored = bool(scored) and scored[0][0] < held.ledger.floor_until
    return Counted(held.place.spec.state, held.place.group, scored, held.ledger.size, floored)


def _keep(pipeline: Pipeline, many: _Many, held: _Held) -> None:
    """Write what changed. Written at a place, never appended: a command sent twice changes nothing."""
    place, before = held.place, held.before or b""
    after = _UNTIL.pack(held.ledger.lasts_until) + held.ledger.dump()
    ttl = place.spec.span_ms + BACKSTOP_MS
    if after == before or (held.before is None and held.ledger.lasts_until == NEVER_MS):
        return  # nothing is new, or there is nothing
    if len(after) <= _SMALL:
        many.fields[place.keys.groups][place.field] = after
        if held.moved_out:
            pipeline.unlink(place.own_key)
    elif held.moved_out and len(after) > len(before) > 0 and after.startswith(before[8:], 8):
        pipeline.setrange(place.own_key, 0, after[:8])
        pipeline.setrange(place.own_key, len(before), after[len(before) :])
        pipeline.pexpire(place.own_key, ttl)
    else:
        pipeline.set(place.own_key, after, px=ttl)
        many.fields[place.keys.groups][place.field] = b""


def _note_deadline(many: _Many, held: _Held, before: int | None) -> None:
    deadline, key = held.ledger.deadline, held.place.keys.deadlines
    if deadline is None and not held.place.spec.closes:
        return  # a type that is told at once never has one
    name = held.place.group.encode("utf-8", "surrogatepass")
    if deadline is None:
        many.settled[key].append(name)
    elif deadline != before or held.before is None:
        many.due[key][name] = deadline


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")
