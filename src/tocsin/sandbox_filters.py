"""The filters that templates have: those of Jinja2 that are wanted, none of which can make a bomb.

Each checks the size of what it is about to make; text filters take text and numbers only, because
the text of a list or of an object can be of any size. Left out are those that are given a width
(`center`, `wordwrap`), fill or repeat (`batch`, `slice`), read attributes by name (`attr`), or
switch escaping off (`safe`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import wraps
from itertools import islice
from typing import Any

from jinja2 import Undefined, filters, pass_environment, pass_eval_context
from jinja2.nodes import EvalContext
from jinja2.sandbox import SandboxedEnvironment

MAX_CHARACTERS = 32 * 1024
MAX_ITEMS = 10_000
MAX_DIGITS = 15
_BOMB_WIDTH = re.compile(r"%[^%a-zA-Z]*(?:\d{3}|\*)")


def scalar(value: Any) -> Any:
    """The value, if it is text, a number or a truth value.

    Raises:
        TypeError: it is a list, a mapping or an object.
    """
    if isinstance(value, Undefined):
        str(value)  # says which name it was
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be printed; print its items")


def _of_text(run: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(run)
    def checked(*args: Any, **kwargs: Any) -> Any:
        given = args[1:] if hasattr(run, "jinja_pass_arg") else args
        for value in (*given, *kwargs.values()):
            _short(scalar(value))
        return _short(run(*args, **kwargs))

    return checked


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_CHARACTERS:
        raise OverflowError(f"a text is longer than {MAX_CHARACTERS} characters")
    if isinstance(value, int) and value.bit_length() > 64:  # noqa: PLR2004 - a machine's number
        raise OverflowError("a number is too large")
    return value


def _of_items(run: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(run)
    def checked(*args: Any, **kwargs: Any) -> Any:
        at = 1 if hasattr(run, "jinja_pass_arg") else 0
        value = args[at]
        if not isinstance(value, dict):
            value = _items(value)
        return run(*args[:at], value, *args[at + 1 :], **kwargs)

    return checked


def _items(value: Iterable[Any]) -> list[Any]:
    found = list(islice(value, MAX_ITEMS + 1))
    if len(found) > MAX_ITEMS:
        raise OverflowError(f"a list has more than {MAX_ITEMS} items")
    return found


@pass_eval_context
def _join(context: EvalContext, value: Iterable[Any], d: str = "", attribute: str | None = None) -> str:
    if attribute is not None:
        value = map(filters.make_attrgetter(context.environment, attribute), value)
    parts = []
    size = 0
    for part in value:
        parts.append(scalar(part))
        size += len(str(part)) + len(scalar(d))
        if size > MAX_CHARACTERS:
            raise OverflowError(f"a text is longer than {MAX_CHARACTERS} characters")
    return filters.sync_do_join(context, parts, d)


@pass_eval_context
def _replace(context: EvalContext, text: str, old: str, new: str) -> str:
    times = str(text).count(str(old))
    if len(str(text)) + times * len(str(new)) > MAX_CHARACTERS:
        raise OverflowError(f"a text is longer than {MAX_CHARACTERS} characters")
    return filters.do_replace(context, text, old, new)


def _round(value: float, precision: int = 0) -> float:
    if abs(precision) > MAX_DIGITS:
        raise ValueError(f"round to {MAX_DIGITS} digits at most")
    return round(value, precision)


def _format(text: str, *args: Any) -> str:
    if _BOMB_WIDTH.search(text):
        raise ValueError("a format's width has two digits at most")
    return text % args


def _indent(text: str, width: int = 4, first: bool = False, blank: bool = False) -> str:
    if not isinstance(width, int) or not 0 <= width <= 40:  # noqa: PLR2004 - half a terminal
        raise ValueError("indent by 0 to 40")
    if len(text) + text.count("\n") * width > MAX_CHARACTERS:
        raise OverflowError(f"a text is longer than {MAX_CHARACTERS} characters")
    return filters.do_indent(text, width, first, blank)


@pass_environment
def _list(environment: SandboxedEnvironment, value: Iterable[Any]) -> list[Any]:  # noqa: ARG001 - keeps the shape of its kind
    return _items(value)


def _slice_of(value: Any, start: int | None, stop: int | None, step: int | None) -> Any:
    if not isinstance(value, str | list | tuple):
        raise TypeError(f"a {type(value).__name__} cannot be cut")
    return value[start:stop:step]


_TEXT_FILTERS = (
    *("abs", "capitalize", "e", "escape", "float", "forceescape", "int"),
    *("lower", "string", "title", "trim", "truncate", "upper", "wordcount"),
)
_ITEM_FILTERS = (
    *("dictsort", "first", "items", "last", "map", "max", "min", "reject"),
    *("rejectattr", "reverse", "select", "selectattr", "sort", "sum", "unique"),
)
FILTERS: dict[str, Callable[..., Any]] = {
    "join": _join,
    "list": _list,
    "slice_of": _slice_of,  # what `text[:8]` becomes
    "default": filters.do_default,
    "d": filters.do_default,
    "length": len,
    "count": len,
    "round": _of_text(_round),
    "replace": _of_text(_replace),
    "format": _of_text(_format),
    "indent": _of_text(_indent),
    **{name: _of_text(filters.FILTERS[name]) for name in _TEXT_FILTERS},
    **{name: _of_items(filters.FILTERS[name]) for name in _ITEM_FILTERS},
}
