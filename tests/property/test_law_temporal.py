"""`temporal` and `temporal_ordered`: what the engine says is what their definition says.

Random rules over random streams, late, partly twice, in random batches, some of which are done again
as after a crash; on memory and on a server.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tocsin.model.compiled import RuleSet
from tocsin.rules.correlations import sliding, steps, temporal, temporal_ordered
from tocsin.rules.correlations.closing import Closing
from tocsin.rules.correlations.members import Members
from tocsin.state.connection import Store
from tocsin.state.windows_memory import MemoryWindows
from tocsin.state.windows_redis import RedisWindows

from .definition_sigma import BASES, agree, arriving, base, defined, stream, told
from .oracle_ours import Document, load

TEXTS = (
    "{0} and {1}", "{0} or {1} and {2}", "{0} and ({1} or {2})", "{0} and not {1}", "not {0} and {1}",
    "{0} and {1} and not {2}", "({0} or {1}) and not {2}", "{0} and not ({1} or {2})", "not ({0} and {1})",
)  # fmt: skip
PLAIN = ("{0} and {1}", "{0} or {1} and {2}", "{0} and ({1} or {2})", "{0} and {1} and {2}")
Make = Callable[[random.Random], Document]
GROUPS: Sequence[list[str]] = ([], ["ip"], ["ip"], ["user_name"], ["ip", "user_name"])


def _body(rng: random.Random, type_: str) -> Document:
    names = rng.sample([*BASES], rng.randint(2, 4))
    body: Document = {
        "type": type_,
        "rules": names,
        "group-by": rng.choice(GROUPS),
        "timespan": f"{rng.choice([1, 3, 10, 30, 90])}s",
    }
    if rng.random() < 0.2:
        body["group-by"] = ["who"]
        body["aliases"] = {"who": {name: rng.choice(["ip", "user_name"]) for name in names}}
    return body


def _said(rng: random.Random, body: Document, texts: Sequence[str]) -> None:
    shape = rng.choice([one for one in texts if "{2}" not in one or len(body["rules"]) > 2])
    body["rules"] = body["rules"][: 3 if "{2}" in shape else 2]
    body["condition"] = shape.format(*rng.sample(body["rules"], len(body["rules"])))
    if "aliases" in body:
        body["aliases"]["who"] = {name: body["aliases"]["who"][name] for name in body["rules"]}


def _temporal(rng: random.Random) -> Document:
    body = _body(rng, "temporal")
    shape = rng.randrange(4)
    if shape == 0:
        _said(rng, body, TEXTS)
    elif shape == 1:
        body["condition"] = {rng.choice(["gte", "eq", "lte"]): rng.randint(1, len(body["rules"]))}
    elif shape == 2:
        body["condition"] = {"gt": 0, "lt": len(body["rules"])}
    return body


def _ordered(rng: random.Random) -> Document:
    body = _body(rng, "temporal_ordered")
    shape = rng.randrange(4)
    if shape == 0:
        _said(rng, body, PLAIN)
    elif shape == 1:
        body["condition"] = {"gte": rng.randint(1, len(body["rules"]))}
    elif shape == 2 and "aliases" not in body:
        body["rules"] = [*body["rules"], body["rules"][0]]
    return body


def _documents(rng: random.Random, make: Make) -> list[Document]:
    return [
        {"title": f"rule {n}", "name": f"rule {n}", "level": "low", "correlation": make(rng)}
        for n in range(4)
    ]


def _wrong(folder: Path, seed: int, make: Make, windows: Any = None) -> list[str]:
    rng = random.Random(seed)
    documents = _documents(rng, make)
    rules = load(folder, [*map(base, BASES), *documents])
    assert isinstance(rules, RuleSet), f"seed {seed}: {rules}"
    records = stream(rng, size=rng.choice([20, 120]), over_s=rng.choice([20, 300]))
    said = told(rules, windows or MemoryWindows(), arriving(rng, records), rng, exact=rng.random() < 0.5)
    return agree(said, defined(documents, records))


MAKES = pytest.mark.parametrize("make", [_temporal, _ordered], ids=["temporal", "temporal_ordered"])


@MAKES
def test_in_memory_they_are_true_when_the_definition_says_so(tmp_path: Path, make: Make) -> None:
    for seed in range(250):
        assert _wrong(tmp_path, seed, make) == [], f"seed {seed}"


@MAKES
def test_on_a_server_they_are_true_when_the_definition_says_so(
    tmp_path: Path, store: Store, make: Make
) -> None:
    for seed in range(40):
        fresh = Store(store.client, "unix://test", prefix=f"{store.prefix}-{seed}")
        assert _wrong(tmp_path, seed, make, RedisWindows(fresh)) == [], f"seed {seed}"


@MAKES
def test_a_cap_that_members_pass_makes_no_difference_within_the_lateness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    """Of too many members those go without which nothing can change, as long as they come in order."""
    monkeypatch.setattr(temporal, "MAX_MEMBERS", 8)
    monkeypatch.setattr(temporal_ordered, "MAX_MEMBERS", 8)
    for seed in range(60):
        rng = random.Random(seed)
        documents = _documents(rng, make)
        rules = load(tmp_path, [*map(base, BASES), *documents])
        assert isinstance(rules, RuleSet)
        records = sorted(stream(rng, size=100, over_s=100), key=lambda record: record["at_ms"])
        said = told(rules, MemoryWindows(), [[record] for record in records], random.Random(0), exact=False)
        sliding_only = [one for one in documents if not _closes(one)]
        assert agree(said, {d["name"]: defined([d], records)[d["name"]] for d in sliding_only}) == [], seed


def _closes(document: Document) -> bool:
    condition = document["correlation"].get("condition")
    if isinstance(condition, str):
        return "not" in condition.split()
    return condition is not None and not {"gte", "gt"} >= condition.keys()


# The tests of the tests: each of these mistakes must be found.


def _newest_only(members: Members, count: int) -> list[int]:
    return [count - 1]


def _not_strict(self: Any, now_ms: int, some: Sequence[tuple[int, int]], span_ms: int) -> int:
    return max(_TAKE(self, now_ms, [one], span_ms) for one in some)


def _earliest(self: Any, members: Members, count: int) -> list[int]:
    return [*range(min(count, 2))]


def _presence(self: Any) -> float | None:
    return float(sum(self._counts)) if self._holds(self._counts) else None


def _drops_all(self: Any, watermark_ms: int, committed_ms: int) -> list[Any]:
    found = _DUE(self, watermark_ms, committed_ms)
    self._members.drop(len(self._members))
    return found


_TAKE = temporal_ordered._Chains.take
_DUE = Closing.due


@pytest.mark.parametrize(
    ("make", "where", "name", "mistake"),
    [
        (_temporal, temporal, "newest_of_each", _newest_only),
        (_temporal, steps.Present, "score", _presence),
        (_temporal, Closing, "due", _drops_all),
        (_temporal, sliding.Sliding, "_settle", lambda self, stay, committed_ms: self._members.drop(
            self._members.first_at(committed_ms))),
        (_ordered, temporal_ordered._Chains, "take", _not_strict),
        (_ordered, temporal_ordered._Judge, "stay", _earliest),
    ],
    ids=["one step stays", "events, not rules", "forgets open windows", "lets go too early",
         "not strictly", "first chain, not the last"],
)  # fmt: skip
def test_a_planted_mistake_is_found(  # noqa: PLR0917 - a row's columns
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make, where: Any, name: str, mistake: Any
) -> None:
    monkeypatch.setattr(where, name, mistake)

    assert any(_wrong(tmp_path, seed, make) for seed in range(60))
