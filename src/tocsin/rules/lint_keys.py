"""Lints of keys: Sigma tolerates unknown ones, so a typo in one is silent; these tell of the near ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from itertools import islice

from tocsin.catalog.provider import PROVIDERS
from tocsin.rules.document import Items, Node, Table
from tocsin.rules.modifiers import parse_key
from tocsin.rules.problems import LONGEST_NAME, Problems, meant_by

# Sigma 2.1's own, and ours.
TOP_KEYS = (
    "title", "id", "name", "related", "taxonomy", "status", "description", "license", "references", "author",
    "date", "modified", "logsource", "detection", "correlation", "filter", "fields", "falsepositives",
    "level", "tags", "scope", "generate", "tocsin",
)  # fmt: skip
LOGSOURCE_KEYS = ("product", "category", "service", "definition")
# The top-level fields of a provider's records: Auth0's from its published log schemas.
FIELDS: dict[str, tuple[str, ...]] = {
    "auth0": (
        "$event_schema", "_id", "agent_id", "audience", "auth0_client", "client_id", "client_ip",
        "client_name", "connection", "connection_id", "correlation_id", "date", "description", "details",
        "environment_name",
        "external_agent_id", "hostname", "identity_user_id", "ip", "isMobile", "is_mobile", "location_info",
        "log_id", "organization_id", "organization_name", "references", "requested_client_id", "scope",
        "security_context", "session_id", "strategy", "strategy_type", "tenant_name", "trace_id", "type",
        "user_agent", "user_id", "user_name",
    ),
}  # fmt: skip
NEAR = 0.8  # nearer than a name that is known to be wrong: these may be meant
MOST_KEYS = 200  # of one map that are compared
MOST_FIELDS = 200  # of one document that are compared


def lint_keys(root: Table, problems: Problems) -> None:
    """Warn of keys of a document, and of its logsource, that are nearly known ones."""
    _near(root, TOP_KEYS, "the rule", problems)
    if "condition" in root.entries:
        message = "condition belongs into detection; indent it below, like the selections"
        problems.warning(root.entries["condition"].key_mark, message)
    logsource = root.entries.get("logsource")
    if logsource is not None and isinstance(logsource.node, Table):
        _near(logsource.node, LOGSOURCE_KEYS, "logsource", problems)


def lint_fields(product: str, selections: Iterable[Node], problems: Problems) -> None:
    """Warn of fields that no record of the provider has, and that are nearly one it has."""
    known = FIELDS.get(product, ())
    prefix = PROVIDERS[product].prefix if known else ""
    told: set[str] = set()
    for number, (key, table) in enumerate(_keys(selections) if known else ()):
        parsed = parse_key(key, table.entries[key].key_mark, Problems(""))
        field = parsed[0].removeprefix(prefix) if parsed else ""
        top = field.replace("{}", "").partition(".")[0]
        if number >= MOST_FIELDS or top in told or top in known or not top or top == "tocsin":
            continue
        told.add(top)
        near = _nearest(top, known)
        if near is not None:
            message = f'no {product} record has a field "{top}", so it is never there; did you mean "{near}"?'
            problems.warning(table.entries[key].key_mark, message)


def _keys(selections: Iterable[Node]) -> Iterator[tuple[str, Table]]:
    for node in selections:
        match node:
            case Table(entries=entries):
                yield from ((key, node) for key in entries)
            case Items(items=members):
                yield from _keys(members)


def _near(table: Table, known: tuple[str, ...], name: str, problems: Problems) -> None:
    for key, entry in islice(table.entries.items(), MOST_KEYS):
        if key in known:
            continue
        near = _nearest(key, known) or meant_by(key, known)
        if near is not None and near not in table.entries:
            problems.warning(entry.key_mark, f'"{key}" means nothing in {name}; did you mean "{near}"?')


def _nearest(name: str, known: Iterable[str]) -> str | None:
    if len(name) > LONGEST_NAME:
        return None
    folded = {word.casefold(): word for word in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=NEAR)
    return folded[near[0]] if near else None
