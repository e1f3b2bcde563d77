"""Lints of keys: Sigma tolerates unknown ones, so a typo in one is silent; these tell of the near ones."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, islice

from tocsin.catalog.ecs import ecs_fields
from tocsin.catalog.provider import ECS, PROVIDERS
from tocsin.rules.document import Entry, Items, Node, Scalar, Table, scalars
from tocsin.rules.lints.places import lint_empty, misplaced_told
from tocsin.rules.problems import LONGEST_NAME, Problems, did_you_mean, meant_by, nearest

# Sigma 2.1's own, and ours. Dicts here are lists that are looked into often.
TOP_KEYS = dict.fromkeys((
    "title", "id", "name", "related", "taxonomy", "status", "description", "license", "references", "author",
    "date", "modified", "logsource", "detection", "correlation", "filter", "fields", "falsepositives",
    "level", "tags", "scope", "generate", "tocsin",
))  # fmt: skip
LOGSOURCE_KEYS = dict.fromkeys(("product", "category", "service", "definition"))
# The top-level fields of a provider's records: Auth0's from its published log schemas.
FIELDS = {
    "auth0": dict.fromkeys((
        "$event_schema", "_id", "agent_id", "audience", "auth0_client", "body", "client_id", "client_ip",
        "client_name", "connection", "connection_id", "correlation_id", "date", "description", "details",
        "email", "environment_name", "external_agent_id", "hostname", "id", "identity_user_id", "ip",
        "isMobile", "is_mobile", "location_info", "log_id", "mtls_thumbprint_sha256", "organization_id",
        "organization_name", "query", "references", "requested_client_id", "scope", "security_context",
        "session_connection", "session_id", "strategy", "strategy_type", "tenant_name", "title",
        "trace_id", "tracking_id", "transaction_linking_id", "type", "user_agent", "user_id", "user_name",
    )),
}  # fmt: skip
NEAR = 0.85  # nearer than a name that is known to be wrong: these may be meant
SHORTEST_SWAPPED = 4  # letters of a name of which some may stand in the wrong order
MOST_KEYS = 200  # of one map that are compared
MOST_EVENTS = 100  # of one document that are compared
MOST_FIELDS = 200  # of one document that are compared
EVENT_KEYS = ("at", "repeat", "every", "provider")  # of an event in a test, beside its record's fields
STATUSES = ("stable", "test", "experimental", "deprecated", "unsupported")
# Where fields are named that group, are counted, or are shown.
_NAMING = {
    "correlation": (("group-by",), ("condition", "field")),
    "tocsin": (
        ("correlate", "group-by"),
        ("correlate", "condition", "field"),
        ("correlate", "field"),
        ("alert", "key"),
        ("alert", "context"),
    ),
}
_OF_THE_VIEW = ("@timestamp", "event", "observer", "source", "user_agent")  # tops that no vendor's record has
_NETWORKS = ("prefix", "cidr", "network", "subnet")


def lint_keys(root: Table, problems: Problems) -> None:
    """Warn of keys of a document, and of its logsource, that are nearly known ones; of an unknown status."""
    _near(root, TOP_KEYS, "the rule", problems)
    lint_empty(root, problems)
    if "condition" in root.entries:
        message = "condition belongs into detection; indent it below, like the selections"
        if "correlation" in root.entries:
            message = "condition belongs into correlation, indent it below"
        problems.warning(root.entries["condition"].key_mark, message)
    logsource = root.entries.get("logsource")
    if logsource is not None and isinstance(logsource.node, Table):
        _near(logsource.node, LOGSOURCE_KEYS, "logsource", problems)
    status = root.entries.get("status")
    if status is not None and isinstance(status.node, Scalar):
        text = status.node.text
        if text and text.casefold() not in STATUSES:
            problems.warning(status.node.mark, f'unknown status "{text}"; {did_you_mean(text, STATUSES)}')


def lint_logsource(root: Table, problems: Problems) -> None:
    """Warn of a detection that does not say whose events it reads."""
    logsource = root.entries.get("logsource")
    if logsource is None or (isinstance(logsource.node, Scalar) and logsource.node.is_null):
        told = "without a logsource the rule reads every event of every product"
        problems.warning(root.mark, f"{told}; write logsource: {{product: auth0}}")


def named_fields(root: Table) -> list[Scalar]:
    """The fields that group, that are counted, and that are gathered as evidence."""
    nodes = [
        _at(root.entries[key].node, *path)
        for key, paths in _NAMING.items()
        if key in root.entries
        for path in paths
    ]
    return [scalar for node in nodes if node is not None for scalar in scalars(node)]


def lint_names(named: Iterable[Scalar], problems: Problems) -> None:
    """Warn of modifiers where only names of fields stand, so that the field is never there."""
    for scalar in islice(named, MOST_FIELDS):
        written = scalar.text
        name, piped, modifier = written.partition("|")
        if piped:
            told = f'"{written}" is read as the name of a field, which takes no modifier here; write "{name}"'
            more = f", and tocsin.prefixes: {{{name}: 64}} for networks" if modifier in _NETWORKS else ""
            problems.warning(scalar.mark, told + more)


def lint_events(product: str, root: Table, problems: Problems) -> None:
    """Warn of keys of events in the rule's tests that are nearly fields of the product's records."""
    known = FIELDS.get(product, {})
    for event in islice(_events(root), MOST_EVENTS) if known else ():
        if "provider" in event.entries:
            continue
        for key, entry in islice(event.entries.items(), MOST_KEYS):
            near = None if key in known or key in EVENT_KEYS else _nearest(key, (*EVENT_KEYS, *known))
            if near is not None and near not in event.entries:
                problems.warning(
                    entry.key_mark, f'no {product} record has a field "{key}"; did you mean "{near}"?'
                )


def _events(root: Table) -> Iterator[Table]:
    """The events of a rule's tests."""
    for test in _tables(_at(root, "tocsin", "tests")):
        yield from _tables(_at(test, "events"))


