"""Detections against pysigma-backend-sqlite: which records of a stream a rule matches.

A seed makes a stream and rules over it. SQLite has the stream as a table; here it is decoded, indexed
by event code and matched in batches, all rules together. Both must name the same records.
"""

from __future__ import annotations

import base64
import json
import random  # noqa: TID251 - seeded
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tocsin.model.compiled import RuleSet

from .oracle_ours import Document, Record, enveloped, load, run, seeds
from .oracle_sql import Table

SEEDS = 80  # streams
RULES = 40  # over each

DIFFERENCES = {
    "case outside of ASCII": "SQLite folds A to Z alone; here É is é. Not asked of É",
    "1 is not true": "the backend takes a stored 1 for true; here it is not. No 1 in a field asked for true",
    "null and missing": "a column cannot tell them apart, so `exists` is asked only of a field without nulls",
    "text above numbers": "to SQLite any text is greater than any number; here it does not compare",
    "5.0 is '5'": "a stored 5.0 has one spelling, here two; whole floats stand in number columns alone",
    "weeks": "SQLite counts weeks from the first Monday, ISO 8601 (and Sigma) otherwise; `week` is not asked",
    "parts of a time that compare": "the backend drops the part of `hour|gt: 5`; asked of the parser",
    "networks": "the backend compares spellings: /0 is any text, 10.1.2.300 is in 10.0.0.0/8; not asked",
    "keywords across fields": "the backend looks in one text of all values; keywords have no wildcard here",
    "arrays": "a member is a row, so no rule negates, or asks twice of, an array; and none is empty",
    "maps": "the backend knows the leaves alone; a map is a null to it, and neither null nor text here",
    "windash|base64offset": "pySigma falls over an expansion within an expansion; windash|base64 is asked",
    "NUL": "LIKE ends at it, so utf16 and wide are asked only inside base64",
    "a new line at the end": "`$` of Python, which runs REGEXP there, is true before it; RE2's is not",
}
"""What differs on purpose, or cannot be asked of SQLite."""

# The stream -------------------------------------------------------------------------------------------

TEXTS = ["Ann", "ann", "ANN B", "bob", "b*b", "50%", "a_b", "x\\y", "-v /q", "Q\nr", "é", "", "5", 5, None]
TEXTS += ["it's", "true", False, 12345678901, "a?b", "AB", "anna\\", "[x]", "a-b", " ann ", "NULL", "‑v –q"]
IPS = ["10.1.2.3", "10.1.3.3", "10.200.0.1", "192.0.2.129", "192.0.2.1", "2001:db8:1::5", "2001:db8:2::5"]
IPS += ["::1", "no address", "10"]
TIMES = ["2024-02-29T23:59:07Z", "2024-03-01T01:30:00+02:00", "2023-12-31T23:59:59.999Z", "no time"]
TIMES += ["2024-03-01 12:00:00", "1999-07-14T05:05:05.5-05:30"]
SECRET = "net user -add"
FIELDS: Mapping[str, Sequence[Any]] = {
    "type": ["fp", "FP", "fu", "f", "s", "limit_mu", "Fu"],
    "user_name": TEXTS,
    "details.client": TEXTS,
    "details.more.deep": TEXTS,
    "ip": IPS,
    "count": [0, 1, 2, 5, 5.0, 2.5, -3, "5", "2.5", 1e6, None],
    "flag": [True, False, "True", "false", "yes", None, ""],
    "when": TIMES,
    "opt": ["x", "5", ""],
    "blob": [
        base64.b64encode(b"x" * skip + SECRET.encode(charset) + b"y" * more).decode()
        for skip in range(3)
        for more in range(2)
        for charset in ("utf-8", "utf-16-le", "utf-16")
    ],
    "roles": [["Admin", "user"], ["user"], ["b*b", 5, None], ["x\\y", "AB", "ann"], "admin", None],
}
NUMBERS = ("count",)


def stream(rng: random.Random) -> list[Record]:
    records = []
    for number in range(60):
        record: Record = {"log_id": f"id{number}", "at_ms": rng.randrange(100) * 500}
        for field, some in FIELDS.items():
            if rng.random() < 0.85:
                _put(record, field.split("."), rng.choice(some))
        records.append(enveloped(record))
    return records


def _put(record: Record, path: Sequence[str], value: object) -> None:
    for step in path[:-1]:
        record = record.setdefault(step, {})
    record[path[-1]] = value


# The rules --------------------------------------------------------------------------------------------

