"""Random rule files and random records, by a seed: what a million of them may do is in `test_fuzz`."""

from __future__ import annotations

import json
import os
import random  # noqa: TID251 - seeded: a failure names its seed
from copy import deepcopy
from pathlib import Path, PurePosixPath
from typing import Any, cast

import msgspec

from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.detection.modifiers import MODIFIERS
from tocsin.rules.document import plain, read_documents
from tocsin.rules.problems import Problems

ROOT = Path(__file__).parents[2]
MILLION = 1_000_000
# Which part of a million: all of it is `FUZZ=1`.
SHARE = float(os.environ.get("FUZZ", "0.01"))

TEXTS = [
    "", " ", "*", "?", "**", "a*b", "\\", "\\*", "%x%", "%threshold%", "$window", "$threshold", "$nope",
    "{x}", "<X>", "fp", "FP", "s", "not", "1 of them", "all of s*", "s and", "(", "failed and not ours",
    "data.ip", "data.a{}.b", "data.", ".", "..", "a.b.c", "type", "10m", "0s", "1M", "9999999d", "-1",
    "5", "1e309", "0x10", "true", "null", "~", "yes", "192.0.2.0/24", "192.0.2.1/24",
    "::ffff:192.0.2.1", "::/0", "(a+)+$", "(?=x)", "[", "/a/i", "\0", "\u2028", "İ", "ß", "\U0001f600",
    "x" * 300, "{{ score }}", "{{ x", "{% for %}", "{{ group['a'] }}", "ecs", "Login - Failure",
    "auth.login.fail", "informational", "hihg", "any", "them", "failed", "attack.t1110", "user.name",
    "event.action", "2025-01-06T12:00:00Z", "auth0", "frontegg", *CORRELATIONS,
]  # fmt: skip
NUMBERS = [0, 1, -1, 2, 5, 20, 1e9, 10**30, -(10**30), 0.5, 1e308, 5e-324, 2**63, 4096, 1_000_001]
SCALARS: list[Any] = [*TEXTS, *NUMBERS, None, True, False]
ALPHABET = b"abc:-[]{}#&*!|>'\"%@`?,\n\n  \t\r\\/$.\0\x85\xc2\xe2\x80\xa8\xef\xbb\xff"
KEYS = [
    "title", "id", "name", "level", "logsource", "product", "detection", "condition", "correlation",
    "filter", "tocsin", "params", "correlate", "alert", "tests", "category", "type", "rules",
    "group-by", "timespan", "aliases", "generate", "allow_missing", "field", "gte", "gt", "lte", "lt",
    "eq", "neq", "default", "min", "max", "set", "help", "severity", "is", "labels", "context", "key",
    "for", "resolve_after", "runbook", "events", "expect", "at", "repeat", "every", "group", "score",
    "taxonomy", "tocsin.category", "u", "data.ip", "|all", "", "user.name", "source.ip",
    *sorted({key for kind in CORRELATIONS.values() for key in kind.keys}),
]  # fmt: skip


class _MemoryFile(PurePosixPath):
    """A file that is only in memory, as far as the loader asks."""

    data: bytes

    def read_bytes(self) -> bytes:
        return self.data

    def is_dir(self) -> bool:
        return False

    def resolve(self) -> _MemoryFile:
        return self


def memory_file(name: str, data: bytes) -> Path:
    """What the loader takes for a path."""
    file = _MemoryFile(name)
    file.data = data
    return cast("Path", file)


def shipped_documents() -> list[bytes]:
    """The documents of every shipped rule file as a JSON list, without their tests."""
    found = []
    for file in sorted((ROOT / "rules").rglob("*.yml")):
        nodes = read_documents(file.read_bytes(), Problems(file.name))
        documents: list[Any] = [plain(node) for node in nodes]
        for document in documents:
            document.get("tocsin", {}).pop("tests", None)
        found.append(msgspec.json.encode(documents))
    return found