def _tables(node: Node | None) -> Iterator[Table]:
    if isinstance(node, Items):
        yield from (item for item in node.items if isinstance(item, Table))


def _at(node: Node | None, *path: str) -> Node | None:
    """What stands at the path; None where nothing does."""
    for key in path:
        entry = node.entries.get(key) if isinstance(node, Table) else None
        node = entry.node if entry else None
    return node


def lint_fields(
    product: str, named: Iterable[Scalar], selections: Iterable[Node], problems: Problems
) -> None:
    """Warn of fields that no record of the provider has.

    Of those asked about in `selections` only where they are nearly one it has: a provider may say
    more one day, and then they match. Those `named` to group, to count or to show must be there now.
    """
    if product not in PROVIDERS or product == ECS:
        return
    known, prefix = FIELDS.get(product, {}), PROVIDERS[product].prefix
    told: set[str] = set()
    asked = ((key.partition("|")[0], entry.key_mark, True) for key, entry in _asked(selections))
    others = ((scalar.text, scalar.mark, False) for scalar in named)
    for written, mark, is_asked in islice(chain(asked, others), MOST_FIELDS):
        top = written.removeprefix(prefix).replace("{}", "").partition(".")[0]
        if top in known or top in told or not top or top[0] == "$" or top == "tocsin" or "|" in top:
            continue
        if written in ecs_fields() and (known or top in _OF_THE_VIEW):
            told.add(top)
            name = f'"{written}" is a name of the normalised view, and no {product} record has it'
            problems.warning(mark, f"{name}; add taxonomy: ecs, or write the name that the record has")
            continue
        if not known:
            continue
        near = _nearest(top, known) if is_asked else nearest(top, known)
        if near is not None:
            way_out = f'did you mean "{near}"?'
        elif is_asked:
            continue
        else:
            way_out = f"write one of its own, like {prefix}ip"
        told.add(top)
        problems.warning(mark, f'no {product} record has a field "{top}", so it is never there; {way_out}')


def _asked(selections: Iterable[Node]) -> Iterator[tuple[str, Entry]]:
    """The items of selections, by key."""
    for node in selections:
        if isinstance(node, Table):
            yield from node.entries.items()
        elif isinstance(node, Items):
            yield from _asked(node.items)


def _near(table: Table, known: Collection[str], name: str, problems: Problems) -> None:
    for key, entry in islice(table.entries.items(), MOST_KEYS):
        if key in known:
            continue
        if known is TOP_KEYS and (misplaced := misplaced_told(key, table)):
            problems.warning(entry.key_mark, misplaced)
            continue
        near = _nearest(key, known) or meant_by(key, known)
        if near is not None and near not in table.entries:
            problems.warning(entry.key_mark, f'"{key}" means nothing in {name}; did you mean "{near}"?')


def _nearest(name: str, known: Iterable[str]) -> str | None:
    if len(name) > LONGEST_NAME:
        return None
    folded = {word.casefold(): word for word in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=NEAR)
    return folded[near[0]] if near else _swapped(name.casefold(), folded)


def _swapped(name: str, known: Mapping[str, str]) -> str | None:
    """The known name that has the same letters, in another order: `nmae`."""
    if len(name) < SHORTEST_SWAPPED:
        return None
    letters = sorted(name)
    return next((meant for word, meant in known.items() if sorted(word) == letters), None)
