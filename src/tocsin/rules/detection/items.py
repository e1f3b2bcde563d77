"""One item of a selection, `field|modifiers: values`, as tests of an event."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from tocsin.catalog.provider import ECS
from tocsin.model.event import Event, attribute
from tocsin.rules.detection.fields import Field, all_members, field_of, presence
from tocsin.rules.detection.leaves import Leaf, texts_of
from tocsin.rules.detection.modifiers import Chain
from tocsin.rules.detection.paths import members_of
from tocsin.rules.detection.patterns import literal_of, parse_pattern
from tocsin.rules.detection.placeholders import expanded
from tocsin.rules.detection.scope import Catalog, Scope
from tocsin.rules.detection.tree import Predicate, Test, Tree
from tocsin.rules.detection.values import leaf_for
from tocsin.rules.detection.view import view_test, warn_of_words
from tocsin.rules.document import Scalar
from tocsin.rules.problems import Mark

LONGEST_CODES = 500  # characters of a text that may be several codes
_BETWEEN = re.compile(r"[\s|,;]+")
MOST_HINTS = 100  # a file; looking for the nearest code is slow, and a file may be hostile


class Question(NamedTuple):
    """What is asked: a field, as compiled and as written, and how it is compared."""

    field: Field
    written: str
    chain: Chain
    mark: Mark


def tests_for(question: Question, values: tuple[Scalar, ...], scope: Scope) -> list[Tree] | None:
    """Tests to be joined by OR (by AND with `all`, then one a value); None after a mistake."""
    filled = expanded(values, question.chain, scope)
    if filled is None:
        return None
    groups = ([[value] for value in filled] if question.chain.all else []) or [filled]
    tests = [_test(question, group, scope) for group in groups]
    known = [test for test in tests if test is not None]
    return [*known] if len(known) == len(tests) else None


def keyword_tests(values: tuple[Scalar, ...], chain: Chain, scope: Scope) -> list[Tree] | None:
    """Tests of all values of an event, whatever their field."""
    filled = expanded(values, chain, scope)
    if filled is None:
        return None
    anywhere = chain if chain.kind == "re" else _with_kind(chain, "contains")
    groups = ([[value] for value in filled] if chain.all else []) or [filled]
    leaves = [leaf_for(anywhere, group, scope) for group in groups]
    tests: list[Tree] = [
        Test(f"keyword|{anywhere.text}={_canonical(group)}", _over_everything(leaf), deep=True)
        for group, leaf in zip(groups, leaves, strict=True)
        if leaf is not None
    ]
    return tests if len(tests) == len(groups) else None


def _with_kind(chain: Chain, kind: str) -> Chain:
    return Chain(kind=kind, transforms=chain.transforms, cased=chain.cased)


def _canonical(values: list[Scalar]) -> str:
    if len(values) == 1:
        return repr([repr(values[0].value)])
    return repr(sorted({repr(value.value) for value in values}))


def _test(question: Question, values: list[Scalar], scope: Scope) -> Test | None:
    field, chain = question.field, question.chain
    key = f"{field.key}|{chain.text}={_canonical(values)}"
    fields = field.attributes
    if chain.kind == "exists":
        return _exists(question, values, key, fields, scope)
    if chain.kind == "fieldref":
        return _references(question, values, key, scope)
    leaf = leaf_for(chain, values, scope)
    if leaf is None:
        return None
    if field.view is not None and not field.is_code:
        warn_of_words(field, chain, values, scope)
        return view_test(field, key, leaf)
    codes = _codes(field, chain, values, scope)
    if codes and "" not in codes and not chain.cased:
        wanted = frozenset(code.casefold() for code in codes)
        return Test(key, lambda event: event.code.casefold() in wanted, codes=codes, decided=True)
    # An event without a code has the code '', be its field absent, null or empty: the field decides.
    return Test(key, _over(field, leaf), fields, deep=field.deep, codes=codes)


def _codes(field: Field, chain: Chain, values: list[Scalar], scope: Scope) -> frozenset[str] | None:
    """The event codes that can match, where the values name them; `''` for an event without one."""
    if not field.is_code or chain.kind != "equals" or chain.transforms or chain.time_part:
        return None
    if field.view == ECS:
        return None
    found = {""} if field.view == "" else set[str]()  # An ECS document says its code in its record alone.
    known = _known_codes(scope.catalog, scope.product)  # type: ignore[arg-type] # a module can be hashed
    for value in values:
        if value.is_null or value.text == "":
            found.add("")
            continue
        code = literal_of(parse_pattern(value.text)) if isinstance(value.value, str) else None
        if code is None:
            return None
        found |= {code, code.casefold(), known.get(code.casefold(), code)}
        if known and code.casefold() not in known:
            hint = _hint(code, known, scope)
            scope.problems.warning(value.mark, f'unknown {scope.product} event code "{code}"; {hint}')
    return frozenset(found)


def _hint(code: str, known: Container[str], scope: Scope) -> str:
    """The way out of an unknown code."""
    several = [one for one in _BETWEEN.split(code) if one] if len(code) <= LONGEST_CODES else []
    if len(several) > 1 and all(one.casefold() in known for one in several):
        return f"write a list: [{', '.join(several)}]"
    few = len(scope.problems.warnings) < MOST_HINTS
    near = scope.catalog.nearest_code(scope.product, code) if few else None
    return f'did you mean "{near}"?' if near else "look it up with `tocsin events`"


@lru_cache(maxsize=64)
def _known_codes(catalog: Catalog, product: str) -> Mapping[str, str]:
    """The catalogue's codes, as it spells them, by their case-folded text."""
    return {code.casefold(): code for code in catalog.codes(product)}


