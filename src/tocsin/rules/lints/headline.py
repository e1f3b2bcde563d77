"""Lints of an alert's title: names that stand for nothing there, which the reader would miss at night."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from jinja2 import TemplateError, meta, nodes

from tocsin.rules.problems import did_you_mean
from tocsin.sandbox import Sandbox

# What a title may use; held against `alerts.facts.headline_facts` by a test.
NAMES = (
    "score",
    "group",
    "trigger",
    "severity",
    "rule",
    "timespan",
    "count",
    "params",
    "tenant",
    "started_at",
)
LONGEST = 2_000
_WORDS = "|".join(name for name in NAMES if name not in ("group", "trigger", "params"))
_GROUPED = re.compile(r'group\["([^"\\{}\n]*)"\]')
# Nearly all titles. What is so simple surely compiles, which takes a hundred times as long to find out.
USUAL = re.compile(rf"[^{{]*(?:{{{{ (?:{_WORDS}|{_GROUPED.pattern}) }}}}[^{{]*)*")
_SANDBOX = Sandbox(autoescape=False)
_METHODS = ("get", "items", "keys", "values")


def headline_told(
    title: str, group: Sequence[str], context: Sequence[str], params: Mapping[str, object]
) -> Iterator[str]:
    """What is told of a title; `group` are the fields that an alert of the rule is about."""
    if "{" not in title or len(title) > LONGEST:
        return
    if USUAL.fullmatch(title) and set(_GROUPED.findall(title)) <= {*group}:
        return
    known = {"group": group, "trigger": context, "params": params}
    try:
        tree = _SANDBOX.parse(title)
        named = {node.name for node in tree.find_all(nodes.Name)}
        # What is declared in the title itself is named, too, but seldom is anything: look only then.
        unknown = named - {*NAMES} and meta.find_undeclared_variables(tree) - {*NAMES}
        asked = [(name, key) for name in known if name in named for key in _members_of(tree, name)]
    except (TemplateError, RecursionError):
        return  # told already
    for name in sorted(unknown):
        yield f'the title has no "{name}"; {did_you_mean(name, NAMES)}'
    for name, key in asked:
        if key not in known[name]:
            yield _lacking(name, key, known[name])


def _lacking(name: str, key: str, known: Iterable[str]) -> str:
    if name == "group":
        return _not_grouped(key, [*known])
    if name == "trigger":
        return f'the title names trigger["{key}"]; write {key} in the alert\'s context, too'
    return f'the title names a param "{key}"; {did_you_mean(key, known)}'


def _not_grouped(used: str, group: Sequence[str]) -> str:
    if not group:
        return f'the title names group["{used}"], but its alerts are about the whole rule; group by it first'
    dotted = next((field for field in group if field.startswith(f"{used}.")), None)
    way_out = f'write group["{dotted}"]' if dotted else did_you_mean(used, group)
    return f'the alert\'s group has no "{used}"; {way_out}'


def _members_of(tree: nodes.Template, name: str) -> Iterator[str]:
    """The constant keys that are asked of a variable: `group["data.ip"]`, `params.window`."""
    for node in tree.find_all(nodes.Expr):
        if not isinstance(node, nodes.Getattr | nodes.Getitem):
            continue
        if not isinstance(node.node, nodes.Name) or node.node.name != name:
            continue
        key = node.attr if isinstance(node, nodes.Getattr) else _constant(node)
        if key is not None and not (isinstance(node, nodes.Getattr) and key in _METHODS):
            yield key


def _constant(node: nodes.Getitem) -> str | None:
    value = node.arg.value if isinstance(node.arg, nodes.Const) else None
    return value if isinstance(value, str) else None
