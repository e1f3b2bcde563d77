"""The rules as a page for people: what each finds, how to tune it, what to do, what looks like it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from tocsin.rules.made import Made
from tocsin.rules.params import Param
from tocsin.rules.tools.facts import facts_of
from tocsin.rules.tools.listing import Line, line_of

OTHERS = "other"
_LEFT_OUT = ("not running", "params", "evidence", "labels")  # told elsewhere on the page, or not of interest
# What Markdown or HTML would read as more than text; the last ones only where a line begins.
_SPECIAL = re.compile(r"[\\*\[\]<|`~]|(?<!\w)_|_(?!\w)|&(?=[#\w])|^[>#+-]")


def markdown(made: Sequence[Made], title: str = "Rules") -> str:
    """The page, grouped by the label `category`; rule texts are escaped, whoever wrote them."""
    groups: dict[str, list[Made]] = defaultdict(list)
    for rule in made:
        groups[rule.compiled.rule.labels.get("category", OTHERS)].append(rule)
    ordered = sorted(groups, key=lambda name: (name == OTHERS, name))
    blocks = [
        f"# {_plain(title)}",
        "Generated from the rule files by `tocsin rules docs`; change those, not this page.",
        *_overview({name: groups[name] for name in ordered}),
        *(block for name in ordered for block in _group(name, groups[name])),
    ]
    return "\n\n".join(blocks) + "\n"


def _overview(groups: dict[str, list[Made]]) -> Iterator[str]:
    rows = ["| rule | level | ATT&CK | category |", "|---|---|---|---|"]
    rows += [_row(line_of(rule), name) for name, rules in groups.items() for rule in rules]
    yield "\n".join(rows)


def _row(line: Line, category: str) -> str:
    linked = f"[{_plain(line.name)}](#{_anchor(line.name)})"
    return f"| {linked} | {line.level} | {', '.join(line.techniques)} | {_plain(category)} |"


def _group(name: str, rules: Sequence[Made]) -> Iterator[str]:
    yield f"## {_plain(name)}"
    for made in rules:
        yield from _rule(made)


def _rule(made: Made) -> Iterator[str]:
    rule, line = made.compiled.rule, line_of(made)
    yield f"### {_plain(rule.name)}"
    yield f"**{_plain(rule.title)}**"
    if rule.description:
        yield _plain(rule.description)
    yield _facts(made, line)
    params = made.doc.extension.params
    if params:
        yield _params([*params.values()])
    if rule.runbook:
        yield "What to do:"
        yield _quoted(rule.runbook)
    if rule.falsepositives:
        yield "What looks like it:"
        yield "\n".join(f"- {_plain(text)}" for text in rule.falsepositives)


def _facts(made: Made, line: Line) -> str:
    rows = [("status", made.compiled.rule.status), ("ATT&CK", ", ".join(line.techniques))]
    rows += [(word, told) for word, told in facts_of(made) if word not in _LEFT_OUT]
    if line.stream_filters is None:
        rows.append(("log stream", "needs every event: a stream without a filter"))
    elif line.stream_filters:
        rows.append(("log stream", f"must let through {', '.join(line.stream_filters)}"))
    return "\n".join(f"- {word}: {_plain(text)}" for word, text in rows if text)


def _params(params: Sequence[Param]) -> str:
    rows = ["| param | value | least | most | what |", "|---|---|---|---|---|"]
    for param in params:
        cells = (param.name, ", ".join(param.texts), param.least, param.most, param.help)
        rows.append(f"| {' | '.join(map(_plain, cells))} |")
    return "\n".join(rows)


def _quoted(text: str) -> str:
    """A runbook as it was laid out, as a block that nothing in it can end."""
    longest = max((len(found) for found in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text.rstrip()}\n{fence}"


def _plain(text: str) -> str:
    """On one line, and nothing but text to Markdown and HTML."""
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


def _anchor(name: str) -> str:
    """The anchor that the usual renderers give the heading."""
    return "".join(char for char in name.casefold().replace(" ", "-") if char.isalnum() or char in "-_")
