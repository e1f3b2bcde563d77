"""Lints of keys: Sigma tolerates unknown ones, so a typo in one is silent; these tell of the near ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from tocsin.catalog.provider import PROVIDERS
from tocsin.rules.document import Items, Node, Table, scalars
from tocsin.rules.problems import LONGEST_NAME, Mark, Problems, meant_by

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
        "$event_schema", "_id", "agent_id", "audience", "auth0_client", "body", "client_id", "client_ip",
        "client_name", "connection", "connection_id", "correlation_id", "date", "description", "details",
        "email", "environment_name", "external_agent_id", "hostname", "id", "identity_user_id", "ip",
        "isMobile", "is_mobile", "location_info", "log_id", "mtls_thumbprint_sha256", "organization_id",
        "organization_name", "query", "references", "requested_client_id", "scope", "security_context",
        "session_connection", "session_id", "strategy", "strategy_type", "tenant_name", "title",
        "trace_id", "tracking_id", "transaction_linking_id", "type", "user_agent", "user_id", "user_name",
    ),
}  # fmt: skip
NEAR = 0.85  # nearer than a name that is known to be wrong: these may be meant
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


def lint_fields(product: str, root: Table, selections: Iterable[Node], problems: Problems) -> None:
    """Warn of fields that no record of the provider has, and that are nearly one it has.

    They are asked about in `selections`; below `tocsin` they group, are counted or shown.
    """
    known = FIELDS.get(product, ())
    prefix = PROVIDERS[product].prefix if known else ""
    told: set[str] = set()
    for written, mark in islice(chain(_asked(selections), _named(root)), MOST_FIELDS if known else 0):
        top = written.removeprefix(prefix).replace("{}", "").partition(".")[0]
        if top in told or top in known or not top or top[0] == "$" or top == "tocsin":
            continue
        told.add(top)
        near = _nearest(top, known)
        if near is not None:
            message = f'no {product} record has a field "{top}", so it is never there; did you mean "{near}"?'
            problems.warning(mark, message)


def _asked(selections: Iterable[Node]) -> Iterator[tuple[str, Mark]]:
    for node in selections:
        match node:
            case Table(entries=entries):
                for key, entry in entries.items():
                    yield key.partition("|")[0], entry.key_mark
            case Items(items=members):
                yield from _asked(members)


def _named(root: Table) -> Iterator[tuple[str, Mark]]:
    """The fields that group, that are counted, and that are gathered as evidence."""
    for path in (("correlate", "group-by"), ("correlate", "condition", "field"), ("alert",)):
        node: Node | None = root
        for key in ("tocsin", *path):
            entry = node.entries.get(key) if isinstance(node, Table) else None
            node = entry.node if entry else None
        if isinstance(node, Table):  # of an alert
            below = [node.entries[key].node for key in ("key", "context") if key in node.entries]
        else:
            below = [node] if node is not None else []
        for one in below:
            yield from ((scalar.text, scalar.mark) for scalar in scalars(one))


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
