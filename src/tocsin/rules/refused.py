"""`$name` in a correlation document, which is Sigma's alone: there a param says what it sets."""

from __future__ import annotations

from collections.abc import Mapping

from tocsin.rules.document import OPEN, Node, Scalar, Table
from tocsin.rules.params import REFERENCE, Param
from tocsin.rules.problems import Problems
from tocsin.rules.section import replaced


def refused(root: Table, params: Mapping[str, Param], problems: Problems) -> Table:
    """The document without the `$name`s of its `correlation`: none stands for anything; each is told."""
    entry = root.entries.get("correlation")
    if entry is None or not isinstance(entry.node, Table):
        return root
    found = _refused(entry.node, ("correlation",), params, problems)
    return root if found is entry.node else replaced(root, {"correlation": found})


def _refused(node: Node, path: tuple[str, ...], params: Mapping[str, Param], problems: Problems) -> Node:
    if isinstance(node, Table):
        found = {key: _refused(one.node, (*path, key), params, problems) for key, one in node.entries.items()}
        changed = {key: one for key, one in found.items() if one is not node.entries[key].node}
        return replaced(node, changed) if changed else node
    named = REFERENCE.fullmatch(node.text) if isinstance(node, Scalar) and node.text[:1] == "$" else None
    if named is None or named[1] not in params:
        return node
    way_out = f"write its value here, and in tocsin.params {named[1]}: {{set: {'.'.join(path)}}}"
    problems.error(node.mark, f"a correlation document has no place for ${named[1]}; {way_out}")
    return Scalar("", node.mark, plain=True, param=f"{OPEN}{named[1]}")
