"""A rule's knobs: `tocsin.params`, what a site's overlay makes of them, and `$name` where they are used."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from tocsin.rules.document import OPEN, Entry, Items, Node, Scalar, Table
from tocsin.rules.durations import duration_ms
from tocsin.rules.problems import Mark, Problems
from tocsin.rules.section import Section, replaced

REFERENCE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_.-]*)")


@dataclass(frozen=True, slots=True)
class Param:
    """One knob. `value` is the effective one, several texts for a list. `sets` is a path in the document.

    `place` is where that value stands, as `file:line`; `least` and `most` are its bounds as written.
    """

    name: str
    value: tuple[Scalar, ...]
    mark: Mark
    highest: float | None = None
    sets: tuple[str, ...] = ()
    help: str = ""
    default: tuple[Scalar, ...] = ()
    least: str = ""
    most: str = ""
    place: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """The value as texts."""
        return tuple(scalar.text for scalar in self.value)

    @property
    def shown(self) -> float | str:
        """The value for templates."""
        one = self.value[0].value if len(self.value) == 1 else None
        if isinstance(one, int | float) and not isinstance(one, bool):
            return one
        return ", ".join(self.texts)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What an overlay chose for a rule's params; its mistakes go to its own file.

    `named` are the params that were chosen for this rule by its name. The others were chosen by
    `globs` of names, for several rules at once: one without such a param is no mistake. `taken`
    gathers the (glob, param) that some rule has.
    """

    values: Mapping[str, tuple[Scalar, ...]]
    marks: Mapping[str, Mark]
    problems: Problems
    rule: str = ""
    named: frozenset[str] = frozenset()
    globs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    taken: set[tuple[str, str]] = field(default_factory=set)


def read_params(section: Section | None, root: Table, chosen: Chosen | None) -> dict[str, Param]:
    """The params of a document, effective values in."""
    params: dict[str, Param] = {}
    if section is not None:
        for name in section.table.entries:
            param = _read_param(name, section, root, chosen)
            if param:
                params[name] = param
    if chosen is not None:
        _check_chosen(chosen, section.table.entries if section else (), params)
    return params


def _check_chosen(chosen: Chosen, known: Container[str], params: Mapping[str, Param]) -> None:
    """Report chosen params that the rule does not have, unless a glob chose them for others."""
    for name, mark in chosen.marks.items():
        if name in known:
            chosen.taken.update((glob, name) for glob in chosen.globs.get(name, ()))
        elif name in chosen.named:
            hint = chosen.problems.hint(name, params) if params else "the rule has no params; remove it"
            chosen.problems.error(mark, f'unknown param "{name}"; {hint}')


def _read_param(name: str, section: Section, root: Table, chosen: Chosen | None) -> Param | None:
    mark, node = section.mark_of(name), section.node(name)
    if isinstance(node, Table):
        return _param(name, Section(node, f'param "{name}"', section.problems), root, mark, chosen)
    if isinstance(node, Scalar | Items):
        shown = node.text if isinstance(node, Scalar) else "[…]"
        section.problems.error(node.mark, f'param "{name}" must be a map; write {name}: {{default: {shown}}}')
    else:
        section.problems.error(mark, f'param "{name}" has no default; write {name}: {{default: VALUE}}')
    return Param(name, (_left_open(name, mark),), mark)


def _param(name: str, section: Section, root: Table, mark: Mark, chosen: Chosen | None) -> Param | None:
    sets = tuple(section.text("set").split(".")) if section.has("set") else ()
    default = section.scalars("default")
    lowest, highest = section.scalar("min"), section.scalar("max")
    help_ = section.text("help")
    section.done()
    if sets:
        if default:
            section.wrong("default", "remove default: what the document says at `set` is the default")
        default = _found(root, sets)
        if not default:
            section.wrong("set", _nothing_told(root, sets))
    if not default:
        if sets:
            return None
        section.problems.error(mark, f'param "{name}" has no default; write one')
        return Param(name, (_left_open(name, mark),), mark)
    if not _are_bounds(name, default, lowest, highest, section.problems):
        lowest = highest = None
    value, told, called = default, section.problems, name
    if chosen is not None and name in chosen.values:
        value, told = chosen.values[name], chosen.problems
        called = name if name in chosen.named else f"{chosen.rule}.{name}"
    if not _fits(called, value, default, (lowest, highest), told):
        value = default  # a site's mistake is no second one in the rule
    return Param(
        name=name,
        value=value,
        mark=mark,
        highest=_measure(highest),
        sets=sets,
        help=help_,
        default=default,
        least=lowest.text if lowest else "",
        most=highest.text if highest else "",
        place=f"{told.file}:{value[0].mark.line}",
    )


def _are_bounds(
    name: str,
    default: tuple[Scalar, ...],
    lowest: Scalar | None,
    highest: Scalar | None,
    problems: Problems,
) -> bool:
    """Whether both bounds are of the default's kind, the lower one below; what is wrong is noted."""
    kind = _kind(default[0])
    for word, bound in (("min", lowest), ("max", highest)):
        if bound is not None and (kind == "text" or _kind(bound) != kind):
            told = "text, which has no bounds; remove it" if kind == "text" else f"a {kind}; write one"
            problems.error(
                bound.mark, f'{word} of param "{name}" is {bound.text!r}, but its default is {told}'
            )
            return False
    least, most = _measure(lowest), _measure(highest)
    if lowest and highest and least is not None and most is not None and least > most:
        message = f'param "{name}" has min {lowest.text} above max {highest.text}; exchange them'
        problems.error(lowest.mark, message)
        return False
    return True