def _over(field: Field, leaf: Leaf) -> Predicate:
    if not field.flat:
        members = all_members(field)

        def any_holds(event: Event) -> bool:
            found = members(event)
            return leaf(found[0]) if len(found) == 1 else any(map(leaf, found))

        return any_holds
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


def _exists(
    question: Question, values: list[Scalar], key: str, fields: frozenset[str], scope: Scope
) -> Test | None:
    wanted = values[0].value
    if len(values) != 1 or not isinstance(wanted, bool):
        scope.problems.error(values[0].mark, '"exists" takes true or false, without quotes')
        return None
    present = presence(question.field)
    if not question.field.flat:
        return Test(key, lambda event: present(event) is wanted, fields, deep=question.field.deep)
    # An attribute that holds something spares decoding the record; None may be a null or nothing.
    get = attrgetter(attribute(question.field.path))
    return Test(key, lambda event: (get(event) is not None or present(event)) is wanted, fields)


def _references(question: Question, values: list[Scalar], key: str, scope: Scope) -> Test | None:
    """Whether the field equals (or holds, begins, ends with) what another field says."""
    chain = question.chain
    nameless = [value for value in values if not _names_a_field(value)]
    for value in nameless:
        shown = repr(value.text) if isinstance(value.value, str) else value.text or "null"
        scope.problems.error(value.mark, f'"fieldref" takes the name of a field, not {shown}')
    if nameless:
        return None
    compare = _TEXT_COMPARE[chain.place]
    others = [field_of(value.text, scope.vocabulary) for value in values]
    ours, theirs = all_members(question.field), [all_members(field) for field in others]
    fields = frozenset(name for field in (question.field, *others) for name in field.attributes)

    def texts(found: list[Any]) -> list[str]:
        each = [text for value in found if not isinstance(value, dict | list) for text in texts_of(value)]
        return each if chain.cased else [text.casefold() for text in each]

    def holds(event: Event) -> bool:
        left = frozenset(texts(ours(event)))
        return bool(left) and compare(left, frozenset(text for read in theirs for text in texts(read(event))))

    return Test(key, holds, fields, deep=any(field.deep for field in (question.field, *others)))


def _names_a_field(value: Scalar) -> bool:
    return isinstance(value.value, str) and bool(literal_of(parse_pattern(value.text)))


# Whether some text of the first stands so to one of the second; a stranger may write thousands of each.
_TEXT_COMPARE: dict[str, Callable[[frozenset[str], frozenset[str]], bool]] = {
    "equals": lambda left, right: not left.isdisjoint(right),
    "contains": lambda left, right: any(two in one for one in left for two in right),
    "startswith": lambda left, right: any(one.startswith(heads) for heads in [tuple(right)] for one in left),
    "endswith": lambda left, right: any(one.endswith(tails) for tails in [tuple(right)] for one in left),
}