def mutated_file(rng: random.Random, seeds: list[bytes]) -> bytes:
    """A rule file: a shipped one changed in structure, or in its bytes, or from nothing."""
    kind = rng.random()
    if kind < 0.1:
        return random_bytes(rng)
    documents: list[Any] = msgspec.json.decode(rng.choice(seeds)) if kind < 0.85 else [random_value(rng, 4)]
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        mutate(rng, documents)
    text = "\n---\n".join(json.dumps(document, ensure_ascii=rng.random() < 0.5) for document in documents)
    data = text.encode("utf-8", "surrogatepass")
    return spoilt(rng, data) if rng.random() < 0.15 else data


def mutate(rng: random.Random, root: Any) -> None:
    """Change one place, wherever it is."""
    place = _place(rng, root)
    if place is None:
        return
    holder, key = place
    value = holder[key]
    match rng.randrange(8):
        case 0:
            holder[key] = rng.choice(SCALARS)
        case 1:
            holder[key] = random_value(rng, 3)
        case 2:
            del holder[key]
        case 3:
            other = _place(rng, root)
            holder[key] = deepcopy(other[0][other[1]]) if other else None
        case 4 if isinstance(holder, dict):
            holder[_key(rng, str(key))] = holder.pop(key)
        case 5 if isinstance(holder, dict):
            holder[rng.choice(KEYS)] = deepcopy(value)
        case 6 if isinstance(value, str):
            at = rng.randint(0, len(value))
            holder[key] = value[:at] + rng.choice(TEXTS) + value[at + rng.randint(0, 3) :]
        case 6 if isinstance(value, int | float):
            holder[key] = rng.choice((-value, value + 1, value * 1000, value / 3, str(value)))
        case _:
            holder[key] = [value] if rng.random() < 0.5 else {rng.choice(KEYS): value}


def _place(rng: random.Random, root: Any) -> tuple[Any, Any] | None:
    """An entry of some map or list, found by going down from the root; None where there is none."""
    holder = root
    while holder:
        key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
        below = holder[key]
        if not (isinstance(below, dict | list) and below and rng.random() < 0.8):
            return holder, key
        holder = below
    return None


def _key(rng: random.Random, key: str) -> str:
    kind = rng.random()
    if kind < 0.5:
        return f"{key.partition('|')[0]}|{'|'.join(rng.sample(MODIFIERS, rng.choice((1, 1, 2, 3))))}"
    return rng.choice(KEYS) if kind < 0.8 else key + rng.choice(("s", " ", "{}", "|", ".x"))


def random_value(rng: random.Random, depth: int) -> Any:
    """Any value that JSON has, and YAML too."""
    kind = rng.random() if depth else 1
    if kind < 0.25:
        return [random_value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    if kind < 0.6:
        return {rng.choice(KEYS): random_value(rng, depth - 1) for _ in range(rng.randint(0, 5))}
    return rng.choice(SCALARS)


def random_bytes(rng: random.Random) -> bytes:
    """Bytes, many of which YAML has a use for."""
    return bytes(rng.choices(ALPHABET, k=rng.randint(0, 200)))


def spoilt(rng: random.Random, data: bytes) -> bytes:
    """The bytes with a few of them changed."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(found))
        found[at : at + rng.randint(0, 4)] = random_bytes(rng)[:4]
    return bytes(found)


def mutated_record(rng: random.Random, seeds: list[bytes]) -> bytes:
    """A vendor's record: a real one changed in structure or in its bytes, or from nothing."""
    kind = rng.random()
    if kind < 0.05:
        return random_bytes(rng)
    record: Any = msgspec.json.decode(rng.choice(seeds)) if kind < 0.95 else random_value(rng, 4)
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        mutate(rng, [record])
    data = json.dumps(record, ensure_ascii=rng.random() < 0.7).encode("utf-8", "surrogatepass")
    return spoilt(rng, data) if rng.random() < 0.1 else data
