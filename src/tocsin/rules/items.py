"""One item of a selection, `field|modifiers: values`, as tests of an event."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from operator import attrgetter
from typing import Any, NamedTuple

from tocsin.model.event import Event, attribute
from tocsin.rules.document import Scalar
from tocsin.rules.encodings import encoded
from tocsin.rules.fields import Field, all_members, field_of, members_of, presence
from tocsin.rules.leaves import (
    Leaf,
    Network,
    any_leaf,
    compared,
    inside,
    network_of,
    number_of,
    searched,
    text_leaf,
    texts_of,
    time_compared,
)
from tocsin.rules.modifiers import COMPARISONS, Chain
from tocsin.rules.patterns import (
    Pattern,
    Wild,
    folded,
    literal_of,
    matches_any,
    parse_pattern,
    tidy,
    with_windows_dashes,
)
from tocsin.rules.problems import Mark
from tocsin.rules.regex import Refused, Wrong, compile_search
from tocsin.rules.scope import Scope
from tocsin.rules.tree import Predicate, Test, Tree

_PLACEHOLDER = re.compile(r"%([A-Za-z0-9_.-]+)%")
MOST_EXPANDED = 100_000  # texts that one value may stand for


class Question(NamedTuple):
    """What is asked: a field, as compiled and as written, and how it is compared."""

    field: Field
    written: str
    chain: Chain
    mark: Mark


def tests_for(question: Question, values: tuple[Scalar, ...], scope: Scope) -> list[Tree] | None:
    """Tests to be joined by OR (by AND with `all`, then one a value); None after a mistake."""
    expanded = _expanded(values, question.chain, scope)
    if expanded is None:
        return None
    groups = [[value] for value in expanded] if question.chain.all else [expanded]
    tests = [_test(question, group, scope) for group in groups]
    known = [test for test in tests if test is not None]
    return [*known] if len(known) == len(tests) else None


def keyword_tests(values: tuple[Scalar, ...], chain: Chain, scope: Scope) -> list[Tree] | None:
    """Tests of all values of an event, whatever their field."""
    expanded = _expanded(values, chain, scope)
    if expanded is None:
        return None
    anywhere = chain if chain.kind == "re" else _with_kind(chain, "contains")
    groups = [[value] for value in expanded] if chain.all else [expanded]
    tests: list[Tree] = []
    for group in groups:
        leaf = _leaf(anywhere, group, scope)
        if leaf is None:
            return None
        tests.append(Test(f"keyword|{anywhere.text}={_canonical(group)}", _over_everything(leaf), deep=True))
    return tests


def _with_kind(chain: Chain, kind: str) -> Chain:
    return Chain(kind=kind, transforms=chain.transforms, cased=chain.cased)


def _expanded(values: tuple[Scalar, ...], chain: Chain, scope: Scope) -> list[Scalar] | None:
    """The values with their `%placeholders%` filled; None after a mistake."""
    if not chain.expand:
        return list(values)
    before = len(scope.problems.errors)
    found = [filled for value in values for filled in _filled(value, chain, scope)]
    return found if len(scope.problems.errors) == before else None


def _filled(value: Scalar, chain: Chain, scope: Scope) -> list[Scalar]:
    pieces = _PLACEHOLDER.split(value.text)  # text, name, text, name, …, text
    if len(pieces) == 1:
        scope.problems.error(value.mark, f"|expand needs a %name% in {value.text!r}")
        return []
    choices = [scope.values_of(name, value.mark) for name in pieces[1::2]]
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > MOST_EXPANDED:
        scope.problems.error(
            value.mark, f"{value.text!r} stands for more than {MOST_EXPANDED} texts; split it"
        )
        return []
    literal = (lambda text: text) if chain.kind in ("re", "cidr") else _escaped
    texts = []
    for chosen in product(*choices):
        between = [literal(text) for text in chosen]
        texts.append("".join(a + b for a, b in zip(pieces[::2], [*between, ""], strict=True)))
    return [Scalar(text, value.mark) for text in texts]


def _escaped(text: str) -> str:
    return re.sub(r"([*?\\])", r"\\\1", text)


def _canonical(values: list[Scalar]) -> str:
    return repr(sorted({f"{value.value!r}" for value in values}))


def _test(question: Question, values: list[Scalar], scope: Scope) -> Test | None:
    field, chain = question.field, question.chain
    key = f"{field.path}|{chain.text}={_canonical(values)}"
    fields = frozenset({field.path}) if field.flat else frozenset[str]()
    if chain.kind == "exists":
        return _exists(question, values, key, fields, scope)
    if chain.kind == "fieldref":
        return _references(question, values, key, scope)
    leaf = _leaf(chain, values, scope)
    if leaf is None:
        return None
    codes = _codes(field, chain, values, scope)
    if codes and "" not in codes:
        wanted = frozenset(code.casefold() for code in codes)
        return Test(key, lambda event: event.code.casefold() in wanted, codes=codes, decided=True)
    # An event without a code has the code '', be its field absent, null or empty: the field decides.
    return Test(key, _over(field, leaf), fields, deep=not field.flat, codes=codes)


def _codes(field: Field, chain: Chain, values: list[Scalar], scope: Scope) -> frozenset[str] | None:
    """The event codes that can match, where the values name them; `''` for an event without one."""
    if not field.is_code or chain.kind != "equals" or chain.transforms or chain.time_part or chain.cased:
        return None
    found: set[str] = set()
    known = {code.casefold(): code for code in scope.catalog.codes(scope.product)}
    for value in values:
        if value.is_null or value.text == "":
            found.add("")
            continue
        code = literal_of(parse_pattern(value.text)) if isinstance(value.value, str) else None
        if code is None:
            return None
        found |= {code, code.casefold(), known.get(code.casefold(), code)}
        if known and code.casefold() not in known:
            near = scope.catalog.nearest_code(scope.product, code)
            hint = f'did you mean "{near}"?' if near else "look it up with `tocsin events`"
            scope.problems.warning(value.mark, f'unknown {scope.product} event code "{code}"; {hint}')
    return frozenset(found)


def _over(field: Field, leaf: Leaf) -> Predicate:
    if not field.flat:
        members = all_members(field)
        return lambda event: any(leaf(value) for value in members(event))
    get = attrgetter(attribute(field.path))

    def holds(event: Event) -> bool:
        value = get(event)
        if type(value) is list:
            return any(leaf(member) for member in members_of(value))
        return leaf(value)

    return holds


def _over_everything(leaf: Leaf) -> Predicate:
    def holds(event: Event) -> bool:
        left: list[Any] = [event.fields]
        while left:
            value = left.pop()
            if isinstance(value, dict):
                left.extend(value.values())
            elif isinstance(value, list):
                left.extend(value)
            elif leaf(value):
                return True
        return False

    return holds


def _leaf(chain: Chain, values: list[Scalar], scope: Scope) -> Leaf | None:
    """The test of one leaf; None after a mistake."""
    before = len(scope.problems.errors)
    if chain.kind == "re":
        leaf = _regexes(chain, values, scope)
    elif chain.kind == "cidr":
        leaf = inside([network for value in values for network in _networks(value, scope)])
    elif chain.time_part or chain.kind in COMPARISONS:
        leaf = any_leaf([_number_leaf(chain, value, scope) for value in values])
    else:
        leaf = _text_leaf(chain, values, scope)
    return leaf if len(scope.problems.errors) == before else None


def _networks(value: Scalar, scope: Scope) -> list[Network]:
    try:
        return [network_of(value.text)]
    except ValueError as exc:
        scope.problems.error(value.mark, str(exc))
        return []


def _number_leaf(chain: Chain, value: Scalar, scope: Scope) -> Leaf:
    number = number_of(value.value)
    if number is None:
        what = chain.time_part or chain.kind
        scope.problems.error(value.mark, f'"{what}" compares with a number, not {value.text!r}')
        return _never
    if chain.time_part:
        return time_compared(chain.time_part, chain.kind, number)
    return compared(chain.kind, number)


def _never(_value: object) -> bool:
    return False


def _regexes(chain: Chain, values: list[Scalar], scope: Scope) -> Leaf:
    leaves: list[Leaf] = []
    for value in values:
        compiled = compile_search(value.text, chain.re_flags, trusted=scope.trusted)
        if isinstance(compiled, Wrong):
            scope.problems.error(value.mark, f"this is no regular expression: {compiled.reason}")
        elif isinstance(compiled, Refused):
            scope.refused.append(compiled.reason)
            scope.problems.warning(
                value.mark,
                f"RE2 does not run this pattern ({compiled.reason}), so the rule does not run; rewrite it, "
                "or name the rule in trusted_rules",
            )
        else:
            leaves.append(searched(compiled))
    return any_leaf([*leaves, _never])


def _text_leaf(chain: Chain, values: list[Scalar], scope: Scope) -> Leaf:
    patterns = [pattern for value in values for pattern in _patterns(chain, value, scope)]
    null = any(value.is_null for value in values)
    if not chain.cased:
        patterns = [folded(pattern) for pattern in patterns]
    return text_leaf(matches_any(patterns), cased=chain.cased, null=null)


def _patterns(chain: Chain, value: Scalar, scope: Scope) -> list[Pattern]:
    if value.is_null:
        if chain.kind != "equals" or chain.transforms:
            scope.problems.error(
                value.mark, f'null has no text for "{_last(chain)}"; write null without a modifier'
            )
        return []
    if isinstance(value.value, str):
        patterns = _transformed(chain, value, scope)
    else:
        patterns = [(text,) for text in dict.fromkeys((*texts_of(value.value), value.text))]
    return [_placed(pattern, chain.kind) for pattern in patterns]


def _last(chain: Chain) -> str:
    return chain.kind if chain.kind != "equals" else chain.transforms[-1]


def _transformed(chain: Chain, value: Scalar, scope: Scope) -> list[Pattern]:
    pattern = parse_pattern(value.text)
    encodings = tuple(name for name in chain.transforms if name != "windash")
    if "windash" in chain.transforms:
        pattern = with_windows_dashes(pattern)
    if not encodings:
        return [pattern]
    text = literal_of(pattern)
    if text is None:
        scope.problems.error(
            value.mark, f'"{encodings[0]}" encodes plain text; escape or remove the wildcard'
        )
        return []
    return [(part,) if part else () for part in encoded(text, encodings)]


def _placed(pattern: Pattern, kind: str) -> Pattern:
    head = (Wild.RUN,) if kind in ("contains", "endswith") else ()
    tail = (Wild.RUN,) if kind in ("contains", "startswith") else ()
    return tidy([*head, *pattern, *tail])


def _exists(
    question: Question, values: list[Scalar], key: str, fields: frozenset[str], scope: Scope
) -> Test | None:
    wanted = values[0].value
    if len(values) != 1 or not isinstance(wanted, bool):
        scope.problems.error(values[0].mark, '"exists" takes true or false')
        return None
    present = presence(question.field)
    if not fields:
        return Test(key, lambda event: present(event) is wanted, deep=True)
    # An attribute that holds something spares decoding the record; None may be a null or nothing.
    get = attrgetter(attribute(question.field.path))
    return Test(key, lambda event: (get(event) is not None or present(event)) is wanted, fields)


def _references(question: Question, values: list[Scalar], key: str, scope: Scope) -> Test:
    """Whether the field equals (or holds, begins, ends with) what another field says."""
    chain = question.chain
    compare = _TEXT_COMPARE[chain.place]
    others = [field_of(value.text, scope.product) for value in values]
    ours, theirs = all_members(question.field), [all_members(field) for field in others]
    fields = frozenset(field.path for field in (question.field, *others) if field.flat)

    def texts(found: list[Any]) -> list[str]:
        each = [text for value in found if not isinstance(value, dict | list) for text in texts_of(value)]
        return each if chain.cased else [text.casefold() for text in each]

    def holds(event: Event) -> bool:
        left = texts(ours(event))
        return any(compare(one, two) for read in theirs for two in texts(read(event)) for one in left)

    return Test(key, holds, fields, deep=any(not field.flat for field in (question.field, *others)))


_TEXT_COMPARE: dict[str, Callable[[str, str], bool]] = {
    "equals": str.__eq__,
    "contains": str.__contains__,
    "startswith": str.startswith,
    "endswith": str.endswith,
}
