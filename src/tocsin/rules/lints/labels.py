"""A lint of labels: some names are those that every alert has."""

from __future__ import annotations

from tocsin.model.rule import OWN_LABELS
from tocsin.rules.document import Table
from tocsin.rules.problems import Problems


def lint_labels(table: Table, problems: Problems) -> None:
    """Warn of labels in `table`, a rule's `tocsin.alert` or an overlay's entry, that no alert will show."""
    entry = table.entries.get("labels")
    labels = entry.node if entry else None
    if not isinstance(labels, Table):
        return
    for name in OWN_LABELS:
        if name in labels.entries:
            told = f'label "{name}" is set by tocsin, and what is written here is lost; choose another name'
            problems.warning(labels.entries[name].key_mark, told)
