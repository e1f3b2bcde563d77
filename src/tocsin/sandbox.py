"""Jinja2 templates, held in: for rule headlines and for notification templates.

A template may come from a rule file of somebody else, and what it is given was written by an
attacker, so it runs in the immutable sandbox on plain data, with no loader of its own, and is
stopped at `MAX_CHARACTERS` or `MAX_SECONDS` (OWASP: server-side template injection).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_CHARACTERS = 32 * 1024
MAX_SECONDS = 1.0
MAX_RANGE = 1_000
# What a template's own expressions can raise: its author's mistakes, all of them.
_FAILURES = (
    TemplateError,
    ArithmeticError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    RecursionError,
    MemoryError,
)


class TemplateFailure(Exception):
    """The template is wrong, or took too much; the text says which."""


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment. Undefined names are errors, so that a typo is found by the fallback's log line."""

    intercepted_binops = frozenset({"*", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, **options)
        self.globals = {"range": _small_range}

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic is for numbers: text times a number, or formatted by a width, is a bomb."""
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise TypeError(f"{operator} is for numbers in a template")
        return super().call_binop(context, operator, left, right)


def _small_range(*args: int) -> range:
    numbers = range(*args)
    if len(numbers) > MAX_RANGE:
        raise OverflowError(f"a range in a template may have {MAX_RANGE} numbers")
    return numbers


def compile_template(source: str, *, environment: Sandbox | None = None) -> Template:
    """The template of this text.

    Raises:
        TemplateFailure: with the line and what is wrong.
    """
    environment = environment or _PLAIN
    try:
        tree = environment.parse(source)
        _refuse_bombs(tree)
        return environment.from_string(tree)
    except TemplateError as exc:
        line = getattr(exc, "lineno", None)
        where = f"line {line}: " if line else ""
        raise TemplateFailure(f"{where}{exc.message or exc}") from exc


def _refuse_bombs(tree: nodes.Template) -> None:
    """Refuse what one uninterruptible step can blow up: powers, and text repeated by a number."""
    for kind in (nodes.Pow, nodes.Import, nodes.FromImport, nodes.Include, nodes.Extends):
        for node in tree.find_all(kind):
            raise TemplateFailure(f"line {node.lineno}: {kind.__name__.lower()} is not allowed in a template")


def render(template: Template, context: Mapping[str, Any]) -> str:
    """The text, or why there is none.

    Raises:
        TemplateFailure: an undefined name, a forbidden attribute, too long, too slow.
    """
    # A template's own steps are what can run long, so the clock is read between them.
    deadline = time.monotonic() + MAX_SECONDS
    parts: list[str] = []
    size = 0
    try:
        for part in template.generate(**context):
            size += len(part)
            if size > MAX_CHARACTERS:
                raise TemplateFailure(f"the text is longer than {MAX_CHARACTERS} characters")
            if time.monotonic() > deadline:
                raise TemplateFailure(f"it ran longer than {MAX_SECONDS:g} s")
            parts.append(part)
    except TemplateFailure:
        raise
    except _FAILURES as exc:
        raise TemplateFailure(f"{type(exc).__name__}: {exc}") from exc
    return "".join(parts)


_PLAIN = Sandbox(autoescape=False)  # plain text; HTML templates ask for autoescape
