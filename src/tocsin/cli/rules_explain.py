"""`tocsin rules explain`: a rule taken apart, and what it says to an event."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from tocsin.catalog.provider import PROVIDERS
from tocsin.cli.rules_options import OverlayFile, Paths, SiteConfig, site_rules, unknown_rule
from tocsin.errors import Error
from tocsin.model.event import Event
from tocsin.rules.made import Made
from tocsin.rules.tools.explain import Needed, Part, Question, matches, needed_of, parts_of, questions_of
from tocsin.rules.tools.facts import facts_of, part_facts_of
from tocsin.sources.decode import Decoder
from tocsin.sources.guess import GuessingDecoder
from tocsin.telemetry import visible

LONGEST_SEEN = 200  # characters of a value
MOST_SEEN = 5  # members of an array
Line = Sequence[tuple[str, str]]  # its pieces: text and style
YES, NO = ("✓", "green"), ("✗", "red")


def explain(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The rule's name or id.")],
    paths: Paths = None,
    event: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="One JSON record, an array or NDJSON; - is standard input."),
    ] = None,
    overlay: OverlayFile = None,
    config: SiteConfig = None,
) -> None:
    """One rule taken apart; with an event: what matched.

    With --event each part says whether it matched, and the value it saw.

    Example: tocsin rules explain failed_logins_from_ip --event record.json
    """
    made = _named(name, site_rules(paths, config, overlay).made)
    _say(_about(made))
    questions = questions_of(made)
    if event is None:
        for question in questions:
            _say([[], *_tree(made, question)])
        return
    for number, one in enumerate(_events(event, made), start=1):
        _say([[], [(f"event {number}", "bold"), (f"  {one.code or 'without a code'}  {one.id}", "")]])
        for question in questions:
            _say(_answered(made, question, one))


def _named(name: str, made: Sequence[Made]) -> Made:
    known = {key: rule for rule in made for key in (rule.compiled.rule.id, rule.compiled.rule.name)}
    if name not in known:
        names = [rule.compiled.rule.name for rule in made]
        raise unknown_rule(name, names)
    return known[name]


def _events(file: Path, made: Made) -> Sequence[Event]:
    """The records of the file; of one that is no event, the reason goes to standard error.

    Raises:
        Error: the file cannot be read, or holds no event.
    """
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as exc:
        raise Error(f"{file}: cannot be read: {exc.strerror or exc}; check the path") from exc
    product = made.compiled.rule.product
    decoder = (
        Decoder(made.fields, provider=product)
        if product in PROVIDERS
        else GuessingDecoder(lambda provider: Decoder(made.fields, provider=provider))
    )
    events, bad = decoder.decode_body(data, now_ms=None)
    for record in bad:
        typer.echo(visible(f"{file}:{record.line}: not an event: {record.reason}"), err=True)
    if not events:
        whose = f" of {product}" if product in PROVIDERS else ""
        raise Error(f"{file}: holds no event{whose}; give it whole records, with id and date")
    return events


def _about(made: Made) -> Iterator[Line]:
    rule = made.compiled.rule
    yield [(rule.name, "bold"), (f"  {rule.title}", "")]
    yield [(f"{rule.file}:{rule.line}", "dim")]
    for word, told in facts_of(made):
        yield [(f"  {word:<12}", "dim"), (told, "")]
    for child in made.children:
        yield [("  of          ", "dim"), (child.compiled.rule.name, "")]
        for word, told in part_facts_of(child):
            yield [(f"    {word:<10}", "dim"), (told, "")]


def _tree(made: Made, question: Question) -> Iterator[Line]:
    yield from _heading(made, question)
    for part in parts_of(question):
        yield [(f"{_indent(part)}{part.text}", "")]


def _answered(made: Made, question: Question, event: Event) -> Iterator[Line]:
    yield from _heading(made, question)
    for part in parts_of(question):
        mark = YES if part.holds(event) else NO
        yield [(_indent(part), ""), mark, (f" {part.text}", ""), (_seen(part, event), "dim")]
    if not matches(question.base, event):
        yield [("  does not match", "red")]
        return
    yield [("  matches", "green")]
    allow_missing = question.owner.compiled.rule.allow_missing
    for told in _needed(needed_of(question), event, allow_missing=allow_missing):
        yield [(f"    {told}", "")]


def _heading(made: Made, question: Question) -> Iterator[Line]:
    """The detection's name, where the rule is not that detection itself."""
    if question.base.doc is made.doc:
        return
    owner = question.owner
    through = (
        ""
        if owner is made or owner.doc is question.base.doc
        else f"  which {owner.compiled.rule.name} counts"
    )
    yield [(question.base.doc.meta.label, "bold"), (through, "dim")]


def _indent(part: Part) -> str:
    return "  " * (part.depth + 1)


def _seen(part: Part, event: Event) -> str:
    if part.sees is None:
        return ""
    values = part.sees(event)
    found = [value for value in values if value is not None]
    if not found and part.there(event):
        return "   (is null)" if values else "   (is an empty list)"
    if not found:
        return "   (the event has none)"
    more = f" and {len(found) - MOST_SEEN} more" if len(found) > MOST_SEEN else ""
    return f"   (is {', '.join(_shown(value) for value in found[:MOST_SEEN])}{more})"


def _needed(needed: Sequence[Needed], event: Event, *, allow_missing: bool) -> Iterator[str]:
    for one in needed:
        value = one.read(event)
        if value not in (None, ""):
            yield f"{one.why}: {one.field} is {_shown(value)}"
        elif one.why == "group" and allow_missing:
            yield f"{one.why}: {one.field} is missing, which is a group of its own"
        else:
            yield f"not counted: {one.field} is missing"


def _shown(value: object) -> str:
    text = (value or "''") if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= LONGEST_SEEN else f"{text[:LONGEST_SEEN]}…"


def _say(lines: Iterable[Line]) -> None:
    """Print the lines, harmless: rules and events are other people's texts."""
    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        console.print(Text.assemble(*((visible(" ".join(text.split("\n"))), style) for text, style in line)))