WORDS = ["ann", "ANN", "b", "b*", "*b", "?nn", "a?b", "a\\?b", "b\\*b", "*", "?", "50%", "a_b", "x\\\\y"]
WORDS += ["x\\y", "é", "*\\\\*", "-v*", "*n*n*", "", "it's", "*'*", "5", 5, "true", False, 12345678901]
WORDS += ["a*b*", "ann\\*", "[x]"]
TEXT_FIELDS = ("user_name", "details.client", "details.more.deep")
PLAIN = [word for word in WORDS if isinstance(word, str) and word]


def _listed(rng: random.Random, some: Sequence[Any], most: int = 3) -> Any:
    chosen = [rng.choice(some) for _ in range(rng.randint(1, most))]
    return chosen[0] if len(chosen) == 1 and rng.random() < 0.7 else chosen


def _texts(rng: random.Random) -> tuple[str, Any]:
    field = rng.choice(TEXT_FIELDS)
    if rng.random() < 0.5:
        return field, _listed(rng, [*WORDS, None])
    place = rng.choice(["contains", "startswith", "endswith"])
    also = rng.choice(["", "", "|all", "|cased", "|cased|all", "|windash"])
    return f"{field}|{place}{also}", _listed(rng, PLAIN)


def _codes(rng: random.Random) -> tuple[str, Any]:
    key = rng.choice(["type", "type", "type", "type|startswith", "type|contains", "type|cased"])
    return key, _listed(rng, ["fp", "fu", "FU", "F", "s", "limit_*", "f?"])


def _cased(rng: random.Random) -> tuple[str, Any]:
    return f"{rng.choice(TEXT_FIELDS)}|cased{rng.choice(['', '|all'])}", _listed(rng, PLAIN)


def _windash(rng: random.Random) -> tuple[str, Any]:
    return f"{rng.choice(TEXT_FIELDS)}|windash|{rng.choice(['contains', 'startswith'])}", _listed(
        rng, ["-v", "/q", "-v /q", " -q", "a-b", "-v*q"]
    )


def _networks(rng: random.Random) -> tuple[str, Any]:
    return "ip|cidr", _listed(
        rng, ["10.0.0.0/8", "10.1.2.0/23", "192.0.2.128/25", "192.0.2.1/32", "2001:db8:1::/48"]
    )


def _numbers(rng: random.Random) -> tuple[str, Any]:
    compare = rng.choice(["", "|gt", "|gte", "|lt", "|lte"])
    return f"count{compare}", _listed(
        rng, [0, 1, 2, 2.5, 5, -3, 1000000, *([None, "5"] if not compare else [])]
    )


def _flags(rng: random.Random) -> tuple[str, Any]:
    return "flag", _listed(rng, [True, False, "true", "Fal*", None, ""])


def _times(rng: random.Random) -> tuple[str, Any]:
    part = rng.choice(["minute", "hour", "day", "month", "year"])
    return f"when|{part}", _listed(
        rng, {"year": [2023, 2024, 1999]}.get(part, [0, 1, 2, 3, 5, 12, 23, 29, 30, 59])
    )


def _exists(rng: random.Random) -> tuple[str, Any]:
    return "opt|exists", rng.choice([True, False])


def _references(rng: random.Random) -> tuple[str, Any]:
    place = rng.choice(["", "|contains", "|startswith", "|endswith"])
    return f"{rng.choice(TEXT_FIELDS)}|fieldref{place}", _listed(rng, [*TEXT_FIELDS, "opt", "nobody"], 2)


def _patterns(rng: random.Random) -> tuple[str, Any]:
    flags = rng.choice(["", "", "|i", "|i|s", "|m"])
    return f"{rng.choice([*TEXT_FIELDS, 'ip', 'type'])}|re{flags}", _listed(
        rng,
        ["^a", "n+$", "[a-c]\\w", "5", "Q.r", "^r", "\\\\", "(?:ann|bob)$", "^$", "\\.2\\.", "\\d{2,}", "'"],
        2,
    )


def _encoded(rng: random.Random) -> tuple[str, Any]:
    chain = rng.choice(["base64", "base64|contains", "base64offset|contains", "wide|base64offset|contains"])
    chain = rng.choice(
        [chain, "utf16|base64|startswith", "utf16be|base64offset|contains", "windash|base64|contains"]
    )
    return f"blob|{chain}", _listed(rng, [SECRET, "net user /add", "user -add", "net", "NET"], 2)


def _missing(rng: random.Random) -> tuple[str, Any]:
    field = rng.choice(["nobody", "details.nobody", "details", "user_name.x"])
    return field, rng.choice(["x", "*", *([] if field == "details" else [None])])


def _roles(rng: random.Random) -> tuple[str, Any]:
    place = rng.choice(["", "", "|contains", "|cased"])
    return f"roles{place}", _listed(rng, ["admin", "USER", "b\\*b", "a*", "x\\\\y"])


