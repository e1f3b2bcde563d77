"""A rule's values, with their modifiers, as the test of one leaf of an event."""

from __future__ import annotations

from tocsin.rules.detection.encodings import transformed
from tocsin.rules.detection.leaves import (
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
from tocsin.rules.detection.modifiers import COMPARISONS, Chain
from tocsin.rules.detection.patterns import (
    Pattern,
    Wild,
    folded,
    is_literal,
    literals_at,
    matches_any,
    parse_pattern,
    tidy,
)
from tocsin.rules.detection.regex import Refused, Wrong, compile_search
from tocsin.rules.detection.scope import Scope
from tocsin.rules.document import Scalar


def leaf_for(chain: Chain, values: list[Scalar], scope: Scope) -> Leaf | None:
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
        if value.is_null or not value.text:
            scope.problems.error(value.mark, '"re" needs a regular expression; write one, in single quotes')
            continue
        compiled = compile_search(value.text, chain.re_flags, trusted=scope.trusted)
        if isinstance(compiled, Wrong):
            way_out = compiled.way_out or _repair(value)
            scope.problems.error(value.mark, f"this is no regular expression: {compiled.reason}; {way_out}")
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


def _repair(value: Scalar) -> str:
    if value.text[:1] in ("*", "?"):
        return 'a pattern like *text needs no "re", leave it out'
    return "put a backslash before a character that means itself"


def _text_leaf(chain: Chain, values: list[Scalar], scope: Scope) -> Leaf:
    texts = _literals(chain, values)
    if texts:
        return text_leaf(literals_at(chain.kind, texts), cased=chain.cased, null=False)
    patterns = [pattern for value in values for pattern in _patterns(chain, value, scope)]
    null = any(value.is_null for value in values)
    if not chain.cased:
        patterns = [folded(pattern) for pattern in patterns]
    return text_leaf(matches_any(patterns), cased=chain.cased, null=null)


def _literals(chain: Chain, values: list[Scalar]) -> list[str] | None:
    """The values where all are just text, as most are: these need not be patterns first."""
    if chain.transforms:
        return None
    for value in values:
        if not is_literal(value.text) or not isinstance(value.value, str):
            return None
    return [value.text if chain.cased else value.text.casefold() for value in values]


def _patterns(chain: Chain, value: Scalar, scope: Scope) -> list[Pattern]:
    if value.is_null:
        if chain.kind != "equals" or chain.transforms or chain.cased:
            scope.problems.error(
                value.mark, f'null has no text for "{_last(chain)}"; write null without a modifier'
            )
        return []
    if isinstance(value.value, str) or chain.transforms:
        patterns = _transformed(chain, value, scope)
    else:
        patterns = [(text,) for text in dict.fromkeys((*texts_of(value.value), value.text))]
    return [_placed(pattern, chain.kind) for pattern in patterns]


def _last(chain: Chain) -> str:
    return chain.kind if chain.kind != "equals" else (*chain.transforms, "cased")[-1 if chain.cased else 0]


def _transformed(chain: Chain, value: Scalar, scope: Scope) -> list[Pattern]:
    try:
        return transformed(parse_pattern(value.text), chain.transforms)
    except ValueError as exc:
        scope.problems.error(value.mark, str(exc))
        return []


def _placed(pattern: Pattern, kind: str) -> Pattern:
    head = (Wild.RUN,) if kind in ("contains", "endswith") else ()
    tail = (Wild.RUN,) if kind in ("contains", "startswith") else ()
    return tidy([*head, *pattern, *tail])
