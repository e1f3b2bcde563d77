"""SQLite's side of the differential tests: records in a table, asked by pysigma-backend-sqlite's queries.

A record is a row, its nested fields are columns of their dotted names. A member of an array is a
row of its own, so a rule over arrays may not negate, nor ask twice of the same array.
"""

from __future__ import annotations

import copy
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import product
from types import TracebackType
from typing import Any, NamedTuple, Self

from sigma.backends.sqlite import sqliteBackend
from sigma.backends.sqlite.runtime import execute_plan
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.policy.profiles import TrustedPolicy
from sigma.rule import SigmaRule

Record = Mapping[str, Any]
Document = Mapping[str, Any]


# The backend computes in seconds, as floats. Of a real date they are all equally far apart, so that a
# difference of whole seconds is exact; near zero it would not be.
EPOCH_MS = 1_700_000_000_000


class Row(NamedTuple):
    """A window in which a correlation is true; the times count from zero, in milliseconds."""

    group: tuple[str, ...]
    start_ms: int
    end_ms: int


class Table:
    """Records in SQLite. `numbers` are the columns in which a text of a number is that number.

    `at_ms` and `log_id` of a record are its time and its identity. `empty_is_null`: what a
    correlation needs, to which an empty group is none.
    """

    def __init__(
        self, records: Sequence[Record], *, numbers: Sequence[str] = (), empty_is_null: bool = False
    ) -> None:
        rows = [{**row, "everything": _texts(record)} for record in records for row in _rows(record)]
        self.columns = sorted({name for row in rows for name in row} - {"at_ms", "log_id", "everything"})
        self._connection = sqlite3.connect(":memory:")
        self._connection.create_function("regexp", 2, _regexp, deterministic=True)
        typed = [
            f"`{name}` {'NUMERIC' if name in numbers else 'TEXT'} COLLATE NOCASE" for name in self.columns
        ]
        fixed = ["log_id TEXT", "at_ms INTEGER", "everything TEXT"]
        self._connection.execute(f"CREATE TABLE logs ({', '.join([*fixed, *typed])})")
        slots = ", ".join("?" * (3 + len(self.columns)))
        self._connection.executemany(
            f"INSERT INTO logs VALUES ({slots})",
            [
                (
                    row["log_id"],
                    EPOCH_MS + row["at_ms"],
                    row["everything"],
                    *(_cell(row.get(name), empty_is_null=empty_is_null) for name in self.columns),
                )
                for row in rows
            ],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._connection.close()

    def need(self, columns: Sequence[str]) -> None:
        """Fields that no record has are columns too, of nulls."""
        for name in sorted(set(columns) - set(self.columns)):
            self._connection.execute(f"ALTER TABLE logs ADD COLUMN `{name}` TEXT COLLATE NOCASE")
            self.columns.append(name)

    def matching(self, document: Document) -> set[str]:
        """The ids of the records that a detection matches."""
        rule = SigmaRule.from_dict(copy.deepcopy(dict(document)), policy=TrustedPolicy)
        found: set[str] = set()
        for query in _backend().convert(SigmaCollection([rule])):
            with closing(self._connection.execute(query.replace("SELECT *", "SELECT log_id"))) as cursor:
                found |= {log_id for (log_id,) in cursor}
        return found

    def true(self, documents: Sequence[Document], title: str, *, until_ms: int) -> set[Row]:
        """The windows in which the correlation of that title is true; event time ends at `until_ms`."""
        rules = [_rule(copy.deepcopy(dict(document))) for document in documents]
        backend = _backend(observation_end=(EPOCH_MS + until_ms) / 1000)
        entries = json.loads(backend.convert(SigmaCollection(rules), "zircolite"))
        [plan] = [entry["correlation_plan"] for entry in entries if entry["title"] == title]
        rows, _ = execute_plan(self._connection, plan, include_events=False)
        return {_window(row) for row in rows}


def _backend(**options: Any) -> sqliteBackend:
    return sqliteBackend(
        timestamp_field="at_ms",
        timestamp_format="unix_ms",
        event_id_field="log_id",
        fulltext_field="everything",
        **options,
    )


def _rule(document: dict[str, Any]) -> SigmaRule | SigmaCorrelationRule:
    kind = SigmaCorrelationRule if "correlation" in document else SigmaRule
    return kind.from_dict(document, policy=TrustedPolicy)


def _window(row: Mapping[str, Any]) -> Row:
    group = tuple(str(value).casefold() for value in row["group_keys"].values())
    start, end = (round(row[name] * 1000) - EPOCH_MS for name in ("window_start", "window_end"))
    return Row(group, start, end)


def _regexp(pattern: str, value: object) -> bool:
    return value is not None and re.search(pattern, str(value)) is not None


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    """The record with its paths as keys; one row for each choice of members of its arrays."""
    flat = dict(_flat(record, ""))
    arrays = [name for name, value in flat.items() if isinstance(value, list)]
    for members in product(*(flat[name] for name in arrays)):
        yield {**flat, **dict(zip(arrays, members, strict=True))}


def _flat(record: Record, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _cell(value: Any, *, empty_is_null: bool) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return None if empty_is_null and value == "" else value


def _texts(value: Any) -> str:
    """Every value in it, each on a line."""
    if isinstance(value, Mapping | list):
        parts = value.values() if isinstance(value, Mapping) else value
        return "\n".join(_texts(part) for part in parts if part is not None)
    return str(value).lower() if isinstance(value, bool) else str(value)