ASKED = (_texts, _texts, _codes, _codes, _cased, _windash, _networks, _numbers, _flags, _times, _exists)
ASKED += (_references, _patterns, _encoded, _missing)
KEYWORDS = ["ann", "BOB", "50%", "a_b", "5", 5, "10.1", "it's", "limit_", "\\\\"]


def rule(rng: random.Random, title: str) -> Document:
    """Some selections under some condition; one in five over an array."""
    arrays = rng.random() < 0.2
    names = ["one", "two", "three", "_four"][: rng.randint(1, 4)]
    selections = {name: _selection(rng, negates=not arrays) for name in names}
    if arrays:
        selections[rng.choice(names)] = dict([_roles(rng), rng.choice(ASKED)(rng)])
    return {
        "title": title,
        "name": title,
        "logsource": {"product": "auth0"},
        "detection": {**selections, "condition": _condition(rng, names, 3, negates=not arrays)},
    }


def _selection(rng: random.Random, *, negates: bool) -> Any:
    kind = rng.random()
    if kind < 0.08:
        return _listed(rng, KEYWORDS)
    if kind < 0.12:
        return {"|all": [rng.choice(KEYWORDS), rng.choice(KEYWORDS)]}
    if kind < 0.3:
        return [_map(rng, negates=negates) for _ in range(rng.randint(1, 2))]
    return _map(rng, negates=negates)


def _map(rng: random.Random, *, negates: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(rng.randint(1, 2)):
        key, value = rng.choice(ASKED)(rng)
        if negates and rng.random() < 0.1 and "exists" not in key:
            key += "|neq"
        found[key] = value
    return found


def _condition(rng: random.Random, names: Sequence[str], depth: int, *, negates: bool) -> str:
    kind = rng.random()
    if depth == 0 or kind < 0.3:
        some = ["them", "t*", "one"] if len(names) > 1 else ["them"]
        of = f"{rng.choice(['1', 'all'])} of {rng.choice(some)}"
        return of if rng.random() < 0.2 else rng.choice(names)
    if kind < 0.5 and negates:
        return f"not {_condition(rng, names, depth - 1, negates=negates)}"
    if kind < 0.6:
        return f"({_condition(rng, names, depth - 1, negates=negates)})"
    parts = [_condition(rng, names, depth - 1, negates=negates) for _ in range(2)]
    return f" {rng.choice(['and', 'or'])} ".join(parts)


# The comparison ---------------------------------------------------------------------------------------


def compare(folder: Path, seed: int, count: int = RULES) -> int:
    """How many of the rules matched something. Fails where the two differ."""
    rng = random.Random(seed)
    records = stream(rng)
    documents = [rule(rng, f"rule {number}") for number in range(count)]
    rules = load(folder, [_prefixed(document) if rng.random() < 0.5 else document for document in documents])
    assert isinstance(rules, RuleSet), f"seed {seed}: {rules}"
    assert not rules.not_running, f"seed {seed}: {rules.not_running}"
    batches = [records[:20], records[20:]]
    said = run(rules, batches).events
    matched = 0
    with Table(records, numbers=NUMBERS) as table:
        table.need(["nobody", "details", "details.nobody", "user_name.x"])
        for document in documents:
            expected = table.matching(document)
            ours = {log_id for name, log_id in said if name == document["name"]}
            differ = [record for record in records if record["log_id"] in ours ^ expected]
            assert not differ, (
                f"seed {seed}: {json.dumps(document['detection'], ensure_ascii=False)} matches "
                f"{'here alone' if differ[0]['log_id'] in ours else 'there alone'} {differ[0]}"
            )
            matched += 0 < len(expected) < len(records)
    return matched


def _prefixed(document: Document) -> Document:
    """The same rule for log-stream records, whose fields stand under `data`."""

    def prefixed(node: Any) -> Any:
        if isinstance(node, dict):
            return {
                key if key.startswith("|") else f"data.{key}": [f"data.{one}" for one in _list(value)]
                if "fieldref" in key
                else value
                for key, value in node.items()
            }
        return [prefixed(one) for one in node] if isinstance(node, list) else node

    detection = document["detection"]
    changed = {name: prefixed(one) for name, one in detection.items() if name != "condition"}
    return {**document, "detection": {**changed, "condition": detection["condition"]}}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("part", range(4))
def test_a_rule_matches_the_records_that_the_backend_selects(tmp_path: Path, part: int) -> None:
    matched = [compare(tmp_path, seed) for seed in seeds(SEEDS)[part::4]]

    assert sum(matched) > len(matched) * RULES * 0.4  # rules that tell records apart
