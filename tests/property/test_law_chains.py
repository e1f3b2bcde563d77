"""Correlations over correlations: what the engine says is what the definition says, level by level.

Random chains, three levels deep, of every Sigma type, whose children are true at once, by the
watermark, or when a window closes.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tocsin import engine as engine_module
from tocsin import matching
from tocsin.alerts.headline import title
from tocsin.engine import Engine
from tocsin.model import fed
from tocsin.model.alert import as_record
from tocsin.model.compiled import RuleSet
from tocsin.model.fed import Fed
from tocsin.sources.decode import Decoder
from tocsin.state.connection import Store
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows
from tocsin.tune.replay import Replay

from .definition_sigma import BASES, LATENESS_MS, agree, arriving, base, defined, encoded, stream, told
from .oracle_ours import Document, Record, load

FIELDS = ("ip", "user_name")
CHILDREN: tuple[Document, ...] = (
    {"type": "event_count", "condition": {"gte": 2}},
    {"type": "event_count", "condition": {"lte": 2}},
    {"type": "value_count", "condition": {"gte": 2, "field": "user_name"}},
    {"type": "value_sum", "condition": {"gt": 1, "field": "amount"}},
    {"type": "value_avg", "condition": {"lt": 3, "field": "amount"}},
    {"type": "temporal"},
    {"type": "temporal", "condition": "{0} and not {1}"},
    {"type": "temporal_ordered"},
)
PARENTS: tuple[Document, ...] = (
    {"type": "event_count", "condition": {"gte": 2}},
    {"type": "event_count", "condition": {"eq": 1}},
    {"type": "value_count", "condition": {"gte": 2, "field": "?"}},
    {"type": "temporal"},
    {"type": "temporal", "condition": "{0} and not {1}"},
    {"type": "temporal_ordered"},
    {"type": "temporal_ordered", "condition": "{0} and {1}"},
)


def _correlation(rng: random.Random, shape: Document, names: list[str], group_by: list[str]) -> Document:
    body = {**shape, "rules": names, "group-by": group_by, "timespan": f"{rng.choice([1, 5, 20, 60])}s"}
    if isinstance(body.get("condition"), str):
        body["rules"] = names[:2]
        body["condition"] = body["condition"].format(*names)
    return body


def chain(rng: random.Random) -> list[Document]:
    """Children over detections, parents over these and detections, and one over a parent."""
    found: list[Document] = []
    known: dict[str, list[str]] = {}

    def add(name: str, body: Document) -> None:
        known[name] = body["group-by"]
        found.append({"title": name, "name": name, "level": "low", "generate": True, "correlation": body})

    for number in range(2):
        group_by = rng.choice([["ip"], ["user_name"], ["ip", "user_name"], ["user_name", "ip"]])
        shape = rng.choice(CHILDREN)
        add(f"c{number}", _correlation(rng, shape, rng.sample([*BASES], 2), group_by))
    for level in range(1, 4):
        children = rng.sample([*known], rng.choice([1, 2, 2]))
        if rng.random() < 0.5 or len(children) < 2:
            children.insert(rng.randrange(len(children) + 1), rng.choice([*BASES]))
        common = [f for f in FIELDS if all(name in BASES or f in known[name] for name in children)]
        body = _parent(rng, children, common, known)
        add(f"p{level}", body)
    return found


def _parent(
    rng: random.Random, children: list[str], common: list[str], known: dict[str, list[str]]
) -> Document:
    shape = rng.choice(PARENTS)
    group_by = rng.sample(common, rng.randint(0, len(common)))
    if shape.get("condition") and "field" in shape["condition"]:
        if not common:
            return _parent(rng, children, common, known)
        shape = {**shape, "condition": {**shape["condition"], "field": rng.choice(common)}}
    body = _correlation(rng, shape, children, group_by)
    if rng.random() < 0.3:
        body["group-by"] = ["who"]
        body["aliases"] = {
            "who": {
                name: rng.choice(FIELDS if name in BASES else known[name] or [""]) for name in body["rules"]
            }
        }
        if not all(body["aliases"]["who"].values()):
            del body["aliases"]
            body["group-by"] = group_by
    if "aliases" in body and isinstance(body.get("condition"), dict) and "field" in body["condition"]:
        del body["aliases"]
        body["group-by"] = group_by
    return body


def _wrong(folder: Path, seed: int, windows: Any = None) -> list[str]:
    rng = random.Random(seed)
    documents = chain(rng)
    rules = load(folder, [*documents[::-1], *map(base, BASES)])  # parents before children
    assert isinstance(rules, RuleSet), f"seed {seed}: {rules}"
    records = stream(rng, size=rng.choice([20, 100]), over_s=rng.choice([20, 300]))
    said = told(rules, windows or MemoryWindows(), arriving(rng, records), rng)
    return agree(said, defined(documents, records))


def test_in_memory_a_chain_is_true_when_the_definition_says_so(tmp_path: Path) -> None:
    for seed in range(300):
        assert _wrong(tmp_path, seed) == [], f"seed {seed}"


def test_on_a_server_a_chain_is_true_when_the_definition_says_so(tmp_path: Path, store: Store) -> None:
    for seed in range(40):
        fresh = Store(store.client, "unix://test", prefix=f"{store.prefix}-{seed}")
        assert _wrong(tmp_path, seed, RedisWindows(fresh)) == [], f"seed {seed}"


def _lines(rules: RuleSet, batches: list[list[Record]]) -> list[Record]:
    decoder, changes = Decoder(rules.fields), []
    run = Replay(rules, MemoryWindows(), lateness=timedelta(milliseconds=LATENESS_MS))
    for batch in batches:
        events, bad = decoder.decode_lines(b"\n".join(map(encoded, batch)), first_line=1, now_ms=None)
        assert not bad
        changes += run.feed(events)
    changes += run.finish()
    return [as_record(change.alert, title(change.alert)) for change in changes]


def test_the_same_events_give_the_same_lines_with_the_same_evidence_however_they_come(tmp_path: Path) -> None:
    for seed in range(60):
        rng = random.Random(seed)
        documents = chain(rng)
        for document in documents:
            document["tocsin"] = {"alert": {"context": ["user_name", "ip"], "resolve_after": "7s"}}
        rules = load(tmp_path, [*documents, *map(base, BASES)])
        assert isinstance(rules, RuleSet), f"seed {seed}: {rules}"
        records = stream(rng, size=100, over_s=200)
        in_order = sorted(records, key=lambda record: record["at_ms"])

        assert _lines(rules, arriving(rng, records)) == _lines(rules, [in_order]), f"seed {seed}"


# The tests of the tests: each of these mistakes must be found.


def _once(triggers: Any) -> Any:
    return list(_INSTANTS(triggers))[:1]


def _by_batch(triggers: Any) -> Any:
    for number, one in enumerate(_INSTANTS(triggers)):
        yield Fed(id=f"{id(triggers)}{number}", time_ms=one.time_ms, tenant=one.tenant, parts=one.parts)


def _a_millisecond_late(triggers: Any) -> Any:
    for one in _INSTANTS(triggers):
        yield Fed(id=one.id, time_ms=one.time_ms + 1, tenant=one.tenant, parts=one.parts)


def _all_at_once(counting: Any) -> Any:
    return [list(counting)]


def _first_part(group: str, count: int) -> tuple[str, ...]:
    return (_SPLIT(group, count)[:1] or ("",)) * count


def _due_in_process_only(self: Engine, batch: Any, triggers: Any) -> Any:
    if batch._by_code:
        return _PASSED_ON(self, batch, triggers)
    return [trigger for trigger in triggers if self._by_state[trigger.state].rule.alerts]


_INSTANTS, _SPLIT, _PASSED_ON = fed.instants_of, fed.split, Engine._passed_on


@pytest.mark.parametrize(
    ("where", "name", "mistake"),
    [
        (engine_module, "instants_of", _once),
        (engine_module, "instants_of", _by_batch),
        (engine_module, "instants_of", _a_millisecond_late),
        (engine_module, "_levels", _all_at_once),
        (fed, "split", _first_part),
        (Engine, "_passed_on", _due_in_process_only),
        (matching.EventBatch, "seen_by", None),
    ],
    ids=["the first instant only", "each time anew", "late", "no levels", "the wrong field",
         "what is decided is not told", "the control"],
)  # fmt: skip
def test_a_planted_mistake_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, mistake: Callable[..., Any] | None
) -> None:
    if mistake is not None:
        monkeypatch.setattr(where, name, mistake)

    assert any(_wrong(tmp_path, seed) for seed in range(40)) == (mistake is not None)
