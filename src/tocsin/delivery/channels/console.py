"""The console: alerts in the terminal, in colour; in a pipe one plain line a message."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar, Literal, TextIO

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.text import Text

from tocsin.delivery.outside import Outside
from tocsin.errors import TemporaryFailure
from tocsin.model.notification import Notification
from tocsin.telemetry import visible

_STYLES = {
    "title": "bold",
    "critical": "bold white on red",
    "high": "bold red",
    "medium": "bold yellow",
    "low": "bold cyan",
    "informational": "bold blue",
    "resolved": "bold green",
    "label": "dim",
    "muted": "dim",
    "good": "green",
    "evidence": "cyan",
}
_WITH_LABEL = ("fact", "evidence", "good")
_LABEL = re.compile(r"(\s*\S.*?\s{2,})(.*)")  # up to the gap before the value
_ITEM = re.compile(r"(?:[0-9]+[.)]|[-*]) ")
_LEAST_WIDTH = 20
_SEPARATOR = "─" * 72


class ConsoleConfig(BaseModel):
    """`{type: console}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["console"] = "console"


class ConsoleChannel:
    """Writes `body.lines` (pairs of style and text) to a terminal, `body.text` to anything else."""

    Config: ClassVar[type[ConsoleConfig]] = ConsoleConfig
    type: ClassVar[str] = "console"
    min_interval: ClassVar[timedelta] = timedelta()

    def __init__(
        self, name: str, config: ConsoleConfig | None = None, outside: Outside | None = None
    ) -> None:
        self.name = name
        self._config = config or ConsoleConfig()
        self._stream = (outside or Outside()).stream

    def send(self, notification: Notification) -> str:
        try:
            shown = _coloured if self._stream.isatty() else _plain
            text = shown(notification.body, self._stream)
            encoding = self._stream.encoding or "utf-8"
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()
        except (OSError, ValueError) as exc:  # ValueError: it was closed
            raise TemporaryFailure(f"the terminal cannot be written to: {exc}") from exc
        return "shown"


def _coloured(body: dict[str, Any], stream: TextIO) -> str:
    # We wrap between words alone: a word that is longer, like a URL, stays whole for who copies it.
    console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
    shown = Text.assemble(*_lines(body, console.width))
    with console.capture() as captured:
        console.print(Text(_SEPARATOR, style="dim"))
        console.print(shown, end="")
    return captured.get()


def _plain(body: dict[str, Any], stream: TextIO) -> str:
    """The message on one line: a log collector takes every line for a record of its own."""
    del stream
    lines = visible(str(body.get("text", ""))).splitlines()
    return " | ".join(" ".join(line.split()) for line in lines if line.strip()) + "\n"


def _lines(body: dict[str, Any], width: int) -> Iterator[tuple[str, str]]:
    """Pieces of text and their styles; each line of the body ends with its line end."""
    for kind, text in body.get("lines") or [["value", body.get("text", "")]]:
        shown, style = visible(str(text)), _STYLES.get(str(kind), "")
        if kind in _WITH_LABEL and (found := _LABEL.fullmatch(shown)) is not None:
            yield found[1], "dim"
            yield _wrapped(found[2], width, len(found[1])).lstrip(" "), style
        else:
            yield _wrapped(shown, width, len(shown) - len(shown.lstrip(" "))), style
        yield "\n", ""


def _wrapped(text: str, width: int, indent: int) -> str:
    """The text in lines of `width` or a little more, all indented, a list's items under themselves."""
    item = _ITEM.match(text.strip(" "))
    return textwrap.fill(
        text.strip(" "),
        max(width, indent + _LEAST_WIDTH),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + (len(item[0]) if item else 0)),
        break_long_words=False,
        break_on_hyphens=False,
    )
