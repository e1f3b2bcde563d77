"""Jinja2 templates, held in: for rule headlines and for notification templates.

A template may come from a rule file of somebody else, and what it is given was written by an
attacker (OWASP: server-side template injection). So it runs in the immutable sandbox on plain data,
with no loader, no macros and only the filters of `tocsin.sandbox_filters`; no single step of it can
be large, and between steps it is stopped at `MAX_CHARACTERS` of text, `MAX_SECONDS` or `MAX_WORK`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import wraps
from types import BuiltinMethodType
from typing import Any, cast

from jinja2 import StrictUndefined, Template, TemplateError, Undefined, nodes
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from tocsin.sandbox_filters import FILTERS, MAX_CHARACTERS, scalar

MAX_SECONDS = 1.0
MAX_WORK = 1_000_000  # characters and list items that all steps together may make
MAX_RANGE = 1_000
MAX_SOURCE = 32 * 1024
MAX_INTEGER = 1 << 63
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
# What deeply nested source does to Python's own compiler, besides.
_COMPILE_FAILURES = (*_FAILURES, SyntaxError)
_METHODS: dict[type, set[str]] = {
    dict: {"items", "keys", "values", "get"},
    str: {"startswith", "endswith", "lower", "upper", "strip"},
}
# Each can turn a few characters into gigabytes or hours, or reach another file, or switch escaping off.
_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Pow: "a power",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Include: "include",
    nodes.Extends: "extends",
    nodes.Macro: "a macro",
    nodes.CallBlock: "call",
    nodes.FilterBlock: "a filter block",
    nodes.AssignBlock: "a set block",
    nodes.ScopedEvalContextModifier: "autoescape",
}
_SUSPECT: tuple[type[nodes.Node], ...] = (*_REFUSED, nodes.For, nodes.List, nodes.Tuple, nodes.Dict)


class TemplateFailure(Exception):
    """The template is wrong, or took too much; the text says which."""


class _Budget:
    """What one rendering may still use."""

    def __init__(self) -> None:
        self._deadline = time.monotonic() + MAX_SECONDS
        self._work = MAX_WORK

    def spend(self, work: int = 1) -> None:
        self._work -= work
        if self._work < 0:
            raise TemplateFailure("it makes too much text on the way")
        if time.monotonic() > self._deadline:
            raise TemplateFailure(f"it ran longer than {MAX_SECONDS:g} s")


_BUDGET: ContextVar[_Budget | None] = ContextVar("template_budget", default=None)


def _spend(work: int = 1) -> None:
    budget = _BUDGET.get()
    if budget is not None:
        budget.spend(work)


def _spend_on(made: object) -> None:
    _spend(1 + (len(made) if isinstance(made, str | list | tuple) else 0))


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment. Undefined names are errors, so that a typo is found by the fallback's log line."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%"})

    def __init__(self, *, autoescape: bool) -> None:
        super().__init__(
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # the optimizer runs filters while it compiles, outside of any budget
            autoescape=autoescape,
            finalize=_printable,
        )
        self.globals = {"range": _small_range}
        self.filters = {name: _metered(run) for name, run in FILTERS.items()}
        self.filters["each_step"] = _each_step

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic is for numbers: text times a number, or formatted by a width, is a bomb."""
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise TypeError(f"{operator} is for numbers in a template; join text with ~")
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and abs(result) > MAX_INTEGER:
            raise OverflowError("a number is too large")
        return result

    def is_safe_callable(self, obj: Any) -> bool:
        """`range`, `loop.cycle`, and the few methods of plain data that make nothing large."""
        if obj is _small_range:
            return True
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        if isinstance(owner, LoopContext):
            return name == "cycle"
        return isinstance(obj, BuiltinMethodType) and name in _METHODS.get(type(owner), set())

    def call(self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: PYI063 - Jinja2's own names
        """Call what is safe to call, and count what it makes."""
        made = super().call(__context, __obj, *args, **kwargs)
        _spend_on(made)
        return made


def _printable(value: object) -> object:
    """What `{{ … }}` prints: text and numbers; None is empty. A list's text could be of any size."""
    if isinstance(value, Undefined):
        return str(value)
    return "" if value is None else scalar(value)


def _small_range(*args: int) -> range:
    numbers = range(*args)
    if len(numbers) > MAX_RANGE:
        raise OverflowError(f"a range in a template may have {MAX_RANGE} numbers")
    return numbers


def _each_step(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        _spend()
        yield item


def _metered(run: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(run)  # copies the mark by which Jinja2 knows what to pass
    def metered(*args: Any, **kwargs: Any) -> Any:
        made = run(*args, **kwargs)
        _spend_on(made)
        return made

    return metered


class _Bounded(NodeTransformer):
    """Route what the sandbox has no hook for through filters: joined text, slices, the steps of a loop."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - Jinja2's own name
        self.generic_visit(node)
        return self._filter(nodes.List(node.nodes, lineno=node.lineno), "join", [])

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802 - Jinja2's own name
        self.generic_visit(node)
        cut = node.arg
        if not isinstance(cut, nodes.Slice):
            return node
        bounds = [part or nodes.Const(None, lineno=node.lineno) for part in (cut.start, cut.stop, cut.step)]
        return self._filter(node.node, "slice_of", bounds)

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - Jinja2's own name
        self.generic_visit(node)
        node.iter = self._filter(node.iter, "each_step", [])
        return node

    @staticmethod
    def _filter(value: nodes.Node, name: str, args: list[nodes.Expr]) -> nodes.Filter:
        return nodes.Filter(cast("nodes.Expr", value), name, args, [], None, None, lineno=value.lineno)


def compile_template(source: str, *, environment: Sandbox | None = None) -> Template:
    """The template of this text.

    Raises:
        TemplateFailure: with the line and what is wrong.
    """
    if len(source) > MAX_SOURCE:
        raise TemplateFailure(f"the template is longer than {MAX_SOURCE} characters")
    environment = environment or _PLAIN
    try:
        tree = environment.parse(source)
        _refuse_bombs(tree)
        bounded = _Bounded().visit(tree)
        bounded.set_environment(environment)
        return environment.from_string(bounded)
    except TemplateError as exc:
        line = getattr(exc, "lineno", None)
        where = f"line {line}: " if line else ""
        raise TemplateFailure(f"{where}{exc.message or exc}") from exc
    except _COMPILE_FAILURES as exc:
        raise TemplateFailure(f"it cannot be compiled: {type(exc).__name__}") from exc


def _refuse_bombs(tree: nodes.Template) -> None:
    """Refuse what one uninterruptible step can blow up, and what hides steps from the clock."""
    # One look is enough for nearly all templates.
    if next(tree.find_all(_SUSPECT), None) is None:
        return
    for kind, name in _REFUSED.items():
        for node in tree.find_all(kind):
            raise TemplateFailure(f"line {node.lineno}: {name} is not allowed in a template")
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            raise TemplateFailure(f"line {loop.lineno}: a recursive loop is not allowed in a template")
    for literal in tree.find_all((nodes.List, nodes.Tuple, nodes.Dict)):
        if getattr(literal, "ctx", "load") == "load" and next(literal.find_all(nodes.Name), None):
            # A list of two of itself, again and again, is small, and its text is not.
            raise TemplateFailure(f"line {literal.lineno}: a list in a template holds constants only")


def render(template: Template, context: Mapping[str, Any]) -> str:
    """The text, or why there is none.

    Raises:
        TemplateFailure: an undefined name, a forbidden attribute, too long, too slow.
    """
    return _run(lambda: template.generate(**context))


def render_block(template: Template, block: str, context: Mapping[str, Any]) -> str:
    """The text of one `{% block NAME %}` alone; empty if the template has none of that name.

    Raises:
        TemplateFailure: as `render`.
    """
    if block not in template.blocks:
        return ""
    return _run(lambda: template.blocks[block](template.new_context(dict(context))))


def _run(generate: Callable[[], Iterator[str]]) -> str:
    token = _BUDGET.set(_Budget())
    parts: list[str] = []
    size = 0
    try:
        for part in generate():
            size += len(part)
            if size > MAX_CHARACTERS:
                raise TemplateFailure(f"the text is longer than {MAX_CHARACTERS} characters")
            _spend()
            parts.append(part)
    except TemplateFailure:
        raise
    except _FAILURES as exc:
        raise TemplateFailure(f"{type(exc).__name__}: {exc}") from exc
    finally:
        _BUDGET.reset(token)
    return "".join(parts)


_PLAIN = Sandbox(autoescape=False)  # plain text; HTML templates ask for autoescape
