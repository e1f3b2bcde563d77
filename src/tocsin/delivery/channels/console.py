"""The console: alerts in the terminal, in colour; plain text in a pipe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar, Literal, TextIO

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.text import Text

from tocsin.delivery.outside import Outside
from tocsin.errors import TemporaryFailure
from tocsin.model.notification import Notification

_STYLES = {
    "title": "bold",
    "critical": "bold white on red",
    "high": "bold red",
    "medium": "yellow",
    "low": "cyan",
    "informational": "blue",
    "label": "dim",
    "value": "",
    "muted": "dim",
    "good": "green",
}
_SEPARATOR = "─" * 72
# What moves the cursor, reorders or hides text: all of C0 and C1 but tab and newline; bidi; zero-width.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


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
        write = _write_coloured if self._stream.isatty() else _write_plain
        try:
            write(self._stream, notification.body)
            self._stream.flush()
        except (OSError, ValueError) as exc:  # ValueError: it was closed
            raise TemporaryFailure(f"the terminal cannot be written to: {exc}") from exc
        return "shown"


def _write_coloured(stream: TextIO, body: dict[str, Any]) -> None:
    shown = Text.assemble(*(line for pair in _lines(body) for line in (pair, "\n")))
    # Rich wraps at the terminal's width; the terminal itself does it better, and copies stay whole.
    console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
    console.print(Text(_SEPARATOR, style="dim"))
    console.print(shown, end="")


def _write_plain(stream: TextIO, body: dict[str, Any]) -> None:
    text = _visible(str(body.get("text", ""))).rstrip("\n")
    encoding = stream.encoding or "utf-8"
    stream.write(f"{text}\n\n".encode(encoding, "replace").decode(encoding))


def _lines(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for style, text in body.get("lines") or [["value", body.get("text", "")]]:
        yield _visible(str(text)), _STYLES.get(str(style), "")


def _visible(text: str) -> str:
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)
