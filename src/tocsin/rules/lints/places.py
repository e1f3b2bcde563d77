"""Lints of places: keys that Sigma tolerates where they stand, and that mean something elsewhere or empty."""

from __future__ import annotations

from tocsin.rules.document import Entry, Items, Node, Scalar, Table
from tocsin.rules.problems import Problems, did_you_mean, meant_by

_OF_TOCSIN = dict.fromkeys(("alert", "correlate", "params", "prefixes", "tests"))
_OF_COUNTING = dict.fromkeys(("aliases", "allow_missing", "group-by", "timespan"))
# Beside a correlation they are its own; elsewhere they may be another tool's.
_OF_CORRELATION = _OF_COUNTING | dict.fromkeys(("rules", "type"))


def misplaced_told(key: str, root: Table) -> str:
    """What is told of a key at the top level that belongs further down; empty where it does not."""
    if "filter" in root.entries:
        return ""
    counts = "correlation" in root.entries
    place = hint = ""
    if key in _OF_TOCSIN:
        place = "tocsin"
    elif key in (_OF_CORRELATION if counts else _OF_COUNTING):
        place = "correlation" if counts else "tocsin.correlate"
    elif counts and (meant_by(key, _OF_CORRELATION) or key.casefold().replace("_", "-") in _OF_COUNTING):
        place, hint = "correlation", f"{did_you_mean(key, _OF_CORRELATION)} "
    written = f'"{key}" means nothing in the rule; {hint}'
    return f"{written}{'I' if hint else 'i'}t belongs into {place}, indent it below" if place else ""


def lint_empty(root: Table, problems: Problems) -> None:
    """Warn of a `group-by` and of a `correlate` that are written and empty, and of a filter's `tocsin`."""
    extension, correlation = root.entries.get("tocsin"), root.entries.get("correlation")
    if extension is None and correlation is None:
        return
    if extension is not None and "filter" in root.entries:
        told = "nothing reads tocsin in a filter; remove it, and fit the rule itself by an overlay"
        problems.warning(extension.key_mark, told)
    correlate = _within(extension, "correlate")
    if correlate is not None and _is_empty(correlate.node):
        told = "correlate is empty, so every match is an alert; write what to count, or remove it"
        problems.warning(correlate.key_mark, told)
    group = _within(correlation or correlate, "group-by")
    if group is not None and _is_empty(group.node):
        told = "group-by is empty, so all events are one group; name its fields, or remove it"
        problems.warning(group.key_mark, told)


def _within(entry: Entry | None, key: str) -> Entry | None:
    return entry.node.entries.get(key) if entry is not None and isinstance(entry.node, Table) else None


def _is_empty(node: Node) -> bool:
    return node.is_null if isinstance(node, Scalar) else isinstance(node, Items) and not node.items