def _fits(
    name: str,
    value: tuple[Scalar, ...],
    default: tuple[Scalar, ...],
    bounds: tuple[Scalar | None, Scalar | None],
    problems: Problems,
) -> bool:
    """Whether the value is of its default's kind and within the bounds; what is wrong is noted."""
    before = len(problems.errors)
    _check_kind(name, value, default, problems)
    for scalar in value if len(problems.errors) == before else ():  # of another kind it has no measure
        _check_bounds(name, scalar, *bounds, problems)
    return len(problems.errors) == before


def _check_kind(
    name: str, value: tuple[Scalar, ...], default: tuple[Scalar, ...], problems: Problems
) -> None:
    kind = _kind(default[0]) if len(default) == 1 else "text"
    if value is default or kind == "text":
        return
    if len(value) != 1 or _kind(value[0]) != kind:
        unquoted = len(value) == 1 and _kind(replace(value[0], plain=True)) == kind
        hint = "; remove the quotes" if unquoted else ""
        problems.error(value[0].mark, f'param "{name}" is a {kind}, like its default {default[0].text}{hint}')


def _kind(scalar: Scalar) -> str:
    if isinstance(scalar.value, bool) or scalar.value is None:
        return "text"
    if isinstance(scalar.value, int | float):
        return "number"
    return "text" if _measure(scalar) is None else "duration"


def _check_bounds(
    name: str, scalar: Scalar, lowest: Scalar | None, highest: Scalar | None, problems: Problems
) -> None:
    measure = _measure(scalar)
    bounds: list[tuple[Scalar | None, str, Callable[[float, float], bool]]] = [
        (lowest, "least", lambda value, bound: value < bound),
        (highest, "most", lambda value, bound: value > bound),
    ]
    for bound, word, breaks in bounds:
        limit = _measure(bound)
        if bound is not None and limit is not None and (measure is None or breaks(measure, limit)):
            problems.error(scalar.mark, f'param "{name}" must be at {word} {bound.text}, not {scalar.text}')


def _measure(scalar: Scalar | None) -> float | None:
    """A number, or a duration in seconds; None for other text."""
    if scalar is None or isinstance(scalar.value, bool):
        return None
    if isinstance(scalar.value, int | float):
        return scalar.value
    try:
        return duration_ms(scalar.text) / 1_000
    except ValueError:
        return None


def _found(root: Table, path: tuple[str, ...]) -> tuple[Scalar, ...]:
    node = _at(root, path)
    return (node,) if isinstance(node, Scalar) and not node.is_null else ()


def _nothing_told(root: Table, path: tuple[str, ...]) -> str:
    node, place = _at(root, path), ".".join(path)
    if isinstance(node, Items | Table):
        shape = "list" if isinstance(node, Items) else "map"
        return f'at "{place}" stands a {shape}, and a param sets one value; name the place of one'
    return f'the document has no value at "{place}"; write it there first'


def _at(root: Table, path: tuple[str, ...]) -> Node | None:
    node: Node = root
    for step in path:
        if not isinstance(node, Table) or step not in node.entries:
            return None
        node = node.entries[step].node
    return node


def with_params_set(root: Table, params: Mapping[str, Param]) -> Table:
    """The document with the params' values where their `set` points."""
    for param in params.values():
        if param.sets:
            root = _with(root, param.sets, replace(param.value[0], param=param.name))
    return root


def _with(table: Table, path: tuple[str, ...], scalar: Scalar) -> Table:
    step, *rest = path
    below = table.entries[step].node
    if rest and isinstance(below, Table):
        return replaced(table, {step: _with(below, tuple(rest), scalar)})
    return replaced(table, {step: scalar})


def substituted(node: Node, params: Mapping[str, Param], problems: Problems) -> Node:
    """The node with every `$name` replaced by its param's value."""
    match node:
        case Scalar():
            return _substituted_scalar(node, params, problems)
        case Items(items, mark):
            return Items(tuple(substituted(item, params, problems) for item in items), mark)
        case Table(entries, mark, flow):
            found = {
                key: Entry(entry.key_mark, substituted(entry.node, params, problems))
                for key, entry in entries.items()
            }
            return Table(found, mark, flow)


def _left_open(name: str, mark: Mark) -> Scalar:
    return Scalar("", mark, plain=True, param=f"{OPEN}{name}")


def _substituted_scalar(scalar: Scalar, params: Mapping[str, Param], problems: Problems) -> Node:
    reference = REFERENCE.fullmatch(scalar.text) if scalar.text[:1] == "$" else None
    if reference is None:
        return scalar
    param = params.get(reference[1])
    if param is None:
        problems.error(scalar.mark, f'unknown param "{scalar.text}"; {problems.hint(reference[1], params)}')
        return _left_open(reference[1], scalar.mark)
    if param.value[0].is_open:
        return _left_open(param.name, scalar.mark)
    found = tuple(replace(value, mark=scalar.mark, param=param.name) for value in param.value)
    return found[0] if len(found) == 1 else Items(found, scalar.mark)
